"""The SMTP commands (RFC 5321 section 4.1.1): each returns its reply, or a coroutine that will.

Security: arguments are a stranger's, one decoded line without its end.  Addresses and parameters are read by
`mailstore.address` alone.  What a client sends where nothing may follow is never read as commands: a web page's form,
or a message whose DATA was refused, would be one of its author's choosing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

from appliance.smtp.reply import Reply
from appliance.smtp.site import Site
from appliance.smtp.transaction import Client, Transaction, begin

Step = Reply | Coroutine[Any, Any, Reply]


@dataclass(slots=True, kw_only=True)
class Dialogue:
    """What has been said on one dialogue so far."""

    site: Site
    client: Client
    more_came: Callable[[], bool]  # the client has sent something behind the command that is being answered
    discard: Callable[[Coroutine[Any, Any, None]], None]  # runs to its end, whatever becomes of the dialogue
    transaction: Transaction | None = None

    def reset(self) -> None:
        """Give up the transaction, if there is one, and all that has come of its message."""
        transaction, self.transaction = self.transaction, None
        if transaction is not None and (going := transaction.abandon()):
            self.discard(going)


OK: Final = Reply(code=250, status="2.0.0", text="ok")
NO_MAIL: Final = Reply(code=503, status="5.5.1", text="send MAIL first")
NOT_IN_TURN: Final = Reply(code=554, status="5.5.0", text="you spoke before it was your turn", close=True)
SHUTTING_DOWN: Final = Reply(code=421, status="4.3.2", text="the server is going down, try again soon", close=True)

NOT_HTTP: Final = Reply(code=554, status="5.5.1", text="this is a mail server", close=True)
TOO_MANY_ERRORS: Final = Reply(code=421, status="4.7.0", text="too many errors", close=True)
TOO_IDLE: Final = Reply(code=421, status="4.7.0", text="too many commands without a mail", close=True)
TIMEOUT: Final = Reply(code=421, status="4.4.2", text="waited too long for you", close=True)


def helo(dialogue: Dialogue, name: str) -> Step:
    refused = _greeted(dialogue, name, extended=False)
    return refused or Reply(code=250, status="", text=dialogue.site.settings.site.hostname)


def ehlo(dialogue: Dialogue, name: str) -> Step:
    if refused := _greeted(dialogue, name, extended=True):
        return refused
    # RFC 5321 section 4.1.1.1: only what is true is said; the first line is the domain and has no room for a status.
    offered = ("PIPELINING", f"SIZE {dialogue.client.max_size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    return Reply(code=250, status="", text=dialogue.site.settings.site.hostname, more=offered)


def _greeted(dialogue: Dialogue, name: str, *, extended: bool) -> Reply | None:
    if dialogue.more_came():
        return NOT_IN_TURN  # RFC 2920 section 3.1: nobody may pipeline before we have offered it
    if not name or len(name) > 255 or " " in name or not name.isprintable():
        return Reply(code=501, status="5.5.4", text="say who you are: EHLO mail.example.com")
    dialogue.reset()
    dialogue.client = replace(dialogue.client, helo=name, extended=extended)
    return None


def mail(dialogue: Dialogue, argument: str) -> Step:
    if not dialogue.client.helo:
        return Reply(code=503, status="5.5.1", text="send EHLO first")
    if dialogue.transaction is not None:
        return Reply(code=503, status="5.5.1", text="a mail has begun already; RSET gives it up")
    if argument[:5].upper() != "FROM:":
        return Reply(code=501, status="5.5.4", text="write MAIL FROM:<you@example.com>")
    begun = begin(dialogue.site, dialogue.client, argument[5:])
    if isinstance(begun, Reply):
        return begun
    dialogue.transaction = begun
    return Reply(code=250, status="2.1.0", text="sender ok")


def rcpt(dialogue: Dialogue, argument: str) -> Step:
    if dialogue.transaction is None:
        return NO_MAIL
    if argument[:3].upper() != "TO:":
        return Reply(code=501, status="5.5.4", text="write RCPT TO:<printer@example.com>")
    return dialogue.transaction.rcpt(argument[3:])


def data(dialogue: Dialogue, argument: str) -> Step:
    transaction = dialogue.transaction
    if argument:
        return _no_data(dialogue, Reply(code=501, status="5.5.4", text="DATA takes no argument"))
    if transaction is None:
        return _no_data(dialogue, NO_MAIL)
    if not transaction.recipients:
        return _no_data(dialogue, Reply(code=503, status="5.5.1", text="no recipient was accepted"))
    return _data(dialogue, transaction.data())


async def _data(dialogue: Dialogue, reply: Coroutine[Any, Any, Reply]) -> Reply:
    answer = await reply
    if answer.refused:
        return _no_data(dialogue, answer)
    return answer


def _no_data(dialogue: Dialogue, reply: Reply) -> Reply:
    """What a client has already sent behind a DATA that is refused is its message."""
    return NOT_IN_TURN if dialogue.more_came() else reply


def rset(dialogue: Dialogue, _: str) -> Step:
    dialogue.reset()
    return OK


def noop(_: Dialogue, __: str) -> Step:
    return OK


def quit_(_: Dialogue, __: str) -> Step:
    return Reply(code=221, status="2.0.0", text="goodbye", close=True)


def vrfy(_: Dialogue, __: str) -> Step:
    """RFC 5321 section 7.3: a directory for strangers it is not."""
    return Reply(code=252, status="2.5.0", text="send a mail and see")


def help_(_: Dialogue, __: str) -> Step:
    return Reply(code=214, status="2.0.0", text=f"commands: {' '.join(sorted(VERBS))}")


def unknown(line: bytes, verb: str) -> Reply:
    if not line.endswith(b"\r\n"):
        return Reply(code=500, status="5.5.2", text="a line ends with CR and LF")
    if verb in ("EXPN", "TURN", "ETRN", "AUTH", "STARTTLS", "BDAT"):
        return Reply(code=502, status="5.5.1", text="not offered here")
    return Reply(code=500, status="5.5.2", text="no such command")


VERBS: Final[dict[str, Callable[[Dialogue, str], Step]]] = {
    "HELO": helo,
    "EHLO": ehlo,
    "MAIL": mail,
    "RCPT": rcpt,
    "DATA": data,
    "RSET": rset,
    "NOOP": noop,
    "QUIT": quit_,
    "VRFY": vrfy,
    "HELP": help_,
}
IDLE: Final = frozenset({"HELO", "EHLO", "RSET", "NOOP", "VRFY", "HELP"})
"""What brings no mail nearer."""
