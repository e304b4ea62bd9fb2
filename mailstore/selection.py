"""Which parts of a message print at a printer, and why the others do not.  Pure.

Letters print as the printer's entry says (`Body`); of a letter in several forms (RFC 2046 section 5.1.4) the last that
can get to the printer; what is not a picture prints wherever it stands, and however it is labelled; a picture prints
unless a letter shows it or it is an ornament, and also then if nothing else of the mail would.  An attached message is
an attachment, and within it the same holds.

Security: the message is a stranger's, its parts and their nesting bounded by `mailstore.mime`; the work is a product of
the two at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mailstore import pictures
from mailstore.directory.records import Body
from mailstore.document_format import DocumentFormat
from mailstore.mime import Part

_LETTERS: Final = frozenset({DocumentFormat.TEXT, DocumentFormat.HTML, DocumentFormat.RTF})
_OF_NO_FORM: Final = frozenset({"text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext"})
"""Forms of a letter for some programs only (RFC 1896, and for telephones and watches)."""
# Text by its octets, or octets that nobody can read: nothing that anybody wants on paper.
_NOT_FOR_PAPER: Final = {
    "text/calendar": "a calendar entry",
    "application/ics": "a calendar entry",
    "text/vcard": "an address card",
    "text/x-vcard": "an address card",
    "text/directory": "an address card",
    "text/css": "a style sheet",
    "text/javascript": "a program",
    "text/rfc822-headers": "part of a delivery report",
    "application/pkcs7-signature": "a signature",
    "application/x-pkcs7-signature": "a signature",
    "application/pgp-signature": "a signature",
    "application/pgp-keys": "a key",
    "application/pkcs7-mime": "signed or encrypted so that only its addressee reads it; send it without",
    "application/x-pkcs7-mime": "signed or encrypted so that only its addressee reads it; send it without",
    "application/pgp-encrypted": "encrypted; send it without",
} | dict.fromkeys(sorted(_OF_NO_FORM), "a form of the letter that is not printed")
_TEXT_NAME = re.compile(r"\.(?:txt|text|csv|tsv|log|md)\Z", re.IGNORECASE)
# What mail programs call pictures within a letter: Outlook, then Notes.
_NAMED_BY_PROGRAM = re.compile(r"(?:image\d{3}|pic\d{5}|graycol|ecblank)\.(?:png|gif|jpe?g)\Z", re.IGNORECASE)


class Kind(Enum):
    """What a part is to a reader."""

    LETTER = 0
    PICTURE = 1  # that may belong to a letter
    DOCUMENT = 2
    NOTHING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """A part as it was found."""

    part: Part
    format: DocumentFormat
    charset: str  # Python codec of a text, else ""; of HTML that does not say, ""
    octets: int | None  # decoded, where the survey could know
    empty: bool  # nothing is in it that could be seen
    defect: str
    pixels: tuple[int, int] | None = None  # width and height, of a picture that says so at its beginning
    refers: tuple[str, ...] = ()  # what an HTML page refers to by cid (RFC 2392), as `content_id` writes it

    @property
    def content_id(self) -> str:
        """As URLs of the scheme cid have it, lower case: programs do not agree on the case."""
        return self.part.content_id.strip("<> ").lower()

    @property
    def attached(self) -> bool:
        return self.part.disposition == "attachment"

    @property
    def kind(self) -> Kind:
        part = self.part
        if self.unprintable:
            return Kind.NOTHING
        # A form of the letter stays one even where some program has given it a name.
        written = not self.attached and (not part.name or part.within[-1:] == ("multipart/alternative",))
        if written and self.format in _LETTERS and part.media_type.startswith("text/"):
            return Kind.LETTER
        return Kind.PICTURE if self.format in pictures.PICTURES else Kind.DOCUMENT

    @property
    def unprintable(self) -> str:
        """Why nothing of it prints at any printer, a clause; "" if that is not so."""
        part = self.part
        if why := _NOT_FOR_PAPER.get(part.media_type):
            return f"it is {why}"
        if part.media_type.startswith("message/"):
            return "it is a report, or a mail in a coding that no mail may have"
        if self.empty:
            return f"it cannot be decoded: {self.defect}" if self.defect else "it is empty"
        if "multipart/encrypted" in part.within[-1:]:
            return "it is encrypted; send it without"
        if self.format is DocumentFormat.OCTETS:
            return f"{self.said} is nothing that can be printed"
        if self.format is DocumentFormat.TEXT and not self._reads_as_text:
            return f"{self.said} is not for reading"
        return "it is a single dot" if pictures.is_dot(self.pixels) else ""

    @property
    def _reads_as_text(self) -> bool:
        part = self.part
        plain = part.media_type.startswith("text/") or part.media_type == "application/octet-stream"
        return plain or bool(_TEXT_NAME.search(part.name))

    @property
    def ornament(self) -> str:
        """Why a picture is taken for an ornament of the letter, a clause; "" if it is not."""
        if self.attached:
            return ""
        if self.part.content_id and _NAMED_BY_PROGRAM.match(self.part.name):
            return "mail programs name pictures of a letter so"
        return "it is as small as a logo, and not attached" if pictures.is_ornament(self.pixels) else ""

    @property
    def said(self) -> str:
        """The media type that it claims; only characters of one (RFC 6838 section 4.2)."""
        return "".join(c for c in self.part.media_type[:80] if c.isascii() and (c.isalnum() or c in "!#$&-^_.+/"))


Able = Callable[[DocumentFormat], bool]
"""Whether a document of this format can get to the printer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture that an HTML page shows by `cid:` (RFC 2392)."""

    content_id: str  # without angle brackets
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One part that prints."""

    index: int  # from 1, in the order of the message
    path: str  # for `Extractor`
    format: DocumentFormat
    charset: str  # Python codec of a text, else ""
    name: str  # file name, or ""
    octets: int | None  # decoded, where the survey could know
    declared: str = ""  # the media type that the message claims
    letter: bool = False  # not attached, but written
    message: int = 0  # 0: of the mail itself, else a number for the attached message that it is in
    shown: tuple[Shown, ...] = ()
    ornament: bool = False  # a picture that is one if it stands in many mails: it is not marked as attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """One part that does not."""

    path: str
    name: str
    format: DocumentFormat
    why: str  # a clause


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What prints and what does not, each in the order of the message.

    Beside TNEF and no other document of its message, the letter is among `documents` also where it prints only alone
    (`Body.ALONE`): whether the container has documents in it, only who opens it can tell, and then leaves out the
    letter (`NOT_ALONE`).
    """

    documents: tuple[Document, ...]
    left_out: tuple[LeftOut, ...]


ANOTHER_FORM = "another form of the letter was taken"
_SHOWN = "the letter's HTML shows it, and that is not printed"
_SHOWN_ELSEWHERE = "it belongs to a form of the letter that was not taken"
NEVER = "this printer prints attachments, never the letter"
NOT_ALONE = "the letter prints only if nothing is attached"


def select(found: Sequence[Surveyed], body: Body, able: Able) -> Selection:
    """What prints where the letter prints as `body` says."""
    return _Choice(found, body, able).selection()


class _Choice:
    """`why` has what is left out, by path."""

    def __init__(self, found: Sequence[Surveyed], body: Body, able: Able) -> None:
        self._found = found
        self._body = body
        self._able = able
        self._kinds = {each.part.path: each.kind for each in found}
        self._why = {each.part.path: each.unprintable for each in found if self._is(each, Kind.NOTHING)}
        self._pictures: dict[str, Surveyed] = {}  # by Content-ID
        for each in found:
            if self._is(each, Kind.PICTURE) and each.content_id:
                self._pictures.setdefault(each.content_id, each)

    def _is(self, each: Surveyed, kind: Kind) -> bool:
        return self._kinds[each.part.path] is kind

    def selection(self) -> Selection:
        if len(self._found) > 1:
            self._leave_other_forms()
            self._leave_pictures()
        if len(self._found) > 1 or self._body is Body.NEVER:
            self._leave_letters()
        if len(self._why) == len(self._found):
            self._bring_back_pictures()
        chosen = [each for each in self._found if each.part.path not in self._why]
        within = {shown.path for each in chosen for shown in self._shown(each)}
        return Selection(
            documents=tuple(self._document(index, each) for index, each in enumerate(chosen, 1)),
            left_out=tuple(
                LeftOut(path=each.part.path, name=each.part.name, format=each.format, why=self._why[each.part.path])
                for each in self._found
                if each.part.path in self._why and each.part.path not in within
            ),
        )

    def _document(self, index: int, each: Surveyed) -> Document:
        return Document(
            index=index,
            path=each.part.path,
            format=each.format,
            charset=each.charset,
            name=each.part.name,
            octets=each.octets,
            declared=each.part.media_type,
            letter=self._is(each, Kind.LETTER),
            message=([0, *_messages(each)])[-1],
            shown=self._shown(each),
            ornament=self._is(each, Kind.PICTURE) and not each.attached,
        )

    def _shown(self, each: Surveyed) -> tuple[Shown, ...]:
        if not each.refers:
            return ()
        found = (self._pictures.get(content_id) for content_id in each.refers)
        return tuple(
            Shown(content_id=one.part.content_id.strip("<> "), path=one.part.path) for one in found if one is not None
        )

    def _leave_other_forms(self) -> None:
        """Of each alternative, the letters that were not taken and the pictures that stand with them."""
        alternatives: dict[int, dict[int | str, list[Surveyed]]] = {}
        for each in self._found:
            for depth, media_type in enumerate(each.part.within):
                if media_type == "multipart/alternative" and not _in_message(each, depth):
                    branch = each.part.around[depth + 1] if depth + 1 < len(each.part.around) else each.part.path
                    alternatives.setdefault(each.part.around[depth], {}).setdefault(branch, []).append(each)
        for forms in alternatives.values():
            written = [form for form in forms.values() if any(self._is(each, Kind.LETTER) for each in form)]
            taken = next((form for form in reversed(written) if self._gets_there(form)), None)
            for form in written:
                if form is not (taken or written[-1]):
                    for each in form:
                        if self._is(each, Kind.LETTER):
                            self._why[each.part.path] = ANOTHER_FORM
                        elif self._is(each, Kind.PICTURE) and not each.attached:
                            self._why[each.part.path] = _SHOWN_ELSEWHERE

    def _gets_there(self, form: Sequence[Surveyed]) -> bool:
        return any(self._is(each, Kind.LETTER) and self._able(each.format) for each in form)

    def _leave_pictures(self) -> None:
        """Those that belong to a letter: shown by it, or ornaments."""
        for each in self._found:
            for shown in self._shown(each):
                self._why.setdefault(shown.path, _SHOWN)
        for each in self._found:
            if self._is(each, Kind.PICTURE) and each.ornament:
                self._why.setdefault(each.part.path, each.ornament)

    def _leave_letters(self) -> None:
        """Those that the printer's entry leaves out, message by message, the innermost first."""
        if self._body is Body.ALWAYS:
            return
        messages: dict[int, list[Surveyed]] = {}
        above: dict[int, int] = {}
        for each in self._found:
            outer = [0, *_messages(each)]
            messages.setdefault(outer[-1], []).append(each)
            above.update(zip(outer[1:], outer, strict=False))
        prints: set[int] = set()  # messages in which, or in whose attached messages, something does
        for message in sorted({*messages, *above}, reverse=True):
            parts = [each for each in messages.get(message, ()) if each.part.path not in self._why]
            letters = [each for each in parts if self._is(each, Kind.LETTER)]
            # Whether a container of Outlook's holds anything but the letter, nobody can tell from outside.
            attached = [each for each in parts if not self._is(each, Kind.LETTER) and each.format is not _TNEF]
            if self._body is Body.NEVER:
                self._why.update((each.part.path, NEVER) for each in letters)
            elif attached or message in prints:
                self._why.update((each.part.path, NOT_ALONE) for each in letters)
            if any(each.part.path not in self._why for each in parts):
                prints.add(message)
            if message in prints and message in above:
                prints.add(above[message])

    def _bring_back_pictures(self) -> None:
        """Nothing would print: then those that are no ornaments do, and if there is none, all of them."""
        left = [each for each in self._found if self._is(each, Kind.PICTURE)]
        for each in [each for each in left if not each.ornament] or left:
            del self._why[each.part.path]


_TNEF = DocumentFormat.TNEF


def _messages(each: Surveyed) -> list[int]:
    """The attached messages around a part, the outermost first."""
    part = each.part
    return [number for number, kind in zip(part.around, part.within, strict=True) if kind.startswith("message/")]


def _in_message(each: Surveyed, depth: int) -> bool:
    """Whether there is an attached message between a part and what is `depth` deep around it."""
    return any(kind.startswith("message/") for kind in each.part.within[depth + 1 :])
