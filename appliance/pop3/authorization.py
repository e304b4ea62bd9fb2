# ruff: noqa: N802 - commands are methods by their verbs, as in Twisted's class
"""The AUTHORIZATION state of one session (RFC 1939 section 4): STLS, USER and PASS, AUTH (RFC 5034), UTF8 (RFC 6856).

Security: all of it is a stranger's.  Wrong passwords are few and take their time, and so do questions for names; where
a password may not be sent in clear no name is asked for, and AUTH does not begin: an old printer's exception is for
USER and PASS alone.  A response is decoded strictly by `sasl`, its length bounded by its line.  STLS is the last thing
said in clear: octets behind it could be somebody else's, to be taken under TLS for the client's own, so they end the
session.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from prometheus_client import Counter

from appliance.guessing import TooManyGuesses
from appliance.peer import Address
from appliance.pop3.commands import LineTooLong
from appliance.pop3.connection import Connection, Gone
from appliance.pop3.house import House
from appliance.pop3.login import Account, may_send_in_clear
from appliance.sasl import LINE_OCTETS, Credentials, Exchange
from mailstore.directory.records import Person, Printer
from mailstore.failure import PermanentFailure

ATTEMPTS = Counter("printpost_pop3_auth_attempts_total", "POP3 logins tried.")
FAILURES = Counter("printpost_pop3_auth_failures_total", "POP3 logins with a wrong name or password.")
DELAYED = Counter("printpost_pop3_logins_delayed_total", "POP3 logins refused for they came before the poll interval.")

_NOT_IN_CLEAR = (
    "[AUTH] passwords in clear are not taken from here: say STLS first, or use port {port} with TLS;"
    " a printer that cannot needs an entry that names its network (--plain-from)"
)


class Authorization:
    """Until somebody is let in; `enter` opens his maildrop and says welcome, or False if another session has it."""

    def __init__(
        self,
        line: Connection,
        house: House,
        peer: Address,
        enter: Callable[[Account], Awaitable[bool]],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._line = line
        self._house = house
        self._peer = peer
        self._enter = enter
        self._log = log
        self._user = ""
        self._failures = 0
        self.utf8 = False

    @property
    def mechanisms(self) -> Sequence[str]:
        """What AUTH takes here and now: nothing where somebody may listen (RFC 5034 section 4)."""
        return ("PLAIN",) if self._line.secure or self._peer.is_loopback else ()

    def do_STLS(self) -> None:
        if self._line.secure:
            self._line.err("TLS is active already")
        elif self._house.tls is None:
            self._line.err("STLS is not offered")
        elif self.utf8:
            self._line.err("STLS comes before UTF8")  # RFC 6856 section 2.1
        elif self._line.unread:
            self._log.warning("pop3 connection closed, something followed STLS in clear")
            self._line.err("nothing may follow STLS before its answer")
            self._line.leaving = True
        else:
            self._line.ok("begin TLS")
            self._user = ""
            self._line.start_tls()

    def do_UTF8(self) -> None:
        """RFC 6856 section 2.1: from now on messages go out as they are; names and passwords were always UTF-8."""
        self.utf8 = True
        self._line.ok("UTF8 is on")

    async def do_USER(self, name: str) -> None:
        # Each name is a question to the directory, so a stranger may ask only a few.
        self._line.senseless(self._house.limits.bad_before)
        self._user = ""
        # Nobody but a printer may send its password in clear over the network, so nobody else is looked up.
        local = self._line.secure or self._peer.is_loopback
        if local or self._may_log_in(await self._house.accounts.printer(name)):
            self._user = name
            self._line.ok("send PASS")
        else:
            self._refuse_in_clear()

    async def do_PASS(self, password: str) -> None:
        if not self._user:
            self._line.err("USER comes before PASS")
            return
        name, self._user = self._user, ""
        await self._log_in(name, password)

    async def do_AUTH(self, mechanism: str = "", initial: str | None = None) -> None:
        if not mechanism:  # what clients asked before there was CAPA
            self._line.listing("mechanisms follow", self.mechanisms)
        elif mechanism.upper() != "PLAIN":
            self._line.err("no such mechanism, PLAIN is all there is")
        elif mechanism.upper() not in self.mechanisms:
            self._refuse_in_clear()
        elif credentials := await self._exchange(initial):
            await self._log_in(credentials.name, credentials.password)

    async def _exchange(self, initial: str | None) -> Credentials | None:
        """RFC 5034 section 4; None if it came to nothing, and why is said."""
        exchange = Exchange("PLAIN")
        try:
            if initial is None:
                response = await self._challenged(exchange.challenge)
            else:
                response = "" if initial == "=" else initial
            return exchange.respond(response)
        except LineTooLong as error:
            text = str(error)
        except PermanentFailure as failure:
            text = f"[AUTH] {failure.text}" if failure.status == "5.7.8" else failure.text
        self._line.senseless(self._house.limits.bad_before)
        self._line.err(text)
        return None

    async def _challenged(self, challenge: str) -> str:
        self._line.write(f"+ {challenge}\r\n".encode())
        line = await self._line.next_line(LINE_OCTETS)
        if line is None:
            raise Gone
        return line.decode("utf-8", "replace")

    def _may_log_in(self, account: Account | None) -> bool:
        return self._line.secure or may_send_in_clear(self._peer, account)

    def _refuse_in_clear(self) -> None:
        self._line.err(_NOT_IN_CLEAR.format(port=self._house.secure_port))

    async def _log_in(self, name: str, password: str) -> None:
        ATTEMPTS.inc()
        try:
            account, right = await self._house.accounts.verify(str(self._peer), name, password)
        except TooManyGuesses:
            self._line.leaving = True
            raise
        if not (right and account):
            FAILURES.inc()
            self._failures += 1
            self._line.leaving = self._failures >= self._house.limits.failures
            self._log.warning("pop3 login failed", **who(account))
            self._line.err("[AUTH] wrong name or password")
        elif not self._may_log_in(account):  # its entry changed since USER
            self._refuse_in_clear()
        elif isinstance(account, Printer) and account.drained_by_bridge:
            raise PermanentFailure("5.3.0", f"jobs for {account.name} are sent to its device address, not fetched")
        elif isinstance(account, Printer) and (wait := await self._house.rhythm.wait(account, time.time())):
            DELAYED.inc()
            self._log.info("pop3 login too early", printer=account.name, wait=wait)
            self._line.err(f"[LOGIN-DELAY] the poll interval is {account.poll_interval} seconds, wait {wait} more")
        elif not await self._enter(account):
            self._line.err("[IN-USE] another session has the maildrop, try again later")


def who(account: Account | None) -> dict[str, str]:
    """What the log says of an account; of a name that does not exist nothing, it may be a mistyped password."""
    return {"person" if isinstance(account, Person) else "printer": account.name if account else ""}
