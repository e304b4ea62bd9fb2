"""A message's octets on their way from the connection to the sink, and the verdict at their end.

Security: a sender may be faster than the disk, or endless.  He is not read while the draft is congested; far past the
limit the connection ends.  A commit that has begun goes on, whatever becomes of the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from appliance.smtp.channel import Channel
from appliance.smtp.deadline import Deadline
from appliance.smtp.intake import Intake
from appliance.smtp.reply import Reply
from appliance.smtp.transaction import too_large
from appliance.smtp.verbs import Dialogue
from mailstore.failure import Failure


class Reception:
    """The data phases of one connection; `start` runs a task that its end does not cancel."""

    __slots__ = ("_channel", "_deadline", "_dialogue", "_start")

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

    @property
    def wants_octets(self) -> bool:
        """What comes is a message's and no command."""
        return self._dialogue.transaction is not None and self._dialogue.transaction.sink is not None

    def take(self, data: bytes) -> bytes | bytearray | Reply | None:
        """What stands behind the end, if it has come: `end` is next.  A reply ends the connection."""
        transaction = self._dialogue.transaction
        assert transaction is not None
        sink, intake = transaction.sink, transaction.intake
        assert sink is not None
        assert intake is not None
        rest = sink.feed(data)
        self._deadline.progress(len(data))
        if rest is not None:
            self._deadline.data_ended()
            return rest
        if sink.octets > transaction.limit + transaction.site.limits.excess:
            reply = too_large(transaction.limit)
            return Reply(code=reply.code, status=reply.status, text=reply.text, reason=reply.reason, close=True)
        if intake.draft.congested and intake.failure is None:
            self._channel.pause()
            self._start(self._wait_for_disk(intake))
        return None

    async def _wait_for_disk(self, intake: Intake) -> None:
        try:
            await intake.draft.drained()
        except Failure as failure:
            intake.failure = intake.failure or failure
        finally:  # a connection that is not read has no deadline
            self._deadline.resume()
            self._channel.resume()

    async def end(self) -> Reply:
        """The verdict on the message that has come."""
        transaction = self._dialogue.transaction
        assert transaction is not None
        reply = await transaction.end()
        transaction.intake = transaction.sink = None
        self._dialogue.transaction = None
        if not reply.refused:
            self._dialogue.errors = self._dialogue.idle_commands = 0
        self._deadline.expect(transaction.site.limits.command_seconds)
        return reply
