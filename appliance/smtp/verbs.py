"""The SMTP commands (RFC 5321 section 4.1.1): each returns its reply, or a coroutine that will.

Security: arguments are a stranger's, one decoded line without its end.  Addresses and parameters are read by
`mailstore.address` alone.  What a client sends where nothing may follow is never read as commands: a web page's form,
or a message whose DATA was refused, would be one of its author's choosing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from appliance.smtp.reply import Reply
from appliance.smtp.transaction import begin

if TYPE_CHECKING:
    from appliance.smtp.connection import Connection

Step = Reply | None | Coroutine[Any, Any, Reply | None]

OK: Final = Reply(code=250, status="2.0.0", text="ok")
NO_MAIL: Final = Reply(code=503, status="5.5.1", text="send MAIL first")
NOT_IN_TURN: Final = Reply(code=554, status="5.5.0", text="you spoke before it was your turn", close=True)
SHUTTING_DOWN: Final = Reply(code=421, status="4.3.2", text="the server is going down, try again soon", close=True)


def helo(connection: Connection, name: str) -> Step:
    refused = _greeted(connection, name, extended=False)
    return refused or Reply(code=250, status="", text=connection.hostname)


def ehlo(connection: Connection, name: str) -> Step:
    if refused := _greeted(connection, name, extended=True):
        return refused
    # RFC 5321 section 4.1.1.1: only what is true is said; the first line is the domain and has no room for a status.
    connection.say_lines(
        connection.hostname,
        "PIPELINING",
        f"SIZE {connection.client.max_size}",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
    )
    return None


def _greeted(connection: Connection, name: str, *, extended: bool) -> Reply | None:
    if connection.more_came:
        return NOT_IN_TURN  # RFC 2920 section 3.1: nobody may pipeline before we have offered it
    if not name or len(name) > 255 or " " in name or not name.isprintable():
        return Reply(code=501, status="5.5.4", text="say who you are: EHLO mail.example.com")
    connection.reset()
    connection.session.host_name = name
    connection.session.extended_smtp = extended
    connection.client = replace(connection.client, helo=name, extended=extended)
    return None


def mail(connection: Connection, argument: str) -> Step:
    if not connection.client.helo:
        return Reply(code=503, status="5.5.1", text="send EHLO first")
    if connection.transaction is not None:
        return Reply(code=503, status="5.5.1", text="a mail has begun already; RSET gives it up")
    if connection.receiver.closing:
        return SHUTTING_DOWN
    if argument[:5].upper() != "FROM:":
        return Reply(code=501, status="5.5.4", text="write MAIL FROM:<you@example.com>")
    begun = begin(connection.site, connection.client, argument[5:])
    if isinstance(begun, Reply):
        return begun
    connection.transaction = begun
    return Reply(code=250, status="2.1.0", text="sender ok")


def rcpt(connection: Connection, argument: str) -> Step:
    if connection.transaction is None:
        return NO_MAIL
    if argument[:3].upper() != "TO:":
        return Reply(code=501, status="5.5.4", text="write RCPT TO:<printer@example.com>")
    return connection.transaction.rcpt(argument[3:])


def data(connection: Connection, argument: str) -> Step:
    transaction = connection.transaction
    if argument:
        return _no_data(connection, Reply(code=501, status="5.5.4", text="DATA takes no argument"))
    if transaction is None:
        return _no_data(connection, NO_MAIL)
    if not transaction.recipients:
        return _no_data(connection, Reply(code=503, status="5.5.1", text="no recipient was accepted"))
    return _data(connection, transaction.data())


async def _data(connection: Connection, reply: Coroutine[Any, Any, Reply]) -> Reply:
    answer = await reply
    if answer.refused:
        return _no_data(connection, answer)
    connection.expect_data()
    return answer


def _no_data(connection: Connection, reply: Reply) -> Reply:
    """What a client has already sent behind a DATA that is refused is its message."""
    return NOT_IN_TURN if connection.more_came else reply


def rset(connection: Connection, _: str) -> Step:
    connection.reset()
    return OK


def noop(_: Connection, __: str) -> Step:
    return OK


def quit_(_: Connection, __: str) -> Step:
    return Reply(code=221, status="2.0.0", text="goodbye", close=True)


def vrfy(_: Connection, __: str) -> Step:
    """RFC 5321 section 7.3: a directory for strangers it is not."""
    return Reply(code=252, status="2.5.0", text="send a mail and see")


def help_(_: Connection, __: str) -> Step:
    return Reply(code=214, status="2.0.0", text=f"commands: {' '.join(sorted(VERBS))}")


def unknown(line: bytes, verb: str) -> Reply:
    if not line.endswith(b"\r\n"):
        return Reply(code=500, status="5.5.2", text="a line ends with CR and LF")
    if verb in ("EXPN", "TURN", "ETRN", "AUTH", "STARTTLS", "BDAT"):
        return Reply(code=502, status="5.5.1", text="not offered here")
    return Reply(code=500, status="5.5.2", text="no such command")


VERBS: Final[dict[str, Callable[[Connection, str], Step]]] = {
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
