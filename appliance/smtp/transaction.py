"""One mail transaction: who sends, who gets it, whether we take it.  Knows the directory and the store, no connection.

Security: what comes here was read and judged: `beginning` lets nothing in but the grammar's addresses, `recipients`
nobody but those under our domains.  The octets of the message are a stranger's; `datasink` and `intake` look at them.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

from appliance import trace
from appliance.peer import plain_ip
from appliance.smtp.chunksink import ChunkSink
from appliance.smtp.client import Client
from appliance.smtp.datasink import DataSink
from appliance.smtp.destination import TOO_OFTEN, Destination
from appliance.smtp.intake import Intake
from appliance.smtp.recipients import allowance
from appliance.smtp.reply import REASONS, Reply, accepted, refusal
from appliance.smtp.site import Site
from mailstore.failure import Failure
from mailstore.store.contract import Envelope

ACCEPTED = Counter("printpost_smtp_messages_accepted_total", "Messages answered with 250 at the end of data")
REJECTED = Counter(
    "printpost_smtp_messages_rejected_total", "Senders, recipients and messages refused, by reason", ["reason"]
)
RECEIVED = Counter("printpost_jobs_received_total", "Jobs accepted by SMTP", ["printer"])
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
        if found.people and any(known.people == found.people for known in self.recipients):
            return RECIPIENT_OK  # by another of his addresses: one mail is enough
        self.recipients.append(found)
        return RECIPIENT_OK

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
        self.intake = intake = Intake(draft, trace=received, hostname=hostname, limits=limits, binary=self.binary)
        return intake

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
            reply = refusal(failure)
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
        printers = [recipient.printer.name for recipient in self.recipients if recipient.printer]
        documents = intake.finish(to_print=bool(printers))
        if self.recipients[0].postmaster and not self._may_bother_the_postmaster():
            return TOO_OFTEN
        login = self.client.login
        envelope = Envelope(
            reverse_path=self.reverse_path,
            client_ip=self.client.ip,
            helo=self.client.helo,
            trust=self.recipients[0].trust,  # the client's, the same for all
            smtputf8=self.smtputf8,
            body=self.body,
            login=login.name if login else "",
            # A login's own address is proved; a network proves none.
            answerable=login is not None and not intake.automatic,
            name=intake.subject,
            header_message_id=intake.message_id,
            documents=len(documents),
            pop3_octets=intake.pop3_octets,
            envid=self.envid,
            ret=self.ret,
            submitter=self.submitter,
        )
        octets = intake.draft.octets
        maildrops = [maildrop for recipient in self.recipients for maildrop in recipient.maildrops(self.reverse_path)]
        numbers = await self.site.store.accept(intake.draft, envelope, maildrops)
        jobs = [number for number, maildrop in zip(numbers, maildrops, strict=True) if maildrop.maildrop in printers]
        ACCEPTED.inc()
        SIZE.observe(octets)
        for printer in printers:
            RECEIVED.labels(printer).inc()
        log.info(
            "mail accepted",
            id=self.id,
            jobs=jobs,
            printers=printers,
            sender=self.reverse_path,
            client=self.client.ip,
            octets=octets,
            documents=len(documents),
        )
        return accepted(jobs)

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
INTERNAL = Reply(code=451, status="4.3.0", text="something went wrong here, try again later", reason="internal")


def too_large(limit: int) -> Reply:
    return Reply(code=552, status="5.3.4", text=f"a message may have {limit} octets at most", reason="too-large")
