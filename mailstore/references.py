"""What an HTML page refers to by `cid:` (RFC 2392), found while the page streams by.

Security: the page is a stranger's and is not parsed: whatever looks like such a URL counts, which can only make a
picture of the same mail belong to it.  What is kept between calls is the beginning of one URL; how long one may be and
how many are told is bounded.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

MOST = 2000
"""References that are told of one message."""
_LONGEST = 255
_URL = re.compile(rb"cid:([^\s\"'<>()\\]{0,%d})" % _LONGEST)


class References:
    """Of one page.  Octets between others that are NUL, as in UTF-16, are not seen."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held = b""
        self._found: dict[str, None] = {}

    def feed(self, octets: bytes) -> None:
        """The next octets of the page."""
        self._look(self._held + octets.replace(b"\0", b""), final=False)

    def close(self) -> tuple[str, ...]:
        """The page is over: the Content-IDs that it refers to, once each, in order, lower case."""
        self._look(self._held, final=True)
        return tuple(self._found)

    def _look(self, octets: bytes, *, final: bool) -> None:
        behind = 0
        octets = octets.lower()  # and one scheme to look for: ten times as fast as a pattern for both cases
        for found in _URL.finditer(octets):
            if found.end() == len(octets) and len(found[1]) < _LONGEST and not final:
                self._held = octets[found.start() :]
                return
            behind = found.end()
            if found[1] and len(self._found) < self._most:
                url = found[1].decode("utf-8", "replace").replace("&amp;", "&")
                self._found[unquote(url).lower()] = None
        self._held = octets[max(behind, len(octets) - 3) :]
