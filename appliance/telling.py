"""From what happened to mails in the outgoing queue: the task that tells people.

It reads the occurrences that the store noted, asks the directory who is responsible at this moment, and writes the
notices and "this is told" in one transaction: nobody is told twice, and what could not be told stays for the next look.
While the directory does not answer, everything waits that hangs on it.

Security: the stored header of a job is a stranger's; of it two or three fields are looked at, and at most
`HEADER_OCTETS` are read.  Nobody is told whose address is one of our printers', so that no notice is ever printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from prometheus_client import Counter

from appliance import episodes, notices, printer_notices
from appliance.episodes import Failures, Kind, News, Standing
from appliance.notices import Audience, Letterhead
from mailstore.address import parse_path, split_subaddress
from mailstore.config import ConfigError, Settings
from mailstore.config_values import split_endpoint
from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer
from mailstore.failure import Failure, PermanentFailure, TransientFailure
from mailstore.job import Job, JobState
from mailstore.store.contract import Store
from mailstore.store.outbox import Occasion, Occurrence, OutgoingMail

NOTICES = Counter("printpost_notices_total", "Notices that were put into the outgoing queue.", ["kind"])

LOOK = 5.0
"""Seconds between two looks without a ring."""
GAP = 0.2
"""Seconds between two looks with one: every job rings."""
LIMIT = 200
MOST = 10_000
"""Occurrences that are looked at in one go, and that many more as wait for their time; at most so many."""
HEADER_OCTETS = 256 * 1024

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def letterhead(settings: Settings) -> Letterhead:
    """What of the configuration stands in notices.  Raises `ConfigError`."""
    postmaster = f"postmaster@{settings.domains[0]}"
    sender = settings.relay.sender or postmaster
    try:
        parse_path(f"<{sender}>", null_allowed=True)
    except PermanentFailure as failure:
        raise ConfigError(f'[relay] from: "{sender}" cannot be a sender: {failure.text}') from None
    return Letterhead(hostname=settings.site.hostname, sender=sender, postmaster=postmaster, page=_page(settings))


def _page(settings: Settings) -> str:
    """Where people elsewhere open the page; "" if they cannot."""
    host, port = split_endpoint(settings.web.listen)
    names = settings.web.names
    if _loopback(host):
        return f"https://{names[0]}" if names else ""  # behind a proxy, which has the usual port
    return f"https://{names[0] if names else settings.site.hostname}:{port}"


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_Series = tuple[str, bool]
"""Jobs of a printer of which people are told together: those that failed, or (True) those that were held."""


@dataclass(slots=True)
class _Round:
    """What one look finds."""

    mails: list[OutgoingMail] = field(default_factory=list)
    told: list[Occurrence] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)
    failures: dict[_Series, Failures] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)  # printers
    due: float = math.inf


class Teller:
    """Turns occurrences into notices for as long as `run` runs.

    `queued` is called when there are new ones in the queue.  Raises `ConfigError` if `[relay] from` is no address.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        directory: Directory,
        *,
        queued: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._head = letterhead(settings)
        self._store = store
        self._directory = directory
        self._queued = queued
        self._clock = clock
        self._bell = asyncio.Event()
        self._standings: dict[str, Standing] = {}
        self._failures: dict[_Series, Failures] = {}
        self._undone = 0

    def ring(self) -> None:
        """Something may have happened."""
        self._bell.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._bell.clear()
            pause = LOOK
            try:
                pause = await self.look()
            except TransientFailure as failure:  # the store: what is not told stays there
                log.warning("nobody could be told of what happened, trying again", why=failure.text)
            await asyncio.sleep(GAP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._bell.wait()

    async def look(self) -> float:
        """Tell all that is to be told now.  Returns the seconds after which another look is due at the latest.

        Raises `TransientFailure` if the store fails; then nobody was told.
        """
        limit = min(LIMIT + self._undone, MOST)
        occurrences = await self._store.occurrences(limit)
        found = _Round()
        by_printer: dict[str, list[Occurrence]] = {}
        for one in occurrences:
            by_printer.setdefault(one.printer, []).append(one)
        for (name, _), failures in self._failures.items():
            if failures.more:
                by_printer.setdefault(name, [])
        for name, of_one in by_printer.items():
            try:
                await self._of_printer(found, name, of_one)
            except Failure as failure:
                log.warning("somebody must be told, but not now", printer=name, why=failure.text)
            except Exception:
                log.exception("of what happened at one printer nobody can be told", printer=name)
        if found.told or found.mails:
            await self._store.tell(found.mails, found.told)
        self._remember(found)
        self._undone = len(occurrences) - len(found.told)
        if found.told and len(occurrences) == limit:
            return 0.0
        return max(0.0, min(LOOK, found.due - self._clock()))

    def _remember(self, found: _Round) -> None:
        self._standings |= found.standings
        self._failures |= found.failures
        for name in found.gone:
            self._standings.pop(name, None)
            for held in (False, True):
                self._failures.pop((name, held), None)
        for kind in found.kinds:
            NOTICES.labels(kind).inc()
        if found.mails:
            self._queued()

    async def _of_printer(self, found: _Round, name: str, occurrences: Sequence[Occurrence]) -> None:
        """All or nothing of one printer's.  Raises `TransientFailure`."""
        printer = await self._directory.printer(name)
        if printer is None:  # removed, and whoever was responsible with it
            found.told += occurrences
            found.gone.append(name)
            return
        made = _Round()
        for one in occurrences:
            if one.job_id:
                await self._of_job(made, one, printer)
        for held in (False, True):
            await self._of_the_rest(made, printer, held=held)
        conditions = [one for one in occurrences if not one.job_id]
        if conditions:
            await self._of_conditions(made, conditions, printer)
        found.mails += made.mails
        found.told += made.told
        found.kinds += made.kinds
        found.standings |= made.standings
        found.failures |= made.failures
        found.due = min(found.due, made.due)

    # -- jobs

    async def _of_job(self, made: _Round, one: Occurrence, printer: Printer) -> None:
        made.told.append(one)
        job = await self._store.job(one.job_id)
        if job is None or notices.is_notice(self._head, job):  # its record may have outlived its keep
            return
        if one.occasion in (Occasion.HELD, Occasion.TO_RELEASE) and job.state is not JobState.PENDING_HELD:
            return  # somebody was quicker
        if job.printer != printer.name and one.occasion is Occasion.HELD:
            return  # it was moved from the printer whose limit it was
        if job.printer != printer.name and one.occasion is Occasion.TO_RELEASE:
            moved = await self._directory.printer(job.printer)
            if moved is None:
                return
            printer = moved  # where the code lets it print now
        sender = job.sender if notices.answerable(job) else ""
        audience = notices.audience(one.occasion, printer, self._head.postmaster, sender)
        if Audience.SENDER in audience.values() and await self._machine_made(job):
            audience = notices.audience(one.occasion, printer, self._head.postmaster, "")
        if Audience.STAFF in audience.values():
            series = (printer.name, one.occasion is Occasion.HELD)
            known = made.failures.get(series) or self._failures.get(series, Failures())
            made.failures[series], now_told = episodes.one_failed(known, one, self._clock())
            if not now_told:
                audience = {to: part for to, part in audience.items() if part is not Audience.STAFF}
        await self._compose(made, one, job, printer, audience)

    async def _of_the_rest(self, made: _Round, printer: Printer, *, held: bool) -> None:
        """When the time of the first few is over, one mail of all the jobs that failed, or were held, meanwhile."""
        series = (printer.name, held)
        known = made.failures.get(series) or self._failures.get(series, Failures())
        failures, latest, more = episodes.the_rest(known, self._clock())
        if latest is None:
            return
        made.failures[series] = failures
        job = await self._store.job(latest.job_id)
        if job is not None and (not held or job.state is JobState.PENDING_HELD):
            audience = notices.audience(latest.occasion, printer, self._head.postmaster, "")
            await self._compose(made, latest, job, printer, audience, more)

    async def _compose(
        self, made: _Round, one: Occurrence, job: Job, printer: Printer, audience: dict[str, Audience], more: int = 0
    ) -> None:
        if not audience:
            return
        kept_until = await self._store.kept_until(job.id)
        documents = await self._store.documents(job.id) if one.occasion is Occasion.INCOMPLETE else ()
        progress = await self._store.progress(job.id) if one.occasion is Occasion.UNCERTAIN else None
        now = self._clock()
        for to, part in audience.items():
            if not await self._is_printer(to):
                compose = partial(notices.about_job, self._head, one, job, printer, to=to, audience=part, now=now)
                written = partial(compose, kept_until=kept_until, more=more, documents=documents, progress=progress)
                self._add(made, one, written, one.occasion.value)

    async def _machine_made(self, job: Job) -> bool:
        """Of mail that cannot be read nobody can tell, so it is not answered.

        Of mail whose octets are gone (parts of a split one, say) only what was seen when it came in counts:
        `Job.answerable` is never said of what a program says it sent.
        """
        block = b""
        try:
            async for octets in self._store.read(job.id):
                block += octets
                if b"\r\n\r\n" in block or len(block) > HEADER_OCTETS:
                    break
        except PermanentFailure:
            return False
        except (Failure, OSError) as error:
            log.warning("a sender is not answered: his mail cannot be read", job=job.id, why=str(error))
            return True
        return notices.machine_made(block.partition(b"\r\n\r\n")[0] + b"\r\n")

    # -- printers

    async def _of_conditions(self, made: _Round, occurrences: Sequence[Occurrence], printer: Printer) -> None:
        now = self._clock()
        verdict = episodes.judge(self._standings.get(printer.name, {}), occurrences, now)
        standing = dict(verdict.standing)
        for news in verdict.news:
            occurrence = news.occurrence
            audience = notices.audience(occurrence.occasion, printer, self._head.postmaster, "", news.kind)
            for to in [*news.told] if news.over and news.told else [*audience]:
                if await self._is_printer(to):
                    continue
                written = partial(printer_notices.about_printer, self._head, news, printer, to=to, now=now)
                self._add(made, occurrence, written, _word(news))
                if not news.over:
                    first, episode = {to: printer_notices.of_news(self._head, news, to)}, standing[news.kind]
                    standing[news.kind] = replace(episode, told=first | dict(episode.told))
        made.told += verdict.done
        made.standings[printer.name] = standing
        made.due = min(made.due, verdict.due)

    # -- both

    async def _is_printer(self, address: str) -> bool:
        """A notice to a printer would be printed."""
        return await self._directory.printer_by_address(split_subaddress(address)[0]) is not None

    def _add(self, made: _Round, one: Occurrence, compose: Callable[[], OutgoingMail], word: str) -> None:
        try:
            made.mails.append(compose())
        except ValueError as error:  # an address that the directory should not have taken: the others are told
            log.warning("somebody could not be told", occasion=word, printer=one.printer, why=str(error))
        else:
            made.kinds.append(word)


def _word(news: News) -> str:
    """As which the metric counts it."""
    if news.kind is Kind.WARNING:
        return "warning-over" if news.over else "warning"
    return (Occasion.CLEAR if news.over else Occasion.STOPPED).value
