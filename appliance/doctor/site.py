"""Checks of what the configuration says of the site: its name, its networks, its certificate."""

from __future__ import annotations

import asyncio
import ipaddress
import stat
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from appliance.doctor.finding import Finding, error, note, ok, warning
from appliance.doctor.house import House
from appliance.doctor.network import resolved
from appliance.facts import everywhere
from appliance.tls import RENEWAL, Certificate, open_certificate
from mailstore.config import ConfigError, Settings
from mailstore.failure import Failure

_SOON = 14 * 86400.0
_WIDEST = {4: 16, 6: 32}
"""What a site has of the public internet, at most, as the length of its prefix."""


async def name(house: House) -> AsyncIterator[Finding]:
    hostname = house.settings.site.hostname
    addresses = await resolved(hostname)
    if not addresses:
        yield warning(
            "name",
            f"{hostname} does not resolve: mail servers cannot find this one; enter it into your DNS,"
            " or set [site] hostname to the name that it has",
        )
    elif all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses):
        yield note(
            "name",
            f"{hostname} is {', '.join(addresses)}, which only this machine believes (/etc/hosts): see that your DNS"
            " knows it too",
        )
    else:
        yield ok("name", f"{hostname} is {', '.join(addresses)}")


async def networks(house: House) -> AsyncIterator[Finding]:
    if everything := everywhere(house.settings.site.networks):
        yield error(
            "networks",
            f"[site] networks hold every address there is ({', '.join(map(str, everything))}), so everybody counts as"
            " one of the site and may use any address as sender: name your own networks only",
        )
        return
    for network in house.settings.site.networks:
        if not network.is_global:
            continue
        told = f"[site] networks hold {network}, which is of the public internet"
        if network.prefixlen < _WIDEST[network.version]:
            yield warning("networks", f"{told} and more than one site has: name only what is yours")
        else:
            yield note(
                "networks", f"{told}: see that all of it is yours, for its clients may use any address as sender"
            )


async def certificate(house: House) -> AsyncIterator[Finding]:
    for finding in await asyncio.to_thread(certificate_of, house.settings, time.time()):
        yield finding


def certificate_of(settings: Settings, now: float) -> list[Finding]:
    """What is to be said of the certificate.  None is made."""
    if settings.tls.certificate is None and settings.tls.key is None:
        return [_self_signed(settings.store.folder / "tls", now)]
    try:
        found = open_certificate(settings)
    except (ConfigError, Failure) as failure:
        return [error("certificate", str(failure))]
    left = found.not_after - now
    findings = [*_unfit(found, settings.site.hostname, now)]
    if left < 0:
        day = time.strftime("%d %B %Y", time.gmtime(found.not_after))
        findings.append(error("certificate", f"it expired on {day}, so it is refused: renew {found.files[0]}"))
    elif left < _SOON:
        findings.append(warning("certificate", f"it expires in {left / 86400:.0f} days: renew {found.files[0]}"))
    return findings or [ok("certificate", f"it is good for another {left / 86400:.0f} days")]


def _self_signed(folder: Path, now: float) -> Finding:
    files = (folder / "certificate.pem", folder / "key.pem")
    advice = "set [tls] certificate and key to one that they trust"
    try:
        missing = not files[0].exists()
        found = None if missing else Certificate(files)
    except PermissionError as refused:
        return warning("certificate", f"{refused.filename} cannot be looked at: run doctor as the user of Printpost")
    except ConfigError as unfit:
        return note(
            "certificate", f"a new self-signed one is made at the next start, for this one does not do: {unfit}"
        )
    if found is None:
        return note(
            "certificate",
            "none is set, so a self-signed one is made at the first start, and browsers and mail programs ask whether"
            f" to trust it; {advice}",
        )
    if found.not_after - RENEWAL < now:
        return note("certificate", "it is self-signed and ends soon: the appliance makes a new one by itself")
    return note(
        "certificate",
        "it is self-signed, so browsers and mail programs ask whether to trust it (SHA-256"
        f" {found.fingerprint[:23]}...); {advice}",
    )


def _unfit(found: Certificate, hostname: str, now: float) -> Iterable[Finding]:
    (certificate, key), names = found.files, found.names
    if not covers(names, hostname):
        yield warning(
            "certificate",
            f"{certificate} is for {', '.join(names) or 'no name'} and not for {hostname}: mail programs and browsers"
            " will warn of it; get one for that name, or set [site] hostname",
        )
    if found.not_before > now:
        begins = time.strftime("%d %B %Y", time.gmtime(found.not_before))
        yield warning("certificate", f"{certificate} is not valid before {begins}: wait, or set the clock")
    if key.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield warning("certificate", f"everybody on this machine can read the key: chmod o= {key}")


def covers(names: Iterable[str], hostname: str) -> bool:
    """Whether one of a certificate's names is this host's; a star is its whole first label (RFC 9525 section 6.3)."""
    rest = hostname.partition(".")[2]
    return any(name.lower() in (hostname, f"*.{rest}" if rest else hostname) for name in names)
