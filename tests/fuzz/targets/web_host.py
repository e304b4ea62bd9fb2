"""Whose page a request is for and where it comes from: only our names, and no other page may change anything."""

from __future__ import annotations

from ipaddress import ip_address

from appliance.web import guard

WORDS = (
    b"page.example.com",
    b":8025",
    b"[::1]",
    b"localhost",
    b"127.0.0.1",
    b".",
    b"@",
    b"http://",
    b"https://",
    b"\n",
)
_NAMES = ("page.example.com",)


def check(octets: bytes) -> None:
    host, _, rest = octets.decode("latin-1").partition("\n")
    origin, _, site = rest.partition("\n")
    refusal = guard.wrong_host(host, _NAMES)
    if not refusal:
        bare = host.lower()
        assert any(name in bare for name in (*_NAMES, "localhost")) or _address_in(bare)
        assert "@" not in bare
        assert "/" not in bare
    else:
        assert refusal.isascii()
        assert refusal.isprintable()
    headers = {"host": host, "origin": origin, "cookie": "session=1"} | ({"sec-fetch-site": site} if site else {})
    if not guard.foreign("POST", "/api/v1/jobs", headers, "http"):
        assert site in ("same-origin", "none") or (not site and origin.lower() == f"http://{host.lower()}")


def _address_in(host: str) -> bool:
    candidates = {host, host.rpartition(":")[0]}
    for candidate in candidates:
        try:
            ip_address(candidate.strip("[]").rstrip("."))
        except ValueError:
            continue
        return True
    return False
