"""Every octet of a connection with its time, in both directions: JSON lines beside the job.

One line a read or write: `{"t": 0.001234, "from": "client", "text": "..."}`; octets that are no ASCII are `"base64"`
instead.  `t` is seconds since the connection was accepted; `from` is client or printer.

Security: what is captured is what the spool file holds anyway, again and larger; after `LIMIT` octets a last line
`{"t": ..., "from": "capture", "text": "..."}` says that the rest is left out.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIMIT: Final = 16 << 20
"""Octets of one connection that are captured."""

_PLAIN: Final = re.compile(rb"[\t\r\n\x0c\x20-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """Octets that passed at `seconds` after the connection; `source` is client, printer or capture."""

    seconds: float
    source: str
    octets: bytes


class Capture:
    """Writes what passes.  Raises `OSError` if the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="ascii")
        self._began = time.monotonic()
        self._left = LIMIT

    def note(self, source: str, octets: bytes | memoryview) -> None:
        if self._left <= 0 or self._file.closed:
            return
        self._write(source, bytes(octets[: self._left]))
        self._left -= len(octets)
        if self._left <= 0:
            self._write("capture", b"the rest is left out")

    def _write(self, source: str, octets: bytes) -> None:
        line: dict[str, float | str] = {"t": round(time.monotonic() - self._began, 6), "from": source}
        if _PLAIN.fullmatch(octets):
            line["text"] = octets.decode("ascii")
        else:
            line["base64"] = base64.b64encode(octets).decode("ascii")
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: what was captured so far stays
            self._file.close()


def read(path: Path) -> Iterator[Captured]:
    """What was captured, in order.  Raises `ValueError` for a file that no capture wrote."""
    with path.open(encoding="ascii") as lines:
        for line in lines:
            one = json.loads(line)
            octets = one["text"].encode("ascii") if "text" in one else base64.b64decode(one["base64"])
            yield Captured(seconds=one["t"], source=one["from"], octets=octets)
