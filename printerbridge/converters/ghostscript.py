"""How Ghostscript is called, the same for all its devices."""

from __future__ import annotations

from mailstore.ticket import Sides
from printerbridge.converters.contract import Task

# A document that redefines these words cheats in the count of its pages: where that matters, they are counted by PDF.
_TELL = "(\\npages: ) print currentpagedevice /PageCount get ="

# What scales pages to the paper is a policy of Ghostscript's.  pdftops and others set policies of their own, for
# printers, and pages that lie across would stand on the paper as they are, cut off.
_KEEP_POLICIES = (
    "/setpagedevice {dup /Policies known {dup length dict copy dup /Policies undef} if"
    " systemdict /setpagedevice get exec} bind def"
)


def command(task: Task, device: str, *options: str) -> list[str]:
    """PostScript `task.source` through `device` onto the paper of `task.media`, telling the pages."""
    paper = (
        f"-dDEVICEWIDTHPOINTS={task.media.width:g}",
        f"-dDEVICEHEIGHTPOINTS={task.media.height:g}",
        # The paper that lies in the printer, whatever the document asks for; other sizes are scaled to it.
        # What says that it is PostScript may be an EPS, which has no page but a box, which may lie anywhere.
        "-dFIXEDMEDIA",
        "-dPSFitPage",
        "-dEPSFitPage",
    )
    return _run(task, device, *paper, *options, "-c", _KEEP_POLICIES)


def cropped(task: Task, device: str, *options: str) -> list[str]:
    """An EPS through `device` onto a page of its box's size, telling the pages."""
    return _run(task, device, "-dEPSCrop", *options)


def _run(task: Task, device: str, *options: str) -> list[str]:
    quiet = ("-q", "-dSAFER", "-dBATCH", "-dNOPAUSE")
    return ["gs", *quiet, f"-sDEVICE={device}", f"-sOutputFile={task.output}", *options, "-f", task.source, "-c", _TELL]


def sides(task: Task) -> list[str]:
    """For devices that write into each page on which sides it goes."""
    if task.sides is None:
        return []
    duplex, tumble = task.sides is not Sides.ONE_SIDED, task.sides is Sides.SHORT_EDGE
    return [f"-dDuplex={str(duplex).lower()}", f"-dTumble={str(tumble).lower()}"]


def count(source: str) -> list[str]:
    """The pages of a PostScript program, told as by `command` and drawn nowhere."""
    return ["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=nullpage", "-f", source, "-c", _TELL]
