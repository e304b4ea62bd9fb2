"""Checks of what runs: the two processes, their listeners, and the files that they may open."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from pathlib import Path

from appliance.doctor.finding import Finding, error, ok, warning
from appliance.doctor.house import House
from appliance.doctor.network import greeting, on_loopback, taken
from appliance.peer import plain_ip, within
from appliance.proxy_protocol import LOCAL
from mailstore.config import Pop3, Pop3s, Settings, Smtp, Submission, Submissions
from mailstore.config_values import reached_at
from mailstore.failure import PermanentFailure
from mailstore.monitoring import CONNECTIONS
from mailstore.store.contract import Role

FILES = 4096
"""Open files that the appliance may need, at least: a connection of SMTP, POP3 or HTTP each, and the store's own."""
_OWN = 512
"""Those that are no connections."""

_Door = Smtp | Submission | Submissions | Pop3 | Pop3s
_Listener = tuple[str, str, bool, bytes, bytes]
"""Section, address, whether TLS comes first, how ours greets, and what it must be asked for that."""


async def processes(house: House) -> AsyncIterator[Finding]:
    if house.appliance.nobody and house.bridge.nobody:
        if await _answers(house.settings):
            what = f"Printpost listens on {house.settings.smtp.listen} and has other settings"
            yield error("processes", f"{what} than these: give doctor its configuration")
        else:
            yield error("processes", "nothing runs: start it with printpost up")
        return
    asked = ((Role.APPLIANCE, house.appliance, "printpost serve"), (Role.BRIDGE, house.bridge, "printpost bridge"))
    for role, answer, alone in asked:
        if not answer.trouble:
            yield ok(role.value, "it runs and is ready")
        elif answer.nobody:
            yield error(role.value, f"{answer.trouble}: it runs under printpost up, or by itself as {alone}")
        elif answer.silent:
            yield error(role.value, f"{answer.trouble}{_stopped(house.settings.store.folder, role)}")
        else:
            yield error(role.value, answer.trouble)


def _stopped(folder: Path, role: Role) -> str:
    """What to do about a process that takes connections and is silent."""
    process = running(folder, role)
    if process and "\nState:\tT" in _status(process):  # proc(5)
        return f": process {process} was stopped; let it go on with kill -CONT {process}"
    return ": it is stuck; its log may say why, and printpost up starts anew what is killed"


def running(folder: Path, role: Role) -> int:
    """The id of the process that has this role for the store in `folder`, 0 if it cannot be seen from here."""
    try:
        process = int((folder / f"{role.value}.lock").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return process if _status(process) else 0


def _status(process: int) -> str:
    try:
        return Path(f"/proc/{process}/status").read_text(errors="replace")
    except OSError:
        return ""


async def doors(house: House) -> AsyncIterator[Finding]:
    listeners = _listeners(house.settings)
    if not house.appliance.heard:
        for section, listen, *_ in [] if await _answers(house.settings) else listeners:
            if trouble := taken(listen, f"[{section}] listen"):
                yield error(section, trouble)
        return
    if house.appliance.trouble:  # whoever is silent on one is so on all
        return
    troubles = await asyncio.gather(*(greeting(*listener[1:]) for listener in listeners))
    for (section, *_), trouble in zip(listeners, troubles, strict=True):
        if trouble:
            yield error(section, f"nobody can use it: {trouble}; restart Printpost if [{section}] was changed")
    if not any(troubles):
        yield ok("doors", "SMTP, submission, POP3 and the page answer")


async def _answers(settings: Settings) -> bool:
    """Whether our own receiver greets us."""
    return not await greeting(*_listeners(settings)[0][1:])


def _listeners(settings: Settings) -> list[_Listener]:
    hello, pop3 = (f"{word} {settings.site.hostname} ".encode() for word in ("220", "+OK"))
    for_mail: list[tuple[str, _Door, bool, bytes]] = [
        ("smtp", settings.smtp, False, hello),
        ("submission", settings.submission, False, hello),
        ("submissions", settings.submissions, True, hello),
        ("pop3", settings.pop3, False, pop3),
        ("pop3s", settings.pop3s, True, pop3),
    ]
    listeners = [
        (name, door.listen, tls, hello, LOCAL if _is_balancer(door) else b"")
        for name, door, tls, hello in for_mail
        if not (tls and _is_balancer(door))  # the header would have to go before the handshake
    ]
    page = settings.web.listen
    return [*listeners, ("web", page, not on_loopback(page), b"HTTP/1.1 ", b"GET /login HTTP/1.0\r\n\r\n")]


def _is_balancer(door: _Door) -> bool:
    """Whether a client of this machine passes for one there."""
    try:
        ip = plain_ip(reached_at(door.listen)[0])
    except PermanentFailure:  # a name, which is not loopback
        return False
    return within(ip, door.proxies)


async def files(house: House) -> AsyncIterator[Finding]:
    process = running(house.settings.store.folder, Role.APPLIANCE) if house.appliance.heard else 0
    if process and (trouble := few_files(process, needed(house.settings))):
        yield warning("files", trouble)


def needed(settings: Settings) -> int:
    """Open files, by the connections that `[limits]` allow."""
    limits = settings.limits
    return max(FILES, limits.connections + limits.pop3_connections + CONNECTIONS + _OWN)


def few_files(process: int, files: int = FILES) -> str:
    """Why a process may run out of open files, "" if it may not or nobody knows."""
    try:
        soft, _ = resource.prlimit(process, resource.RLIMIT_NOFILE)
    except OSError:  # another user's, or gone
        return ""
    if soft == resource.RLIM_INFINITY or soft >= files:
        return ""
    return (
        f"the appliance may open {soft} files, which is too few when many connect at once: start it with"
        f" ulimit -n {files}, or LimitNOFILE={files} in its unit"
    )
