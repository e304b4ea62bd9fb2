# ruff: noqa: N802 - commands are methods by their verbs, as in the base class
"""One POP3 session: what each command does (RFC 1939), from the greeting to the last entry given back.

A session takes one line after the other and awaits each command to its end, so pipelined commands are answered in
order, a login included (RFC 2449 section 6.6).  Whatever it got hold of, a lease above all, it gives back in one
`finally`.

Security: a stranger's commands until the login, a printer's or a person's after it.  No line can raise anything but an
answer; wrong passwords and senseless lines are few and then end the session; a browser's line ends it at once.  Nothing
is removed but by QUIT.  Lines are judged in `commands`, dots in `stuffing`, passwords in `login`.  STLS is the last
thing said in clear: octets behind it could be somebody else's, to be taken under TLS for the client's own, so they end
the session.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Histogram

from appliance.peer import plain_ip
from appliance.pop3.commands import VERBS, BadCommand, NotPop3, State, parse
from appliance.pop3.connection import Connection, Gone, Limits
from appliance.pop3.login import Account, Accounts, maildrop_of, may_send_in_clear
from appliance.pop3.messages import Messages, NoSuchMessage
from appliance.pop3.renewal import Renewal
from appliance.pop3.rhythm import Rhythm
from appliance.pop3.stuffing import Stuffer, Top
from appliance.pop3.tls import TlsServer
from mailstore.directory.records import Person, Printer
from mailstore.failure import Failure, PermanentFailure, TransientFailure
from mailstore.store.contract import Entry, LeaseLost, Maildrop, Store

ATTEMPTS = Counter("printpost_pop3_auth_attempts_total", "POP3 logins tried.")
FAILURES = Counter("printpost_pop3_auth_failures_total", "POP3 logins with a wrong name or password.")
DELAYED = Counter("printpost_pop3_logins_delayed_total", "POP3 logins refused for they came before the poll interval.")
IN_CLEAR = Counter("printpost_pop3_clear_logins_total", "POP3 logins over the network with the password in clear.")
DURATION = Histogram(
    "printpost_pop3_command_duration_seconds", "From a POP3 command to the end of its answer.", ["command"]
)
_DURATION = {verb: DURATION.labels(verb) for verb in sorted(VERBS)}
RETRIEVED = Counter("printpost_pop3_messages_retrieved_total", "Messages sent whole by RETR.")
RETRIEVED_OCTETS = Counter("printpost_pop3_retrieved_bytes_total", "Octets of the messages sent by RETR.")
DELETED = Counter("printpost_pop3_messages_deleted_total", "Messages removed at the end of a session.")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)
_numbers = itertools.count(1)
_WRITE_OCTETS = 32 * 1024
_JOBS_LOGGED = 20
_NOT_IN_CLEAR = (
    "[AUTH] passwords in clear are not taken from here: say STLS first, or use port {port} with TLS;"
    " a printer that cannot needs an entry that names its network (--plain-from)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all sessions share."""

    hostname: str
    store: Store
    accounts: Accounts
    rhythm: Rhythm
    limits: Limits
    tls: TlsServer | None
    secure_port: int


class Session(Connection):
    """One client."""

    def __init__(self, house: House, host: str, ended: Callable[[Session], None], *, implicit: bool) -> None:
        super().__init__(house.limits, house.tls, implicit=implicit)
        self._house = house
        self._peer = plain_ip(host)
        self._on_end = ended
        self._state = State.AUTHORIZATION
        self._leaving = False
        self._bad = self._failures = 0
        self._user = ""
        self._account: Account | None = None
        self._came = 0.0  # when it logged in
        self._delay = ""  # what CAPA says of it
        self._maildrop: Maildrop | None = None
        self._messages = Messages(())
        self._renewal: Renewal | None = None
        self._log = log.bind(client=str(self._peer))

    # -- the task

    async def _serve(self) -> None:
        try:
            await self._shaken()
            # No timestamp in the greeting: APOP is not offered (RFC 1939 section 7).
            self._ok(f"{self._house.hostname} Printpost POP3 ready")
            while not self._leaving and await self._obey_next():
                pass
        except Gone:
            pass
        except Exception:  # noqa: BLE001 - the one handler of this task
            self._log.exception("pop3 session failed")
        finally:
            try:
                await self._let_go()
            finally:
                self._on_end(self)
                self._part()

    def timeoutConnection(self) -> None:
        if not self._shaking:  # whoever does not come to an end with that is counted, not told of
            self._log.info("pop3 connection timed out", state=self._state.value)
        super().timeoutConnection()

    def _alive(self) -> None:
        # Before the login the time is one for all that is said.
        if self._state is State.TRANSACTION or self._leaving:
            super()._alive()

    async def _obey_next(self) -> bool:
        """Read a line and do what it says.  False at the end of input."""
        try:
            line = await self._next_line()
            if line is None:
                return False
            command = parse(line, self._state)
        except NotPop3:
            self._log.warning("pop3 connection from a browser closed")
            return False
        except BadCommand as error:
            return await self._answer_bad(error)
        self._alive()
        with _DURATION[command.verb].time():
            await self._do(getattr(self, f"do_{command.verb}"), command.arguments)
            await self._writable()
        return True

    async def _do(self, method: Callable[..., object], arguments: tuple[int | str, ...]) -> None:
        """Every failure is an answer here, RFC 2449 section 8 and RFC 3206."""
        try:
            result = method(*arguments)
            if asyncio.iscoroutine(result):
                await result
        except NoSuchMessage as error:
            self._err(str(error))
        except TransientFailure as failure:
            self._err(f"[SYS/TEMP] {_sentence(failure)}")
        except PermanentFailure as failure:
            self._err(f"[SYS/PERM] {_sentence(failure)}")
        except LeaseLost:
            self._log.warning("pop3 maildrop lost to another session")
            self._err("[IN-USE] the maildrop was taken over by another session")
            self._leaving = True

    async def _answer_bad(self, error: BadCommand) -> bool:
        self._bad += 1
        self._err(str(error))
        if self._bad >= (self._limits.bad_after if self._state is State.TRANSACTION else self._limits.bad_before):
            self._log.warning("pop3 connection closed after too many bad commands")
            return False
        await self._writable()
        return True

    # -- the maildrop

    async def _open(self, account: Account) -> bool:
        if self._lost:
            raise Gone
        owner = f"pop3:{os.getpid()}:{next(_numbers)}"
        self._maildrop = await self._house.store.open_maildrop(maildrop_of(account), owner, self._limits.lease)
        if self._maildrop is None:
            return False
        self._account, self._came = account, time.time()
        self._messages = Messages(self._maildrop.entries)
        self._state = State.TRANSACTION
        self._bad = 0
        self._allow(self._limits.autologout)
        self._renewal = Renewal(self._maildrop, self._limits.lease / 3, self._lease_lost, self._log)
        return True

    def _lease_lost(self) -> None:
        if not self._leaving:
            self._log.warning("pop3 maildrop lost to another session")
            self.abort()

    async def _let_go(self) -> None:
        maildrop, self._maildrop, self._leaving = self._maildrop, None, True
        if self._renewal:
            await self._renewal.end()
        if maildrop:
            try:
                await maildrop.close()
            except (Failure, LeaseLost) as failure:
                self._log.warning("pop3 maildrop not released, its lease will run out", reason=str(failure))

    # -- commands, RFC 1939

    def listCapabilities(self) -> list[bytes]:
        """RFC 2449 section 6, RFC 2595 section 4.  Nothing in a maildrop expires."""
        words = ["TOP", "USER", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"]
        if self._state is State.AUTHORIZATION and self._house.tls and not self._secure:
            words.append("STLS")
        if self._delay:
            words.append(self._delay)
        return [word.encode() for word in (*words, "IMPLEMENTATION Printpost")]

    async def do_CAPA(self) -> None:
        if self._account is None:
            largest = await self._house.rhythm.largest()
            self._delay = f"LOGIN-DELAY {largest} USER" if largest else ""
        else:
            interval = self._account.poll_interval if isinstance(self._account, Printer) else 0
            self._delay = f"LOGIN-DELAY {interval}"
        super().do_CAPA()  # type: ignore[no-untyped-call]

    def do_STLS(self) -> None:
        if self._secure:
            self._err("TLS is active already")
        elif self._house.tls is None:
            self._err("STLS is not offered")
        elif len(self._lines):
            self._log.warning("pop3 connection closed, something followed STLS in clear")
            self._err("nothing may follow STLS before its answer")
            self._leaving = True
        else:
            self._ok("begin TLS")
            self._user = ""
            self._start_tls()

    async def do_USER(self, name: str) -> None:
        # Each name is a question to the directory, so a stranger may ask only a few.
        self._bad += 1
        self._leaving = self._bad >= self._limits.bad_before
        self._user = ""
        # Nobody but a printer may send its password in clear over the network, so nobody else is looked up.
        local = self._secure or self._peer.is_loopback
        if local or self._may_log_in(await self._house.accounts.printer(name)):
            self._user = name
            self._ok("send PASS")
        else:
            self._err(_NOT_IN_CLEAR.format(port=self._house.secure_port))

    def _may_log_in(self, account: Account | None) -> bool:
        return self._secure or may_send_in_clear(self._peer, account)

    async def do_PASS(self, password: str) -> None:
        if not self._user:
            self._err("USER comes before PASS")
            return
        name, self._user = self._user, ""
        ATTEMPTS.inc()
        account, right = await self._house.accounts.verify(name, password, self._limits.failure_delay)
        if not (right and account):
            FAILURES.inc()
            self._failures += 1
            self._leaving = self._failures >= self._limits.failures
            self._log.warning("pop3 login failed", **_who(account))
            self._err("[AUTH] wrong name or password")
        elif not self._may_log_in(account):  # its entry changed since USER
            self._err(_NOT_IN_CLEAR.format(port=self._house.secure_port))
        elif isinstance(account, Printer) and account.drained_by_bridge:
            raise PermanentFailure("5.3.0", f"jobs for {account.name} are sent to its device address, not fetched")
        elif isinstance(account, Printer) and (wait := await self._house.rhythm.wait(account, time.time())):
            DELAYED.inc()
            self._log.info("pop3 login too early", printer=account.name, wait=wait)
            self._err(f"[LOGIN-DELAY] the poll interval is {account.poll_interval} seconds, wait {wait} more")
        elif not await self._open(account):
            self._err("[IN-USE] another session has the maildrop, try again later")
        else:
            await self._welcome(account)

    async def _welcome(self, account: Account) -> None:
        self._log = self._log.bind(**_who(account))
        self._log.info("pop3 login", messages=len(self._messages), tls=self._secure)
        if not (self._secure or self._peer.is_loopback):
            IN_CLEAR.inc()
        self._ok(self._summary())
        if isinstance(account, Printer):
            try:
                await self._house.store.polled(account.name, self._came)
            except Failure as failure:
                self._log.warning("pop3 poll not recorded", reason=failure.text)

    def do_STAT(self) -> None:
        self._ok(f"{len(self._messages)} {self._messages.octets}")

    async def do_LIST(self, i: int | None = None) -> None:
        await self._list(i, lambda number, entry: f"{number} {entry.size}")

    async def do_UIDL(self, i: int | None = None) -> None:
        await self._list(i, lambda number, entry: f"{number} {entry.uid}")

    def _summary(self) -> str:
        return f"{len(self._messages)} messages ({self._messages.octets} octets)"

    async def _list(self, number: int | None, line: Callable[[int, Entry], str]) -> None:
        if number is not None:
            self._ok(line(number, self._messages.entry(number)))
            return
        self._ok(self._summary())
        listed = iter(self._messages)
        while some := [f"{line(n, entry)}\r\n" for n, entry in itertools.islice(listed, 1000)]:
            self._wire.write("".join(some).encode())
            await self._writable()
        self._wire.write(b".\r\n")

    async def do_RETR(self, i: int) -> None:
        entry = self._messages.entry(i)
        assert self._maildrop
        await self._maildrop.retrieving(entry)
        await self._send(b"+OK %d octets\r\n" % entry.size, self._maildrop.read(entry))
        RETRIEVED.inc()
        RETRIEVED_OCTETS.inc(entry.size)
        self._log.info("pop3 retrieved", job=entry.job_id, octets=entry.size)

    async def do_TOP(self, i: int, size: int) -> None:
        entry = self._messages.entry(i)
        assert self._maildrop
        await self._send(b"+OK\r\n", _cut(self._maildrop.read(entry), Top(size)))

    async def _send(self, first: bytes, blocks: AsyncIterator[bytes]) -> None:
        """A multi-line response.  Once a part of it is said, only the rest may follow, or the end of the connection."""
        stuffer, pending, begun = Stuffer(), first, False
        try:
            async for block in blocks:
                pending += stuffer.feed(block)
                if len(pending) >= _WRITE_OCTETS:
                    self._wire.write(pending)
                    pending, begun = b"", True
                    await self._heard()
        except (Failure, LeaseLost) as failure:
            if not begun:
                raise
            self._log.warning("pop3 message broken off", reason=str(failure))
            self.abort()
            raise Gone from None
        self._wire.write(pending + stuffer.end())
        await self._heard()

    def do_DELE(self, i: int) -> None:
        self._messages.delete(i)
        self._ok(f"message {i} deleted")

    def do_NOOP(self) -> None:
        self._ok("still here")

    def do_RSET(self) -> None:
        self._messages.reset()
        self._ok(self._summary())

    async def do_QUIT(self) -> None:
        """Section 6: UPDATE is one transaction; if it fails nothing was removed."""
        self._leaving = True
        removed = await self._update(self._messages.deleted)
        if removed and isinstance(self._account, Printer):
            self._house.rhythm.counts(self._account, self._came)
        # Before the answer: who has it may log in again at once.
        await self._let_go()
        if removed:
            self._ok("bye")
        else:
            self._err("[SYS/TEMP] some deleted messages not removed")

    async def _update(self, deleted: Sequence[Entry]) -> bool:
        if self._maildrop is None or not deleted:
            return True
        try:
            await self._maildrop.update(deleted)
        except (Failure, LeaseLost) as failure:
            self._log.error("pop3 messages not removed", reason=str(failure))
            return False
        DELETED.inc(len(deleted))
        self._log.info("pop3 deleted", messages=len(deleted), jobs=[entry.job_id for entry in deleted[:_JOBS_LOGGED]])
        return True


def _who(account: Account | None) -> dict[str, str]:
    """What the log says of an account; of a name that does not exist nothing, it may be a mistyped password."""
    return {"person" if isinstance(account, Person) else "printer": account.name if account else ""}


def _sentence(failure: Failure) -> str:
    """A failure's text as it fits into a response of 512 octets, RFC 1939 section 3."""
    return " ".join(failure.text.split())[:400]


async def _cut(blocks: AsyncIterator[bytes], top: Top) -> AsyncIterator[bytes]:
    async for block in blocks:
        yield top.feed(block)
        if top.done:
            return
