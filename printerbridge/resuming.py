"""Whether a job can go on behind the last page that a printer confirmed, and what is left of it then.  No I/O.

Page k of what was sent must be page k of what is sent now: the same octets, drawn by us, one copy, in a job that PJL
can be told to begin at a page.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailstore.directory.records import Printer
from mailstore.store.following import Progress
from printerbridge.pjl import brings_pjl, names
from printerbridge.ready import Ready


def skips(printer: Printer) -> bool:
    """Whether the printer can be told to begin a document at a page (`@PJL JOB START`)."""
    return printer.pjl and not printer.pjl_one_option


def obstacle(progress: Progress | None, documents: Sequence[Ready], printer: Printer) -> str:
    """Why the job cannot go on, in a sentence; "" if it can.  `documents` are the sender's."""
    if progress is None or not progress.resumable:
        return "nothing of it was confirmed"
    if progress.document >= len(documents):
        return "it has fewer documents now than were sent"
    document = documents[progress.document]
    if document.octets != progress.octets_total:
        return "the document is not the same as before"
    if not progress.pages:
        return ""
    if not skips(printer):
        return "the printer cannot be told by PJL to begin at a page"
    if not document.made or document.copies != 1 or brings_pjl(document.head()) or not names(document.language):
        return "its pages may be numbered otherwise than they were counted"
    return ""


def rest(progress: Progress, documents: Sequence[Ready]) -> tuple[list[Ready], int]:
    """The documents, the sender's and ours, that are still to be sent, and the page that the first of the sender's
    begins with, 0 for all of it.  The last page of a document that seems whole is sent once more."""
    left, seen = [], 0
    for document in documents:
        seen += 0 if document.ours else 1
        if document.ours or seen > progress.document:
            left.append(document)
    behind = progress.pages
    if progress.pages_total:
        behind = min(behind, progress.pages_total - 1)
    return left, behind + 1 if behind > 0 else 0
