"""A message's octets on their way from the connection to the sink, and the verdict at their end.

Security: a sender may be faster than the disk, or endless.  He is not read while the draft is congested; far past the
limit the connection ends.  A commit that has begun goes on, whatever becomes of the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, NamedTuple

from appliance.smtp.channel import Channel
from appliance.smtp.chunksink import Chunk
from appliance.smtp.datasink import DataSink
from appliance.smtp.deadline import Deadline
from appliance.smtp.dialogue import Dialogue, Step
from appliance.smtp.intake import Intake
from appliance.smtp.reply import Reply
from appliance.smtp.transaction import Transaction, too_large
from mailstore.failure import Failure


class Taken(NamedTuple):
    """A message or a chunk has come whole, or no more of it is taken."""

    rest: bytes  # what stands behind it
    command: str  # as `SECONDS_OF` has it
    step: Step


class Reception:
    """The data phases of one connection; `start` runs a task that its end does not cancel."""

    __slots__ = ("_channel", "_deadline", "_dialogue", "_start", "held_up")

    def __init__(
        self,
        dialogue: Dialogue,
        channel: Channel,
        deadline: Deadline,
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._dialogue = dialogue
        self._channel = channel
        self._deadline = deadline
        self._start = start
        self.held_up = False  # no more is read until the disk has come round

    @property
    def wants_octets(self) -> bool:
        """What comes is a message's and no command."""
        return self._dialogue.incoming is not None

    @property
    def under_way(self) -> bool:
        """A message is coming, perhaps between two of its chunks."""
        transaction = self._dialogue.transaction
        return self.wants_octets or (transaction is not None and transaction.sink is not None)

    @property
    def wanted(self) -> int:
        """So many of the octets that come may be the message's."""
        return self._dialogue.incoming.wanted if self._dialogue.incoming is not None else 0

    def take(self, octets: bytes) -> Taken | None:
        """What came; None while more is wanted."""
        incoming, transaction = self._dialogue.incoming, self._dialogue.transaction
        assert incoming is not None
        self._deadline.progress(len(octets))
        rest = incoming.feed(octets)
        if rest is not None:
            self._dialogue.incoming = None
            return Taken(rest, *self._verdict(incoming))
        limit = self._dialogue.client.max_size if transaction is None else transaction.limit
        if incoming.octets > limit + self._dialogue.site.limits.excess:
            return Taken(b"", "END", replace(too_large(limit), close=True))
        if not self.held_up and transaction is not None and (intake := _congested(transaction)):
            self._channel.pause()
            self.held_up = True
            self._start(self._hold_up(intake))
        return None

    def _verdict(self, ended: DataSink | Chunk) -> tuple[str, Step]:
        transaction = self._dialogue.transaction
        if isinstance(ended, Chunk):
            if transaction is None:
                return "BDAT", self._refused(ended)
            if not (ended.last or transaction.spoiled):
                reply = Reply(code=250, status="2.0.0", text=f"{ended.size} octets taken")
                intake = _congested(transaction)
                return "BDAT", self._in_time(transaction, intake, reply) if intake else reply
        assert transaction is not None
        self._deadline.data_ended()
        return "END", self._end(transaction, more=isinstance(ended, Chunk) and not ended.last)

    def _refused(self, ended: Chunk) -> Reply:
        reply, self._dialogue.refusal = self._dialogue.refusal, None
        assert reply is not None
        self._dialogue.failed = not ended.last
        self._deadline.expect(self._dialogue.site.limits.command_seconds)
        return reply

    async def _in_time(self, transaction: Transaction, intake: Intake, reply: Reply) -> Reply:
        """The reply to a chunk, once the disk has come round: a sender of small chunks may be faster as well."""
        await self._wait_for_disk(intake)
        return await self._end(transaction, more=True) if transaction.spoiled else reply

    async def _hold_up(self, intake: Intake) -> None:
        try:
            await self._wait_for_disk(intake)
        finally:
            self.held_up = False
            self._channel.resume()

    async def _wait_for_disk(self, intake: Intake) -> None:
        try:
            await intake.draft.drained()
        except Failure as failure:
            intake.failure = intake.failure or failure
        finally:  # a connection that is not read has no deadline
            self._deadline.resume()

    async def _end(self, transaction: Transaction, *, more: bool) -> Reply:
        """The verdict on the message; `more` of it may come, that is refused with it."""
        try:
            reply = await transaction.end()
        finally:
            transaction.intake = transaction.sink = None
            self._dialogue.transaction, self._dialogue.failed = None, more
        if not reply.refused:
            self._dialogue.errors = self._dialogue.idle_commands = 0
        self._deadline.expect(transaction.site.limits.command_seconds)
        return reply


def _congested(transaction: Transaction) -> Intake | None:
    """Whose octets wait for the disk, more than memory should hold; of a message that failed nothing waits."""
    intake = transaction.intake
    return intake if intake is not None and intake.failure is None and intake.draft.congested else None
