"""A printer's SNMP agent, asked for what it has: GET and a bounded walk, in version 1 or 2c.

The only file that knows the library.  Nothing runs in a thread but the look-up of a name; every question has one
deadline for all that belongs to it, and a socket of its own that is closed when it ends.

Security: whoever answers for the printer's address writes what we read.  Addresses are judged before anything is sent
to them (`printerbridge.guard`).  A datagram longer than 4 KB is not read; values are cut, rows, octets and time of a
walk are bounded, and one that does not go on upwards ends (RFC 3416 section 4.2.2 leaves that to us).  The library may
panic over a crippled answer, which it does without harm, and which is caught here like any other answer that cannot be
read.  An answer must come from the address that was asked and bear our request's number.  The community, a password of
sorts, goes over the network in clear as the protocol wants it, and into no log and no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from prometheus_client import Counter

from mailstore.directory.records import Snmp
from printerbridge.dialing import NotConnected, addresses
from printerbridge.guard import Guard

if TYPE_CHECKING:
    from gufo.snmp.aio import SnmpSession

REQUESTS = Counter("printpost_snmp_requests_total", "Questions to printers by SNMP, by what came of them.", ["result"])

Value = int | bytes | str  # str: an object identifier, or an IP address

LONGEST: Final = 1024  # octets of a value
_OCTETS: Final = 32768  # of all values of a walk
_TRIES: Final = 2  # datagrams get lost
_AT_ONCE: Final = 10  # objects in one request: more than ten names and texts may not fit what old agents send

_UNREADABLE: Final = "its answer to SNMP cannot be read"

T = TypeVar("T")


class NoAnswer(Exception):
    """It did not answer in time, or not so that it could be read, or its address must not be asked; the text says."""


class Agent:
    """The agent at `host`, a name or an address; `seconds` is the deadline of each call.

    Remembers what the agent does not have, until `forget`: in version 1 one object that is missing hides all others of
    the request (noSuchName, RFC 1157 section 4.1.2).
    """

    __slots__ = ("_address", "_community", "_guard", "_host", "_missing", "_port", "_version", "seconds")

    def __init__(
        self, host: str, port: int = 161, *, version: Snmp, community: str, seconds: float, guard: Guard | None = None
    ) -> None:
        self.seconds = seconds
        self._host = host
        self._port = port
        self._version = version
        self._community = community
        self._guard = guard or Guard()
        self._missing: frozenset[str] = frozenset()
        self._address = ""  # where it answered

    def forget(self) -> None:
        """Ask for everything again, and look the name up again."""
        self._missing, self._address = frozenset(), ""

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
        from gufo.snmp import SnmpError

        try:
            async with asyncio.timeout(seconds):
                answer = await ask(await self._exchange(seconds / _TRIES))
        except TimeoutError:
            result, why = "silent", f"it does not answer SNMP within {seconds:g} s"
        except NotConnected as error:
            result, why = "refused", str(error)
        except OSError as error:
            result, why = "unreachable", f"it cannot be asked by SNMP: {error.strerror or error}"
        except (SnmpError, RuntimeError):  # the latter where an identifier in the answer is none
            result, why = "unreadable", _UNREADABLE
        except BaseException as error:
            if not _panic(error):
                raise
            result, why = "unreadable", _UNREADABLE
        else:
            REQUESTS.labels("answered").inc()
            return answer
        self._address = ""
        REQUESTS.labels(result).inc()
        raise NoAnswer(why) from None

    async def _exchange(self, patience: float) -> _Exchange:
        from gufo.snmp import SnmpVersion
        from gufo.snmp.aio import SnmpSession

        if not self._address:
            self._address = str((await addresses(self._host, self._port, self._guard))[0][1][0])
        version = SnmpVersion.v1 if self._version is Snmp.V1 else SnmpVersion.v2c
        session = SnmpSession(self._address, self._port, self._community, version=version, timeout=patience)
        return _Exchange(session, patience)


class _Exchange:
    """Questions and answers over one socket, which closes when nobody holds this any more.

    `patience`: seconds that each question waits for its answer, twice.
    """

    __slots__ = ("_patience", "_session")

    def __init__(self, session: SnmpSession, patience: float) -> None:
        self._session = session
        self._patience = patience

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        """What there is of it; nothing if the agent refuses the request as a whole."""
        told = await self._tried(lambda: self._session.get_many(oids))
        return {oid: value for oid in oids if (value := _value(told.get(oid))) is not None}

    async def walk(self, prefix: str, most: int, found: list[tuple[str, Value]]) -> None:
        """Into `found`, as it comes."""
        steps = self._session.getnext(prefix)
        room, last = _OCTETS, _numbers(prefix)
        while len(found) < most and room > 0:
            try:
                oid, told = await self._tried(steps.__anext__)
            except StopAsyncIteration:
                return
            numbers = _numbers(oid)
            if numbers <= last:  # else it could lead us in circles
                return
            last = numbers
            if (value := _value(told)) is not None:
                found.append((oid, value))
            room -= len(oid) + (len(value) if isinstance(value, bytes | str) else 8)

    async def _tried(self, ask: Callable[[], Awaitable[T]]) -> T:
        time = asyncio.get_running_loop().time
        began = time()
        for _ in range(_TRIES - 1):
            try:
                return await ask()
            except TimeoutError:
                if time() - began < self._patience / 2:  # so the library tells of a closed port, too
                    raise ConnectionRefusedError("nothing listens there") from None
        return await ask()


def _value(told: object) -> Value | None:
    if isinstance(told, int):
        return int(told)  # of a BOOLEAN, too
    return told[:LONGEST] if isinstance(told, bytes | str) else None


def _numbers(oid: str) -> tuple[int, ...]:
    return tuple(int(number) for number in oid.split("."))


def _panic(error: BaseException) -> bool:
    return type(error).__name__ == "PanicException"  # of PyO3; it cannot be imported
