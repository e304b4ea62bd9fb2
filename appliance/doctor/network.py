"""How checks look at the network: names, greetings, this machine's own addresses.

Security: whoever answers may say what he likes; one line is read, bounded in octets and in time, and control characters
are taken out before it is shown.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence

import psutil

from appliance.facts import Interface
from mailstore.config import reached_at
from mailstore.header import clean

PATIENCE = 5.0
"""Seconds for whoever is asked something."""


async def greeting(listen: str, tls: bool, expected: bytes) -> str:
    """Why the listener is not ours as it should be; "" if it is."""
    host, port = reached_at(listen)
    context = ssl.create_default_context() if tls else None
    if context is not None:  # what the certificate is worth is another check's affair
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=4096)
            try:
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        return f"{host}:{port} does not answer within {PATIENCE:.0f} s"
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        return f"{host}:{port} cannot be reached ({why})"
    if not line.startswith(expected):
        return f"{host}:{port} says {clean(line.decode('latin-1'), 60)!a}, which is not Printpost's greeting"
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


def own_interfaces() -> Sequence[Interface]:
    """This machine's addresses with their networks."""
    found: list[Interface] = []
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.netmask:
                mask = one.netmask
                if one.family == socket.AF_INET6:  # told as an address, of which ipaddress takes only the length
                    mask = str(int(ipaddress.IPv6Address(mask)).bit_count())
                found.append(ipaddress.ip_interface(f"{one.address.partition('%')[0]}/{mask}"))
    return found
