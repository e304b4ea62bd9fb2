"""One document over one connection: sent, listened to, and what it means told to the store while it goes.

A printer without paper is told of at once, by what it says where it speaks PJL, else by its taking nothing; whoever has
to bring paper must not wait for a time-out.  What comes faster than a person reads is told by its last state only.

Security: how a printer fares is what it says, and what a document makes it say (`printerbridge.pjl`): each change is a
commit and may become a mail, so there are at most two in a second, and a job's end clears them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from prometheus_client import Counter

from mailstore.header import clean
from mailstore.job import DeliveryProof, Job
from mailstore.store.contract import LeaseLost
from printerbridge.appsocket import Connection, Patience, Sent
from printerbridge.journal import Journal
from printerbridge.pjl import Conversation, job_name
from printerbridge.ready import Ready

SENT_BYTES = Counter("printpost_job_sent_bytes_total", "Octets that printers' TCP acknowledged.", ["printer"])

_PROOFS = tuple(DeliveryProof)
_SAID = 300  # octets of the back channel that the job's trace keeps
_APART = 0.5  # seconds between two things told of one printer
_ANSWER_OF_MUTE = 1.0  # seconds for the first word of a printer that had none for the document before


class Hearing:
    """Whether a printer that should speak PJL has said a word of late.

    One behind a print server that lets nothing back never will, and each job would wait for it in vain.
    """

    def __init__(self) -> None:
        self._mute = False

    def heard(self, said: bytes) -> None:
        self._mute = not said

    def patience(self, patience: Patience) -> Patience:
        return replace(patience, answer=min(patience.answer, _ANSWER_OF_MUTE)) if self._mute else patience


@dataclass(slots=True)
class Tally:
    """What became of the documents of a job, copies and all; not what a printer said of each."""

    octets: int = 0
    pages: int = 0  # that the printer counted
    senders: int = 0  # of these, those of no banner
    all_counted: bool = True
    proof: DeliveryProof = _PROOFS[-1]  # the weakest of all

    def add(self, sent: Sent, document: Ready) -> None:
        self.octets += sent.octets
        self.pages += sent.pages or 0
        self.senders += 0 if document.ours else sent.pages or 0
        self.all_counted = self.all_counted and sent.pages is not None
        self.proof = min(self.proof, sent.proof, key=_PROOFS.index)


class Transmission:
    """Document `number` (from 0) of `job` on its way.

    `hearing`: of a printer that speaks PJL; `printers` gives the entries that name the device.
    """

    def __init__(
        self,
        connection: Connection,
        journal: Journal,
        job: Job,
        number: int,
        document: Ready,
        *,
        hearing: Hearing | None,
        printers: Callable[[], Collection[str]],
    ) -> None:
        self._connection = connection
        self._journal = journal
        self._job = job
        self._document = document
        self._printers = printers
        self._conversation: Conversation | None = None
        self._hearing = hearing
        if hearing is not None:
            name = job_name(job.id, number + 1, job.name)
            self._conversation = Conversation(
                document.head(), document.language, name, self._news_came, settings=document.pjl
            )
        self._stall = ""  # what to say of a printer that takes nothing
        self._told = ("", "")
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    @property
    def taken(self) -> str:
        """How much of the document the printer has."""
        octets = min(self._connection.acknowledged, self._document.octets)
        return f"the printer has taken {octets} of {self._document.octets} octets"

    async def run(self, patience: Patience) -> Sent:
        """Raises `NothingTaken` or `Broken`; then the connection is ended."""
        if self._hearing is not None:
            patience = self._hearing.patience(patience)
        try:
            sent = await self._connection.send(
                self._document.blocks(), patience=patience, stalled=self._stalled, conversation=self._conversation
            )
        except BaseException:
            if self._telling is not None:
                self._telling.cancel()
            SENT_BYTES.labels(self._job.printer).inc(self._connection.acknowledged)
            await self._connection.part()
            raise
        if self._telling is not None:
            self._over.set()
            self._news.set()
            await self._telling
        SENT_BYTES.labels(self._job.printer).inc(sent.octets)
        if self._hearing is not None:
            self._hearing.heard(sent.back_channel)
        if said := clean(sent.back_channel[:_SAID].decode("latin-1"), _SAID):
            await self._journal.note(self._job, f"the printer said: {said}")
        return sent

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
        if self._conversation is not None and (reason := self._conversation.stands):
            return reason, str(self._conversation.status)
        return ("timed-out", self._stall) if self._stall else ("", "")

    async def _tell(self) -> None:
        """The present state, whenever it changed, until the document is through."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                over, state = self._over.is_set(), self._state()
                if state != self._told:
                    self._told = state
                    await self._journal.stalled(self._job, state[1])
                await self._journal.fares(self._printers(), *state)
                if over:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_APART):
                        await self._over.wait()
        except LeaseLost:
            self._connection.break_off("somebody else holds the device")
