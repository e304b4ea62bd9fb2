"""The walk through a message: its parts, decoded, while the octets stream by (RFC 5322, RFC 2045, RFC 2046).

A `Walker` takes the message cut anywhere and tells the leaves of its tree in order: `Part`, then `Data` as far as there
is appetite for it, then `End`.  Multiparts and messages are walked through and not told.  Boundaries are looked
for with `bytes.find` over whole chunks, so a big part costs no more than its decoding.  A walker that is `verbatim`
tells every octet as it stands: for who changes a message (`mailstore.reencode`).

Security: the message is a stranger's.  Memory is bounded by `Limits` and by the chunk: what is kept between calls is
the header of one part, or the beginning of one line that may be a delimiter.  A header that comes octet by octet is
looked at each time it has grown by an eighth, not each time.  Nesting, the number of parts and the length of headers
and boundaries are limited; a line that only begins like a delimiter sends the search into a compiled pattern that
cannot backtrack, so that a body full of such lines costs linear time.  What cannot be decoded is told in `End.defect`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mailstore import header
from mailstore.codings import Decoder, Identity, decoder
from mailstore.failure import PermanentFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a message may be made of."""

    header: int = 256 * 1024  # octets of one header
    depth: int = 20  # multiparts and messages in one another
    parts: int = 1000  # leaves, multiparts and messages
    boundary: int = 200  # octets; RFC 2046 allows 70


_LIMITS = Limits()
ACCEPTED = Limits(header=1 << 30, depth=1000)
"""For a message at rest: it kept the limits of its day, and trace fields of ours came before its header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A leaf begins.  Strings are as decoded for people, keywords in lower case, "" where the header says nothing."""

    path: str  # section number as in RFC 9051 section 6.4.5: "1", "2.1"
    media_type: str  # without parameters
    charset: str  # as labelled
    name: str  # file name without folders, one line, at most 255 characters
    disposition: str  # inline, attachment or ""
    content_id: str
    encoding: str  # Content-Transfer-Encoding
    within: tuple[str, ...]  # media types of the multiparts and messages around it, the outermost first
    around: tuple[int, ...]  # which those are: a number each, greater than of those that began before


@dataclass(frozen=True, slots=True)
class Data:
    """Decoded octets of the part that began last; never empty."""

    octets: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The part that began last is over."""

    path: str
    encoded: int  # octets before decoding
    complete: bool  # all its octets were told
    defect: str = ""  # what is wrong with it: "its base64 is cut short"


@dataclass(frozen=True, slots=True)
class Head:
    """Verbatim only: a header, of a leaf (its `Part` comes next), of a multipart or of a message."""

    octets: bytes  # behind the CRLF that it begins with; the empty line is not in it
    media_type: str
    encoding: str


@dataclass(frozen=True, slots=True)
class Between:
    """Verbatim only: delimiters, preambles, epilogues, the empty lines behind headers."""

    octets: bytes


Event = Part | Data | End | Head | Between
Appetite = Callable[[Part], int | None]
"""How many decoded octets of a part to tell: 0 none, None all."""


def everything(_: Part) -> None:
    """The appetite for all of every part."""


class _State(Enum):
    HEADER = 0
    LEAF = 1
    BETWEEN = 2  # preamble and epilogue


@dataclass(slots=True)
class _Level:
    """A multipart, or a message/rfc822 (without a boundary), that is open."""

    media_type: str
    boundary: bytes
    path: str  # what its children's section numbers begin with
    number: int
    children: int = 0


def _common(boundaries: list[bytes]) -> bytes:
    first, last = min(boundaries), max(boundaries)
    if first == last:
        return first
    length = next((i for i, octet in enumerate(first) if last[i : i + 1] != bytes((octet,))), len(first))
    return first[:length]


_BLANK_LINE = b"\r\n\r\n"
_MESSAGES = ("message/rfc822", "message/global")  # RFC 6532 section 3.7
_FIELDS = ("content-type", "content-transfer-encoding", "content-disposition", "content-id")
_VALUE = 16 * 1024  # octets of one field that are looked at
_PADDING = 64  # blanks that a transport may have put behind a delimiter
_PIECE = 16 * 1024  # decoded at a time while there is little appetite


class Walker:
    """One message.  Wherever it stands, what is kept begins with the CRLF before the line that is looked at.

    `verbatim` leaves the transfer encodings as they are and tells what stands between the leaves, too: all `octets`
    of `Head`, `Data` and `Between` together are a CRLF and the message.

    `feed` and `close` raise `PermanentFailure` ("5.6.0", "5.3.4") when the message exceeds `limits`; after that the
    walker is of no more use.
    """

    def __init__(
        self, appetite: Appetite = everything, limits: Limits | None = None, *, verbatim: bool = False
    ) -> None:
        self._appetite = appetite
        self._limits = limits or _LIMITS
        self._verbatim = verbatim
        self._state = _State.HEADER
        self._held = b"\r\n"
        self._waiting = bytearray()  # behind what is held of a header, until it is worth a look
        self._scanned = 0  # of the header that is held, without finding its end
        self._is_message = True  # the header is that of a message, not of a body part
        self._levels: list[_Level] = []
        self._parts = 0
        self._needle = b""
        self._pattern: re.Pattern[bytes] | None = None
        self._longest = 4 + self._limits.boundary + 2 + _PADDING + 2
        self._path = ""
        self._decoder: Decoder | None = None
        self._want: int | None = 0
        self._complete = True
        self._encoded = 0
        self._block = b""  # the header that was read last, and the CRLF before it
        self.header = b""  # the message's own, once it has come
        self._skip = 0  # octets of the CRLF that ends the header
        self._defect = ""

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Event]:
        """What these octets tell.  The buffer may be reused after the call."""
        events: list[Event] = []
        if not chunk:
            return events
        if self._state is _State.HEADER:
            if len(self._waiting) + len(chunk) < len(self._held) // 8:
                self._waiting += chunk
                return events
            if self._waiting:
                chunk, self._waiting = self._waiting + chunk, bytearray()
        self._walk(self._held + chunk if self._held else bytes(chunk), events, final=False)
        return events

    def close(self) -> list[Event]:
        """What is left to tell at the end of the message; closing delimiters may be missing."""
        events: list[Event] = []
        self._walk(b"".join((self._held, self._waiting, b"\r\n")), events, final=True)
        if self._state is _State.LEAF:
            self._end(events)
        self._state = _State.BETWEEN
        return events

    def _walk(self, octets: bytes, events: list[Event], *, final: bool) -> None:
        position: int | None = 0
        while position is not None:
            if self._state is _State.HEADER:
                position = self._header(octets, position, final)
                if position is not None:
                    self._announce(events)
            else:
                position = self._body(octets, position, events, final)

    # -- headers

    def _header(self, octets: bytes, position: int, final: bool) -> int | None:
        """Read the header behind `position`; where its body's leading CRLF is, or None if more must come."""
        scan = position + self._scanned
        end = octets.find(_BLANK_LINE, scan)
        # A delimiter ends a header that has no blank line behind it.
        delimiter = self._delimiter(octets, scan, end + 2 if end >= 0 else len(octets))
        if delimiter is not None:
            end = delimiter[0]
        elif end < 0 and final:
            end = len(octets) - 2
        else:
            end = end + 2 if end >= 0 else end
        if (end if end >= 0 else len(octets) - self._longest - 4) - position - 2 > self._limits.header:
            raise PermanentFailure("5.3.4", f"a header of the message is longer than {self._limits.header} octets")
        if end < 0:
            self._scanned = octets.rfind(b"\r\n", position) - position
            self._held = octets[position:]
            return None
        self._scanned = 0
        self._block = octets[position:end]
        return end

    def _announce(self, events: list[Event]) -> None:
        """Open what the header just read describes: a multipart, a message, or a leaf."""
        self._parts += 1
        self.header = self.header or self._block[2:]
        if self._parts > self._limits.parts:
            raise PermanentFailure("5.3.4", f"the message has more than {self._limits.parts} parts")
        values = header.firsts(self._block, *_FIELDS, most=4 * len(_FIELDS))
        media_type, parameters = header.parameters(values.get(b"content-type", b"")[:_VALUE])
        if "/" not in media_type:  # RFC 2045 section 5.2, RFC 2046 section 5.1.5
            digest = bool(self._levels) and self._levels[-1].media_type == "multipart/digest" and not self._is_message
            media_type = "message/rfc822" if digest else "text/plain"
        encoding = header.parameters(values.get(b"content-transfer-encoding", b"")[:_VALUE])[0][:64]
        boundary = parameters.get("boundary", "").rstrip(" \t").encode("latin-1")
        if self._verbatim:
            events.append(Head(self._block, media_type, encoding))
        is_message, self._is_message = self._is_message, False
        if media_type.startswith("multipart/") and boundary:
            self._open(media_type, boundary, self._number(unnumbered=is_message))
            self._state = _State.BETWEEN
        elif media_type in _MESSAGES and encoding in ("", "7bit", "8bit", "binary"):
            self._open(media_type, b"", self._number())
            self._is_message = True
        else:
            self._leaf(media_type, parameters, values, encoding, events)

    def _leaf(
        self,
        media_type: str,
        parameters: dict[str, str],
        values: dict[bytes, bytes],
        encoding: str,
        events: list[Event],
    ) -> None:
        disposition, more = header.parameters(values.get(b"content-disposition", b"")[:_VALUE])
        name = more.get("filename") or parameters.get("name", "")
        part = Part(
            path=self._number(),
            media_type=media_type[:127],
            charset=parameters.get("charset", "")[:64],
            name=header.clean(name.replace("\\", "/").rpartition("/")[2], 255),
            disposition=disposition[:64],
            content_id=header.clean(values.get(b"content-id", b"")[:255].decode("ascii", "replace"), 255),
            encoding=encoding,
            within=tuple(level.media_type for level in self._levels),
            around=tuple(level.number for level in self._levels),
        )
        events.append(part)
        self._state, self._path = _State.LEAF, part.path
        self._want = self._appetite(part)
        self._decoder = Identity() if self._verbatim else decoder(encoding)
        self._defect = "" if self._decoder else f'its transfer encoding "{header.clean(encoding, 40)}" is not known'
        if self._want == 0:
            self._decoder = None
        self._encoded, self._skip, self._complete = 0, 2, self._decoder is not None

    def _number(self, *, unnumbered: bool = False) -> str:
        """The next section number here.  A multipart that is a whole message has none of its own."""
        prefix = self._levels[-1].path if self._levels else ""
        if unnumbered:
            return prefix
        count = 1
        if self._levels:
            self._levels[-1].children += 1
            count = self._levels[-1].children
        return f"{prefix}.{count}" if prefix else str(count)

    def _open(self, media_type: str, boundary: bytes, path: str) -> None:
        if len(self._levels) >= self._limits.depth:
            raise PermanentFailure("5.6.0", f"the message is nested more than {self._limits.depth} deep")
        if len(boundary) > self._limits.boundary:
            raise PermanentFailure("5.6.0", f"a boundary in the message is longer than {self._limits.boundary} octets")
        self._levels.append(_Level(media_type[:127], boundary, path, self._parts))
        self._reset_search()

    # -- bodies

    def _body(self, octets: bytes, position: int, events: list[Event], final: bool) -> int | None:
        """Go on to the next delimiter; where its line's CRLF is, or None if more must come."""
        delimiter = self._delimiter(octets, position, len(octets))
        if delimiter is None:
            stop = len(octets) - 2 if final else self._surely(octets, position)
            self._tell(octets, position, stop, events)
            self._held = octets[stop:]
            return None
        start, stop, level, closing = delimiter
        self._tell(octets, position, start, events)
        if self._state is _State.LEAF:
            self._end(events)
        if self._verbatim:
            events.append(Between(octets[start:stop]))
        open_levels = level if closing else level + 1
        if open_levels < len(self._levels):
            del self._levels[open_levels:]
            self._reset_search()
        self._state = _State.BETWEEN if closing else _State.HEADER
        self._is_message = False
        return stop

    def _tell(self, octets: bytes, start: int, stop: int, events: list[Event]) -> None:
        """Decode the leaf's `octets[start:stop]` as far as there is appetite."""
        if stop <= start:
            return
        if self._state is not _State.LEAF:
            if self._verbatim:
                events.append(Between(octets[start:stop]))
            return
        if self._skip and self._verbatim:
            events.append(Between(octets[start : start + 2]))
        start, self._skip = start + self._skip, 0
        self._encoded += max(0, stop - start)
        step = _PIECE if self._want is not None else stop - start
        while self._decoder is not None and start < stop:
            self._data(self._decoder.decode(octets[start : min(stop, start + step)]), events)
            start += step

    def _data(self, decoded: bytes, events: list[Event]) -> None:
        if self._want is not None:
            decoded = decoded[: self._want]
            self._want -= len(decoded)
            if not self._want:
                self._decoder, self._complete = None, False
        if decoded:
            events.append(Data(decoded))

    def _end(self, events: list[Event]) -> None:
        if self._decoder is not None:
            rest, self._defect = self._decoder.end()
            self._data(rest, events)
        events.append(End(path=self._path, encoded=self._encoded, complete=self._complete, defect=self._defect))
        self._decoder = None

    # -- delimiters (RFC 2046 section 5.1.1)

    def _reset_search(self) -> None:
        boundaries = [level.boundary for level in self._levels if level.boundary]
        self._needle = b"\r\n--" + _common(boundaries) if boundaries else b""
        self._pattern = None

    def _delimiter(self, octets: bytes, position: int, stop: int) -> tuple[int, int, int, bool] | None:
        """The first delimiter line up to `stop`: the CRLFs before and behind it, its level, whether it closes."""
        if not self._needle:
            return None
        # One octet is found twenty times faster than several, and base64 has no hyphen before its end.
        hyphen = octets.find(b"-", position, stop)
        hit = octets.find(self._needle, max(position, hyphen - 2), stop) if hyphen >= 0 else -1
        if hit < 0:
            return None
        found = self._judge(octets, hit, stop)
        if found is not None or octets.find(b"\r\n", hit + 2, stop) < 0:
            return found
        if self._pattern is None:
            names = b"|".join(re.escape(level.boundary) for level in self._levels if level.boundary)
            self._pattern = re.compile(rb"\r\n--(?:" + names + rb")(?:--)?[ \t]{0,%d}(?=\r\n)" % _PADDING)
        line = self._pattern.search(octets, hit + 1, stop)
        return self._judge(octets, line.start(), stop) if line else None

    def _judge(self, octets: bytes, hit: int, stop: int) -> tuple[int, int, int, bool] | None:
        end = octets.find(b"\r\n", hit + 4, min(stop, hit + self._longest))
        padded = octets[hit + 4 : end]
        line = padded.rstrip(b" \t")
        if end < 0 or len(padded) - len(line) > _PADDING:
            return None
        for index in range(len(self._levels) - 1, -1, -1):
            boundary = self._levels[index].boundary
            if boundary and line.startswith(boundary) and line[len(boundary) :] in (b"", b"--"):
                return hit, end, index, line != boundary
        return None

    def _surely(self, octets: bytes, position: int) -> int:
        """Up to where the octets cannot belong to a delimiter line of which more must come."""
        if not self._needle:
            return len(octets)
        newline = octets.rfind(b"\r\n", max(position, len(octets) - self._longest))
        if newline >= 0 and b"\r\n--".startswith(octets[newline : newline + 4]):
            return newline
        return len(octets) - octets.endswith(b"\r")
