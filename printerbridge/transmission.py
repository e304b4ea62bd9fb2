"""One document over one connection: sent, listened to, and what it means told to the store while it goes.

A printer without paper is told of at once, by what it says where it speaks PJL, else by its taking nothing; whoever has
to bring paper must not wait for a time-out.  What comes faster than a person reads is told by its last state only.

Security: how a printer fares is what it says, and what a document makes it say (`printerbridge.pjl`): each change is a
commit and may become a mail, so there are at most two in a second, the more there were the fewer, and a job's end
clears them.  The panel says nothing of whose and what a job is where the printer's entry is confidential.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from prometheus_client import Counter

from mailstore.directory.records import Printer
from mailstore.header import clean
from mailstore.job import DeliveryProof, Job
from mailstore.store.contract import LeaseLost
from mailstore.store.following import Progress
from printerbridge import pjl, postscript
from printerbridge.appsocket import Connection, NothingTaken, Sent
from printerbridge.exchange import Exchange
from printerbridge.journal import Journal
from printerbridge.patience import Patience
from printerbridge.ready import Ready

SENT_BYTES = Counter("printpost_job_sent_bytes_total", "Octets that printers' TCP acknowledged.", ["printer"])

_PROOFS = tuple(DeliveryProof)
_SAID = 300  # octets of the back channel that the job's trace keeps
_APART = 0.5  # seconds between two things told of one printer
_OFTEN = 20  # of them, after each of which they are told more rarely
_APART_MOST = 30.0
_ANSWER_OF_MUTE = 1.0  # seconds for the first word of a printer that had none for the document before


class Hearing:
    """What may be expected of a printer by what it said of late.

    One behind a print server that lets nothing back never says a word, and one may echo and not know of jobs: each job
    would wait in vain.
    """

    def __init__(self) -> None:
        self.mute = False
        self.endless = False

    def heard(self, exchange: Exchange, said: bytes) -> None:
        if isinstance(exchange, pjl.Conversation):
            self.mute = not said
            self.endless = exchange.awaited and exchange.echoed
        elif isinstance(exchange, postscript.Conversation) and exchange.marks:
            self.mute = exchange.awaited

    def patience(self, patience: Patience) -> Patience:
        return replace(patience, answer=min(patience.answer, _ANSWER_OF_MUTE)) if self.mute else patience


@dataclass(slots=True)
class Tally:
    """What became of the documents of a job, copies and all; not what a printer said of each."""

    octets: int = 0
    pages: int = 0  # that the printer counted
    senders: int = 0  # of these, those of no banner
    all_counted: bool = True
    proof: DeliveryProof = _PROOFS[-1]  # the weakest of all
    errors: list[str] = field(default_factory=list)  # of documents' programs, and of the printer's silence
    failed: bool = False  # for these not all was printed
    documents: int = 0  # of the sender's, one for each sending
    confirmed: int = 0  # pages of these that are out
    proved: bool = True  # each of these was worked through, as far as anybody knows

    def add(self, sent: Sent, document: Ready) -> None:
        self.octets += sent.octets
        self.pages += sent.pages or 0
        self.all_counted = self.all_counted and sent.pages is not None
        self.proof = min(self.proof, sent.proof, key=_PROOFS.index)
        if sent.unsaid:
            self.errors.append(f"document {document.number}: the printer answers, but did not say that it read the end")
        if sent.errors:
            self.errors.append(f"document {document.number}: the printer says: {sent.errors}")
            self.failed = self.failed or sent.failed
        if not document.ours:
            self.documents += 1
            self.senders += sent.pages or 0
            self.proved = self.proved and _PROOFS.index(sent.proof) >= _PROOFS.index(DeliveryProof.CLOSED)
            if sent.proof is DeliveryProof.JOB_END:
                self.confirmed += document.pages or sent.pages or 0


class Transmission:
    """One document of `job` on its way.

    `number` of its sending, from 0; `printer` is the job's entry, and `printers` gives all that name the device.
    `progress` is what was done when it begins, None where that is not followed; it begins with page `start`, 0 for all.
    """

    def __init__(
        self,
        connection: Connection,
        journal: Journal,
        job: Job,
        number: int,
        document: Ready,
        *,
        printer: Printer | None,
        hearing: Hearing,
        printers: Callable[[], Collection[str]],
        progress: Progress | None = None,
        start: int = 0,
    ) -> None:
        self._connection = connection
        self._journal = journal
        self._job = job
        self._size = document.octets
        # Not the document: we are in a circle with the exchange, and it would outlive us by megabytes.
        self._blocks: Iterable[bytes] = document.blocks()
        self._printers = printers
        self._hearing = hearing
        self._half_close = printer is None or printer.half_close
        self._exchange = self._talk(document, printer, number, start)
        self._stall = ""  # what to say of a printer that takes nothing
        self._told = ("", "")
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._begun = progress
        self._written = progress
        self._written_at = asyncio.get_running_loop().time()

    def _talk(self, document: Ready, printer: Printer | None, number: int, start: int) -> Exchange | None:
        job, hearing = self._job, self._hearing
        if printer is not None and printer.pjl:
            silent = printer.pjl_one_option or printer.confidential
            said = pjl.Said(
                cookie=f"printpost {secrets.token_hex(6)}",
                display="" if silent else pjl.display_name(job.login or job.sender),
                settings=document.pjl,
                start=start,
                pages=document.pages,
            )
            name = pjl.job_name(job.id, number + 1, "" if printer.confidential else job.name)
            ends = not hearing.endless
            return pjl.Conversation(document.head(), document.language, name, self._news_came, said, ends=ends)
        if document.language not in postscript.LANGUAGES:
            return None
        marked = printer is not None and printer.ps_echo
        return postscript.Conversation(
            document.head() if marked else b"",
            f"printpost: {secrets.token_hex(8)}" if marked else "",
            self._news_came,
            patient=not hearing.mute,
        )

    @property
    def taken(self) -> str:
        """How much of the document the printer has."""
        return f"the printer has taken {self._octets} of {self._size} octets"

    @property
    def _octets(self) -> int:
        before = self._exchange.before if self._exchange is not None else 0
        return max(0, min(self._connection.acknowledged - before, self._size))

    @property
    def known(self) -> Progress | None:
        """How far it came, as it was last written down."""
        return self._written

    def _progress(self) -> Progress | None:
        if self._begun is None:
            return None
        out = self._exchange.out if self._exchange is not None else 0
        return replace(self._begun, octets=self._octets, pages=out)

    async def run(self, patience: Patience) -> Sent:
        """Raises `NothingTaken`, `Broken` or `GivenUp`; then the connection is ended."""
        blocks, self._blocks = self._blocks, ()
        try:
            sent = await self._connection.send(
                blocks,
                patience=self._hearing.patience(patience),
                stalled=self._stalled,
                conversation=self._exchange,
                half_close=self._half_close,
                looked=self._looked,
            )
        except BaseException as error:
            if self._telling is not None:
                self._telling.cancel()
            SENT_BYTES.labels(self._job.printer).inc(self._connection.acknowledged)
            if self._begun is not None and self._connection.acknowledged:
                await self._write()
            await self._connection.part()
            if isinstance(error, NothingTaken) and self._telling is not None:
                await self._journal.stalled(self._job, "")  # what is stopped cannot go back to those that wait
            raise
        if self._telling is not None:
            self._over.set()
            self._news.set()
            await self._telling
        SENT_BYTES.labels(self._job.printer).inc(sent.octets)
        if self._exchange is not None:
            self._hearing.heard(self._exchange, sent.back_channel)
        if self._written is not self._begun:  # a job that took a moment needs no progress
            await self._write()
        if said := clean(sent.back_channel[:_SAID].decode("latin-1"), _SAID):
            await self._journal.note(self._job, f"the printer said: {said}")
        return sent

    async def _looked(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._begun is not None and now - self._written_at >= _APART:
            self._written_at = now
            await self._write()

    async def _write(self) -> None:
        progress = self._progress()
        if progress is not None and progress != self._written:
            self._written = progress
            await self._journal.progress(self._job, progress)

    def _news_came(self) -> None:
        self._news.set()
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())

    async def _stalled(self, stands: bool) -> None:
        self._stall = self.taken if stands else ""
        self._news_came()

    def _state(self) -> tuple[str, str]:
        """How the printer fares: keyword and words, "" if it is well."""
        if self._over.is_set():
            return "", ""
        if self._exchange is not None and (reason := self._exchange.stands):
            return reason, self._exchange.fault
        return ("timed-out", self._stall) if self._stall else ("", "")

    async def _tell(self) -> None:
        """The present state, whenever it changed, until the document is through."""
        told = 0
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                over, state = self._over.is_set(), self._state()
                if state != self._told:
                    told += 1
                    self._told = state
                    await self._journal.stalled(self._job, state[1])
                await self._journal.fares(self._printers(), *state)
                if over:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(_APART * (1 + told // _OFTEN), _APART_MOST)):
                        await self._over.wait()
        except LeaseLost:
            self._connection.break_off("somebody else holds the device")
