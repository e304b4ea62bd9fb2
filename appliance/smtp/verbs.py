"""The SMTP commands (RFC 5321 section 4.1.1): each returns its reply, or a coroutine that will.

Security: arguments are a stranger's, one decoded line without its end.  Addresses and parameters are read by
`mailstore.address` alone.  What a client sends where nothing may follow is never read as commands: a web page's form,
or a message whose DATA was refused, would be one of its author's choosing.  So are the octets of a chunk, whether it is
taken or not; where its size cannot be read the connection ends.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from appliance.sasl import MECHANISMS, Credentials, Exchange
from appliance.smtp import login
from appliance.smtp.beginning import begin, wanted
from appliance.smtp.chunksink import Chunk, ChunkSink, chunk_of
from appliance.smtp.dialogue import NO_EHLO, NO_MAIL, NO_RECIPIENT, Dialogue, Step
from appliance.smtp.recipients import find
from appliance.smtp.reply import SHUTTING_DOWN, Reply, refusal
from appliance.smtp.transaction import INTERNAL, Transaction
from mailstore.directory.records import Person
from mailstore.failure import Failure

log = structlog.get_logger()


def text_of(line: bytes) -> str:
    """The line without its end; what is neither a command nor base64 for one without CRLF, or not in UTF-8."""
    try:
        return line[:-2].decode() if line.endswith(b"\r\n") else "\n"
    except UnicodeDecodeError:
        return "\n"


OK: Final = Reply(code=250, status="2.0.0", text="ok")
SENDER_OK: Final = Reply(code=250, status="2.1.0", text="sender ok")
GO_AHEAD: Final = Reply(code=354, status="", text="send the message, end it with CRLF . CRLF")
GOODBYE: Final = Reply(code=221, status="2.0.0", text="goodbye", close=True)
IN_CHUNKS: Final = Reply(code=503, status="5.5.1", text="BDAT has begun; go on with it, or RSET gives the mail up")
NO_BINARY: Final = Reply(code=503, status="5.5.1", text="what is BINARYMIME comes by BDAT")
NO_SIZE: Final = Reply(code=501, status="5.5.4", text="write BDAT 1000, or BDAT 1000 LAST", close=True)
CHUNK_FAILED: Final = Reply(code=503, status="5.5.1", text="a chunk of this mail was refused; begin with MAIL again")
NOT_OFFERED: Final = Reply(code=502, status="5.5.1", text="not offered here")
NO_TLS: Final = Reply(code=530, status="5.7.0", text="send STARTTLS first")
NO_LOGIN: Final = Reply(code=530, status="5.7.0", text="log in first, with AUTH")
NOT_IN_TURN: Final = Reply(code=554, status="5.5.0", text="you spoke before it was your turn", close=True)

HTTP: Final = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI) |[A-Za-z-]+: ?|\x16\x03")
NOT_HTTP: Final = Reply(code=554, status="5.5.1", text="this is a mail server", close=True)
TOO_MANY_ERRORS: Final = Reply(code=421, status="4.7.0", text="too many errors", close=True)
TOO_MANY_MAILS: Final = Reply(
    code=421, status="4.7.0", text="too many mails on one connection, send the rest on another", close=True
)
TOO_FAST: Final = Reply(
    code=450, status="4.7.1", text="too many mails in a minute, send the rest later", reason="rate-limited"
)
TOO_IDLE: Final = Reply(code=421, status="4.7.0", text="too many commands without a mail", close=True)
TIMEOUT: Final = Reply(code=421, status="4.4.2", text="waited too long for you", close=True)


def helo(dialogue: Dialogue, name: str) -> Step:
    refused = _greeted(dialogue, name, extended=False)
    return refused or Reply(code=250, status="", text=dialogue.site.settings.site.hostname)


def ehlo(dialogue: Dialogue, name: str) -> Step:
    if refused := _greeted(dialogue, name, extended=True):
        return refused
    limits = dialogue.site.limits
    # RFC 5321 section 4.1.1.1: only what is true is said; the first line is the domain and has no room for a status.
    offered: tuple[str, ...] = (
        "PIPELINING",
        f"SIZE {dialogue.client.max_size}",
        "8BITMIME",
        "BINARYMIME",
        "CHUNKING",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        f"LIMITS RCPTMAX={limits.recipients} MAILMAX={limits.messages}",  # RFC 9422
    )
    if dialogue.offers_tls:
        offered = (*offered, "STARTTLS")
    if dialogue.offers_login:
        offered = (*offered, f"AUTH {' '.join(MECHANISMS)}")
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
    client = dialogue.client
    if dialogue.closing():
        return SHUTTING_DOWN
    if not client.helo:
        return NO_EHLO
    if client.door.login and client.login is None:
        return NO_LOGIN if client.tls else NO_TLS
    if dialogue.transaction is not None:
        return Reply(code=503, status="5.5.1", text="a mail has begun already; RSET gives it up")
    if dialogue.mails >= dialogue.site.limits.messages:
        return TOO_MANY_MAILS
    if argument[:5].upper() != "FROM:":
        return Reply(code=501, status="5.5.4", text="write MAIL FROM:<you@example.com>")
    if client.login is not None:
        return _login_sends(dialogue, client.login, argument[5:])
    return _begun(dialogue, begin(dialogue.site, client, argument[5:]))


async def _login_sends(dialogue: Dialogue, who: Person, argument: str) -> Reply:
    site = dialogue.site
    if time.monotonic() - dialogue.logged_in_at > site.limits.login_seconds:
        return login.EXPIRED
    now = await login.as_of_now(site, who)
    if isinstance(now, Reply):
        return now
    dialogue.client = replace(dialogue.client, login=now)
    begun = begin(site, dialogue.client, argument)
    if isinstance(begun, Reply):
        return begun
    refused = await login.printers_own(site, now, begun.reverse_path)
    if refused is None:
        return _begun(dialogue, begun)
    begun.log_refused("sender refused", refused)
    return refused


def _begun(dialogue: Dialogue, begun: Transaction | Reply) -> Reply:
    if isinstance(begun, Reply):
        return begun
    if not dialogue.site.paced(dialogue.client, time.monotonic()):
        dialogue.idle_commands += 1
        begun.log_refused("sender refused", TOO_FAST)
        return TOO_FAST
    dialogue.mails += 1
    dialogue.transaction, dialogue.failed, dialogue.recipients = begun, False, 0
    return SENDER_OK


def rcpt(dialogue: Dialogue, argument: str) -> Step:
    if dialogue.transaction is None:
        return NO_MAIL
    if dialogue.transaction.sink is not None:
        return IN_CHUNKS
    dialogue.recipients += 1
    if dialogue.recipients > dialogue.site.limits.recipients + OVERSHOOT:
        dialogue.idle_commands += 1
    if argument[:3].upper() != "TO:":
        return Reply(code=501, status="5.5.4", text="write RCPT TO:<printer@example.com>")
    return _rcpt(dialogue.transaction, argument[3:])


async def _rcpt(transaction: Transaction, argument: str) -> Reply:
    asked = wanted(transaction, argument)
    found = asked if isinstance(asked, Reply) else await find(transaction.evidence, asked)
    reply = found if isinstance(found, Reply) else transaction.add(found)
    if reply.refused:
        transaction.log_refused("recipient refused", reply)
    return reply


def data(dialogue: Dialogue, argument: str) -> Step:
    transaction = dialogue.transaction
    if argument:
        return _no_data(dialogue, Reply(code=501, status="5.5.4", text="DATA takes no argument"))
    if transaction is None:
        return _no_data(dialogue, NO_MAIL)
    if not transaction.recipients:
        return _no_data(dialogue, NO_RECIPIENT)
    if transaction.sink is not None:
        return _no_data(dialogue, IN_CHUNKS)
    if transaction.binary:
        return _no_data(dialogue, NO_BINARY)
    return _data(dialogue, transaction)


async def _data(dialogue: Dialogue, transaction: Transaction) -> Reply:
    try:
        dialogue.incoming = await transaction.data()
    except Failure as failure:
        return _no_data(dialogue, refusal(failure))
    return GO_AHEAD


def _no_data(dialogue: Dialogue, reply: Reply) -> Reply:
    """What a client has already sent behind a DATA that is refused is its message."""
    return NOT_IN_TURN if dialogue.more_came() else reply


def bdat(dialogue: Dialogue, argument: str) -> Step:
    """RFC 3030 section 2: a chunk is announced."""
    chunk = chunk_of(argument)
    if chunk is None:
        return NO_SIZE
    transaction = dialogue.transaction
    dialogue.idle_commands += not (chunk.size or chunk.last)
    dialogue.refusal = _no_chunk(dialogue)
    if transaction is not None and dialogue.refusal is None and transaction.sink is None:
        return _first(dialogue, transaction, chunk)
    _expect(dialogue, chunk)
    return None


def _no_chunk(dialogue: Dialogue) -> Reply | None:
    """Why a chunk is not wanted now."""
    if not dialogue.client.extended:
        return NO_EHLO
    if dialogue.transaction is None:
        return CHUNK_FAILED if dialogue.failed else NO_MAIL
    return None if dialogue.transaction.recipients else NO_RECIPIENT


async def _first(dialogue: Dialogue, transaction: Transaction, chunk: Chunk) -> None:
    try:
        await transaction.chunks()
    except Failure as failure:
        dialogue.refusal = refusal(failure)
    except Exception:  # its octets come all the same, and are no commands
        log.exception("chunk failed", client=dialogue.client.ip)
        dialogue.refusal = INTERNAL
    _expect(dialogue, chunk)


def _expect(dialogue: Dialogue, chunk: Chunk) -> None:
    """What comes next is the chunk's, and goes to the message or, if it is refused, to nowhere."""
    if dialogue.refusal is not None:
        dialogue.reset()
    elif dialogue.transaction is not None and isinstance(dialogue.transaction.sink, ChunkSink):
        chunk.sink = dialogue.transaction.sink
    dialogue.incoming = chunk


def rset(dialogue: Dialogue, _: str) -> Step:
    dialogue.reset()
    return OK


def starttls(dialogue: Dialogue, argument: str) -> Step:
    """RFC 3207.  The connection begins the handshake behind the reply."""
    if dialogue.site.certificate is None:
        return NOT_OFFERED
    if dialogue.more_came():
        return NOT_IN_TURN  # section 5: what is sent in clear must not be read as if it had come under TLS
    if argument:
        return Reply(code=501, status="5.5.4", text="STARTTLS takes no argument")
    if dialogue.client.tls:
        return Reply(code=503, status="5.5.1", text="TLS stands already")
    if not dialogue.client.extended:
        return NO_EHLO
    return Reply(code=220, status="2.0.0", text="begin TLS")


def auth(dialogue: Dialogue, argument: str) -> Step:
    """RFC 4954 section 4."""
    client = dialogue.client
    if not dialogue.has_logins:
        return NOT_OFFERED
    if not client.tls:
        return Reply(code=538, status="5.7.11", text="no password in clear: send STARTTLS first")
    if not client.extended:
        return NO_EHLO
    if client.login is not None:
        return Reply(code=503, status="5.5.1", text="you are logged in already")
    mechanism, _, initial = argument.partition(" ")
    if mechanism.upper() not in MECHANISMS:
        return Reply(code=504, status="5.5.4", text=f"known mechanisms are {', '.join(MECHANISMS)}")
    dialogue.exchange = Exchange(mechanism.upper())
    if not initial:
        return Reply(code=334, status="", text=dialogue.exchange.challenge)
    return respond(dialogue, "" if initial == "=" else initial)


def respond(dialogue: Dialogue, response: str) -> Step:
    """A line of the exchange that is under way."""
    assert dialogue.exchange is not None
    answer = login.respond(dialogue.exchange, response)
    if isinstance(answer, Reply):
        if answer.refused:
            dialogue.exchange = None
        return answer
    dialogue.exchange = None
    return _verify(dialogue, answer)


async def _verify(dialogue: Dialogue, credentials: Credentials) -> Reply:
    answer = await login.verify(dialogue.site, credentials, dialogue.client.ip)
    if not isinstance(answer, Reply):
        dialogue.client = replace(dialogue.client, login=answer)
        dialogue.logged_in_at = time.monotonic()
        return login.WELCOME
    dialogue.denials += answer is login.DENIED
    return replace(answer, close=answer.close or dialogue.denials >= dialogue.site.limits.logins)


def noop(_: Dialogue, __: str) -> Step:
    return OK


def quit_(_: Dialogue, __: str) -> Step:
    return GOODBYE


def vrfy(_: Dialogue, __: str) -> Step:
    """RFC 5321 section 7.3: a directory for strangers it is not."""
    return Reply(code=252, status="2.5.0", text="send a mail and see")


def help_(dialogue: Dialogue, _: str) -> Step:
    absent = {"AUTH"} if not dialogue.has_logins else set()
    if dialogue.site.certificate is None:
        absent.add("STARTTLS")
    return Reply(code=214, status="2.0.0", text=f"commands: {' '.join(sorted(set(VERBS) - absent))}")


def unknown(line: bytes, verb: str) -> Reply:
    if line[:4].upper() == b"BDAT":
        return NO_SIZE  # its octets would be read as commands
    if verb in ("EXPN", "TURN", "ETRN"):
        return NOT_OFFERED
    wrong = "no such command" if line.endswith(b"\r\n") else "a line ends with CR and LF"
    # Whoever took it for DATA sends a message now, and its lines would be read as commands.
    return Reply(code=500, status="5.5.2", text=wrong, close=line[:4].upper() == b"DATA")


VERBS: Final[dict[str, Callable[[Dialogue, str], Step]]] = {
    "HELO": helo,
    "EHLO": ehlo,
    "MAIL": mail,
    "RCPT": rcpt,
    "DATA": data,
    "BDAT": bdat,
    "RSET": rset,
    "STARTTLS": starttls,
    "AUTH": auth,
    "NOOP": noop,
    "QUIT": quit_,
    "VRFY": vrfy,
    "HELP": help_,
}
OVERSHOOT: Final = 1000
"""So many more recipients than a mail may have are answered (RFC 5321 section 4.5.3.1.10) before they count as idle."""
IDLE: Final = frozenset({"HELO", "EHLO", "RSET", "NOOP", "VRFY", "HELP"})
"""What brings no mail nearer."""
