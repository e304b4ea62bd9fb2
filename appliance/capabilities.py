"""Addresses to give away: whoever knows one may print on its printer, until it is revoked, over or used up.

Such an address is the printer's with a token behind the +.  Somebody who may set the printer makes it, sees it once and
gives it to whom he likes: a visitor, a shop.  The store has only the token's digest.

Security: what is made here is a right to print, for whoever holds it.  Rights are asked as at the desk, of each call.
The token is in no answer but the one that made it, and neither the store, a log nor a URL ever has it.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from typing_extensions import TypedDict

from appliance.described_job import moment
from appliance.desk import Missing
from appliance.rights import Act, demand, may
from mailstore.directory import values
from mailstore.directory.contract import Directory
from mailstore.directory.records import Person, Printer
from mailstore.failure import PermanentFailure
from mailstore.options import TOKEN_LENGTH, TOKEN_LETTERS, token_digest
from mailstore.store.admission import Capability
from mailstore.store.contract import Store

MOST = 1000
"""Addresses of one printer that let anybody print at a time."""
MOST_JOBS = 1_000_000
_TRUST = "verified"  # of what comes by such an address
_LOCAL_PART = 64  # octets, RFC 5321 section 4.5.3.1.1
_LONGEST = timedelta(days=36525)
_PERIOD = re.compile(r"([1-9][0-9]{0,5}) ?(m|min|minutes?|h|hours?|d|days?|w|weeks?)")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An address that was just made; it can't be shown again."""

    address: str
    capability: Capability


class DescribedCapability(TypedDict):
    """An address to give away, without its token."""

    id: int
    printer: str
    note: str
    made_by: str
    created_at: str | None
    expires_at: str | None  # null: never
    max_jobs: int  # 0: any number
    max_pages: int
    jobs: int  # that came by it
    pages: int  # that these had
    revoked_at: str | None
    revoked_by: str
    good: bool  # it lets its holder print
    why_not: str


class Capabilities:
    """Every call begins with who wants it; it may raise `NotAllowed`, `Missing` or `TransientFailure`."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    async def make(
        self,
        person: Person,
        name: str,
        *,
        note: str = "",
        expires_at: float = 0.0,
        max_jobs: int = 0,
        max_pages: int = 0,
    ) -> Given:
        """A new address of the printer or group `name`.

        `expires_at` in seconds since the epoch, 0.0: never; `max_jobs`, `max_pages` 0: any number.  Raises
        `PermanentFailure` ("5.5.4") for what can't be meant, or if the printer has `MOST` such addresses;
        "5.5.1" if it takes no such mail.
        """
        printer = await self._settable(person, name)
        wanted = values.check(note.strip(), values.read_text)
        for most in (max_jobs, max_pages):
            if not 0 <= most <= MOST_JOBS:
                raise PermanentFailure("5.5.4", f"a limit of jobs or pages is 1 to {MOST_JOBS}, or 0 for none")
        await self._demand_paper(printer)
        base, now = _base(printer), time.time()
        if expires_at and expires_at <= now:
            raise PermanentFailure("5.5.4", "that time is over already: choose one that is to come")
        standing = [one for one in await self._store.capabilities(printer.name) if not one.why_not(now)]
        if len(standing) >= MOST:
            raise PermanentFailure("5.5.4", f"{printer.name} has {MOST} such addresses: revoke some first")
        token = new_token()
        made = await self._store.add_capability(
            printer.name,
            token_digest(token),
            made_by=person.name,
            note=wanted,
            expires_at=expires_at,
            max_jobs=max_jobs,
            max_pages=max_pages,
        )
        local, _, domain = base.rpartition("@")
        return Given(address=f"{local}+{token}@{domain}", capability=made)

    async def listed(self, person: Person, name: str = "") -> Sequence[Capability]:
        """Those of the printer `name`, or of all that he may set, newest first; also those that are over of late."""
        if name:
            return await self._store.capabilities((await self._settable(person, name)).name)
        found = await self._store.capabilities()
        if person.administrator:
            return found
        his = {printer.name for printer in await self._directory.printers() if may(person, Act.SET, printer)}
        return [one for one in found if one.printer in his]

    async def one(self, person: Person, name: str, number: int) -> Capability:
        """One of the printer's.  Raises `Missing` if it has none of this number."""
        return _of_number(await self.listed(person, name), number)

    async def revoke(self, person: Person, number: int, name: str = "") -> Capability:
        """From now on nobody prints by it; jobs that came before stay.  One that was revoked before stays so.

        `name`: the printer whose it must be.  Returns it as it was; raises `Missing`.
        """
        found = _of_number(await self.listed(person, name), number)
        await self._store.revoke_capability(found.id, person.name)
        return found

    async def _demand_paper(self, printer: Printer) -> None:
        """Raises `PermanentFailure` ("5.5.1") if nothing that comes by such an address could be given to it."""
        members = [await self._directory.printer(member) for member in printer.members]
        for one in (printer, *(member for member in members if member is not None)):
            if not (one.drained_by_bridge or one.is_group or one.takes_raw(_TRUST)):
                raise PermanentFailure(
                    "5.5.1",
                    f"{one.name} polls its mailbox and gets its mail as it came, of insiders alone: "
                    "let verified mail through raw first, or choose another printer",
                )

    async def _settable(self, person: Person, name: str) -> Printer:
        printer = await self._directory.printer(name.lower())
        if printer is None:
            raise Missing(f"there is no printer {name[:100]!a}")
        demand(person, Act.SET, printer)
        return printer


def new_token() -> str:
    """130 random bits in base32."""
    return "".join(secrets.choice(TOKEN_LETTERS) for _ in range(TOKEN_LENGTH))


def until(text: str, now: float) -> float:
    """The time that "7d", "12 hours", "2026-12-31" (its whole day, here) or an RFC 3339 time means; "": 0.0, never.

    In seconds since the epoch.  Raises `PermanentFailure` ("5.5.4").
    """
    word = text.strip()
    if not word:
        return 0.0
    start = datetime.fromtimestamp(now, UTC)
    try:
        if found := _PERIOD.fullmatch(word.lower()):
            end = start + int(found[1]) * _UNITS[found[2][0]]
        else:
            read = datetime.fromisoformat(word.upper())
            whole = timedelta(days=1) if len(word) <= len("2026-12-31") else timedelta()
            end = (read + whole).astimezone()  # without a zone it is meant in the house's own
    except (ValueError, OverflowError):
        raise PermanentFailure(
            "5.5.4",
            f"{word[:40]!a} is no time: give a period like 12h, 7d or 4w, or a date like {start:%Y}-12-31",
        ) from None
    if not start < end < start + _LONGEST:
        raise PermanentFailure("5.5.4", f"{word[:40]!a} is over already, or more than a hundred years away")
    return end.timestamp()


def ends_in_words(one: Capability) -> str:
    """Until when it is good, as part of a sentence."""
    ends = []
    if one.expires_at:
        ends.append(f"until {datetime.fromtimestamp(one.expires_at, UTC).astimezone():%Y-%m-%d %H:%M}")
    for most, what in ((one.max_jobs, "job"), (one.max_pages, "page")):
        if most:
            ends.append(f"for {most} {what}{'' if most == 1 else 's'}")
    return ", ".join(ends) or "until it is revoked"


def described(one: Capability, now: float) -> DescribedCapability:
    """For scripts."""
    why_not = one.why_not(now)
    return DescribedCapability(
        id=one.id,
        printer=one.printer,
        note=one.note,
        made_by=one.made_by,
        created_at=moment(one.created_at),
        expires_at=moment(one.expires_at),
        max_jobs=one.max_jobs,
        max_pages=one.max_pages,
        jobs=one.jobs,
        pages=one.pages,
        revoked_at=moment(one.revoked_at),
        revoked_by=one.revoked_by,
        good=not why_not,
        why_not=why_not,
    )


def _of_number(those: Sequence[Capability], number: int) -> Capability:
    found = next((one for one in those if one.id == number), None)
    if found is None:
        raise Missing(f"there is no address to give away of number {number}")
    return found


def _base(printer: Printer) -> str:
    """The address of the printer that has room for a token."""
    for address in printer.addresses:
        if len(address.rpartition("@")[0].encode()) + 1 + TOKEN_LENGTH <= _LOCAL_PART:
            return address
    room = _LOCAL_PART - 1 - TOKEN_LENGTH
    raise PermanentFailure(
        "5.5.4",
        f"{printer.addresses[0]} is too long for a token: give {printer.name} an alias of at most {room} letters",
    )
