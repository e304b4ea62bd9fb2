# ruff: noqa: N802 - commands are methods by their verbs, as in the base class
"""One POP3 session: a line, what it means, and its answer, from the greeting to the last entry given back.

A session takes one line after the other and awaits each command to its end, so pipelined commands are answered in
order, a login included (RFC 2449 section 6.6).  What a state alone knows is done in `authorization` and `transaction`;
here is what both know.  Whatever the session got hold of, a lease above all, it gives back in one `finally`.

Security: a stranger's commands until the login, a printer's or a person's after it.  No line can raise anything but an
answer; wrong passwords and senseless lines are few and then end the session; a browser's line ends it at once.  Lines
are judged in `commands`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable

import structlog
from prometheus_client import Counter, Histogram

from appliance.peer import plain_ip
from appliance.pop3.authorization import Authorization, who
from appliance.pop3.capabilities import LANGUAGES, capabilities, language
from appliance.pop3.commands import VERBS, BadCommand, Command, NotPop3, State, parse
from appliance.pop3.connection import Connection, Gone
from appliance.pop3.house import House
from appliance.pop3.login import Account, maildrop_of
from appliance.pop3.messages import NoSuchMessage
from appliance.pop3.transaction import Transaction
from mailstore.directory.records import Printer
from mailstore.failure import Failure, PermanentFailure, TransientFailure

IN_CLEAR = Counter("printpost_pop3_clear_logins_total", "POP3 logins over the network with the password in clear.")
DURATION = Histogram(
    "printpost_pop3_command_duration_seconds", "From a POP3 command to the end of its answer.", ["command"]
)
_DURATION = {verb: DURATION.labels(verb) for verb in sorted(VERBS)}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)
_numbers = itertools.count(1)


class Session(Connection):
    """One client.  `ended` is called once its connection is closed and its task has come to its end."""

    def __init__(self, house: House, host: str, ended: Callable[[Session], None], *, implicit: bool) -> None:
        super().__init__(house.limits, house.tls, implicit=implicit)
        self._house = house
        self._peer = plain_ip(host)
        self._on_end = ended
        self._log = log.bind(client=str(self._peer))
        self._authorization = Authorization(self, house, self._peer, self._enter, self._log)
        self._transaction: Transaction | None = None

    @property
    def _state(self) -> State:
        return State.TRANSACTION if self._transaction else State.AUTHORIZATION

    # -- the task

    async def _serve(self) -> None:
        try:
            await self._shaken()
            # No timestamp in the greeting: APOP is not offered (RFC 1939 section 7).
            self.ok(f"{self._house.hostname} Printpost POP3 ready")
            while not self.leaving and await self._obey_next():
                pass
        except Gone:
            pass
        except Exception:  # noqa: BLE001 - the one handler of this task
            self._log.exception("pop3 session failed")
        finally:
            self.leaving = True
            try:
                if self._transaction:
                    await self._transaction.close()
            finally:
                self._part()

    def _over(self) -> None:
        self._on_end(self)

    def timeoutConnection(self) -> None:
        if not self._shaking:  # whoever does not come to an end with that is counted, not told of
            self._log.info("pop3 connection timed out", state=self._state.value)
        super().timeoutConnection()

    def _alive(self) -> None:
        # Before the login the time is one for all that is said.
        if self._transaction or self.leaving:
            super()._alive()

    async def _obey_next(self) -> bool:
        """Read a line and do what it says.  False at the end of input."""
        try:
            line = await self.next_line()
            if line is None:
                return False
            command = parse(line, self._state)
        except NotPop3:
            self._log.warning("pop3 connection from a browser closed")
            return False
        except BadCommand as error:
            await self._answer_bad(error)
            return True
        self._alive()
        began = time.perf_counter()
        try:
            await self._obey(command)
            await self.writable()
        finally:
            _DURATION[command.verb].observe(time.perf_counter() - began)
        return True

    async def _obey(self, command: Command) -> None:
        """Every failure is an answer here, RFC 2449 section 8 and RFC 3206."""
        name = f"do_{command.verb}"
        of_state = self._transaction or self._authorization
        try:
            result = getattr(of_state if hasattr(of_state, name) else self, name)(*command.arguments)
            if asyncio.iscoroutine(result):
                await result
        except NoSuchMessage as error:
            self.err(str(error))
        except TransientFailure as failure:
            self.err(f"[SYS/TEMP] {_sentence(failure)}")
        except PermanentFailure as failure:
            self.err(f"[SYS/PERM] {_sentence(failure)}")

    async def _answer_bad(self, error: BadCommand) -> None:
        self.senseless(self._limits.bad_after if self._transaction else self._limits.bad_before)
        self.err(str(error))
        if self.leaving:
            self._log.warning("pop3 connection closed after too many bad commands")
        else:
            await self.writable()

    # -- from one state to the other

    async def _enter(self, account: Account) -> bool:
        if self.lost:
            raise Gone
        owner = f"pop3:{os.getpid()}:{next(_numbers)}"
        maildrop = await self._house.store.open_maildrop(maildrop_of(account), owner, self._limits.lease)
        if maildrop is None:
            return False
        self._log = self._log.bind(**who(account))
        self._transaction = Transaction(
            self, account, maildrop, self._limits.lease, self._log, utf8=self._authorization.utf8
        )
        self.sensible()
        self.allow(self._limits.autologout)
        await self._welcome(self._transaction)
        return True

    async def _welcome(self, transaction: Transaction) -> None:
        self._log.info("pop3 login", messages=transaction.messages, tls=self.secure)
        in_clear = not (self.secure or self._peer.is_loopback)
        if in_clear:
            IN_CLEAR.inc()
        self.ok(transaction.summary())
        if isinstance(transaction.account, Printer):
            try:
                await self._house.store.polled(transaction.account.name, transaction.came, clear=in_clear)
            except Failure as failure:
                self._log.warning("pop3 poll not recorded", reason=failure.text)

    # -- commands of both states

    async def do_CAPA(self) -> None:
        offered = capabilities(
            self._state,
            stls=bool(self._house.tls) and not self.secure,
            mechanisms=self._authorization.mechanisms,
            delay=await self._delay(),
        )
        self.listing("capabilities follow", offered)

    async def _delay(self) -> str:
        """The arguments of LOGIN-DELAY, RFC 2449 section 6.5; "" where no printer polls."""
        if self._transaction is None:
            largest = await self._house.rhythm.largest()
            return f"{largest} USER" if largest else ""
        account = self._transaction.account
        return str(account.poll_interval if isinstance(account, Printer) else 0)

    def do_LANG(self, wanted: str = "") -> None:
        """RFC 6856 section 3."""
        if not wanted:
            self.listing("languages follow", (f"{tag} {name}" for tag, name in LANGUAGES.items()))
        elif tag := language(wanted):
            self.ok(f"{tag} {LANGUAGES[tag]} it is")
        else:
            self.err("no such language, LANG alone lists them")

    async def do_QUIT(self) -> None:
        self.leaving = True
        transaction = self._transaction
        removed = transaction is None or await transaction.update()
        if transaction:
            if removed and isinstance(transaction.account, Printer):
                self._house.rhythm.counts(transaction.account, transaction.came)
            # Before the answer: who has it may log in again at once.
            await transaction.close()
        if removed:
            self.ok("bye")
        else:
            self.err("[SYS/TEMP] some deleted messages not removed")


def _sentence(failure: Failure) -> str:
    """A failure's text as it fits into a response of 512 octets, RFC 1939 section 3."""
    return " ".join(failure.text.split())[:400]
