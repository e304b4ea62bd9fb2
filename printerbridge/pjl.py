"""PJL around a job: what is said before and behind a document, and what the printer says meanwhile.  No I/O.

HP's Printer Job Language stands between documents: the Universal Exit Language sequence opens a section of `@PJL`
lines, `@PJL ENTER LANGUAGE = X` starts a document.  On the back channel come messages of lines ended by CR LF, each
message ended by a form feed: how the device fares whenever that changes (USTATUS DEVICE), and that a job has ended,
when its pages lie in the tray (USTATUS JOB).  Only a printer whose entry says that it speaks PJL is spoken to so.

USTATUS is not switched off behind the document but when the job has ended: a printer reads far ahead of its paper, and
would fall silent before the paper runs out.

Security: the back channel is the printer's, and a PostScript program that it runs may write there too.  Lines and
messages are kept to a few hundred octets, whatever comes; only numbers, one short cleaned text and the name that we
gave are taken from them.  A sender who forges a message deceives us about his own job: an end counts only behind the
document's last octet, a fault only until the job ends.  Of the job's name nothing reaches PJL but letters, digits and
` ._-`.  A document without PJL of its own always stands behind ENTER LANGUAGE: text that looks like PJL stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mailstore.directory.records import Language
from mailstore.header import clean

UEL: Final = b"\x1b%-12345X"
NAME_OCTETS: Final = 32  # longer JOB lines are dropped by some printers
DISPLAY_OCTETS: Final = 80
LINE_OCTETS: Final = 200
MESSAGE_LINES: Final = 16
OK: Final = "OK"
CANCELED: Final = frozenset({"USER_CANCELED", "HOST_CANCELED"})

_LANGUAGES: Final = {
    Language.POSTSCRIPT: "POSTSCRIPT",
    Language.POSTSCRIPT2: "POSTSCRIPT",
    Language.PDF: "PDF",
    Language.PCL: "PCL",
    Language.PCLXL: "PCLXL",
    Language.TEXT: "PCL",  # which prints text as it comes
}
_HEAD_OCTETS: Final = 8192
_UEL_WITHIN: Final = 128
_OWN_JOB: Final = re.compile(rb"@PJL[ \t]+JOB\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """What the panel shows: HP's status code, its text, and whether the device is on line (None: it does not say)."""

    code: int
    display: str
    online: bool | None = None

    @property
    def reason(self) -> str:
        """The `printer-state-reasons` keyword for what keeps the printer from printing, "" if it goes on."""
        return _reason(self)

    def __str__(self) -> str:
        return f"the printer says: {self.display or f'status code {self.code}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """A job has ended.  `result` is OK, USER_CANCELED, HOST_CANCELED, RESOURCE_CANCELED, or "" from older models."""

    name: str
    result: str
    pages: int | None  # None if it does not say


# -- what a status means

# HP PJL Technical Reference Manual, appendix "Status Readback"; classes by the thousands, as PRET's codebook groups
# them.  Keywords are those of RFC 8011 section 5.4.12.  By class, and by number only where the class says too little.
_CLASSES: Final = {
    11: "media-empty",  # a tray ran empty, another one may serve: ONLINE tells
    12: "media-empty",
    15: "output-area-full",
    41: "media-empty",  # load paper
    42: "media-jam",
    44: "media-jam",
}
_CODES: Final = {
    40010: "marker-supply-empty",  # no cartridge
    40019: "output-area-full",
    40021: "door-open",
    40022: "media-jam",
    40038: "marker-supply-low",
}
_WAITS_FOR_SOMEBODY: Final = frozenset({40, 41, 42, 43, 44, 50})
# Warming up, toner low, canceling, printing, data received, power save: the printer goes on by itself.
_GOES_ON: Final = frozenset({10003, 10006, 10007, 10023, 10024, 35078, 40000})
_WORDS: Final = (  # of the operator's class, where the number is a model's own
    (re.compile(r"\bJAM", re.IGNORECASE), "media-jam"),
    (re.compile(r"\b(DOOR|COVER)\b", re.IGNORECASE), "door-open"),
    (re.compile(r"\bBIN\b.*\bFULL\b", re.IGNORECASE), "output-area-full"),
    (re.compile(r"\bLOAD\b|\bNO PAPER\b|\bPAPER OUT\b", re.IGNORECASE), "media-empty"),
    (re.compile(r"\b(TONER|INK)\b", re.IGNORECASE), "marker-supply-empty"),
)


def _reason(status: DeviceStatus) -> str:
    group = status.code // 1000
    if status.code in _GOES_ON or (status.online is not False and group not in _WAITS_FOR_SOMEBODY):
        return ""
    if status.code == 40038 and status.online is not False:  # toner low: it warns and goes on
        return ""
    if known := _CODES.get(status.code) or _CLASSES.get(group):
        return known
    return next((keyword for words, keyword in _WORDS if words.search(status.display)), "other")


# -- the back channel


class BackChannel:
    """Finds the messages in what a printer says, fed in pieces of any size."""

    __slots__ = ("_line", "_lines")

    _STOP: Final = re.compile(rb"[\n\x0c]+")  # empty lines say nothing

    def __init__(self) -> None:
        self._line = bytearray()
        self._lines: list[str] = []  # of the running message, its `@PJL` line first

    def feed(self, data: bytes) -> list[DeviceStatus | JobEnd]:
        """Take octets; return what they completed, in order."""
        found: list[DeviceStatus | JobEnd] = []
        at = 0
        for stop in self._STOP.finditer(data):
            self._take(data[at : stop.start()])
            self._finish_line(found)
            if b"\x0c" in stop[0]:
                self._finish_message(found)
            at = stop.end()
        self._take(data[at:])
        return found

    def _take(self, octets: bytes) -> None:
        self._line += octets[: LINE_OCTETS - len(self._line)]

    def _finish_line(self, found: list[DeviceStatus | JobEnd]) -> None:
        line = self._line.decode("latin-1").strip()
        self._line.clear()
        if line[:4].upper() == "@PJL":
            self._finish_message(found)  # of a printer that forgets the form feed
            self._lines.append(line)
        elif line and 0 < len(self._lines) < MESSAGE_LINES:
            self._lines.append(line)

    def _finish_message(self, found: list[DeviceStatus | JobEnd]) -> None:
        lines, self._lines = self._lines, []
        if lines and (message := _message(lines[0].upper().split()[1:3], lines[1:])) is not None:
            found.append(message)


def _message(topic: list[str], lines: list[str]) -> DeviceStatus | JobEnd | None:
    values = {
        name.strip().upper(): value.strip().strip('"') for name, _, value in (one.partition("=") for one in lines)
    }
    if topic in (["USTATUS", "DEVICE"], ["INFO", "STATUS"]) and re.fullmatch(r"[0-9]{1,6}", values.get("CODE", "")):
        online = values["ONLINE"].upper() == "TRUE" if "ONLINE" in values else None
        return DeviceStatus(code=int(values["CODE"]), display=_display(values.get("DISPLAY", "")), online=online)
    if topic == ["USTATUS", "JOB"] and lines and lines[0].upper() in ("END", "CANCELED"):
        pages = values.get("PAGES", "")
        return JobEnd(
            name=values.get("NAME", ""),
            result=values.get("RESULT", "").upper()[:NAME_OCTETS] if lines[0].upper() == "END" else "USER_CANCELED",
            pages=int(pages) if re.fullmatch(r"[0-9]{1,7}", pages) else None,
        )
    return None


def _display(text: str) -> str:
    return clean(" ".join(text.split()), DISPLAY_OCTETS)


# -- a job


def brings_pjl(head: bytes) -> bool:
    """Whether a document that begins so has a PJL section of its own around it."""
    return UEL in head[: _UEL_WITHIN + len(UEL)]


def names(language: Language | None) -> bool:
    """Whether PJL can say that a document in this language follows."""
    return language in _LANGUAGES


def job_name(job_id: int, number: int, name: str) -> str:
    """What the printer's panel calls document `number` (from 1) of a job, at most `NAME_OCTETS` of harmless letters."""
    harmless = " ".join(re.sub(r"[^A-Za-z0-9 ._-]", " ", name).split())
    return f"{job_id}-{number} {harmless}"[:NAME_OCTETS].rstrip()


class Conversation:
    """What is said around one document, and what the printer has said of it so far.

    `head` is the document's beginning, `name` comes from `job_name`.  A document that brings PJL of its own is not
    dressed twice: ours goes before it and leaves the language to it; if it names its own job, only the device is asked.
    `settings` are lines that are said of this document where the language is left to us.  `news` is called when
    something new was heard.

    Attributes: `status`, the device's latest; `end`, once the job has ended; `answered`, whether it speaks PJL at all.
    """

    def __init__(
        self,
        head: bytes,
        language: Language | None,
        name: str,
        news: Callable[[], None] = lambda: None,
        settings: Iterable[str] = (),
    ) -> None:
        self.status: DeviceStatus | None = None
        self.end: JobEnd | None = None
        self.answered = False
        self._name = name
        self._news = news
        self._channel = BackChannel()
        own = brings_pjl(head)
        entered = _LANGUAGES.get(language) if language is not None and not own else None
        self._dressed = own or entered is not None
        self._job = self._dressed and not (own and _OWN_JOB.search(head, 0, _HEAD_OCTETS))
        lines = ["USTATUS DEVICE = ON", "INFO STATUS"]  # changes are told; how it is at first must be asked
        if self._job:
            lines += ["USTATUS JOB = ON", f'JOB NAME = "{name}"']
        if entered is not None:
            lines += settings
            lines.append(f"ENTER LANGUAGE = {entered}")
        self.prologue = _section(*lines) if self._dressed else b""
        self.epilogue = _section(f'EOJ NAME = "{name}"') if self._job else b""

    @property
    def farewell(self) -> bytes:
        """What goes when nothing more is to be heard, while our side is still open."""
        return _section("USTATUSOFF") + UEL if self._job else b""

    @property
    def breaking_off(self) -> bytes:
        """What goes in the middle of a document that is not wanted any more: the printer drops the rest of its page."""
        return self.epilogue + _section("USTATUSOFF") + UEL if self._dressed else b""

    @property
    def awaited(self) -> bool:
        """Whether the printer has still to say how the job ended."""
        return self._job and self.end is None

    @property
    def stands(self) -> str:
        """The `printer-state-reasons` keyword for what the printer says that it waits for, "" if it goes on.

        Once the job has ended what it waits for is no longer this job's: its connection is not held for that.
        """
        return self.status.reason if self.status is not None and self.end is None else ""

    def hear(self, octets: bytes, *, whole: bool) -> bool:
        """Take what the printer said; `whole`: it has taken all of the document.  Whether anything new was in it."""
        news = False
        for message in self._channel.feed(octets):
            self.answered = True
            if isinstance(message, DeviceStatus):
                news = news or message != self.status
                self.status = message
            elif message.name == self._name and self.end is None and (whole or message.result not in ("", OK)):
                self.end = message
                news = True
        if news:
            self._news()
        return news

    def dress(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The document between prologue and epilogue, in no more pieces than it came in."""
        pieces = iter(blocks)
        piece = self.prologue + next(pieces, b"")
        for following in pieces:
            yield piece
            piece = following
        yield piece + self.epilogue


def _section(*lines: str) -> bytes:
    return UEL + "".join(f"@PJL {line}\r\n" for line in lines).encode("ascii")
