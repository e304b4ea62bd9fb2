"""Device addresses: what a printer's entry may name, and one canonical name for each, so that two entries that name
one device share one line.

Two names that mean one device are two lines here, and their jobs take turns at the device's port as strangers' do: what
a name means may change with every look, so lines are not joined by it.

Security: an address comes from the directory, which only the site's people write.  Still, nothing but a host and a port
gets through; multicast, broadcast and unspecified addresses are refused here, and once more after names are resolved,
with all else that must not be dialed (`printerbridge.guard`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache

from mailstore.failure import PermanentFailure
from printerbridge import appsocket
from printerbridge.guard import Guard

DEFAULT_PORT = 9100


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One physical printer, as far as addresses tell.  Equal devices are the same one."""

    scheme: str
    host: str  # lower case; an IPv6 address in its shortest form, without brackets
    port: int

    @property
    def uri(self) -> str:
        return (
            f"{self.scheme}://[{self.host}]:{self.port}"
            if ":" in self.host
            else f"{self.scheme}://{self.host}:{self.port}"
        )

    @property
    def resource(self) -> str:
        """What is leased before anything is sent (`mailstore.store.contract.Lease`)."""
        return f"device:{self.uri}"

    async def connect(self, patience: appsocket.Patience, guard: Guard) -> appsocket.Connection:
        """Raises `appsocket.NotConnected`."""
        return await SCHEMES[self.scheme](self.host, self.port, patience, guard)


SCHEMES: dict[str, Callable[[str, int, appsocket.Patience, Guard], Awaitable[appsocket.Connection]]] = {
    "socket": appsocket.connect,
}
"""The ways to a printer.  A new one is a file beside `appsocket` and a line here."""

_URI = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s\[\]:/?#@]+))(?::(?P<port>\d{1,5}))?/?",
    re.ASCII,
)
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")


@lru_cache(maxsize=16384)
def parse(uri: str) -> Device:
    """The device that `uri` names.  Raises `PermanentFailure` with what to write instead."""
    parts = _URI.fullmatch(uri)
    scheme = parts["scheme"].lower() if parts else ""
    host = _host(parts["v6"] or parts["host"]) if parts else ""
    port = int((parts and parts["port"]) or DEFAULT_PORT)
    if scheme not in SCHEMES or not host or not 1 <= port <= 65535:
        raise PermanentFailure("5.3.5", f'"{uri}" is not a printer\'s address; write socket://HOST:PORT')
    return Device(scheme=scheme, host=host, port=port)


def _host(text: str) -> str:
    """The host in its canonical form; "" if it cannot be a printer's."""
    name = text.rstrip(".").lower()
    try:
        ip = ipaddress.ip_address(name)
    except ValueError:
        # Names of digits and dots only are old spellings of IPv4 addresses, which resolvers still read.
        return name if _NAME.fullmatch(name) and not re.fullmatch(r"[\d.]+|0x[\da-f]+", name) else ""
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    ip = mapped or ip
    if ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255":
        return ""
    return str(ip)
