"""Split mail (RFC 2046 section 5.2.2): what a part says of itself, and how parts become the mail again.

Security: the parts are a stranger's, and so is what they make together: whoever judged the parts has judged nothing of
the whole (CERT VU#836088).  Here nothing is judged and nothing trusted.  Of all headers only the first part's, and the
one inside it, are used; both are bounded; everything behind them passes through and is kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailstore import header
from mailstore.failure import PermanentFailure
from mailstore.store.splitting import Part

_ID_CHARACTERS = 200
_NUMBER = re.compile(r"[0-9]{1,9}")
_PLAIN = ("", "7bit", "8bit", "binary")


def part_of(block: bytes) -> Part | None:
    """What a header says of being a part; None if it is no message/partial.

    Raises `PermanentFailure` ("5.6.0") if it is one and says nothing useful.
    """
    kind, parameters = header.parameters(header.value(block, "content-type"))
    if kind != "message/partial":
        return None
    encoding = header.parameters(header.value(block, "content-transfer-encoding"))[0]
    if encoding not in _PLAIN:
        raise _bad("it may not be encoded itself (RFC 2046 section 5.2.2)")
    mark = header.clean(parameters.get("id", ""), _ID_CHARACTERS + 1)
    if not mark or len(mark) > _ID_CHARACTERS:
        raise _bad(f"it needs an id of at most {_ID_CHARACTERS} characters")
    number = _count(parameters, "number")
    if not number:
        raise _bad("it needs a number, from 1")
    total = _count(parameters, "total")
    if total and number > total:
        raise _bad(f"it is number {number} of {total}")
    return Part(id=mark, number=number, total=total)


def _count(parameters: dict[str, str], name: str) -> int:
    """0 if it is not said."""
    said = parameters.get(name, "").strip()
    if not said:
        return 0
    if not _NUMBER.fullmatch(said) or not int(said):
        raise _bad(f"its {name} is no number from 1")
    return int(said)


def _bad(why: str) -> PermanentFailure:
    return PermanentFailure("5.6.0", f"the message says that it is a part of another (message/partial), but {why}")


_OF_WHOLE = re.compile(rb"(?:content-[^:\r\n]*|subject|message-id|encrypted|mime-version)[ \t]*:", re.IGNORECASE)
_LINE = re.compile(rb"\r\n(?![ \t])")


def merged(outer: bytes, inner: bytes) -> bytes:
    """The header of the whole, of the first part's own and the one inside it (section 5.2.2.1).

    Blocks of fields, each ended by CRLF.  What the inner one says of its sender and recipients is dropped.
    """
    ours = b"".join(field for field in _fields(outer) if not _OF_WHOLE.match(field))
    return ours + b"".join(field for field in _fields(inner) if _OF_WHOLE.match(field))


def _fields(block: bytes) -> Iterator[bytes]:
    for field in _LINE.split(block.removesuffix(b"\r\n")) if block.strip() else ():
        yield field + b"\r\n"


class Joiner:
    """Makes a mail of its parts, fed in the order of their numbers, each cut anywhere.

    `begin` announces a part; `feed` returns what of the whole is known by it.  Neither header may be larger than
    `limit` octets: `feed` raises `PermanentFailure` ("5.3.4").
    """

    __slots__ = ("_block", "_first", "_inner", "_limit", "_outer")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first = True
        self._outer: bytes | None = None
        self._inner = False
        self._block: bytearray | None = None

    def begin(self) -> None:
        """The next part comes.  Raises `PermanentFailure` ("5.6.0") if the one before had no whole header."""
        self._whole()
        self._first = self._outer is None
        self._block, self._inner = bytearray(), False

    def feed(self, octets: bytes) -> bytes:
        while self._block is not None:
            seen = len(self._block)
            self._block += octets
            end = 0 if self._block.startswith(b"\r\n") else self._block.find(b"\r\n\r\n", max(seen - 3, 0)) + 2
            if end == 1:  # not found
                self._bound(len(self._block))
                return b""
            self._bound(end)
            block, octets = bytes(self._block[:end]), bytes(self._block[end + 2 :])
            if self._inner:
                assert self._outer is not None
                self._block = None
                return merged(self._outer, block) + b"\r\n" + octets
            if self._first:
                self._outer, self._inner, self._block = block, True, bytearray()
            else:
                self._block = None
        return octets

    def end(self) -> bytes:
        """No more comes; returns the header of a mail that has no body.  Raises as `begin` does."""
        if self._first and self._inner and self._block is not None and self._outer is not None:
            inner, self._block = bytes(self._block), None
            return merged(self._outer, inner if inner.endswith(b"\r\n") else inner + b"\r\n") + b"\r\n"
        self._whole()
        return b""

    def _whole(self) -> None:
        if self._block is not None:
            raise PermanentFailure("5.6.0", "a part of the message ends within its header")

    def _bound(self, octets: int) -> None:
        if octets > self._limit:
            raise PermanentFailure("5.3.4", f"the header is longer than {self._limit} octets")
