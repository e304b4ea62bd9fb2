"""Which parts of a message print, and their octets: one rule for the process that receives and the one that prints.

The appliance surveys a message while it arrives (`Surveyor`): the head of every part is decoded and sniffed, an HTML
page is searched for the pictures that it shows, the rest is only searched for boundaries.  The bridge takes the
documents out of the stored octets: out of a large message by their paths in a second walk (`Extractor`), out of one
that it holds in memory in a single walk (`take`).  Which of them print at a printer is `mailstore.selection`'s rule.

Security: the message is a stranger's.  A survey keeps at most `PREFIX_OCTETS` of one part at a time and some hundred
octets per part, whose number `mime.Limits` bounds; extraction keeps nothing, and `take` no more than the message is
large.  A part whose encoding is broken is refused as a whole, because half a document must not print as if it were all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from mailstore import charset, header, pictures
from mailstore.directory.records import Body
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure
from mailstore.mime import Data, End, Event, Limits, Part, Walker, everything
from mailstore.references import MOST, References
from mailstore.selection import Able, Document, Kind, LeftOut, Selection, Shown, Surveyed, select
from mailstore.sniff import PREFIX_OCTETS, sniff

__all__ = [
    "Able",
    "Document",
    "Extractor",
    "LeftOut",
    "Said",
    "Selection",
    "Shown",
    "Survey",
    "Surveyed",
    "Surveyor",
    "survey_file",
    "take",
]

SAID: Final = 500
"""Characters of what a message says of how it is to be printed, each."""
_SCANNED = 8 << 20  # octets of an HTML page that are searched for the pictures that it shows
_BLOCK = 64 << 10
_PAGES = ("text/html", "application/xhtml+xml")
_PAGE_NAMES = (".html", ".htm", ".xhtml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a message says of how it is to be printed, decoded, at most `SAID` characters each, "" for nothing."""

    subject: str = ""
    field: str = ""  # all its fields `Printpost-Options`
    directive: str = ""  # the first line of its letter, of the first that is plain text, that is not empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A message that has come to its end."""

    found: tuple[Surveyed, ...]  # its parts, in order
    said: Said

    @property
    def shown(self) -> frozenset[str]:
        """The Content-IDs that its HTML pages refer to, lower case, without angle brackets."""
        return frozenset(content_id for each in self.found for content_id in each.refers)

    @property
    def printable(self) -> bool:
        """Whether anything of it can print anywhere."""
        return any(each.kind is not Kind.NOTHING for each in self.found)

    def select(self, body: Body, able: Able) -> Selection:
        """What prints where the letter prints as `body` says; `able`: this format can get to the printer."""
        return select(self.found, body, able)

    def refusal(self, selection: Selection | None = None) -> PermanentFailure:
        """Why a message without documents, or of which nothing was selected, is refused: 5.6.1, and what it held."""
        if selection is not None and self.printable:
            text = "this printer prints what is attached and not the letter; attach what is to be printed"
            return PermanentFailure("5.6.1", text, reason="document-unprintable-error")
        kinds = dict.fromkeys(_kind(each) for each in self.found)
        if len(kinds) > 5:
            kinds = dict.fromkeys([*list(kinds)[:5], "and more"])
        held = ": " + ", ".join(kinds) if kinds else ""
        return PermanentFailure(
            "5.6.1", f"the message holds nothing that can be printed{held}", reason="document-unprintable-error"
        )


def _kind(found: Surveyed) -> str:
    """What a part is, for the sentence that refuses it."""
    if found.defect:
        return f"{found.said} ({found.defect})"
    if found.empty:
        return f"{found.said} (empty)"
    why = found.unprintable
    return f"{found.said} ({why})" if "send it" in why else found.said


class Surveyor:
    """Looks on while a message streams by; at the end it knows what it holds.

    `feed` and `close` raise `PermanentFailure` as `mime.Walker` does.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._walker = Walker(_appetite, limits)
        self._taste: _Taste | None = None
        self._gathered = _Gathered()

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """The next octets of the message.  The buffer may be reused after the call."""
        for event in self._walker.feed(chunk):
            self._note(event)

    def close(self) -> Survey:
        """The message is over."""
        for event in self._walker.close():
            self._note(event)
        return self._gathered.survey(self._walker.header)

    def _note(self, event: Event) -> None:
        if isinstance(event, Part):
            self._taste = _Taste(event, self._gathered.room)
        elif isinstance(event, Data):
            assert self._taste is not None
            self._taste.feed(event.octets)
        elif isinstance(event, End):
            assert self._taste is not None
            self._gathered.add(self._taste, event)
            self._taste = None


def _appetite(part: Part) -> int:
    is_page = part.media_type in _PAGES or part.name.lower().endswith(_PAGE_NAMES)
    return _SCANNED if is_page else PREFIX_OCTETS


class _Taste:
    """What is looked at of one part, however much of it comes."""

    def __init__(self, part: Part, references: int) -> None:
        self.part = part
        self.most = _appetite(part)
        self.head = b""
        self.octets = 0
        self.references = References(references) if self.most > PREFIX_OCTETS else None

    def feed(self, octets: bytes) -> None:
        if len(self.head) < PREFIX_OCTETS:
            self.head += octets[: PREFIX_OCTETS - len(self.head)]
        if self.references is not None and self.octets < self.most:
            self.references.feed(octets[: self.most - self.octets])
        self.octets += len(octets)


class _Gathered:
    """The parts so far."""

    def __init__(self) -> None:
        self.found: list[Surveyed] = []
        self.room = MOST
        self._directive = ""

    def add(self, taste: _Taste, end: End) -> None:
        # What is behind its taste a survey does not see, so nobody does.
        surveyed = _surveyed(taste, end, seen=taste.octets < taste.most)
        self.room -= len(surveyed.refers)
        self.found.append(surveyed)
        if not self._directive and _is_plain_letter(surveyed):
            text = charset.decode(taste.head, surveyed.charset)
            lines = (header.clean(found[0], SAID) for found in _LINE.finditer(text))
            self._directive = next((line for line in lines if line), "")

    def survey(self, block: bytes) -> Survey:
        subject, fields = b"", b""
        for field in header.find(block, "subject", "printpost-options"):
            if field.name != b"subject":
                fields = (fields + b" " + field.value)[: 16 * SAID]
            else:
                subject = subject or field.value
        said = Said(subject=_for_people(subject), field=_for_people(fields), directive=self._directive)
        return Survey(found=tuple(self.found), said=said)


def _for_people(value: bytes) -> str:
    return header.clean(header.decode_words(value[: 16 * SAID]), SAID) if value else ""


_LINE = re.compile(r"\S[^\r\n]*+")


def _is_plain_letter(found: Surveyed) -> bool:
    """Of the message itself, not of one that is attached to it."""
    plain = found.format is DocumentFormat.TEXT and found.kind is Kind.LETTER
    return plain and not any(media_type.startswith("message/") for media_type in found.part.within)


def _surveyed(taste: _Taste, end: End, *, seen: bool) -> Surveyed:
    part, head, complete = taste.part, taste.head, end.complete and seen
    as_sent = part.encoding in ("", "7bit", "8bit", "binary")
    format_ = sniff(head, part.media_type, part.charset, part.name)
    codec = ""
    if format_ is DocumentFormat.TEXT:
        codec = charset.detect(head, part.media_type, part.charset)
    elif format_ is DocumentFormat.HTML:
        codec = charset.of_html(head, part.charset)
    return Surveyed(
        part=part,
        format=format_,
        charset=codec,
        octets=end.encoded if as_sent else taste.octets if complete else None,
        empty=_empty(head, format_, codec) if complete else not head,
        defect=end.defect if seen else "",
        pixels=pictures.size(head, format_) if format_ in pictures.PICTURES else None,
        refers=taste.references.close() if taste.references is not None and format_ is DocumentFormat.HTML else (),
    )


def survey_file(file: BinaryIO, octets: int, part: Part) -> Surveyed:
    """What a file of so many octets is, as if it had been `part` of a message.  Raises `OSError`."""
    taste = _Taste(part, MOST)
    while taste.octets < taste.most and (block := file.read(_BLOCK)):
        taste.feed(block)
    return _surveyed(taste, End(path=part.path, encoded=octets, complete=True), seen=taste.octets < taste.most)


_TAG = re.compile(r"<[^<>]*+>?|&nbsp;|&#160;")
_TO_SEE = ("<img", "<svg", "<object", "<input", "<hr", "<table", "background", "cid:")
_INVISIBLE = " \t\r\n\f\v\xa0\u200b\ufeff"


def _empty(octets: bytes, format_: DocumentFormat, codec: str) -> bool:
    """Whether there is nothing to see in all that a part has."""
    if format_ is DocumentFormat.TEXT and not octets.isascii():
        return not charset.decode(octets, codec).strip(_INVISIBLE)
    if format_ is DocumentFormat.HTML and len(octets) < PREFIX_OCTETS:
        text = charset.decode(octets, codec)
        there = any(thing in text.lower() for thing in _TO_SEE)
        return not there and not _TAG.sub("", text).strip(_INVISIBLE)
    return not octets.strip()


class Extractor:
    """Takes chosen parts out of a message; of those among `paths` that are `lenient` a damaged one is `damaged`.

    `feed` and `close` give pairs of a part's path and some of its decoded octets, in blocks no larger than what was
    fed. They raise `PermanentFailure` ("5.6.0", reason document-format-error) when a chosen part's encoding is
    broken, and `close` also when a chosen part never came.  Of a lenient one there is what there is.
    """

    def __init__(
        self, paths: Collection[str], limits: Limits | None = None, *, lenient: Collection[str] = frozenset()
    ) -> None:
        self.damaged: dict[str, PermanentFailure] = {}  # why what came of a lenient part is not the whole, by path
        self._waiting = set(paths)
        self._lenient = frozenset(lenient)
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
                if event.defect and event.path not in self._lenient:
                    raise _damaged(event)
                if event.defect:
                    self.damaged[event.path] = _damaged(event)
                self._waiting.discard(event.path)
        return taken


def _damaged(end: End) -> PermanentFailure:
    return PermanentFailure(
        "5.6.0", f"part {end.path} of the message is damaged: {end.defect}", reason="document-format-error"
    )


def take(
    message: bytes, body: Body, able: Able, limits: Limits | None = None
) -> tuple[Selection, Said, dict[str, bytes]]:
    """What prints of a message held in memory, and the decoded octets of it and of what it shows, by path.

    Survey and extraction in one walk.  What it gives and raises is what a `Surveyor` and then an `Extractor` of all the
    documents would: `PermanentFailure` as `mime.Walker` does, "5.6.1" if there is nothing to print, "5.6.0" if a
    document's encoding is broken.
    """
    walker = Walker(everything, limits)
    gathered = _Gathered()
    contents: dict[str, tuple[bytes, End]] = {}
    pieces: list[bytes] = []
    for event in (*walker.feed(message), *walker.close()):
        if isinstance(event, Part):
            part, pieces = event, []
        elif isinstance(event, Data):
            pieces.append(event.octets)
        elif isinstance(event, End):
            octets = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            taste = _Taste(part, gathered.room)
            taste.feed(octets)
            gathered.add(taste, event)
            contents[event.path] = octets, event
    survey = gathered.survey(walker.header)
    selection = survey.select(body, able)
    if not selection.documents:
        raise survey.refusal(selection)
    return selection, survey.said, _octets(selection.documents, contents)


def _octets(documents: Sequence[Document], contents: dict[str, tuple[bytes, End]]) -> dict[str, bytes]:
    taken: dict[str, bytes] = {}
    for document in documents:
        octets, end = contents[document.path]
        if end.defect:
            raise _damaged(end)
        taken[document.path] = octets
        taken |= {shown.path: contents[shown.path][0] for shown in document.shown}
    return taken
