"""Who really sent a mail: asked of the DNS while it arrives, and judged when it has ended.

`MailAuth.spf` is for the reverse-path, before any octet of the message; `examine` takes the header when it has ended,
and gives an `Examination` that hashes what streams by and in the end says what was found.  What that proves at one
address says `appliance.proof.conclude`, as a field `appliance.proof.report`.

Security: all of it is a stranger's, and he chooses whom we ask.  A mail keeps its header and at most two hashes; its
questions to the DNS are bounded in number (five signatures, ten seals, eight steps of each walk), in time all together
(`DEADLINE`), and over all mails, and those of one client, by the resolver.  What is not known by then failed for now,
and proves nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from cachetools import TTLCache
from prometheus_client import Counter

from appliance.peer import Address, customer
from appliance.proof import arc, dkim, dmarc, tags
from appliance.proof.body import BodyHashes
from appliance.proof.dns import Resolver
from appliance.proof.fields import Field, author, fields
from appliance.proof.result import ArcFinding, DkimFinding, DmarcFinding, Findings, Result, SpfFinding
from appliance.proof.spf import check_host
from appliance.proof.tags import Malformed
from appliance.proof.turns import CLIENT
from mailstore.config import Settings
from mailstore.failure import TransientFailure

RESULTS = Counter(
    "printpost_mail_authentication_total",
    "Results of SPF, DKIM, ARC and DMARC, one per signature.",
    ["method", "result"],
)
DEADLINE = 10.0
"""Seconds for all questions about a message that has ended."""
_REMEMBERED, _SECONDS = 2_000, 30.0
_LATE = "the DNS did not answer in time"

_MAYBE = (Result.PASS, Result.TEMPERROR)
_T = TypeVar("_T")
_SpfKey = tuple[Address, str, str]


class MailAuth:
    """One for the appliance; `resolver` is for who has one already, and is closed by him who made it."""

    def __init__(
        self,
        settings: Settings,
        resolver: Resolver | None = None,
        *,
        clock: Callable[[], float] = time.time,
        deadline: float = DEADLINE,
    ) -> None:
        self.forwarders: frozenset[str] = frozenset(settings.proof.forwarders)
        self._resolver = resolver or Resolver(settings.proof)
        self._own = None if resolver else self._resolver
        self._apart = not settings.smtp.behind  # behind another server all come from one address
        self._clock = clock
        self._deadline = deadline
        self._asked: TTLCache[_SpfKey, SpfFinding] = TTLCache(_REMEMBERED, _SECONDS)
        self._under_way: dict[_SpfKey, asyncio.Task[SpfFinding]] = {}

    async def spf(self, ip: Address, helo: str, reverse_path: str) -> SpfFinding:
        """SPF of the reverse-path, of HELO where that is null (RFC 7208 section 2.4).  Never raises.

        Recipients of one transaction, and mails that follow one another, ask once.
        """
        asked = (ip, helo, reverse_path)
        if known := self._asked.get(asked):
            return known
        task = self._under_way.get(asked)
        if task is None:
            task = asyncio.create_task(self._check_host(asked))
            self._under_way[asked] = task
            task.add_done_callback(lambda _: self._under_way.pop(asked, None))
        return await asyncio.shield(task)

    async def _check_host(self, asked: _SpfKey) -> SpfFinding:
        ip, helo, reverse_path = asked
        CLIENT.set(self._client(ip))
        found = await check_host(self._resolver, ip=ip, helo=helo, reverse_path=reverse_path)
        RESULTS.labels("spf", found.result.value).inc()
        if found.result is not Result.TEMPERROR:
            self._asked[asked] = found
        return found

    def examine(self, block: bytes, ip: Address | None = None) -> Examination:
        """The header has ended: `block` is all of it as received, each line with its CRLF, without the empty line.

        `ip` is the client for whom the DNS is asked, if that is to be bounded.
        """
        client = self._client(ip) if ip else None
        return Examination(self._resolver, block, self.forwarders, self._clock(), self._deadline, client)

    def _client(self, ip: Address) -> int | None:
        return customer(ip) if self._apart else None

    async def close(self) -> None:
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        if self._own:
            await self._own.close()


class Examination:
    """One message.  `author` is its one From author, canonical, "" where there is none, or more than one."""

    def __init__(
        self,
        resolver: Resolver,
        block: bytes,
        forwarders: Collection[str],
        now: float,
        deadline: float,
        client: int | None = None,
    ) -> None:
        self.author = author(block)
        self._resolver = resolver
        self._forwarders = forwarders
        self._deadline = deadline
        self._client = client
        # Nothing that is signed is believed of a header that can be read in two ways.
        header: Sequence[Field] = fields(block) or ()
        self._candidates = dkim.candidates(header, self.author, now)
        self._chain = arc.chain(header, forwarders, now)
        signatures = [one.signature for one in self._candidates]
        signatures += [self._chain.signature] if self._chain else []
        self._body = BodyHashes({signature.body for signature in signatures if signature})

    def feed(self, octets: bytes | bytearray | memoryview) -> None:
        """What stands behind the header, beginning with the empty line, cut anywhere."""
        self._body.feed(octets)

    async def end(self, spf: SpfFinding | None) -> Findings:
        """The message has ended.  `spf` is what was found for its reverse-path, None if that was not asked."""
        digests = self._body.digests()
        before = CLIENT.set(self._client)  # the tasks take it with them
        verdicts = [asyncio.create_task(dkim.verify(self._resolver, one, digests)) for one in self._candidates]
        seals = asyncio.create_task(self._seals(digests))
        judging = asyncio.create_task(self._judge(verdicts, spf))
        CLIENT.reset(before)
        tasks = (*verdicts, seals, judging)
        try:
            await asyncio.wait(tasks, timeout=self._deadline)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        late = [one.finding(Result.TEMPERROR, _LATE) for one in self._candidates]
        found = [_got(task, otherwise) for task, otherwise in zip(verdicts, late, strict=True)]
        policy, alignment = _got(judging, (self._unknown(_LATE), dmarc.Alignment()))
        findings = Findings(
            author=self.author,
            spf=spf,
            spf_aligned=alignment.spf,
            dkim=tuple(replace(one, aligned=one.domain in alignment.signers) for one in found),
            arc=_got(seals, self._chain.finding(Result.TEMPERROR, _LATE) if self._chain else None),
            dmarc=policy,
        )
        _count(findings)
        return findings

    async def _seals(self, digests: Mapping[str, bytes]) -> ArcFinding | None:
        if self._chain is None:
            return None
        return await arc.validate(self._resolver, self._chain, digests, author=self.author, forwarders=self._forwarders)

    async def _judge(
        self, verdicts: Sequence[Awaitable[DkimFinding]], spf: SpfFinding | None
    ) -> tuple[DmarcFinding | None, dmarc.Alignment]:
        """The record is looked for while the signatures are verified."""
        try:
            domain = tags.domain(self._domain)
        except Malformed:
            return None, dmarc.Alignment()  # no author, or one at an address literal
        try:
            own = await dmarc.walk(self._resolver, domain)
            found = [one for one in await asyncio.gather(*verdicts) if one.result in _MAYBE]
            envelope = spf.domain if spf and not spf.helo and spf.result in _MAYBE else ""
            alignment = await dmarc.align(self._resolver, own, spf=envelope, signers=[one.domain for one in found])
        except TransientFailure as failure:
            return self._unknown(failure.text), dmarc.Alignment()
        except Malformed as malformed:
            finding = DmarcFinding(result=Result.PERMERROR, domain=domain, reason=f"its record: {malformed}")
            return finding, dmarc.Alignment()
        heard = {one.result for one in found if one.domain in alignment.signers}
        heard |= {spf.result} if spf and alignment.spf else set()
        if heard == {Result.TEMPERROR} and own.record:
            return self._unknown("what might have passed could not be looked up"), alignment
        return dmarc.judged(own, passed=Result.PASS in heard), alignment

    @property
    def _domain(self) -> str:
        return self.author.rpartition("@")[2]

    def _unknown(self, reason: str) -> DmarcFinding | None:
        return DmarcFinding(result=Result.TEMPERROR, domain=self._domain, reason=reason) if self._domain else None


def _got(task: asyncio.Task[_T], otherwise: _T) -> _T:
    return otherwise if task.cancelled() else task.result()


def _count(findings: Findings) -> None:
    for one in findings.dkim:
        RESULTS.labels("dkim", one.result.value).inc()
    if findings.arc:
        RESULTS.labels("arc", findings.arc.result.value).inc()
    if findings.dmarc:
        RESULTS.labels("dmarc", findings.dmarc.result.value).inc()
