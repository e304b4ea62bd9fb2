"""What PostScript printers write on the back channel, and a mark behind a document that they write there.  No I/O.

Messages are `%%[ key: value; key: value ]%%`, by the conventions of Adobe's job servers: `Error` and `OffendingCommand`
of a program that failed, `Flushing` of the rest of its job, `PrinterError` of what keeps the printer from printing, and
whatever a program prints itself.

The mark is a program that prints a message with a word that only we know.  When that comes back, the interpreter has
reached the document's end; its last pages may still be on their way.

Security: what is heard is the printer's, and the document's own.  A program that forges messages deceives us about its
own job: the mark's word is random and counts only behind the document's last octet, a fault holds only until the
printer goes on.  Messages are kept to a few hundred octets, texts are cleaned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mailstore.directory.records import Language
from mailstore.header import clean
from mailstore.job import DeliveryProof
from printerbridge.panel import reason_of

MESSAGE_OCTETS: Final = 300
TEXT_OCTETS: Final = 200
LANGUAGES: Final = frozenset({Language.POSTSCRIPT, Language.POSTSCRIPT2})
_BEGIN: Final = b"%%["
_END: Final = b"]%%"
_UEL: Final = b"\x1b%-12345X"
_END_OF_JOB: Final = b"\x04"
_BLANK: Final = b" \t\r\n\x0c\0"
_TAIL_OCTETS: Final = 16
_FAULT: Final = re.compile(r"PrinterError:\s*([^;]*)")
_GOES_ON: Final = re.compile(r"\bWARM", re.IGNORECASE)


class Messages:
    """Finds the messages in what a printer says, fed in pieces of any size."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""  # what may begin one

    def feed(self, data: bytes) -> list[str]:
        """Take octets; return what stands in the messages that they completed, in order."""
        found, held = [], self._held + data
        while (at := held.find(_BEGIN)) >= 0:
            held = held[at:]
            end = held.find(_END, len(_BEGIN), MESSAGE_OCTETS)
            if end >= 0:
                found.append(held[len(_BEGIN) : end].decode("latin-1").strip())
                held = held[end + len(_END) :]
            elif len(held) < MESSAGE_OCTETS:
                break
            else:
                held = held[len(_BEGIN) :]
        else:
            held = held[-(len(_BEGIN) - 1) :]
        self._held = held
        return found


class Reports:
    """What the messages say of a job: `errors` of its program, and the `fault` of a printer that waits.

    `flushed`: nothing more of the job is run.
    """

    __slots__ = ("_messages", "errors", "fault", "flushed")

    def __init__(self) -> None:
        self._messages = Messages()
        self.errors = ""
        self.fault = ""  # in the printer's words
        self.flushed = False

    @property
    def stands(self) -> str:
        """As of an `Exchange`."""
        return reason_of(self.fault) if self.fault and not _GOES_ON.search(self.fault) else ""

    def feed(self, data: bytes) -> list[str]:
        """Take octets; return the messages that say none of this."""
        others = []
        for text in self._messages.feed(data):
            if fault := _FAULT.search(text):
                self.fault = clean(fault[1].strip(), TEXT_OCTETS) or "PrinterError"
            elif text.startswith("Error:"):
                self.errors = self.errors or clean(text.removeprefix("Error:").strip(), TEXT_OCTETS) or "error"
            elif text.startswith("Flushing:"):
                self.flushed = True
            else:
                self.fault = ""  # it speaks of something else, so it goes on
                others.append(text)
        return others


class Conversation:
    """An `Exchange` with a printer that speaks no PJL.

    `cookie` is a word of letters and digits, "" where no mark goes behind the document.  `head` is the document's
    beginning; `patient`: the mark came back from this printer before, or nobody knows.
    """

    def __init__(
        self, head: bytes, cookie: str, news: Callable[[], None] = lambda: None, *, patient: bool = True
    ) -> None:
        self.marked = False
        self._reports = Reports()
        self._news = news
        self._patient = patient
        program = head.lstrip(_BLANK + _END_OF_JOB).startswith(b"%!")
        self._cookie = cookie if program and _UEL not in head else ""
        self._goes = bool(self._cookie)  # behind the document

    @property
    def marks(self) -> bool:
        """Whether a mark went behind the document."""
        return self._goes

    @property
    def awaited(self) -> bool:
        """Whether the mark is to come back."""
        return self._goes and not self.marked and not self._reports.flushed

    @property
    def patient(self) -> bool:
        return self._patient and not self._reports.errors

    @property
    def settled(self) -> bool:
        return self.marked

    @property
    def proof(self) -> DeliveryProof:
        return DeliveryProof.INTERPRETED if self.marked else DeliveryProof.NONE

    @property
    def stands(self) -> str:
        return "" if self.marked else self._reports.stands

    @property
    def fault(self) -> str:
        return f"the printer says: {self._reports.fault}" if self._reports.fault else ""

    @property
    def pages(self) -> int | None:
        return None

    @property
    def result(self) -> str:
        return ""

    @property
    def errors(self) -> str:
        return self._reports.errors

    @property
    def failed(self) -> bool:
        return bool(self.errors) and not self.marked

    @property
    def out(self) -> int:
        return 0

    @property
    def before(self) -> int:
        return 0

    @property
    def farewell(self) -> bytes:
        return b""

    @property
    def breaking_off(self) -> bytes:
        return b""

    def dress(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The document, and behind it the mark, unless it ends its job itself: what follows would be another one."""
        if not self._cookie:
            yield from blocks
            return
        pieces = iter(blocks)
        piece, tail = next(pieces, b""), b""
        for following in pieces:
            tail = _last(tail, piece)
            yield piece
            piece = following
        self._goes = not _last(tail, piece).endswith((_END_OF_JOB, _UEL))
        yield piece + (b"\n(%%%%[ %b ]%%%%) print flush\n" % self._cookie.encode("ascii") if self._goes else b"")

    def hear(self, octets: bytes, *, whole: bool) -> bool:
        before = self.stands, self.awaited
        if self._cookie in self._reports.feed(octets) and self._goes and whole:
            self.marked = True
        news = before != (self.stands, self.awaited)
        if news:
            self._news()
        return news

    def pause(self) -> None:
        """Its messages have an end of their own."""

    def goes_on(self) -> None:
        if self._reports.fault:
            self._reports.fault = ""
            self._news()


def _last(tail: bytes, piece: bytes) -> bytes:
    """The last octets that are no blanks of what ended with `tail` and goes on with `piece`."""
    stripped = piece.rstrip(_BLANK)
    return (tail + stripped[-_TAIL_OCTETS:])[-_TAIL_OCTETS:] if stripped else tail
