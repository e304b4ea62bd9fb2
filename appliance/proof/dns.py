"""Questions to the DNS: each with a deadline, asked once for all that want to know, and remembered.

A name comes as text with or without the final dot, in any case, in A-labels or U-labels (RFC 5890).  A name that cannot
exist (a label of more than 63 octets, RFC 1035 section 2.3.4) has no records, and nobody is asked.  No records, whether
the name exists or not, are an empty answer; SPF calls that a void look-up (RFC 7208 section 4.6.4).

Security: whoever sends a mail names domains of his own, so he chooses what is asked, what is answered, and how slowly.
A question has one deadline, waiting in line included; questions under way and in line are bounded, for one client too,
and equal ones are one.  An answer has a bounded number of records and octets, by TCP counted before it is read, and
what is larger is a failure; the cache has a bound in octets.  A forged answer must come from the name server's address
and port and match the number and the question; what does not is passed over.  Names in answers that no host can have
are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.resolver
import idna
import structlog
from cachetools import TLRUCache
from dns.rdatatype import RdataType
from prometheus_client import Counter

from appliance.peer import Address
from appliance.proof.turns import Turns
from mailstore.config import ConfigError, ProofSettings
from mailstore.config_values import split_endpoint
from mailstore.failure import TransientFailure

QUESTIONS = Counter(
    "printpost_dns_questions_total",
    "Questions about senders' domains, by what came of them: found, absent, failed, or remembered.",
    ["result"],
)

_FOUND, _ABSENT = QUESTIONS.labels("found"), QUESTIONS.labels("absent")
_FAILED, _REMEMBERED = QUESTIONS.labels("failed"), QUESTIONS.labels("remembered")

AT_ONCE: Final = 64
"""Questions under way."""
EACH: Final = 8
"""Of them for one client: who names slow domains of his own waits for himself."""
IN_LINE: Final = 1000
"""Questions under way and waiting."""
RECORDS: Final = 256
OCTETS: Final = 16 << 10
"""Of one answer.  The largest that honest domains have is a tenth of that."""
CACHE: Final = 8 << 20
"""Octets of all answers remembered, as `_weight` counts."""
SHORTEST: Final = 30.0
"""Seconds: a record with a TTL of nothing costs a question for every mail, or for every recipient of one."""
LONGEST: Final = 3600.0
"""A domain's owner who mends a record is not kept waiting longer, whatever TTL the old one had."""
LONGEST_ABSENT: Final = 300.0
"""The same for who has just made one (RFC 2308 section 5 allows hours)."""
FAILED: Final = 5.0
"""RFC 9520 section 3.2: long enough that a dead domain with many mails does not hold all the places in line."""
MESSAGE: Final = 32 << 10
"""Octets that come by TCP at most; a message of 64 KiB with thousands of records takes the library long to read."""
SYSTEM: Final = "/etc/resolv.conf"
_PAYLOAD: Final = 1232  # octets by UDP that no path cuts into fragments
_REREAD: Final = 60.0  # seconds after which the system's configuration is looked at again

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")

log = structlog.get_logger()

_Answer = tuple[Any, ...]
_Key = tuple[str, RdataType]


class DnsFailure(TransientFailure):
    """The DNS does not say now what there is: no answer in time, SERVFAIL, or none that is well-formed."""

    def __init__(self, name: str) -> None:
        super().__init__("4.4.3", f"the DNS does not answer about {name} now")


class _Server(dns.nameserver.Do53Nameserver):
    """By TCP an answer is weighed before it is read."""

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,
        source: str | None,
        source_port: int,
        max_size: bool,
        backend: Any,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        if not max_size:
            return await super().async_query(request, timeout, source, source_port, False, backend)
        try:
            async with asyncio.timeout(timeout):
                octets = await self._by_tcp(request.to_wire())
        except TimeoutError:
            raise dns.exception.Timeout from None
        records = sum(int.from_bytes(octets[at : at + 2], "big") for at in (6, 8, 10))  # RFC 1035 section 4.1.1
        if records > 2 * RECORDS:
            raise OSError("too many records")
        response = dns.message.from_wire(octets, one_rr_per_rrset=one_rr_per_rrset, ignore_trailing=ignore_trailing)
        if not request.is_response(response):
            raise OSError("the answer is to another question")
        return response

    async def _by_tcp(self, question: bytes) -> bytes:
        """RFC 7766 section 8.  Raises OSError and EOFError."""
        reader, writer = await asyncio.open_connection(self.address, self.port)
        try:
            writer.write(len(question).to_bytes(2, "big") + question)
            octets = int.from_bytes(await reader.readexactly(2), "big")
            if octets > MESSAGE:
                raise OSError("too many octets")
            return await reader.readexactly(octets)
        finally:
            writer.close()


class Resolver:
    """Asks `[proof] dns`, or the system's name servers.  Raises `ConfigError` if `[proof] dns` has a name in it."""

    def __init__(self, settings: ProofSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait = settings.dns_wait
        self._clock = clock
        self._given = [_server(endpoint) for endpoint in settings.dns]
        self._client: dns.asyncresolver.Resolver | None = None
        self._read = 0.0
        self._closed = False
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._turns = Turns(EACH)
        self._under_way: dict[_Key, asyncio.Task[_Answer]] = {}
        # The value is (answer or None for a failure, seconds to keep it).
        self._cache: TLRUCache[_Key, tuple[_Answer | None, float]] = TLRUCache(
            CACHE, ttu=lambda _key, value, now: now + value[1], timer=clock, getsizeof=_weight
        )

    async def txt(self, name: str) -> Sequence[bytes]:
        """Each record's strings joined without anything between (RFC 7208 section 3.3).  All raise `DnsFailure`."""
        return await self._ask(name, RdataType.TXT)

    async def a(self, name: str) -> Sequence[Address]:
        return await self._ask(name, RdataType.A)

    async def aaaa(self, name: str) -> Sequence[Address]:
        return await self._ask(name, RdataType.AAAA)

    async def mx(self, name: str) -> Sequence[tuple[int, str]]:
        """By preference; a null MX (RFC 7505) has the empty name."""
        return await self._ask(name, RdataType.MX)

    async def ptr(self, ip: Address) -> Sequence[str]:
        return await self._ask(ip.reverse_pointer, RdataType.PTR)

    async def close(self) -> None:
        """Ends what is under way: whoever waits for it, or asks from now on, gets `DnsFailure`."""
        self._closed = True
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, name: str, kind: RdataType) -> _Answer:
        canonical = canonical_name(name)
        if not canonical:
            return ()
        key = canonical, kind
        if (known := self._remembered(key)) is not None:
            return known
        task = self._under_way.get(key) or await self._begin(key)
        # One who gives up does not take the answer from the others; it is remembered even if all have.
        await asyncio.wait((task,))
        if task.cancelled():
            raise DnsFailure(canonical)
        return task.result()

    def _remembered(self, key: _Key) -> _Answer | None:
        """None if it has to be asked.  Raises `DnsFailure` where that failed just now."""
        known = self._cache.get(key)
        if known is None:
            return None
        _REMEMBERED.inc()
        if known[0] is None:
            raise DnsFailure(key[0])
        return known[0]

    async def _begin(self, key: _Key) -> asyncio.Task[_Answer]:
        """A turn of his own is waited for by who asks, so that nobody who wants to know the same waits with him."""
        try:
            client = await self._turns.take(self._wait)
        except TimeoutError:
            _FAILED.inc()
            raise DnsFailure(key[0]) from None
        task = self._under_way.get(key)
        if task is None and not self._closed and len(self._under_way) < IN_LINE:
            task = asyncio.create_task(self._find_out(key))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._ended(key, done, client))
            return task
        self._turns.leave(client)
        if task is None:
            _FAILED.inc()
            raise DnsFailure(key[0])
        return task

    def _ended(self, key: _Key, task: asyncio.Task[_Answer], client: int | None) -> None:
        del self._under_way[key]
        self._turns.leave(client)
        if not task.cancelled():
            task.exception()  # seen, also where nobody waits any more

    async def _find_out(self, key: _Key) -> _Answer:
        if (known := self._remembered(key)) is not None:  # while its turn was waited for
            return known
        name, kind = key
        asked = False
        try:
            async with asyncio.timeout(self._wait), self._places:
                asked = True
                found = await self._resolve(name, kind)
            answer = _values(found.rrset, kind)
        except (dns.exception.DNSException, OSError, ValueError) as error:  # TimeoutError is an OSError
            log.info("DNS question failed", name=name, type=kind.name, error=type(error).__name__)
            _FAILED.inc()
            if asked:
                self._cache[key] = None, FAILED
            raise DnsFailure(name) from None
        (_FOUND if answer else _ABSENT).inc()
        ttl = found.chaining_result.minimum_ttl
        self._cache[key] = answer, min(max(ttl, SHORTEST), LONGEST if answer else LONGEST_ABSENT)
        return answer

    async def _resolve(self, name: str, kind: RdataType) -> dns.resolver.Answer:
        asked = dns.name.Name([*(label.encode("ascii") for label in name.split(".")), b""])
        try:
            return await self._servers().resolve(
                asked, kind, raise_on_no_answer=False, lifetime=self._wait, search=False, backend=self._backend
            )
        except dns.resolver.NXDOMAIN as absent:
            response = absent.response(asked)  # type: ignore[no-untyped-call]
            return dns.resolver.Answer(asked, kind, dns.rdataclass.IN, response)

    def _servers(self) -> dns.asyncresolver.Resolver:
        """Raises `DNSException` where the system has no configuration that can be read."""
        now = self._clock()
        if self._client is None or (not self._given and now - self._read > _REREAD):
            client = dns.asyncresolver.Resolver(SYSTEM, configure=not self._given)
            client.nameservers = self._given or [_Server(str(host), client.port) for host in client.nameservers]
            client.use_edns(0, 0, _PAYLOAD)
            client.timeout = self._wait / 2.5  # for one try, so that a lost packet is not the end
            self._client, self._read = client, now
        return self._client


def canonical_name(name: str) -> str:
    """The name in lower case and A-labels (RFC 5891) without the final dot; "" if it can have no records."""
    return _canonical(name) if len(name) <= 254 else ""


@lru_cache(maxsize=4096)
def _canonical(name: str) -> str:
    name = name.removesuffix(".")
    if not name.isascii():
        folded = unicodedata.normalize("NFC", name.lower())
        if folded.isascii():  # the sign for kelvin is no K
            return ""
        try:
            # Strict: no mapping (UTS 46) may make one domain of characters that only look like another's.
            name = idna.encode(folded, strict=True).decode("ascii")
        except UnicodeError:  # IDNAError is one
            return ""
    if not name or len(name) > 253 or any(not 1 <= len(label) <= 63 for label in name.split(".")):
        return ""
    return name.lower()


def _server(endpoint: str) -> dns.nameserver.Nameserver:
    host, port = split_endpoint(endpoint)
    with contextlib.suppress(ValueError):
        return _Server(str(ip_address(host)), port)
    raise ConfigError(f'[proof] dns: "{endpoint}" has no IP address before the port; write one like 192.0.2.53:53')


def _weight(value: tuple[_Answer | None, float]) -> int:
    """Octets in memory, roughly: of the values, their objects, and the entry."""
    answer = value[0] or ()
    return 500 + sum(120 + len(one) if isinstance(one, bytes | str) else 200 for one in answer)


def _values(rrset: Any, kind: RdataType) -> _Answer:
    """What the records say.  Raises ValueError if that is too much."""
    if rrset is None:
        return ()
    if len(rrset) > RECORDS:
        raise ValueError("too many records")
    match kind:
        case RdataType.TXT:
            texts = tuple(b"".join(record.strings) for record in rrset)
            if sum(map(len, texts)) > OCTETS:
                raise ValueError("too many octets")
            return texts
        case RdataType.MX:
            hosts = ((record.preference, _host(record.exchange)) for record in rrset)
            return tuple(sorted((preference, host) for preference, host in hosts if host is not None))
        case RdataType.PTR:
            return tuple(host for record in rrset if (host := _host(record.target)))
        case _:
            return tuple(ip_address(record.address) for record in rrset)


def _host(name: dns.name.Name) -> str | None:
    """In lower case, "" for the root, None for a name that is no host's."""
    text = name.to_text(omit_final_dot=True).lower()
    if text in ("", ".", "@"):
        return ""
    return text if _HOST.fullmatch(text) else None
