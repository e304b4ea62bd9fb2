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

    `begin` announces a part; `feed` returns what of the whole is known by it.  The header inside may go on in the next
    part.  No header may be larger than `limit` octets: `feed` raises `PermanentFailure` ("5.3.4").
    """

    __slots__ = ("_first", "_inner", "_limit", "_outer")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first: bytes | None = None  # the header of the first part
        self._outer: bytearray | None = None  # of the part that comes, until it has come
        self._inner: bytearray | None = bytearray()  # of the mail inside, until it has come

    def begin(self) -> None:
        """The next part comes.  Raises `PermanentFailure` ("5.6.0") if the one before had no whole header."""
        self._whole()
        self._outer = bytearray()

    def feed(self, octets: bytes) -> bytes:
        if self._outer is not None:
            ended = self._gather(self._outer, octets)
            if ended is None:
                return b""
            block, octets = ended
            self._outer = None
            self._first = block if self._first is None else self._first
        if self._inner is not None:
            ended = self._gather(self._inner, octets)
            if ended is None:
                return b""
            assert self._first is not None
            block, octets = ended
            self._inner = None
            return merged(self._first, block) + b"\r\n" + octets
        return octets

    def end(self) -> bytes:
        """No more comes; returns the header of a mail that has no body.  Raises as `begin` does."""
        self._whole()
        if self._inner is None or self._first is None:
            return b""
        inner, self._inner = bytes(self._inner), None
        return merged(self._first, inner if inner.endswith(b"\r\n") else inner + b"\r\n") + b"\r\n"

    def _gather(self, kept: bytearray, octets: bytes) -> tuple[bytes, bytes] | None:
        """The header that ends here and what stands behind its empty line; None if it goes on."""
        seen = len(kept)
        kept += octets
        end = 0 if kept.startswith(b"\r\n") else kept.find(b"\r\n\r\n", max(seen - 3, 0)) + 2
        found = end != 1
        if (end if found else len(kept) - 1) > self._limit:  # the CR of its empty line may have come already
            raise PermanentFailure("5.3.4", f"the header is longer than {self._limit} octets")
        return (bytes(kept[:end]), bytes(kept[end + 2 :])) if found else None

    def _whole(self) -> None:
        if self._outer is not None:
            raise PermanentFailure("5.6.0", "a part of the message ends within its header")
