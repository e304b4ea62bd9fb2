"""How checks look at the network: names, greetings, this machine's own addresses.

Security: whoever answers may say what he likes, as slowly as he likes; a few octets are read, in a few seconds, and
control characters are taken out before they are shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.facts import Interface
from mailstore.config_values import bracketed, reached_at, split_endpoint
from mailstore.header import clean

PATIENCE = 5.0
"""Seconds for whoever is asked something."""
RESOLVING = 30.0
"""Seconds for many names together."""
_OCTETS = 4096
_AT_ONCE = 4  # names: who is silent keeps one of the few threads that all share

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of asking a process whether it is ready."""

    heard: bool  # it runs
    trouble: str  # "" if it is ready
    nobody: bool = False  # nothing at all listens there
    silent: bool = False  # somebody listens and does not answer


async def ask(listen: str, key: str) -> Answer:
    """Ask the process whose monitor listens there; `key` is that option of the configuration."""
    where = _shown(listen)
    try:
        said = await _exchange(listen, False, b"GET /readyz HTTP/1.0\r\n\r\n", whole=True)
    except ConnectionRefusedError:
        return Answer(heard=False, trouble=f"nothing listens on {where}", nobody=True)
    except TimeoutError:
        return Answer(heard=True, trouble=f"it does not answer on {where} within {PATIENCE:.0f} s", silent=True)
    except OSError as lost:
        return Answer(heard=False, trouble=f"{where} cannot be reached ({_why(lost)})")
    status = _STATUS.match(said)
    body = clean(said.partition(b"\r\n\r\n")[2].decode(errors="replace"), 200)
    if status and status[1] == b"503":
        return Answer(heard=True, trouble=f"it runs and is not ready ({body}): its log says more")
    if not status or status[1] != b"200" or body != "ok":
        return Answer(
            heard=False, trouble=f"something else than Printpost answers on {where}: end that, or set another {key}"
        )
    return Answer(heard=True, trouble="")


async def greeting(listen: str, tls: bool, expected: bytes, request: bytes = b"") -> str:
    """Why the listener is not ours as it should be; "" if it is."""
    where = _shown(listen)
    try:
        said = await _exchange(listen, tls, request)
    except TimeoutError:
        return f"{where} does not answer within {PATIENCE:.0f} s"
    except OSError as lost:
        return f"{where} cannot be reached ({_why(lost)})"
    if not said.startswith(expected):
        return f"{where} says {clean(said.decode('latin-1'), 60)!a}, which is not Printpost's greeting"
    return ""


async def _exchange(listen: str, tls: bool, request: bytes, *, whole: bool = False) -> bytes:
    """The first line that is said, or all of a short answer.  Raises OSError."""
    host, port = reached_at(listen)
    context = ssl.create_default_context() if tls else None
    if context is not None:  # what the certificate is worth is another check's affair
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    said = b""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_OCTETS)
        try:
            writer.write(request)
            while len(said) < _OCTETS and (whole or b"\n" not in said) and (more := await reader.read(_OCTETS)):
                said += more
        except ConnectionError:  # whoever hangs up on us has said enough
            pass
        finally:
            writer.transport.abort()
    return said


def on_loopback(listen: str) -> bool:
    """Whether a listener there is reached from this machine alone: HTTP needs no TLS then."""
    host, port = split_endpoint(listen)
    try:
        info = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError:
        return False
    return ipaddress.ip_address(str(info[4][0]).partition("%")[0]).is_loopback


def taken(listen: str, key: str) -> str:
    """Why nothing of ours could listen there now, "" if it could.  Nothing listens for it, not even for a moment."""
    host, port = split_endpoint(listen)
    try:
        info = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(*info[:3]) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(info[4])
    except PermissionError:
        return f"this user may not listen on port {port}: allow it (CAP_NET_BIND_SERVICE), or set {key} above 1023"
    except OSError as refused:
        if refused.errno == errno.EADDRINUSE:
            return f"{listen} is taken: end what listens there, or set another {key}"
        return f"nobody can listen on {listen} ({_why(refused)}): set {key} to an address of this machine"
    return ""


async def resolved(name: str) -> list[str]:
    """The addresses of a name, none if it has none or nobody answers in time."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def all_resolved(names: Iterable[str], seconds: float = RESOLVING) -> dict[str, list[str]]:
    """The addresses of each name, as `resolved`; left out are what is no name, and those without a turn in time."""
    turns, known = asyncio.Semaphore(_AT_ONCE), dict[str, list[str]]()

    async def one(name: str) -> None:
        async with turns:
            known[name] = await resolved(name)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for name in sorted(name for name in set(names) if name and not _is_literal(name)):
                group.create_task(one(name))
    return known


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def own_interfaces() -> Sequence[Interface]:
    """This machine's addresses with their networks."""
    import psutil  # a megabyte that a server need not hold

    found: list[Interface] = []
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.netmask:
                mask = one.netmask
                if one.family == socket.AF_INET6:  # told as an address, of which ipaddress takes only the length
                    mask = str(int(ipaddress.IPv6Address(mask)).bit_count())
                found.append(ipaddress.ip_interface(f"{one.address.partition('%')[0]}/{mask}"))
    return found


def _shown(listen: str) -> str:
    host, port = reached_at(listen)
    return f"{bracketed(host)}:{port}"


def _why(lost: OSError) -> str:
    if isinstance(lost, socket.gaierror | ssl.SSLError) or not lost.errno:
        return clean(lost.strerror or str(lost), 100)
    return os.strerror(lost.errno)
