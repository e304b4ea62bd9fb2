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
from dataclasses import replace

import structlog
from prometheus_client import Counter

from appliance import policy, trace
from appliance.peer import plain_ip
from appliance.policy import Facts, Verdict, Want
from appliance.proof.fields import author as author_of
from appliance.proof.report import results
from appliance.proof.result import Proven, Result
from appliance.smtp.destination import limits_of
from appliance.smtp.heading import Heading, refuse_loop
from appliance.smtp.intake import Intake
from appliance.smtp.limits import Limits
from mailstore.address import canonical, split_subaddress
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Job, Proof
from mailstore.partial import Joiner
from mailstore.passage import refuse_unprintable
from mailstore.store.contract import Envelope, Recipient, Store
from mailstore.store.splitting import SplitMail

SPLIT = Counter("printpost_split_mails_total", "Split mails that ended, by what became of them", ["outcome"])
for _outcome in ("printed", "refused", "incomplete"):
    SPLIT.labels(_outcome)

LOOK = 30.0
"""Seconds between two looks without a ring."""

log = structlog.get_logger()


class Assembler:
    """Puts split mails together for as long as `run` runs."""

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
        self._limits = Limits.of(settings)
        self._store = store
        self._directory = directory
        self._people = people
        self._clock = clock
        self._bell = asyncio.Event()

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

    async def look(self) -> None:
        """Put together what has come, give up what is overdue.  Raises `TransientFailure`."""
        for split in await self._store.split_mails():
            if split.complete:
                try:
                    await self._whole(split)
                except PermanentFailure as failure:
                    await self._give_up(split, failure.reason or "aborted-by-system", failure.text, "refused")
                except TransientFailure as failure:  # no room for it now, perhaps; the others need not wait
                    log.warning("split mail waits", job=split.job_id, why=failure.text)
            elif split.until <= self._clock():
                await self._give_up(split, "aborted-by-system", f"{_missing(split)} did not come in time", "incomplete")

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
            intake = Intake(draft, trace=b"", hostname=self._settings.site.hostname, limits=self._limits)
            await self._join(split, intake)
            if intake.part is not None:
                raise PermanentFailure("5.6.0", "put together it is a part of another mail again")
            refuse_loop(intake.heading, [address for one in (entry, *members) for address in one.addresses])
            documents = intake.finish()
            envelopes = await self._store.part_envelopes(split.job_id)
            verdict = await self._verdict(entry, members, intake.heading, envelopes)
            refuse_unprintable(documents, printer, verdict.trust)
            envelope = replace(
                envelopes[0],
                trust=verdict.trust,
                proof=verdict.proof,
                answerable=all(one.answerable for one in envelopes) and not intake.heading.automatic,
                name=intake.heading.subject,
                header_message_id=intake.heading.message_id,
                documents=len(documents),
                content=intake.content,
                signatures=(),
            )
            recipient = self._recipient(job, entry, printer, envelope)
            if await self._store.put_together(split.job_id, draft, envelope, recipient):
                SPLIT.labels("printed").inc()
                log.info("split mail put together", job=split.job_id, printer=split.printer, parts=len(split.parts))
        finally:
            await draft.discard()

    async def _printers(self, job: Job) -> tuple[Printer, tuple[Printer, ...], Printer]:
        """By whose rules it is judged, those that they are the rules of, and the one of them that prints it."""
        entry = await self._directory.printer_by_address(split_subaddress(canonical(job.recipient))[0])
        printer = await self._directory.printer(job.printer)
        if entry is None or printer is None or (entry.is_group and printer.name not in entry.members):
            raise PermanentFailure("5.1.1", f"{job.recipient} is no address of {job.printer} any more")
        return entry, (printer,), printer

    async def _join(self, split: SplitMail, intake: Intake) -> None:
        joiner = Joiner(self._limits.header)
        for number in split.parts:
            joiner.begin()
            async for block in self._store.read_part(split.job_id, number):
                await _put(intake, joiner.feed(block))
        await _put(intake, joiner.end())

    async def _verdict(
        self, entry: Printer, members: Collection[Printer], heading: Heading, envelopes: Collection[Envelope]
    ) -> Verdict:
        """The worst that is said of it for any part.  Raises `PermanentFailure` if that is no."""
        author = author_of(heading.block)
        worst: Verdict | None = None
        for facts in dict.fromkeys(_facts(one, author) for one in envelopes):
            verdict = policy.judge(entry, facts, members)
            if Want.GROUPS in verdict.wants:
                groups = await self._people.groups(canonical(facts.sender)) if self._people else frozenset()
                verdict = policy.judge(entry, replace(facts, groups=groups), members)
            if not verdict.allowed:
                raise PermanentFailure(verdict.status, verdict.sentence)
            if worst is None or _TRUSTS.index(verdict.trust) > _TRUSTS.index(worst.trust):
                worst = verdict
        assert worst is not None
        return worst

    def _recipient(self, job: Job, entry: Printer, printer: Printer, envelope: Envelope) -> Recipient:
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
            limits=limits_of(entry, printer),
        )


_TRUSTS = tuple(policy.Trust)


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


def _facts(part: Envelope, author: str) -> Facts:
    """What was known of a part, of a mail that has this author.

    What proved the part proved `part.proved`, be that its envelope's sender or its author; of the mail's author it
    proves something only where he is the same, or by SPF of his very domain.
    """
    proof, sender = Proof(part.proof), canonical(part.reverse_path)
    here = author.rpartition("@")[2] == sender.rpartition("@")[2] and bool(author)
    signed = proof if proof in (Proof.DKIM, Proof.ARC) and part.proved == author else Proof.NONE
    by_spf = Proof.SPF if proof is Proof.SPF and part.proved == sender and here else Proof.NONE
    return Facts(
        sender=part.reverse_path,
        ip=plain_ip(part.client_ip),
        insider=proof is Proof.NETWORK,
        login=frozenset({part.proved}) if proof is Proof.LOGIN else frozenset(),
        spf=Result.PASS if proof is Proof.SPF and part.proved == sender else Result.NONE,
        author=author,
        message=Proven(
            author=signed or by_spf,
            envelope=signed if author == sender else Proof.NONE,
            envelope_domain=signed if here else Proof.NONE,
        ),
    )
