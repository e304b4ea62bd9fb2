"""Checks of this machine and of what runs on it."""

from __future__ import annotations

import asyncio
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

from appliance.doctor.finding import Finding, House, error, note, ok, warning
from appliance.doctor.network import PATIENCE, greeting, resolved
from appliance.tls import open_certificate
from mailstore.config import ConfigError, bracketed, reached_at
from mailstore.failure import Failure
from mailstore.header import clean

_SOON = 14 * 86400.0
_PROGRAMS = (
    ("gs", "ghostscript", "documents cannot be converted"),
    ("pdftocairo", "poppler-utils", "PDF cannot be converted"),
    ("bwrap", "bubblewrap", "converters run with resource limits only, without namespaces of their own"),
)


async def programs(_: House) -> AsyncIterator[Finding]:
    missing = [each for each in _PROGRAMS if shutil.which(each[0]) is None]
    for program, package, effect in missing:
        yield error("programs", f"{program} is not installed, so {effect}: apt-get install {package}")
    if not missing:
        yield ok("programs", "Ghostscript, poppler and bubblewrap are there")


async def disk(house: House) -> AsyncIterator[Finding]:
    folder, free = house.settings.store.folder, await house.store.free_octets()
    if free <= 0:
        reserve = house.settings.store.reserve >> 20
        yield error(
            "disk", f"less than the reserve of {reserve} MiB is free for {folder}, so mail is refused: make room there"
        )
    else:
        yield ok("disk", f"{free >> 20} MiB are free for mail in {folder}")


async def clock(house: House) -> AsyncIterator[Finding]:
    newest = await house.store.jobs(limit=1)
    if newest and newest[0].received_at > time.time() + 60:
        yield warning(
            "clock", "the newest job was received in the future: the clock was put back; set it, by NTP if you can"
        )


async def name(house: House) -> AsyncIterator[Finding]:
    hostname = house.settings.site.hostname
    addresses = await resolved(hostname)
    if not addresses:
        yield warning(
            "name",
            f"{hostname} does not resolve: mail servers cannot find this one; enter it into your DNS,"
            " or set [site] hostname to the name that it has",
        )
    else:
        yield ok("name", f"{hostname} is {', '.join(addresses)}")


async def certificate(house: House) -> AsyncIterator[Finding]:
    try:
        certificate = await asyncio.to_thread(open_certificate, house.settings)
    except (ConfigError, Failure) as failure:
        yield error("certificate", str(failure))
        return
    left = certificate.not_after - time.time()
    if left < 0:
        yield error("certificate", "it has expired: renew [tls] certificate")
    elif left < _SOON:
        yield warning("certificate", f"it expires in {left / 86400:.0f} days: renew [tls] certificate")
    elif certificate.self_signed:
        yield note(
            "certificate",
            "it is self-signed, so browsers and mail programs ask whether to trust"
            f" {certificate.fingerprint[:23]}...; set [tls] certificate and key to one of your own",
        )
    else:
        yield ok("certificate", f"it is good for another {left / 86400:.0f} days")


async def processes(house: House) -> AsyncIterator[Finding]:
    listeners = {"appliance": house.settings.metrics.listen, "bridge": house.settings.bridge.metrics_listen}
    for name, listen in listeners.items():
        host, port = reached_at(listen)
        where = f"{bracketed(host)}:{port}"
        try:
            answer = await asyncio.to_thread(_fetch, f"http://{where}/readyz")
        except urllib.error.HTTPError as refused:
            with refused:
                answer = clean(refused.read(200).decode(errors="replace"), 200)
            yield error(name, f"it runs and is not ready: {answer}; its log says more")
        except OSError as lost:
            reason = getattr(lost, "reason", lost)
            yield error(name, f"it does not answer on {where} ({reason}): start it with printpost up")
        else:
            yield ok(name, f"it runs: {answer.strip()}")


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - http, by our own configuration
        return str(answer.read(200).decode(errors="replace"))


async def doors(house: House) -> AsyncIterator[Finding]:
    settings = house.settings
    listeners = (
        ("smtp", settings.smtp.listen, False, b"220 "),
        ("submission", settings.submission.listen, False, b"220 "),
        ("submissions", settings.submissions.listen, True, b"220 "),
        ("pop3", settings.pop3.listen, False, b"+OK "),
        ("pop3s", settings.pop3s.listen, True, b"+OK "),
    )
    closed = False
    for name, listen, tls, expected in listeners:
        if trouble := await greeting(listen, tls, expected):
            closed = True
            yield error(name, f"nobody can use it: {trouble}")
    if not closed:
        yield ok("doors", "SMTP, submission and POP3 answer, with and without TLS")
