"""Whether a client may send mail in a domain's name: `check_host` of SPF (RFC 7208).

Two readings of the RFC are ours.  A look-up is void (section 4.6.4) by the term that asks: a term counts once, if all
that it asked was empty, so that an MX with three hosts without AAAA is no permerror to a client with IPv6.  Of a `ptr`
only those names are proved that would match.

Security: the records are a stranger's, and so are the address and the greeting that their macros put into names.  There
are at most 10 terms that ask, 2 that find nothing, 10 hosts of an MX and 10 names of an address, and `DEADLINE` for all
of it; records are bounded where they are read.  A name that is not ASCII after expansion, or can have no records, does
not match, and nobody is asked (RFC 8616 section 4).  An explanation is text of the stranger: one question with a short
deadline, and cleaned.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Final

from appliance.peer import Address
from appliance.proof import spf_macro, spf_record
from appliance.proof.dns import DnsFailure, Resolver, canonical_name
from appliance.proof.result import Result, SpfFinding
from appliance.proof.spf_macro import MacroError, Template
from appliance.proof.spf_record import Mechanism, RecordError
from mailstore.header import clean

DEADLINE: Final = 20.0
"""Seconds: the least that section 4.6.4 wants a check to be given."""
TERMS: Final = 10
"""That ask the DNS."""
VOID: Final = 2
HOSTS: Final = 10
"""Of one MX, and names of one address."""
OCTETS: Final = 16 << 10
"""Of all records together."""
_EXPLAINING: Final = 2.0
_EXPLANATION: Final = 1000  # octets
_SHOWN: Final = 200

_FQDN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+(?![0-9]+\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class _PermError(Exception):
    """The domain's records are wrong; why, for the administrator."""


async def check_host(
    resolver: Resolver, *, ip: Address, helo: str, reverse_path: str, receiver: str = spf_macro.UNKNOWN
) -> SpfFinding:
    """What the domain of the reverse-path, or of `helo` for the null one, says of mail from `ip`.

    `receiver` is our own name, for explanations.  Never raises.
    """
    local, _, domain = reverse_path.rpartition("@")
    null = not reverse_path
    domain = canonical_name(helo if null else domain)
    if not _FQDN.fullmatch(domain):  # section 4.3; an address literal too
        return SpfFinding(result=Result.NONE, helo=null, reason="no domain that could have an SPF record")
    check = _Check(resolver, ip, helo[:255], local or "postmaster", domain, receiver)
    try:
        async with asyncio.timeout(DEADLINE):
            result = await check.domain(domain) or Result.NONE
    except (_PermError, RecordError) as error:
        result, check.reason = Result.PERMERROR, str(error)
    except DnsFailure as failure:
        result, check.reason = Result.TEMPERROR, failure.text
    except TimeoutError:
        result, check.reason = Result.TEMPERROR, f"the DNS did not answer all that {domain} asks for in time"
    if result is Result.FAIL and (words := await check.explanation()):
        check.reason += f"; {words}"
    return SpfFinding(result=result, domain=domain, helo=null, reason=clean(check.reason, 2 * _SHOWN))


class _Check:
    """One check and what it has used up."""

    def __init__(self, resolver: Resolver, ip: Address, helo: str, local: str, domain: str, receiver: str) -> None:
        self.reason = ""
        self._resolver = resolver
        self._ip = ip
        self._terms = 0
        self._void = 0
        self._octets = 0
        self._names: Sequence[str] | None = None
        self._proved: dict[str, bool] = {}
        self._explained: tuple[Template, str] | None = None
        self._values = {
            "s": f"{local}@{domain}",
            "l": local,
            "o": domain,
            "i": spf_macro.dotted(ip),
            "v": spf_macro.version(ip),
            "h": helo,
            "c": str(ip),
            "r": receiver,
            "t": str(int(time.time())),
        }

    async def domain(self, domain: str, *, included: bool = False) -> Result | None:
        """check_host of one domain; None where it has no record.

        Raises `_PermError`, `RecordError` and `DnsFailure`.
        """
        octets = spf_record.select(await self._resolver.txt(domain))
        if octets is None:
            self.reason = f"{domain} has no SPF record"
            return None
        self._octets += len(octets)
        if self._octets > OCTETS:
            raise _PermError(f"all SPF records together are longer than {OCTETS} octets, the last of {domain}")
        try:
            record = spf_record.parse(octets)
        except RecordError as error:
            raise _PermError(f"{domain}: {error}") from None
        for mechanism in record.mechanisms:
            if await self._matches(mechanism, domain):
                self.reason = f"{mechanism.text[:_SHOWN]} of {domain}"
                if record.explanation and not included:
                    self._explained = record.explanation, domain
                return mechanism.result
        if record.redirect:
            return await self._redirected(record.redirect, domain, included)
        self.reason = f"nothing in the SPF record of {domain} matches"
        return Result.NEUTRAL

    async def _redirected(self, redirect: Template, domain: str, included: bool) -> Result:
        """Section 6.1."""
        self._count(domain)
        target = await self._name(redirect, domain)
        result = await self.domain(target, included=included) if target else None
        if result is None:
            raise _PermError(f"{domain} redirects to {target or 'a name'} that has no SPF record")
        return result

    async def _matches(self, mechanism: Mechanism, domain: str) -> bool:
        if mechanism.name == "all":
            return True
        if mechanism.address is not None:
            return mechanism.near(self._ip, mechanism.address)
        self._count(domain)
        target = await self._name(mechanism.target, domain)
        if mechanism.name == "include":
            return await self._included(target, domain)
        if not target:
            return False
        match mechanism.name:
            case "a":
                addresses = await self._addresses(target)
                self._found(addresses, domain)
                return self._near(addresses, mechanism)
            case "mx":
                return await self._mx(target, mechanism, domain)
            case "exists":
                found = await self._resolver.a(target)
                self._found(found, domain)
                return bool(found)
            case _:
                return await self._ptr(target, domain)

    async def _included(self, target: str, domain: str) -> bool:
        """Section 5.2."""
        result = await self.domain(target, included=True) if target else None
        if result is None:
            raise _PermError(f"{domain} includes {target or 'a name'} that has no SPF record")
        return result is Result.PASS

    async def _mx(self, target: str, mechanism: Mechanism, domain: str) -> bool:
        """Section 5.4."""
        hosts = await self._resolver.mx(target)
        if len(hosts) > HOSTS:
            raise _PermError(f"{domain} names the MX of {target}, which has more than {HOSTS} hosts")
        void = True
        for _, host in hosts:
            addresses = await self._addresses(host)
            if self._near(addresses, mechanism):
                return True
            void = void and not addresses
        self._found(not void, domain)
        return False

    async def _ptr(self, target: str, domain: str) -> bool:
        """Section 5.5."""
        names = await self._reverse()
        self._found(names, domain)
        for name in names:
            if _below(name, target) and await self._validated(name):
                return True
        return False

    async def _reverse(self) -> Sequence[str]:
        """The first names of the client's address; none where the DNS fails."""
        if self._names is None:
            try:
                self._names = (await self._resolver.ptr(self._ip))[:HOSTS]
            except DnsFailure:
                self._names = ()
        return self._names

    async def _validated(self, name: str) -> bool:
        """Whether the name leads back to the client's address."""
        if name not in self._proved:
            try:
                self._proved[name] = self._ip in await self._addresses(name)
            except DnsFailure:
                self._proved[name] = False
        return self._proved[name]

    async def _best(self, domain: str) -> str:
        """The macro `p`: section 7.3."""
        names = await self._reverse()
        for name in sorted(names, key=lambda name: (name != domain, not _below(name, domain))):
            if await self._validated(name):
                return name
        return spf_macro.UNKNOWN

    async def _addresses(self, name: str) -> Sequence[Address]:
        return await (self._resolver.a(name) if self._ip.version == 4 else self._resolver.aaaa(name))

    def _near(self, addresses: Sequence[Address], mechanism: Mechanism) -> bool:
        return any(mechanism.near(self._ip, address) for address in addresses)

    def _count(self, domain: str) -> None:
        self._terms += 1
        if self._terms > TERMS:
            raise _PermError(f"more than {TERMS} look-ups are wanted, the last by {domain}")

    def _found(self, found: object, domain: str) -> None:
        self._void += not found
        if self._void > VOID:
            raise _PermError(f"more than {VOID} look-ups found nothing, the last for {domain}")

    async def _name(self, template: Template | None, domain: str) -> str:
        """The target-name of section 4.8; "" if it can have no records."""
        if template is None:
            return domain
        name = template.name(await self._filled(template, domain))
        return canonical_name(name) if name.isascii() else ""

    async def _filled(self, template: Template, domain: str) -> dict[str, str]:
        self._values["d"] = domain
        if "p" in template.letters:
            self._values["p"] = await self._best(domain)
        return self._values

    async def explanation(self) -> str:
        """What the domain wants to be told where it fails (section 6.2); "" where that is not to be had."""
        if self._explained is None:
            return ""
        template, domain = self._explained
        try:
            async with asyncio.timeout(_EXPLAINING):
                name = await self._name(template, domain)
                texts = await self._resolver.txt(name) if name else ()
                if len(texts) != 1 or len(texts[0]) > _EXPLANATION:
                    return ""
                words = spf_macro.parse(texts[0].decode("ascii"), explanation=True)
                said = words.expand(await self._filled(words, domain))
                return f"{domain} says: {clean(said, _SHOWN)}"
        except (DnsFailure, MacroError, TimeoutError, UnicodeDecodeError):
            return ""


def _below(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")
