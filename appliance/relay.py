"""The outgoing queue on its way: into the maildrops of our own users, and by the smarthost to everybody else.

Two tasks, so that a smarthost that hangs keeps nobody's mailbox waiting.  Each mail is held under a lease that outlasts
whatever is done with it; what was delivered is written down before the lease ends, else it may come twice.  A mail that
cannot be delivered now is tried again after ever longer pauses, at last when it expires.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter

from appliance import trace
from mailstore.address import split_subaddress
from mailstore.config import Settings
from mailstore.directory.contract import People
from mailstore.directory.records import Person
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.store.contract import Envelope, Recipient, Store
from mailstore.store.outbox import OUTGOING_OCTETS, QueuedMail

if TYPE_CHECKING:
    from appliance.smarthost import Session, Smarthost

DELIVERED = Counter("printpost_outgoing_delivered_total", "Mails of ours that were delivered.", ["way"])
FAILURES = Counter(
    "printpost_outgoing_failures_total",
    "Tries to deliver a mail of ours that failed: deferred or given-up.",
    ["result"],
)

DEADLINE = 60.0
"""Seconds for each step of what is said to the smarthost."""
LOOK = 5.0
"""Seconds between two looks at the queue without a ring."""
TAKEN = 50
"""Mails taken at once."""
WAITING = 200
"""Mails that may wait in memory for the smarthost; others are put back."""
LEASE = 900.0
PAUSES = (60.0, 300.0, 900.0, 1800.0, 3600.0)
"""Seconds before the next try, after the first, second ... failure."""
NOBODY_YET = 300.0
"""The longest pause for a recipient who is nobody here: somebody may add him."""
PER_CONNECTION = 100

_LARGEST = OUTGOING_OCTETS + 1024  # a mail of ours with the recipient's fields

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """A mail, and until when it is ours."""

    mail: QueuedMail
    until: float  # monotonic


class Relay:
    """Delivers the queue for as long as `run` runs.  Raises `ConfigError` if `[relay]` cannot be meant."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        people: People,
        *,
        pauses: Sequence[float] = PAUSES,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        hostname = settings.site.hostname
        self._smarthost: Smarthost | None = None
        if settings.relay.smarthost:  # without one its client need not be in memory
            from appliance.smarthost import Smarthost

            self._smarthost = Smarthost(settings.relay, hostname, deadline)
        self._hostname = hostname
        self._postmasters = {f"postmaster@{domain}" for domain in (*settings.domains, hostname)}
        self._administrators = settings.people.administrators
        self._store = store
        self._people = people
        self._pauses = pauses
        self._deadline = deadline
        self._clock = clock
        self._owner = f"relay-{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self._bell = asyncio.Event()
        self._out: asyncio.Queue[_Held] = asyncio.Queue(WAITING)

    def ring(self) -> None:
        """There is something in the queue."""
        self._bell.set()

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_for_ever())
            if self._smarthost is not None:
                tasks.create_task(self._send_for_ever(self._smarthost))

    async def _take_for_ever(self) -> None:
        while True:
            self._bell.clear()
            if await self.take() < TAKEN:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._bell.wait()

    async def take(self) -> int:
        """Take what is due, deliver what is for our own users, and hand on the rest; returns how many were taken."""
        until = time.monotonic() + LEASE
        try:
            mails = await self._store.take_outgoing(self._owner, TAKEN, LEASE)
        except TransientFailure as failure:
            log.warning("the outgoing queue cannot be read, trying again", why=failure.text)
            return 0
        for mail in mails:
            await self._sort(_Held(mail, until))
        return len(mails)

    async def _sort(self, held: _Held) -> None:
        recipient = held.mail.recipient
        try:
            persons = await self._ours(recipient)
            if persons:
                await self._into_maildrops(held.mail, persons)
        except TransientFailure as failure:
            await self._later(held, failure.text)
        except PermanentFailure as failure:
            await self._give_up(held, failure.text)
        else:
            if persons:
                await self._done(held, f"notice to {recipient} is in the mailbox", "maildrop")
            elif self._smarthost is None:
                why = f"no [relay] smarthost is set and {recipient} is no user here"
                await self._later(held, why, longest=NOBODY_YET)
            elif self._out.full():
                await self._later(held, f"{self._smarthost.name} is slow", longest=self._pauses[0])
            else:
                self._out.put_nowait(held)

    # -- our own users

    async def _ours(self, recipient: str) -> Sequence[Person]:
        """Whose maildrops it goes into; nobody's if it must leave.  Raises `TransientFailure`."""
        person = await self._people.person_by_address(split_subaddress(recipient)[0])
        found = [] if person is None else [person]
        if not found and recipient.lower() in self._postmasters:
            named = [await self._people.person(name) for name in self._administrators]
            every = [*(await self._people.people()), *(one for one in named if one is not None)]
            found = [*{one.name: one for one in every if one.administrator}.values()]
        return [one for one in found if one.local or self._smarthost is None]

    async def _into_maildrops(self, mail: QueuedMail, persons: Sequence[Person]) -> None:
        """Raises `TransientFailure`, also where all their maildrops are full; then nobody has it.

        Of several people one who never reads his mail keeps it from nobody else.
        """
        room = [one for one in persons if (await self._store.standing(one.maildrop))[1] + _LARGEST <= one.quota]
        persons = room or persons
        draft = await self._store.draft(len(mail.octets))
        try:
            draft.write(mail.octets)
            await self._store.accept(
                draft,
                Envelope(reverse_path="", client_ip="127.0.0.1", helo=self._hostname, trust="insider", body="7BIT"),
                [
                    Recipient(
                        maildrop=person.maildrop,
                        address=mail.recipient,
                        quota=person.quota,
                        fields=trace.return_path("") + trace.delivered_to(mail.recipient),
                    )
                    for person in persons
                ],
            )
        finally:
            await draft.discard()

    # -- everybody else

    async def _send_for_ever(self, smarthost: Smarthost) -> None:
        while True:
            _heed_cancellation()
            held: _Held | None = await self._out.get()
            try:
                async with smarthost.session() as session:
                    for _ in range(PER_CONNECTION):
                        if held is None:
                            break
                        await self._hand_over(session, held)
                        _heed_cancellation()
                        held = self._next() if session.usable else None
            except TransientFailure as failure:
                log.warning("notices wait for the smarthost", why=failure.text)
                while held is not None:
                    await self._later(held, failure.text)
                    held = self._next()
            if held is not None:  # for the next connection
                await self._put_back(held)

    def _next(self) -> _Held | None:
        return None if self._out.empty() else self._out.get_nowait()

    async def _put_back(self, held: _Held) -> None:
        if self._out.full():
            await self._later(held, "others are waiting for the smarthost", longest=self._pauses[0])
        else:
            self._out.put_nowait(held)

    async def _hand_over(self, session: Session, held: _Held) -> None:
        if time.monotonic() > held.until - 3 * self._deadline:  # it may be somebody else's before it is sent
            await self._later(held, "others were waiting for the smarthost", longest=self._pauses[0])
            return
        try:
            said = await session.send(held.mail.recipient, held.mail.octets)
        except TransientFailure as failure:
            await self._later(held, failure.text)
        except PermanentFailure as failure:
            await self._give_up(held, failure.text)
        else:
            await self._done(held, f"notice to {held.mail.recipient} sent: {said}", "smarthost")

    # -- what becomes of a mail

    async def _done(self, held: _Held, note: str, way: str) -> None:
        if await self._write(held, lambda: self._store.outgoing_done(held.mail, note)):
            DELIVERED.labels(way).inc()

    async def _later(self, held: _Held, why: str, longest: float = float("inf")) -> None:
        mail, now = held.mail, self._clock()
        if now >= mail.expires_at:
            await self._give_up(held, why)
            return
        pause = min(self._pauses[min(mail.attempts, len(self._pauses) - 1)], longest)
        at = min(now + pause * random.uniform(0.9, 1.1), mail.expires_at)  # noqa: S311 - so that not all come at once
        if await self._write(held, lambda: self._store.outgoing_later(mail, at, why)):
            FAILURES.labels("deferred").inc()
            log.info("a notice waits", to=mail.recipient, attempts=mail.attempts + 1, why=why)

    async def _give_up(self, held: _Held, why: str) -> None:
        mail = held.mail
        if await self._write(
            held, lambda: self._store.outgoing_done(mail, f"notice to {mail.recipient} given up: {why}")
        ):
            FAILURES.labels("given-up").inc()
            log.warning("a notice was given up", to=mail.recipient, job=mail.job_id, why=why)

    async def _write(self, held: _Held, work: Callable[[], Awaitable[bool]]) -> bool:
        """Until it is written or the lease is over: what was delivered must not come twice because a disk was full."""
        while True:
            try:
                return await work()
            except TransientFailure as failure:
                log.warning("the outgoing queue cannot be written, trying again", why=failure.text)
                if time.monotonic() > held.until:
                    return False
                await asyncio.sleep(1.0)


def _heed_cancellation() -> None:
    """Before Python 3.12 `asyncio.wait_for`, which aiosmtplib waits with, may swallow a cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
