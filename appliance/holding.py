"""What it means for senders that a printer holds jobs, in sentences for people.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mailstore.directory.records import Hold, Printer

TOLD = (
    "a code is told by mail to senders who log in to send, or whose domain proves them (SPF, DKIM); the site's networks"
    " prove nobody, so what comes from there without a login waits for somebody who runs the printer"
)
"""Who learns the code of his job."""


def codes(printer: Printer) -> str:
    """What whoever lets jobs wait for codes should know; "" where none are made."""
    return "" if printer.is_group or printer.hold is not Hold.CODE else TOLD


def in_words(printer: Printer) -> str:
    """Whether it holds what it gets, as whoever sends should know; "" if not."""
    if printer.is_group or printer.hold is Hold.NONE:
        return ""
    if printer.hold is Hold.ALL:
        return "every job, until somebody who runs it releases it"
    return "every job, until its code is typed in at the release page, or somebody who runs it releases it"


def would_wait(members: Iterable[Printer], *, answered: bool) -> str:
    """At which of the printers a job would wait, and for what; "" if it waits at none.  `answered`: its sender is."""
    holds = {printer.name: printer.hold for printer in members if printer.hold is not Hold.NONE}
    if not holds:
        return ""
    where = " and ".join(holds)
    if Hold.CODE not in holds.values():
        return f"it waits at {where} then, until somebody who runs it releases it"
    if answered:
        return f"it waits at {where} then, until it is released, and its sender is told the code"
    return (
        f"it waits at {where} then, until somebody who runs it releases it: its sender is told no code, for neither a"
        " login nor his domain proves him"
    )
