"""What a printer's entry lets through to it, in sentences for people.  Pure."""

from __future__ import annotations

from mailstore.directory.records import Printer, Raw

_WHOSE = {
    Raw.INSIDER: "senders inside",
    Raw.VERIFIED: "senders outside who proved their address",
    Raw.STRANGER: "everybody who may print",
}


def as_it_came(printer: Printer, name: str) -> str:
    """What more than an insider's reaches `name` as it came, by `raw`; "" for nothing."""
    if printer.is_group or printer.raw not in (Raw.VERIFIED, Raw.STRANGER):
        return ""
    whose = _WHOSE[printer.raw]
    if printer.polls:
        return f"documents of {whose} reach {name} as they came, with every command that is in them"
    return (
        f"PostScript and PDF of {whose} reach {name} as they came, and PostScript is a program that it runs; their"
        " PJL and PCL are filtered"
    )


def unfiltered(printer: Printer, name: str) -> str:
    """Whose commands all reach `name`, by `unfiltered`; "" for nobody's.  It counts for nothing on one that polls."""
    if printer.unfiltered is Raw.NOBODY or not printer.drained_by_bridge:
        return ""
    return (
        f"documents of {_WHOSE[printer.unfiltered]} reach {name} with every command that is in them, also one that"
        " changes its settings"
    )
