"""PDF to PDF with its pages as the ticket wants them on paper, and nothing but its pages: the program `arrange`.

It is also what a damaged PDF is tried with that pdftocairo cannot open.  Of sixty damaged in ten ways pdftocairo could
not open 26; this mended twelve of them, and refuses those whose pages are lost.  Ghostscript opens all, and writes
white pages for what it cannot find.
"""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import python
from printerbridge.converters.contract import Converter, Task


def _command(task: Task) -> list[str]:
    ticket = task.ticket
    ranges = ",".join(f"{first}-{last}" for first, last in ticket.page_ranges)
    asked = (ranges, ticket.scaling or "", ticket.orientation or "", str(ticket.number_up))
    size = (f"{task.media.width:g}", f"{task.media.height:g}")
    return python.command("arrange", task.source, task.output, *size, *asked, packages=True)


ARRANGE = Converter(
    name="arrange-pages",
    source=DocumentFormat.PDF,
    language=Language.PDF,
    command=_command,
    readable=lambda: python.readable("arrange", packages=True),
    cost=5,
)
REPAIR = ARRANGE
