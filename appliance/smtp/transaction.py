"""One mail transaction: who sends, who gets it, whether we take it.  Knows the directory and the store, no connection.

Security: what comes here was read and judged: `beginning` lets nothing in but the grammar's addresses, `recipients`
nobody but those under our domains.  The octets of the message are a stranger's; `datasink` and `intake` look at them.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

from appliance import trace
from appliance.mailauth import Examination
from appliance.peer import plain_ip
from appliance.policy import Trust, Verdict
from appliance.smtp.chunksink import ChunkSink
from appliance.smtp.client import Client
from appliance.smtp.conclusion import Conclusion, concluded
from appliance.smtp.datasink import DataSink
from appliance.smtp.destination import TOO_OFTEN, Destination, maildrops
from appliance.smtp.evidence import Evidence, refused
from appliance.smtp.heading import Heading, refuse_loop
from appliance.smtp.intake import Intake, Onlooker
from appliance.smtp.recipients import allowance
from appliance.smtp.reply import REASONS, Reply, accepted, refusal, taken_as_part
from appliance.smtp.site import Site
from mailstore.directory.records import Hold
from mailstore.documents import Survey
from mailstore.failure import Failure, PermanentFailure
from mailstore.passage import selected
from mailstore.store.contract import Envelope, Recipient
from mailstore.store.splitting import SplitLimits

ACCEPTED = Counter("printpost_smtp_messages_accepted_total", "Messages answered with 250 at the end of data")
REJECTED = Counter(
    "printpost_smtp_messages_rejected_total", "Senders, recipients and messages refused, by reason", ["reason"]
)
RECEIVED = Counter("printpost_jobs_received_total", "Jobs accepted by SMTP", ["printer"])
DUPLICATES = Counter("printpost_jobs_duplicate_total", "Jobs that were not made, because the same mail came before")
SIZE = Histogram(
    "printpost_job_size_bytes", "Size of accepted messages", buckets=[4096 * 4**power for power in range(10)]
)
for _reason in REASONS:
    REJECTED.labels(_reason)

log = structlog.get_logger()
_serial = itertools.count(secrets.randbits(24))


@dataclass(slots=True, kw_only=True)
class Transaction:
    """From MAIL to the end of the data.  `beginning.begin` makes one."""

    site: Site
    client: Client
    evidence: Evidence
    reverse_path: str
    declared: int  # SIZE, 0 if none
    body: str
    smtputf8: bool
    envid: str = ""  # RFC 3461 section 4.4
    ret: str = ""  # section 4.3
    submitter: str = ""  # RFC 4954 section 5
    id: str = field(default_factory=lambda: f"{int(time.time()):X}{next(_serial) & 0xFFFFFF:06X}")
    recipients: list[Destination] = field(default_factory=list)
    sink: DataSink | ChunkSink | None = None
    intake: Intake | None = None
    examination: Examination | None = None  # of signatures, while the message comes
    denied: Verdict | None = None  # what the header decided, if that is no

    @property
    def room(self) -> bool:
        return len(self.recipients) < self.site.limits.recipients

    @property
    def limit(self) -> int:
        """Octets that the message may have.  What is larger than a recipient's whole mailbox will never fit."""
        most = min((self.client.max_size, *(recipient.quota for recipient in self.recipients)))
        to_postmaster = bool(self.recipients) and self.recipients[0].postmaster
        return min(most, self.site.limits.postmaster_octets) if to_postmaster else most

    def add(self, found: Destination) -> Reply:
        if self.recipients and (found.postmaster or self.recipients[0].postmaster):
            return _ALONE
        if self.recipients and (found.open or self.recipients[0].open):
            return _OPEN  # one reply at the end of data must be true for all
        if found.people and any(known.people == found.people for known in self.recipients):
            return RECIPIENT_OK  # by another of his addresses: one mail is enough
        for known in self.recipients:
            if known.verdict and found.verdict and known.verdict.trust != found.verdict.trust:
                return _OTHERWISE  # a message at rest has one trust
            if known.options != found.options and not set(known.members).isdisjoint(found.members):
                return _OTHER_OPTIONS
        self.recipients.append(found)
        return RECIPIENT_OK

    @property
    def to_print(self) -> bool:
        return any(recipient.printer for recipient in self.recipients)

    @property
    def binary(self) -> bool:
        return self.body == "BINARYMIME"

    async def data(self) -> DataSink:
        """DATA: make the draft and the sink.  Raises the store's failure."""
        self.sink = sink = DataSink((await self._intake()).write, limit=self.limit)
        return sink

    async def chunks(self) -> None:
        """The first BDAT, likewise."""
        self.sink = ChunkSink((await self._intake()).write, limit=self.limit, binary=self.binary)

    async def _intake(self) -> Intake:
        draft = await self.site.store.draft(self.declared)
        hostname = self.site.settings.site.hostname
        protocol = trace.protocol(
            extended=self.client.extended,
            smtputf8=self.smtputf8,
            tls=self.client.tls,
            authenticated=self.client.login is not None,
        )
        received = trace.received(
            helo=self.client.helo,
            client_ip=self.client.ip,
            hostname=hostname,
            protocol=protocol,
            queue_id=self.id,
            recipient=self.recipients[0].address if len(self.recipients) == 1 else "",
            at=time.time(),
        )
        limits = self.site.limits
        self.intake = intake = Intake(
            draft,
            trace=received,
            hostname=hostname,
            limits=limits,
            binary=self.binary,
            to_print=self.to_print,
            judged=self._header_ended if self.to_print else None,
        )
        return intake

    def _header_ended(self, heading: Heading) -> Onlooker | None:
        """The verdict that waited for the header, and what looks on from here.  Raises what refuses the message."""
        own = (recipient.own_addresses for recipient in self.recipients) if heading.delivered_to else ()
        refuse_loop(heading, frozenset().union(*own))
        first = self.recipients[0]
        if not (self.evidence.examined or first.open):
            return None
        examination = self.site.mailauth.examine(heading.block, plain_ip(self.client.ip))
        if first.open:
            verdict = self.evidence.judge_author(first, examination.author)
            if verdict.allowed is False:
                self.denied = verdict
                raise PermanentFailure(verdict.status, verdict.sentence)
            self.recipients[0] = replace(first, verdict=verdict)
        if not (self.evidence.examined or self.recipients[0].open):  # a login may send what another has signed
            return None
        self.examination = examination
        return examination.feed

    @property
    def spoiled(self) -> bool:
        """Whether what has come so far is refused, whatever follows."""
        assert self.sink is not None
        assert self.intake is not None
        return self.sink.too_large or self.sink.fault is not None or self.intake.failure is not None

    async def end(self) -> Reply:
        """The data has ended: the verdict, and instant 1.  Not to be cancelled; the draft is gone after it."""
        assert self.intake is not None
        try:
            reply = await self._verdict(self.intake)
        except Failure as failure:
            reply = refused(self.denied) if self.denied else refusal(failure)
        except Exception:
            log.exception("mail failed", id=self.id, client=self.client.ip)
            reply = INTERNAL
        if reply.refused:
            await self.intake.draft.discard()
            self.log_refused("mail refused", reply)
        return reply

    async def _verdict(self, intake: Intake) -> Reply:
        assert self.sink is not None
        if self.sink.too_large:
            return too_large(self.limit)
        if self.sink.fault:
            text = f"the message holds {self.sink.fault.value}; lines end with both"
            return Reply(code=550, status="5.6.0", text=text, reason="line-ends")
        survey = intake.finish()
        if self.recipients[0].postmaster and not self._may_bother_the_postmaster():
            return TOO_OFTEN
        conclusion = await concluded(self.evidence, self.recipients, self.examination)
        if isinstance(conclusion, Reply):
            return conclusion
        documents = await self._documents(survey, conclusion.trust) if intake.part is None else 0
        return_path = trace.return_path(self.reverse_path)
        recipients = maildrops(self.recipients, lambda one: conclusion.fields(one, return_path))
        envelope = self._envelope(intake, conclusion, documents)
        if intake.part is not None:
            return await self._keep_part(intake, envelope, recipients)
        return await self._keep(intake, envelope, recipients)

    async def _documents(self, survey: Survey, trust: Trust) -> int:
        """How many print at the first printer.

        Raises `PermanentFailure` ("5.6.1", "5.7.1") if one of the printers cannot get one of them, or gets none.
        """
        abilities = await self.site.abilities.of(self.site.store)
        counted: list[int] = []
        for recipient in self.recipients:
            for printer in recipient.members:
                try:
                    counted.append(len(selected(survey, printer, trust, abilities).documents))
                except PermanentFailure as failure:
                    if len(self.recipients) == 1:
                        raise
                    text = f"{failure.text} (at {recipient.address})"
                    raise PermanentFailure(failure.status, text, reason=failure.reason) from None
        return counted[0] if counted else 0

    def _envelope(self, intake: Intake, conclusion: Conclusion, documents: int) -> Envelope:
        login = self.client.login
        return Envelope(
            reverse_path=self.reverse_path,
            client_ip=self.client.ip,
            helo=self.client.helo,
            trust=conclusion.trust,
            smtputf8=self.smtputf8,
            body=self.body,
            login=login.name if login else "",
            answerable=conclusion.answerable and not intake.heading.automatic,
            name=intake.heading.subject,
            header_message_id=intake.heading.message_id,
            documents=documents,
            pop3_octets=intake.pop3_octets,
            envid=self.envid,
            ret=self.ret,
            submitter=self.submitter,
            proof=conclusion.proof,
            proved=conclusion.proved,
            content=intake.content,
            signatures=conclusion.signatures,
            also_signed=conclusion.also_signed,
        )

    async def _keep(self, intake: Intake, envelope: Envelope, recipients: Sequence[Recipient]) -> Reply:
        """Instant 1."""
        octets = intake.draft.octets
        numbers = await self.site.store.accept(intake.draft, envelope, recipients)
        printers = {member.name for recipient in self.recipients for member in recipient.members}
        made = [
            (number, recipient.maildrop)
            for number, recipient in zip(numbers, recipients, strict=True)
            if recipient.maildrop in printers
        ]
        ACCEPTED.inc()
        SIZE.observe(octets)
        for number, printer in made:
            if number.earlier:
                DUPLICATES.inc()
            else:
                RECEIVED.labels(printer).inc()
        log.info(
            "mail accepted",
            id=self.id,
            jobs=[int(number) for number, _ in made if not number.earlier],
            earlier=[int(number) for number, _ in made if number.earlier],
            printers=[printer for _, printer in made],
            sender=self.reverse_path,
            client=self.client.ip,
            trust=envelope.trust,
            proof=envelope.proof,
            octets=octets,
            documents=envelope.documents,
        )
        held = {recipient.maildrop for recipient in recipients if recipient.hold is not Hold.NONE}
        return accepted([number for number, _ in made], {int(number) for number, where in made if where in held})

    async def _keep_part(self, intake: Intake, envelope: Envelope, recipients: Sequence[Recipient]) -> Reply:
        """Instant 1 of a part of a split mail: nobody has judged the whole yet, and nothing of it prints."""
        assert intake.part is not None
        if not envelope.proved:
            return _UNPROVED_PART
        if len(recipients) > 1:
            return _PART_ALONE
        given = self.site.settings.limits
        limits = SplitLimits(parts=given.partial_parts, octets=given.partial_size, seconds=given.partial_wait)
        split = await self.site.store.accept_part(intake.draft, envelope, recipients[0], intake.part, limits)
        ACCEPTED.inc()
        log.info("part accepted", id=self.id, job=split.job_id, part=intake.part.number, sender=self.reverse_path)
        return taken_as_part(split, intake.part)

    def _may_bother_the_postmaster(self) -> bool:
        return allowance(self.site, self.client).take(plain_ip(self.client.ip), time.monotonic())

    def log_refused(self, what: str, reply: Reply) -> None:
        why = {"status": reply.status, "reason": reply.reason}
        log.info(what, id=self.id, client=self.client.ip, sender=self.reverse_path, **why)

    def abandon(self) -> Coroutine[Any, Any, None] | None:
        """The client has gone in the middle: forget what has come, if anything."""
        intake, self.intake, self.sink = self.intake, None, None
        if intake is None:
            return None
        REJECTED.labels("disconnected").inc()
        return intake.draft.discard()


RECIPIENT_OK = Reply(code=250, status="2.1.5", text="recipient ok")
_ALONE = Reply(
    code=452,
    status="4.5.3",
    text="mail to the postmaster goes alone, send the rest again",
    reason="too-many-recipients",
)
_OPEN = Reply(
    code=452,
    status="4.5.3",
    text="what the message says decides here, so it goes to this printer alone; send the rest again",
    reason="too-many-recipients",
)
_OTHERWISE = Reply(
    code=452,
    status="4.5.3",
    text="this recipient is judged in another way than those before, send it again by itself",
    reason="too-many-recipients",
)
_OTHER_OPTIONS = Reply(
    code=550,
    status="5.1.4",
    text="the message goes to this printer already, with other options; a mail prints on a printer once",
    reason="malformed",
)
_UNPROVED_PART = Reply(
    code=550,
    status="5.7.1",
    text="parts of a split mail (message/partial) are taken from proved senders only; send it whole",
    reason="not-allowed",
)
_PART_ALONE = Reply(
    code=550,
    status="5.6.1",
    text="a part of a split mail (message/partial) goes to one printer only; send it to each by itself",
    reason="not-printable",
)
INTERNAL = Reply(code=451, status="4.3.0", text="something went wrong here, try again later", reason="internal")


def too_large(limit: int) -> Reply:
    return Reply(code=552, status="5.3.4", text=f"a message may have {limit} octets at most", reason="too-large")
