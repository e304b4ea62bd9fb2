"""An LDAP server's URL (RFC 4516), and whether to encrypt what goes there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailstore.failure import PermanentFailure

_ADVICE = {"directory": "ldaps://HOST, ldap://HOST or embedded", "people": "ldaps://HOST or ldap://HOST"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUrl:
    """Where an LDAP server is.  Nothing is bound in clear unless the server is this machine."""

    text: str
    host: str
    tls: bool  # from the first octet (ldaps) or by StartTLS
    start_tls: bool

    @classmethod
    def parse(cls, text: str, section: str = "directory") -> ServerUrl:
        """Raises `PermanentFailure` ("4.3.5") if it cannot be used."""
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            parts, host = urlsplit(""), ""
        if parts.scheme not in ("ldapi", "ldaps", "ldap") or not host or parts.username or parts.path.strip("/"):
            raise PermanentFailure("4.3.5", f"[{section}] url {text!a} cannot be used: write {_ADVICE[section]}")
        start_tls = parts.scheme == "ldap" and not _is_this_machine(host)
        return cls(text=text, host=host, tls=parts.scheme == "ldaps" or start_tls, start_tls=start_tls)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
