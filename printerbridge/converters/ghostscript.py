"""How Ghostscript is called, the same for all its devices."""

from __future__ import annotations

from printerbridge.converters.contract import Task


def command(task: Task, device: str, *options: str) -> list[str]:
    """PostScript `task.source` through `device` onto the paper of `task.media`, telling the pages."""
    return [
        "gs",
        "-q",
        "-dSAFER",
        "-dBATCH",
        "-dNOPAUSE",
        f"-sDEVICE={device}",
        f"-sOutputFile={task.output}",
        f"-dDEVICEWIDTHPOINTS={task.media.width:g}",
        f"-dDEVICEHEIGHTPOINTS={task.media.height:g}",
        # The paper that lies in the printer, whatever the document asks for; other sizes are scaled to it.
        # An EPS has no page but a box, which may lie anywhere.
        "-dFIXEDMEDIA",
        "-dPSFitPage",
        "-dEPSFitPage",
        *options,
        "-f",
        task.source,
        "-c",
        # A document that redefines these words cheats only in the count of its own pages.
        "(\\npages: ) print currentpagedevice /PageCount get =",
    ]
