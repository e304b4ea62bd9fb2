"""Which parts of a message print, and their octets: one rule for the process that receives and the one that prints.

The appliance surveys a message while it arrives (`Surveyor`): the head of every part is decoded and sniffed, the rest
is only searched for boundaries.  The bridge takes the documents out of the stored octets: out of a large message by
their paths in a second walk (`Extractor`), out of one that it holds in memory in a single walk (`take`).

Security: the message is a stranger's.  A survey keeps at most `PREFIX_OCTETS` of one part at a time and some hundred
octets per part, whose number `mime.Limits` bounds; extraction keeps nothing, and `take` no more than the message is
large.  A part whose encoding is broken is refused as a whole, because half a document must not print as if it were all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mailstore import charset
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure
from mailstore.mime import Data, End, Event, Limits, Part, Walker, everything
from mailstore.sniff import PREFIX_OCTETS, sniff

PRINTABLE = frozenset(
    {
        DocumentFormat.POSTSCRIPT,
        DocumentFormat.PDF,
        DocumentFormat.PCL,
        DocumentFormat.PCLXL,
        DocumentFormat.PWG,
        DocumentFormat.TEXT,
    }
)
"""What the bridge can bring onto paper."""

# Text by its octets, but nothing that anybody wants on paper.
_NOT_TO_READ = frozenset(
    {"text/html", "text/calendar", "text/css", "text/vcard", "text/x-vcard", "text/rfc822-headers"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One printable part."""

    index: int  # from 1, in the order of the message
    path: str  # for `Extractor`
    format: DocumentFormat
    charset: str  # Python codec of a text, else ""
    name: str  # file name, or ""
    octets: int | None  # decoded, where the survey could know


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """A part as it was found."""

    part: Part
    format: DocumentFormat
    charset: str  # Python codec of a text, else ""
    octets: int | None
    empty: bool
    defect: str

    @property
    def is_body(self) -> bool:
        """A letter rather than a document: text that is shown inline and has no name."""
        part = self.part
        inline = part.disposition != "attachment" and not part.name
        return self.format is DocumentFormat.TEXT and part.media_type.startswith("text/") and inline


def printable(found: Surveyed) -> bool:
    """Whether this part can print.  A body prints only if nothing else does: `choose` decides that."""
    part = found.part
    if found.empty or found.format not in PRINTABLE or part.media_type.startswith("message/"):
        return False
    if found.format is DocumentFormat.TEXT:
        as_text = part.media_type.startswith("text/") and part.media_type not in _NOT_TO_READ
        return as_text or part.media_type == "application/octet-stream"
    # A letter's ornaments (RFC 2387); a raster page is a document also when some program labels it so.
    ornament = part.media_type.startswith("image/") and part.content_id and "multipart/related" in part.within
    return not ornament or found.format is not DocumentFormat.PWG


def choose(found: Collection[Surveyed]) -> tuple[Document, ...]:
    """The documents, in order; without any, the plain text of the letter."""
    able = [each for each in found if printable(each)]
    chosen = [each for each in able if not each.is_body] or able
    return tuple(
        Document(
            index=index,
            path=each.part.path,
            format=each.format,
            charset=each.charset,
            name=each.part.name,
            octets=each.octets,
        )
        for index, each in enumerate(chosen, 1)
    )


class Surveyor:
    """Looks on while a message streams by; at the end it knows the documents.

    `feed` and `close` raise `PermanentFailure` as `mime.Walker` does.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._walker = Walker(_taste, limits)
        self._part: Part | None = None
        self._head = bytearray()
        self.found: list[Surveyed] = []

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """The next octets of the message.  The buffer may be reused after the call."""
        for event in self._walker.feed(chunk):
            self._note(event)

    def close(self) -> tuple[Document, ...]:
        """The message is over: what it has to print, nothing if there is nothing."""
        for event in self._walker.close():
            self._note(event)
        return choose(self.found)

    def _note(self, event: Event) -> None:
        if isinstance(event, Part):
            self._part = event
            self._head.clear()
        elif isinstance(event, Data):
            self._head += event.octets
        elif isinstance(event, End):
            assert self._part is not None
            self.found.append(_surveyed(self._part, bytes(self._head), event))
            self._part = None

    def refusal(self) -> PermanentFailure:
        """Why a message without documents is refused: 5.6.1 and what it held instead."""
        return _refusal(self.found)


def _refusal(found: Collection[Surveyed]) -> PermanentFailure:
    kinds = dict.fromkeys(_kind(each) for each in found)
    if len(kinds) > 5:
        kinds = dict.fromkeys([*list(kinds)[:5], "and more"])
    held = ": " + ", ".join(kinds) if kinds else ""
    return PermanentFailure(
        "5.6.1", f"the message holds nothing that can be printed{held}", reason="document-unprintable-error"
    )


def _taste(_: Part) -> int:
    return PREFIX_OCTETS


def _surveyed(part: Part, head: bytes, end: End) -> Surveyed:
    as_sent = part.encoding in ("", "7bit", "8bit", "binary")
    format_ = sniff(head, part.media_type, part.charset)
    text = format_ is DocumentFormat.TEXT
    return Surveyed(
        part=part,
        format=format_,
        charset=charset.detect(head, part.media_type, part.charset) if text else "",
        octets=end.encoded if as_sent else len(head) if end.complete else None,
        empty=not head.strip() if end.complete else not head,
        defect=end.defect,
    )


def _kind(found: Surveyed) -> str:
    """What a part is, for the sentence that refuses it; only characters of a media type (RFC 6838 section 4.2)."""
    media_type = "".join(c for c in found.part.media_type[:80] if c.isascii() and (c.isalnum() or c in "!#$&-^_.+/"))
    if found.defect:
        return f"{media_type} ({found.defect})"
    if found.empty:
        return f"{media_type} (empty)"
    return found.format if found.format in PRINTABLE and found.format != media_type else media_type


class Extractor:
    """Takes chosen parts out of a message.

    `feed` and `close` give pairs of a part's path and some of its decoded octets, in blocks no larger than what was
    fed. They raise `PermanentFailure` ("5.6.0", reason document-format-error) when a chosen part's encoding is
    broken, and `close` also when a chosen part never came.
    """

    def __init__(self, paths: Collection[str], limits: Limits | None = None) -> None:
        self._waiting = set(paths)
        self._path = ""
        self._walker = Walker(lambda part: None if part.path in self._waiting else 0, limits)

    @property
    def done(self) -> bool:
        """All chosen parts are over: the rest of the message need not be read, nor `close` called."""
        return not self._waiting

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[tuple[str, bytes]]:
        """The octets that this chunk brings.  The buffer may be reused after the call."""
        return self._taken(self._walker.feed(chunk))

    def close(self) -> list[tuple[str, bytes]]:
        taken = self._taken(self._walker.close())
        if self._waiting:
            raise PermanentFailure(
                "5.6.0", f"the message has no part {min(self._waiting)}", reason="document-format-error"
            )
        return taken

    def _taken(self, events: list[Event]) -> list[tuple[str, bytes]]:
        taken: list[tuple[str, bytes]] = []
        for event in events:
            if isinstance(event, Part):
                self._path = event.path
            elif isinstance(event, Data):
                taken.append((self._path, event.octets))
            elif isinstance(event, End) and event.path in self._waiting:
                if event.defect:
                    raise _damaged(event)
                self._waiting.discard(event.path)
        return taken


def _damaged(end: End) -> PermanentFailure:
    return PermanentFailure(
        "5.6.0", f"part {end.path} of the message is damaged: {end.defect}", reason="document-format-error"
    )


def take(message: bytes, limits: Limits | None = None) -> list[tuple[Document, bytes]]:
    """The documents of a message held in memory, each with its decoded octets: survey and extraction in one walk.

    What it gives and raises is what a `Surveyor` and then an `Extractor` of all its documents would: `PermanentFailure`
    as `mime.Walker` does, "5.6.1" if there is nothing to print, "5.6.0" if a document's encoding is broken.
    """
    walker = Walker(everything, limits)
    found: list[Surveyed] = []
    contents: dict[str, tuple[bytes, End]] = {}
    pieces: list[bytes] = []
    for event in (*walker.feed(message), *walker.close()):
        if isinstance(event, Part):
            part, pieces = event, []
        elif isinstance(event, Data):
            pieces.append(event.octets)
        elif isinstance(event, End):
            octets = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            # A survey does not see what is behind its taste.
            seen = event if len(octets) < PREFIX_OCTETS else End(path=event.path, encoded=event.encoded, complete=False)
            found.append(_surveyed(part, octets[:PREFIX_OCTETS], seen))
            contents[event.path] = octets, event
    documents = choose(found)
    if not documents:
        raise _refusal(found)
    taken: list[tuple[Document, bytes]] = []
    for document in documents:
        octets, end = contents[document.path]
        if end.defect:
            raise _damaged(end)
        taken.append((document, octets))
    return taken
