"""A printer's SNMP agent, asked for what it has: GET and a bounded walk, in version 1 or 2c.

Nothing runs in a thread but the look-up of a name; every question has one deadline for all that belongs to it, and a
socket of its own that is closed when it ends.

Security: whoever answers for the printer's address writes what we read.  Addresses are judged before anything is sent
to them (`printerbridge.guard`).  A datagram longer than 4 KB is not read (`printerbridge.snmp_message` reads the
others); values are cut, rows, octets and time of a walk are bounded, and one that does not go on upwards ends (RFC 3416
section 4.2.2 leaves that to us).  An answer must come from the address that was asked and bear our question's number,
which nobody can guess; so many others are passed over, then no more are read.  The community, a password of sorts, goes
over the network in clear as the protocol wants it, and into no log and no error.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from prometheus_client import Counter

from mailstore.directory.records import Snmp
from printerbridge import snmp_message as message
from printerbridge.dialing import NotConnected, addresses
from printerbridge.guard import Guard
from printerbridge.resolver import Address
from printerbridge.snmp_message import Answer, Unreadable, Value

REQUESTS = Counter("printpost_snmp_requests_total", "Questions to printers by SNMP, by what came of them.", ["result"])

LONGEST: Final = 1024  # octets of a value
_DATAGRAM_OCTETS: Final = 4096
_OCTETS: Final = 32768  # of all values of a walk
_TRIES: Final = 2  # datagrams get lost
_PASSED_OVER: Final = 16  # datagrams that do not answer a question
_ADDRESSES: Final = 4  # of one name
_AT_ONCE: Final = 10  # objects in one request: more than ten names and texts may not fit what old agents send

T = TypeVar("T")


class NoAnswer(Exception):
    """It did not answer in time, or not so that it could be read, or its address must not be asked; the text says."""


class Agent:
    """The agent at `host`, a name or an address; `seconds` is the deadline of each call.

    Remembers at which of its addresses it answered, and what it does not have, until `forget`: in version 1 one object
    that is missing hides all others of the request (noSuchName, RFC 1157 section 4.1.2).
    """

    __slots__ = ("_address", "_community", "_guard", "_host", "_missing", "_port", "_version", "seconds")

    def __init__(
        self, host: str, port: int = 161, *, version: Snmp, community: str, seconds: float, guard: Guard | None = None
    ) -> None:
        self.seconds = seconds
        self._host = host
        self._port = port
        self._version = 0 if version is Snmp.V1 else 1
        self._community = community
        self._guard = guard or Guard()
        self._missing: frozenset[str] = frozenset()
        self._address: Address | None = None  # where it answered

    def forget(self) -> None:
        """Ask for everything again, and look the name up again."""
        self._missing, self._address = frozenset(), None

    async def get(self, oids: Sequence[str], *, seconds: float = 0.0) -> dict[str, Value | None]:
        """The values by object identifier ("1.3.6..."), None for what the agent does not have.  Raises `NoAnswer`."""
        return await self._within(seconds or self.seconds, lambda exchange: self._get(exchange, oids))

    async def walk(self, prefix: str, most: int, *, seconds: float = 0.0) -> list[tuple[str, Value]]:
        """The objects below `prefix` in the agent's order, at most so many; fewer if they are long or it is slow.

        Raises `NoAnswer` if it does not answer the first question.
        """
        found: list[tuple[str, Value]] = []
        try:
            await self._within(seconds or self.seconds, lambda exchange: exchange.walk(prefix, most, found))
        except NoAnswer:
            if not found:
                raise
        return found

    async def _get(self, exchange: _Exchange, oids: Sequence[str]) -> dict[str, Value | None]:
        wanted = [oid for oid in oids if oid not in self._missing] or list(oids[:1])
        found: dict[str, Value] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            found |= await self._several(exchange, wanted[start : start + _AT_ONCE])
        return {oid: found.get(oid) for oid in oids}

    async def _several(self, exchange: _Exchange, oids: Sequence[str]) -> dict[str, Value]:
        found = await exchange.get(oids)
        if found or len(oids) == 1:
            return found
        # The whole request failed (noSuchName, tooBig, genErr): only one by one can tell which objects are there.
        for oid in oids:
            found |= await exchange.get([oid])
        if found:  # else it may be out of sorts
            self._missing |= set(oids) - found.keys()
        return found

    async def _within(self, seconds: float, ask: Callable[[_Exchange], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(seconds):
                answer = await self._anywhere(seconds, ask)
        except TimeoutError:
            result, why = "silent", f"it does not answer SNMP within {seconds:g} s"
        except NotConnected as error:
            result, why = "refused", str(error)
        except OSError as error:
            result, why = "unreachable", f"it cannot be asked by SNMP: {error.strerror or error}"
        except Unreadable:
            result, why = "unreadable", "its answer to SNMP cannot be read"
        else:
            REQUESTS.labels("answered").inc()
            return answer
        self._address = None
        REQUESTS.labels(result).inc()
        raise NoAnswer(why)

    async def _anywhere(self, seconds: float, ask: Callable[[_Exchange], Awaitable[T]]) -> T:
        """At the address where it answered, else at all of its name's, one after the other."""
        known = self._address
        *others, last = [known] if known else (await addresses(self._host, self._port, self._guard))[:_ADDRESSES]
        patience = 0.9 * seconds / (len(others) + 1) / _TRIES  # so that what was wrong is said before the deadline
        for address in others:
            with _Exchange(address, self._version, self._community, patience) as exchange:
                try:
                    answer = await ask(exchange)
                except (OSError, Unreadable):  # TimeoutError is one
                    if not exchange.heard:
                        continue
                    raise
                self._address = address
                return answer
        with _Exchange(last, self._version, self._community, patience) as exchange:
            answer = await ask(exchange)
            self._address = last
            return answer


class _Exchange:
    """Questions and answers over one socket.  Each question waits `patience` seconds for its answer, twice."""

    __slots__ = ("_community", "_patience", "_socket", "_version", "heard")

    def __init__(self, address: Address, version: int, community: str, patience: float) -> None:
        self.heard = False  # whether it ever answered
        self._version = version
        self._community = community
        self._patience = patience
        self._socket = socket.socket(address[0], socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect(address[1])  # so the kernel passes on nobody else's
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> _Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        """What there is of it; nothing if the agent refuses the request as a whole."""
        told = await self._asked(message.GET, oids)
        asked = set(oids) if not told.status else ()
        return {oid: _cut(value) for oid, value in told.variables if oid in asked and value is not None}

    async def walk(self, prefix: str, most: int, found: list[tuple[str, Value]]) -> None:
        """Into `found`, as it comes."""
        oid, room = prefix, _OCTETS
        while len(found) < most and room > 0:
            told = await self._asked(message.GET_NEXT, [oid])
            if told.status or not told.variables:
                return
            last, (oid, value) = oid, told.variables[0]
            if not oid.startswith(f"{prefix}.") or _numbers(oid) <= _numbers(last):  # it could lead us in circles
                return
            room -= len(oid) + 8
            if value is not None:
                value = _cut(value)
                room -= len(value) if isinstance(value, bytes | str) else 0
                found.append((oid, value))

    async def _asked(self, kind: int, oids: Sequence[str]) -> Answer:
        """Raises `TimeoutError`, or `Unreadable` if all that came was that."""
        number = secrets.randbits(31)
        question = message.question(kind, self._version, self._community, number, oids)
        heard = _Heard(self._version, number)
        for _ in range(_TRIES):
            with contextlib.suppress(BlockingIOError):  # as if it were lost
                self._socket.send(question)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    answer = await self._answer(heard)
                    self.heard = True
                    return answer
        raise Unreadable if heard.unreadable else TimeoutError

    async def _answer(self, heard: _Heard) -> Answer:
        loop = asyncio.get_running_loop()
        while True:
            answer = heard.answer(await loop.sock_recv(self._socket, _DATAGRAM_OCTETS + 1))
            if answer is not None:
                return answer


class _Heard:
    """What came after one question."""

    __slots__ = ("_number", "_room", "_version", "unreadable")

    def __init__(self, version: int, number: int) -> None:
        self.unreadable = False
        self._version = version
        self._number = number
        self._room = _PASSED_OVER

    def answer(self, datagram: bytes) -> Answer | None:
        """None if it is none to our question.  Raises `Unreadable` when there were too many of these."""
        try:
            answer = message.answer(datagram, self._version) if len(datagram) <= _DATAGRAM_OCTETS else None
        except Unreadable:
            answer = None
        if answer is not None and answer.number == self._number:
            return answer
        self.unreadable = self.unreadable or answer is None
        self._room -= 1
        if not self._room:
            raise Unreadable
        return None


def _cut(value: Value) -> Value:
    return value if isinstance(value, int) else value[:LONGEST]


def _numbers(oid: str) -> tuple[int, ...]:
    return tuple(int(number) for number in oid.split("."))
