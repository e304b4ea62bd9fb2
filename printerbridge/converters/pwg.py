"""PostScript to PWG raster (PWG 5102.4) by Ghostscript."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.ticket_words import SIZES
from printerbridge import paper
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Media, Task

# PWG 5102.4 table 3: sgray_8 is 18, srgb_8 is 19; both with 8 bits per colour, in chunky order
_GRAY, _RGB = 18, 19


_NAMES = {Media.named(name): name for name in SIZES.values()}


def _name(media: Media) -> str:
    """What the page header calls the paper (PWG 5102.4 section 4.3, PageSizeName)."""
    return _NAMES.get(media) or f"custom_paper_{media.width * 25.4 / 72:.2f}x{media.height * 25.4 / 72:.2f}mm"


def _command(task: Task) -> list[str]:
    space = _RGB if task.color else _GRAY
    depth = (f"-dcupsColorSpace={space}", "-dcupsBitsPerColor=8", "-dcupsColorOrder=0")
    name = f"-scupsPageSizeName={_name(task.media)}"
    tray = paper.media_position(paper.PWG_SOURCES, task.ticket.media_source)
    return ghostscript.command(task, "pwgraster", "-r300", name, *depth, *ghostscript.sides(task), *tray)


PWG = Converter(
    name="postscript-to-pwg", source=DocumentFormat.POSTSCRIPT, language=Language.PWG, command=_command, cost=20
)
