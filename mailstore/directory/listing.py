"""All printers of a directory, read again only where they changed.

OpenLDAP stamps an entry with an `entryCSN` at each change.  ldap3 takes half a millisecond to read a whole printer, and
a tenth of that to read its stamp, so of most entries only the stamp is read.  A server that shows no stamps (389
Directory Server, Active Directory) is read whole each time.

Security: what an entry says also depends on what the server lets us see, and a change of that leaves no stamp.  So
everything is read again every hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from mailstore.directory.entry import ATTRIBUTES, from_attributes
from mailstore.directory.records import Printer
from mailstore.directory.results import Result
from mailstore.directory.values import MalformedEntry

WHOLE = 3600.0  # seconds after which stamps are not trusted
_STAMP = "entryCSN"
_FEW = 20  # changed entries that are read one by one in any case

log = structlog.get_logger()

Everything = Callable[[Sequence[str]], Iterable[Result]]
"""The entries of all printers, with these attributes."""
One = Callable[[str, Sequence[str]], Result | None]
"""The entry of this DN, None if it is no printer's (any more)."""


@dataclass(frozen=True, slots=True)
class Found:
    dn: str
    printer: Printer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    stamp: bytes  # b"" if the server shows none
    printer: Printer | None  # None if the entry is damaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What was read last.  It never changes, so that several threads may start from one."""

    printers: tuple[Printer, ...] = ()  # by name
    entries: Mapping[str, _Read] = field(default_factory=dict)  # by DN
    whole_at: float = float("-inf")  # when all were read

    @property
    def stamped(self) -> bool:
        return bool(self.entries) and all(entry.stamp for entry in self.entries.values())


def followed(last: Listing, now: float, everything: Everything, one: One) -> Listing:
    """The printers of this moment, `last` itself if nothing changed since.  Raises what the two callables raise."""
    if not last.stamped or now - last.whole_at >= WHOLE:
        return _whole(everything, now)
    stamps = {entry["dn"]: _stamp(entry) for entry in everything((_STAMP,))}
    entries = {dn: last.entries[dn] for dn in stamps if dn in last.entries}
    changed = [dn for dn, stamp in stamps.items() if dn not in entries or not stamp or entries[dn].stamp != stamp]
    if len(changed) > max(_FEW, len(stamps) // 4):
        return _whole(everything, now)
    if not changed and len(entries) == len(last.entries):
        return last
    for dn in changed:
        entries.pop(dn, None)
        if (entry := one(dn, (*ATTRIBUTES, _STAMP))) is not None:
            entries[dn] = _taken(entry)
    return _listed(entries, last.whole_at)


def read(entry: Result) -> Found | None:
    """The entry's printer, or None, and then the log says why."""
    try:
        reading = from_attributes(entry["raw_attributes"])
    except MalformedEntry as error:
        log.warning("a directory entry is no usable printer", dn=entry["dn"], why=str(error))
        return None
    for complaint in reading.complaints:
        log.warning("left out of a directory entry", dn=entry["dn"], why=complaint)
    return Found(entry["dn"], reading.printer)


def complaints(entries: Iterable[Result]) -> list[tuple[str, str]]:
    """Of what cannot be read: the entry's DN, and why."""
    found = []
    for entry in entries:
        try:
            found += [(entry["dn"], why) for why in from_attributes(entry["raw_attributes"]).complaints]
        except MalformedEntry as error:
            found.append((entry["dn"], f"it is no usable printer, {error}"))
    return found


def _whole(everything: Everything, now: float) -> Listing:
    return _listed({entry["dn"]: _taken(entry) for entry in everything((*ATTRIBUTES, _STAMP))}, now)


def _listed(entries: Mapping[str, _Read], whole_at: float) -> Listing:
    printers = (entry.printer for entry in entries.values() if entry.printer)
    return Listing(
        printers=tuple(sorted(printers, key=lambda printer: printer.name)), entries=entries, whole_at=whole_at
    )


def _taken(entry: Result) -> _Read:
    found = read(entry)
    return _Read(stamp=_stamp(entry), printer=found.printer if found else None)


def _stamp(entry: Result) -> bytes:
    values = (values for name, values in entry["raw_attributes"].items() if name.lower() == _STAMP.lower())
    return next((values[0] for values in values if values), b"")
