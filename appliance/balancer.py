"""Whose connection a balancer in front hands on: its PROXY header, read from the bare socket.

Security: only a connection from an address that `proxies` names is read here, before anything else is said on it, also
before TLS.  It has a deadline.  One that says something else is closed, and nobody is let in under the balancer's name.
"""

from __future__ import annotations

import asyncio
import socket

from appliance import proxy_protocol
from appliance.peer import Address
from mailstore.failure import PermanentFailure


async def read_header(own: socket.socket, balancer: Address, seconds: float) -> Address | None:
    """The client's address; the balancer's own if it connects for itself.  Not an octet behind the header is taken.

    None if it goes without a word, as balancers do every other second to see whether somebody listens.
    `own` does not block.  Raises `PermanentFailure` ("5.5.2") with what the balancer did instead.
    """
    loop = asyncio.get_running_loop()
    header = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while more := proxy_protocol.wanted(header):
                octets = await loop.sock_recv(own, more)
                if not octets and not header:
                    return None
                if not octets:
                    raise PermanentFailure("5.5.2", "it closed before its PROXY header was whole")
                header += octets
    except TimeoutError:
        raise PermanentFailure("5.5.2", f"it sent no whole PROXY header within {seconds:g} s") from None
    except OSError as lost:
        if not header:
            return None
        raise PermanentFailure("5.5.2", f"it was lost before its PROXY header was whole: {lost.strerror}") from None
    return proxy_protocol.origin(header) or balancer
