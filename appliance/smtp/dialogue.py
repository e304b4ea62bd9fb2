"""What has been said on one connection so far.

Security: nothing that was said before TLS counts under it; a transaction that is given up leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

from appliance.sasl import LINE_OCTETS, Exchange
from appliance.smtp.chunksink import Chunk
from appliance.smtp.client import Client
from appliance.smtp.datasink import DataSink
from appliance.smtp.reply import Reply
from appliance.smtp.site import Site
from appliance.smtp.transaction import Transaction

Step = Reply | Coroutine[Any, Any, Reply | None] | None
"""A reply, or what will give it; None where octets are wanted first, and the reply stands behind them."""

NO_EHLO: Final = Reply(code=503, status="5.5.1", text="send EHLO first")
NO_MAIL: Final = Reply(code=503, status="5.5.1", text="send MAIL first")
NO_RECIPIENT: Final = Reply(code=503, status="5.5.1", text="no recipient was accepted")


@dataclass(slots=True, kw_only=True)
class Dialogue:
    """What has been said on one dialogue so far."""

    site: Site
    client: Client
    more_came: Callable[[], bool]  # the client has sent something behind the command that is being answered
    closing: Callable[[], bool]  # the server is going down
    discard: Callable[[Coroutine[Any, Any, None]], None]  # runs to its end, whatever becomes of the dialogue
    transaction: Transaction | None = None
    incoming: DataSink | Chunk | None = None  # takes what comes now, which is a message's and no command
    refusal: Reply | None = None  # what is said to the chunk that comes
    failed: bool = False  # a chunk was refused, and more of the message may be on its way
    exchange: Exchange | None = None  # an AUTH that is under way: lines are its responses
    logged_in_at: float = 0.0  # time.monotonic
    denials: int = 0
    errors: int = 0  # since a message was accepted
    idle_commands: int = 0  # likewise
    mails: int = 0  # that began
    recipients: int = 0  # asked for in this transaction

    @property
    def offers_tls(self) -> bool:
        return self.site.certificate is not None and not self.client.tls

    @property
    def has_logins(self) -> bool:
        """Whether AUTH means anything at this door."""
        return self.client.door.login and self.site.people is not None

    @property
    def offers_login(self) -> bool:
        return self.has_logins and self.client.tls and self.client.login is None

    @property
    def line(self) -> int:
        """The longest line that is read now, CRLF included."""
        return LINE_OCTETS if self.offers_login else self.site.limits.line

    def secured(self) -> None:
        """TLS stands: nothing that was said before it counts (RFC 3207 section 4.2)."""
        self.reset()
        self.client = replace(self.client, tls=True, helo="", extended=False)

    def reset(self) -> None:
        """Give up the transaction, if there is one, and all that has come of its message."""
        transaction, self.transaction = self.transaction, None
        self.incoming, self.failed = None, False
        if transaction is not None and (going := transaction.abandon()):
            self.discard(going)
