"""Checks of who brings the mail: balancers in front, addresses of the site that speak for half the world, and the DNS
that proves all others.

Security: names of HELO and senders are strangers' words: they are counted and cleaned, a few of them are shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.doctor.finding import Finding, error, ok, warning
from appliance.doctor.house import House
from appliance.facts import everywhere
from appliance.peer import plain_ip, within
from appliance.proof.dns import DnsFailure, Resolver
from mailstore.config import ConfigError, Settings
from mailstore.header import clean
from mailstore.store.contract import Origin

LATELY: Final = 2000
"""Mails that are looked at."""
NAMES: Final = 3
"""So many foreign names one client does not have."""
DOMAINS: Final = 5
"""In the name of so many foreign domains one client does not send."""

EVERYWHERE: Final = "example.com"
"""A domain that is always there (RFC 2606 section 3), and nobody's."""

_AT_HOME: Final = frozenset({"local", "localdomain", "lan", "internal", "arpa", "localhost", "test"})
"""Last labels that no mail server of the internet has."""


async def proxies(house: House) -> AsyncIterator[Finding]:
    settings = house.settings
    for name in ("smtp", "submission", "submissions", "pop3", "pop3s"):
        if found := everywhere(getattr(settings, name).proxies):
            yield error(
                "proxies",
                f"[{name}] proxies hold every address there is ({', '.join(map(str, found))}), so everybody may say"
                " that he is whoever he likes: name your balancers only",
            )


async def dns(house: House) -> AsyncIterator[Finding]:
    """Whether SPF and DKIM can be looked up: who is proved by them gets 451 as long as they cannot."""
    servers = ", ".join(house.settings.proof.dns) or "the name servers of this machine (/etc/resolv.conf)"
    try:
        resolver = Resolver(house.settings.proof)
    except ConfigError as unfit:
        yield error("dns", str(unfit))
        return
    try:
        await resolver.txt(EVERYWHERE)
    except DnsFailure:
        yield warning(
            "dns",
            f"{servers} did not answer within {house.settings.proof.dns_wait:g} s, so no mail from outside is proved by"
            " SPF or DKIM, and its senders are told to come again: let this machine ask them (UDP and TCP), or name"
            " others in [proof] dns",
        )
    else:
        yield ok("dns", f"{servers}: answers")
    finally:
        await resolver.close()


async def insiders(house: House) -> AsyncIterator[Finding]:
    """Whether somebody who counts as one of the site hands on the internet's mail."""
    if house.store is None or house.settings.smtp.behind:
        return
    for crowd in crowds(house.settings, await house.store.origins(LATELY)):
        yield warning(
            "insiders",
            f"{crowd.ip} is in [site] networks, so whatever comes from it counts as the site's own, and of late it"
            f' spoke {crowd.told()}: if it is a mail server that hands mail on, set [smtp] behind = "mta"; if it is a'
            ' router or a container network that hides who connects, behind = "nat"; if it is a balancer, name it in'
            " [smtp] proxies; or take it out of [site] networks",
        )


@dataclass(slots=True, kw_only=True)
class Crowd:
    """An address for which foreign mail servers, or senders of foreign domains, spoke."""

    ip: str
    names: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)

    @property
    def is_one(self) -> bool:
        return len(self.names) >= NAMES or len(self.domains) >= DOMAINS

    def told(self) -> str:
        what = []
        if len(self.names) >= NAMES:
            what.append(f"by {len(self.names)} foreign names ({_some(self.names)})")
        if len(self.domains) >= DOMAINS:
            what.append(f"for {len(self.domains)} foreign domains ({_some(self.domains)})")
        return " and ".join(what)


def crowds(settings: Settings, origins: Sequence[Origin]) -> list[Crowd]:
    """Those addresses that do not look like one client, by what `[site] networks` hold now."""
    home = (*settings.domains, settings.site.hostname)
    found: dict[str, Crowd] = {}
    for origin in origins:
        ip = plain_ip(origin.client_ip)
        if not within(ip, settings.site.networks) or within(ip, settings.smtp.proxies):
            continue
        crowd = found.setdefault(str(ip), Crowd(ip=str(ip)))
        crowd.names |= _foreign(origin.helo, home)
        crowd.domains |= _foreign(origin.reverse_path.rpartition("@")[2], home)
    return sorted((crowd for crowd in found.values() if crowd.is_one), key=lambda crowd: crowd.ip)


def _foreign(name: str, home: Iterable[str]) -> set[str]:
    """The name, if it is a domain name of the internet and not one of ours, above or below it."""
    name = name.rstrip(".").lower()
    last = name.rpartition(".")[2]
    if "." not in name or name.startswith("[") or last in _AT_HOME or last.isdigit():
        return set()
    if any(name == own or name.endswith(f".{own}") or own.endswith(f".{name}") for own in home):
        return set()
    return {name}


def _some(names: set[str]) -> str:
    shown = sorted(clean(name, 60) for name in names)[:3]
    return ", ".join([*shown, "..."] if len(names) > 3 else shown)
