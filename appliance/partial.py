"""Split mail put together (RFC 2046 section 5.2.2): the task that makes jobs of parts that have all come.

Each part was judged when it came; the whole is judged again, by every rule that a mail in one piece meets: the limits
of the walk, loops, what is printable, and who may print, for each part by what was proved of that very part.  What may
not print, or stays incomplete, is aborted with a sentence that names the id.

Security: the whole is of nobody's making but the sender's, and no mail server on the way has seen it (CERT VU#836088).
Its author is the one that its header names, as every reader will see it; a part's proof counts for the author that it
proved and no other, and the least trusted part's trust is the whole's.  Octets pass in blocks and are kept nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import structlog
from prometheus_client import Counter

from appliance import policy, trace
from appliance.abilities import KnownAbilities
from appliance.policy import Facts, Verdict
from appliance.proof.fields import author as author_of
from appliance.proof.report import results
from appliance.recalled import judged, recalled, stands
from appliance.smtp.heading import Heading, refuse_loop
from appliance.smtp.intake import Intake
from appliance.smtp.limits import Limits
from appliance.smtp.transaction import RECEIVED
from mailstore.address import canonical, split_subaddress
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Job, Proof
from mailstore.partial import Joiner
from mailstore.passage import selected
from mailstore.store.contract import Envelope, Recipient, Store
from mailstore.store.splitting import SplitMail

SPLIT = Counter("printpost_split_mails_total", "Split mails that ended, by what became of them", ["outcome"])
for _outcome in ("printed", "refused", "incomplete"):
    SPLIT.labels(_outcome)

LOOK = 30.0
"""Seconds between two looks without a ring."""
PAUSE = 0.2
"""Seconds in which many rings are one: every mail that comes in rings."""
LONGEST = 900.0
"""The longest time between two tries of one split mail, in seconds; the first is tried again after `LOOK`."""
_TRACE_OCTETS = 4096
"""What our own Received field may add to a header that the door took."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _PutOff:
    """A split mail that could not be put together."""

    since: float
    pause: float = LOOK
    again: float


class Assembler:
    """Puts split mails together for as long as `run` runs.

    One that cannot be put together now is tried again later and later, and the others need not wait for it.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        directory: Directory,
        people: People | None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        limits = Limits.of(settings)
        # Each part has our own trace field, which nobody counted at the door.
        self._limits = replace(limits, hops=limits.hops + 1, header=limits.header + _TRACE_OCTETS)
        self._patience = settings.limits.partial_wait
        self._store = store
        self._directory = directory
        self._people = people
        self._clock = clock
        self._bell = asyncio.Event()
        self._put_off: dict[int, _PutOff] = {}
        self._abilities = KnownAbilities()
        self._insiders = policy.insiders(settings.site.networks, settings.smtp.behind)

    def ring(self) -> None:
        """A part may have come."""
        self._bell.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._bell.clear()
            try:
                await self.look()
            except TransientFailure as failure:  # parts wait as long as it takes
                log.warning("no split mail could be put together, trying again", why=failure.text)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._bell.wait()
            await asyncio.sleep(PAUSE)

    async def look(self) -> None:
        """Put together what has come, give up what is overdue.  Raises `TransientFailure`."""
        splits = await self._store.split_mails()
        known = {split.job_id for split in splits}
        self._put_off = {job_id: put_off for job_id, put_off in self._put_off.items() if job_id in known}
        for split in splits:
            now, put_off = self._clock(), self._put_off.get(split.job_id)
            if put_off is not None and now < put_off.again <= now + LONGEST:  # more is a clock that was set back
                continue
            try:
                await self._attend(split)
            except TransientFailure as failure:  # no room for it now, perhaps
                self._try_later(split, failure.text)
            except Exception:
                log.exception("split mail failed", job=split.job_id)
                self._try_later(split, "something went wrong here")

    def _try_later(self, split: SplitMail, why: str) -> None:
        now = self._clock()
        before = self._put_off.get(split.job_id) or _PutOff(since=now, pause=LOOK / 2, again=now)
        pause = min(2 * before.pause, LONGEST)
        self._put_off[split.job_id] = _PutOff(since=before.since, pause=pause, again=now + pause)
        log.warning("split mail waits", job=split.job_id, why=why, again_in=pause)

    async def _attend(self, split: SplitMail) -> None:
        """Raises `TransientFailure` if it is to be tried again."""
        if not split.complete:
            if split.until <= self._clock():
                why = f"{_missing(split)} did not come in time"
                await self._give_up(split, "aborted-by-system", why, "incomplete")
            return
        try:
            await self._whole(split)
        except PermanentFailure as failure:
            await self._give_up(split, failure.reason or "aborted-by-system", failure.text, "refused")
        except Exception as failure:
            put_off = self._put_off.get(split.job_id)
            if put_off is None or self._clock() - put_off.since < self._patience:
                raise
            why = failure.text if isinstance(failure, TransientFailure) else "something went wrong here"
            log.exception("split mail failed for too long", job=split.job_id)
            await self._give_up(split, "aborted-by-system", why, "refused")

    async def _give_up(self, split: SplitMail, reason: str, why: str, outcome: str) -> None:
        detail = f"the split mail with the id {split.id} was not printed: {why}"
        if await self._store.give_up_split(split.job_id, [reason], detail):
            SPLIT.labels(outcome).inc()
            log.info("split mail given up", job=split.job_id, printer=split.printer, why=why)

    async def _whole(self, split: SplitMail) -> None:
        """Raises `PermanentFailure` if it may not print."""
        job = await self._store.job(split.job_id)
        if job is None:
            return
        entry, members, printer = await self._printers(job)
        draft = await self._store.draft(split.octets)
        try:
            envelopes = await self._store.part_envelopes(split.job_id)
            body, smtputf8 = _transport(envelopes)
            intake = Intake(
                draft,
                trace=b"",
                hostname=self._settings.site.hostname,
                limits=self._limits,
                binary=body == "BINARYMIME",
            )
            await self._join(split, intake)
            if intake.part is not None:
                raise PermanentFailure("5.6.0", "put together it is a part of another mail again")
            refuse_loop(intake.heading, [address for one in (entry, *members) for address in one.addresses])
            survey = intake.finish()
            verdict = await self._verdict(job, entry, members, intake.heading, envelopes)
            selection = selected(survey, printer, verdict.trust, await self._abilities.of(self._store))
            envelope = replace(
                envelopes[0],
                trust=verdict.trust,
                proof=verdict.proof,
                body=body,
                smtputf8=smtputf8,
                pop3_octets=intake.pop3_octets,
                answerable=all(one.answerable for one in envelopes) and not intake.heading.automatic,
                name=intake.heading.subject,
                header_message_id=intake.heading.message_id,
                documents=len(selection.documents),
                content=intake.content,
                signatures=(),
            )
            recipient = self._recipient(job, printer, envelope)
            if await self._store.put_together(split.job_id, draft, envelope, recipient):
                SPLIT.labels("printed").inc()
                RECEIVED.labels(split.printer).inc()
                log.info("split mail put together", job=split.job_id, printer=split.printer, parts=len(split.parts))
        finally:
            await draft.discard()

    async def _printers(self, job: Job) -> tuple[Printer, tuple[Printer, ...], Printer]:
        """By whose rules it is judged, those that they are the rules of, and the one of them that prints it."""
        entry = await self._directory.printer_by_address(split_subaddress(canonical(job.recipient))[0])
        printer = await self._directory.printer(job.printer)
        names = (entry.members if entry.is_group else (entry.name,)) if entry else ()
        if entry is None or printer is None or printer.is_group or printer.name not in names:
            raise PermanentFailure("5.1.1", f"{job.recipient} is no address of {job.printer} any more")
        return entry, (printer,), printer

    async def _join(self, split: SplitMail, intake: Intake) -> None:
        joiner = Joiner(self._limits.header)
        for number in split.parts:
            joiner.begin()
            async for block in self._store.read_part(split.job_id, number):
                await _put(intake, joiner.feed(block))
                await asyncio.sleep(0)  # a block may have been in memory, and others want the loop too
        await _put(intake, joiner.end())

    async def _verdict(
        self, job: Job, entry: Printer, members: Collection[Printer], heading: Heading, envelopes: Collection[Envelope]
    ) -> Verdict:
        """The worst that is said of it for any part.  Raises `PermanentFailure` if that is no."""
        author = author_of(heading.block)
        worst: Verdict | None = None
        token = await stands(self._store, entry, job.capability, self._clock())
        logins = {one.login: await self._addresses(one.login) for one in envelopes if one.proof == Proof.LOGIN}
        for facts in dict.fromkeys(self._facts(one, author, logins.get(one.login, _NONE), token) for one in envelopes):
            verdict = await judged(entry, members, facts, self._people)
            if not verdict.allowed:
                raise PermanentFailure(verdict.status, verdict.sentence)
            if worst is None or _TRUSTS.index(verdict.trust) > _TRUSTS.index(worst.trust):
                worst = verdict
        assert worst is not None
        return worst

    async def _addresses(self, login: str) -> frozenset[str]:
        """Those that a login proves as of now."""
        person = await self._people.person(login) if self._people else None
        return frozenset(map(canonical, person.addresses)) if person else _NONE

    def _facts(self, part: Envelope, author: str, login: frozenset[str], token: bool) -> Facts:
        """What was known of a part, of a mail that has this author; of a login, its addresses."""
        proof = Proof(part.proof)
        return recalled(
            sender=part.reverse_path,
            ip=part.client_ip,
            proof=proof,
            proved=part.proved,
            author=author,
            login=login,
            token=token and proof is Proof.TOKEN,
            networks=self._insiders,
        )

    def _recipient(self, job: Job, printer: Printer, envelope: Envelope) -> Recipient:
        network = envelope.client_ip if envelope.proof == Proof.NETWORK else ""
        fields = (
            trace.return_path(envelope.reverse_path)
            + trace.delivered_to(job.recipient)
            + results(self._settings.site.hostname, login=envelope.login, insider_ip=network)
        )
        return Recipient(
            maildrop=printer.name,
            address=job.recipient,
            quota=printer.quota,
            fields=fields,
            reason="job-queued" if printer.drained_by_bridge else "job-fetchable",
            notify=job.notify,
            orcpt=job.orcpt,
            hold=printer.hold,
        )


_TRUSTS = tuple(policy.Trust)
_BODIES = ("", "7BIT", "8BITMIME", "BINARYMIME")
_NONE: frozenset[str] = frozenset()


def _transport(parts: Collection[Envelope]) -> tuple[str, bool]:
    """BODY and SMTPUTF8 of what was put together: what one part needed, the whole needs."""
    return max((part.body for part in parts), key=_BODIES.index), any(part.smtputf8 for part in parts)


def _missing(split: SplitMail) -> str:
    if not split.total:
        return f"{len(split.parts)} of its parts came, the others"
    return f"{split.total - len(split.parts)} of its {split.total} parts"


async def _put(intake: Intake, octets: bytes) -> None:
    intake.write(octets)
    if intake.failure is not None:
        raise intake.failure
    if intake.draft.congested:
        await intake.draft.drained()
