"""PJL around a job: what is said before and behind a document, and what the printer says meanwhile.  No I/O.

HP's Printer Job Language stands between documents: the Universal Exit Language sequence opens a section of `@PJL`
lines, `@PJL ENTER LANGUAGE = X` starts a document.  On the back channel come messages of lines ended by CR LF, each
message ended by a form feed: how the device fares whenever that changes (USTATUS DEVICE), that a page lies in the tray
(USTATUS PAGE), and that a job has ended, when all of them do (USTATUS JOB).  Only a printer whose entry says that it
speaks PJL is spoken to so.

The first line is an ECHO with a word of ours.  What comes before its answer was meant for somebody else: an earlier
connection, or another host.  One behind the document comes back when the printer has read that far.

USTATUS is not switched off behind the document but when the job has ended: a printer reads far ahead of its paper, and
would fall silent before the paper runs out.

Security: the back channel is the printer's, and a PostScript program that it runs may write there too.  A sender who
forges a message deceives us about his own job: an end counts only behind the document's last octet, a fault only until
the job ends, and pages one after the other, no more than there are.  Of the job's name nothing reaches PJL but letters,
digits and ` ._-`, of its sender these and `@+`.  A document without PJL of its own always stands behind ENTER LANGUAGE:
text that looks like PJL stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mailstore.directory.records import Language
from mailstore.job import DeliveryProof
from printerbridge.pjl_messages import (
    NAME_OCTETS,
    Answer,
    BackChannel,
    DeviceStatus,
    Echo,
    JobEnd,
    JobStart,
    Message,
    PagesOut,
)
from printerbridge.postscript import LANGUAGES, Reports

UEL: Final = b"\x1b%-12345X"
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
_PAGES_AT_ONCE: Final = 8  # by which the count may rise from one word to the next
_HEAD_OCTETS: Final = 8192
_UEL_WITHIN: Final = 128
_OWN_JOB: Final = re.compile(rb"@PJL[ \t]+JOB\b", re.IGNORECASE)


def brings_pjl(head: bytes) -> bool:
    """Whether a document that begins so has a PJL section of its own around it."""
    return UEL in head[: _UEL_WITHIN + len(UEL)]


def owns_job(head: bytes) -> bool:
    """Whether a document that brings PJL names its own job."""
    return _OWN_JOB.search(head, 0, _HEAD_OCTETS) is not None


def names(language: Language | None) -> bool:
    """Whether PJL can say that a document in this language follows."""
    return language in _LANGUAGES


def job_name(job_id: int, number: int, name: str) -> str:
    """What the printer's panel calls document `number` (from 1) of a job, at most `NAME_OCTETS` of harmless letters."""
    harmless = " ".join(re.sub(r"[^A-Za-z0-9 ._-]", " ", name).split())
    return f"{job_id}-{number} {harmless}"[:NAME_OCTETS].rstrip()


def display_name(sender: str) -> str:
    """What the panel says of who sent it, at most `NAME_OCTETS` of harmless letters."""
    return " ".join(re.sub(r"[^A-Za-z0-9 ._@+-]", " ", sender).split())[:NAME_OCTETS].rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said around a document beside its name.

    `settings` are lines that are said of it where the language is left to us; `start` is the page that it begins with.
    """

    cookie: str = ""  # a word of letters and digits for ECHO, "" for none
    display: str = ""  # from `display_name`; "" where a line takes one option
    settings: Iterable[str] = ()
    start: int = 0  # 0: all pages
    pages: int = 0  # that it has, 0 where nobody can tell


NOTHING: Final = Said()


class Conversation:
    """An `Exchange` with a printer that speaks PJL.

    `head` is the document's beginning, `name` comes from `job_name`.  A document that brings PJL of its own is not
    dressed twice: ours goes before it and leaves the language to it; if it names its own job, only the device is asked.
    `news` is called when something new was heard.  `ends`: this printer tells how jobs end, or nobody knows.

    Attributes: `status`, the device's latest; `end`, once the job has ended; `answered`, whether it speaks PJL at all;
    `echoed`, whether it has read what goes behind the document.
    """

    def __init__(
        self,
        head: bytes,
        language: Language | None,
        name: str,
        news: Callable[[], None] = lambda: None,
        said: Said = NOTHING,
        *,
        ends: bool = True,
    ) -> None:
        self.status: DeviceStatus | None = None
        self.end: JobEnd | None = None
        self.answered = self.echoed = False
        self._out = max(0, said.start - 1)
        self._said = said
        self._name = name
        self._news = news
        self._ends = ends
        self._channel = BackChannel()
        self._reports = Reports() if language in LANGUAGES else None
        own = brings_pjl(head)
        entered = _LANGUAGES.get(language) if language is not None and not own else None
        self._dressed = own or entered is not None
        self._job = self._dressed and not (own and owns_job(head))
        self._begun = not (self._dressed and said.cookie)
        self._started = self._whole = False
        lines = self._begin(entered)
        self.prologue = _section(*lines) if self._dressed else b""
        self._eoj = _section(f'EOJ NAME = "{name}"') if self._job else b""
        echo = f"@PJL ECHO {said.cookie} end\r\n".encode("ascii") if self._dressed and said.cookie else b""
        self.epilogue = (self._eoj or (UEL if echo else b"")) + echo

    def _begin(self, entered: str | None) -> list[str]:
        said = self._said
        # What changes is told; how it is at first must be asked.
        lines = [f"ECHO {said.cookie} begin"] if said.cookie else []
        lines += ["USTATUS DEVICE = ON", "INFO STATUS"]
        if self._job:
            start = f" START = {said.start}" if said.start > 1 else ""
            display = f' DISPLAY = "{said.display}"' if said.display else ""
            lines += ["USTATUS JOB = ON", "USTATUS PAGE = ON", f'JOB NAME = "{self._name}"{start}{display}']
        if entered is not None:
            lines += said.settings
            lines.append(f"ENTER LANGUAGE = {entered}")
        return lines

    @property
    def before(self) -> int:
        return len(self.prologue)

    @property
    def farewell(self) -> bytes:
        return _section("USTATUSOFF") + UEL if self.epilogue else b""

    @property
    def breaking_off(self) -> bytes:
        """The printer drops the rest of its page."""
        return self._eoj + _section("USTATUSOFF") + UEL if self._dressed else b""

    @property
    def awaited(self) -> bool:
        """Whether the printer has still to say how the job ended, or that it read the document that is its own job."""
        return self.end is None if self._job else bool(self.epilogue) and not self.echoed

    @property
    def patient(self) -> bool:
        return self.answered and not (self.echoed and not self._ends)

    @property
    def settled(self) -> bool:
        return self.end is not None

    @property
    def proof(self) -> DeliveryProof:
        if self.end is not None:
            if self.end.result == OK:
                return DeliveryProof.JOB_END
            return DeliveryProof.NONE if self.end.result else DeliveryProof.INTERPRETED  # older models do not say how
        return DeliveryProof.INTERPRETED if self.echoed else DeliveryProof.NONE

    @property
    def pages(self) -> int | None:
        if self.end is None or self.end.pages is not None or self.end.result in ("", OK):
            return self.end.pages if self.end is not None else None
        return self._out - max(0, self._said.start - 1)

    @property
    def result(self) -> str:
        return self.end.result if self.end is not None else ""

    @property
    def errors(self) -> str:
        return self._reports.errors if self._reports is not None else ""

    @property
    def failed(self) -> bool:
        return bool(self.errors)

    @property
    def out(self) -> int:
        return self._out

    @property
    def stands(self) -> str:
        """Once the job has ended what it waits for is no longer this job's: its connection is not held for that."""
        if self.end is not None:
            return ""
        if self.status is not None and self.status.reason:
            return self.status.reason
        return self._reports.stands if self._reports is not None else ""

    @property
    def fault(self) -> str:
        if self.status is not None and self.status.reason:
            return str(self.status)
        return f"the printer says: {self._reports.fault}" if self._reports is not None and self._reports.fault else ""

    def hear(self, octets: bytes, *, whole: bool) -> bool:
        self._whole = whole
        before = self._known
        self._take(self._channel.feed(octets))
        if self._reports is not None and (self._begun or not self.answered):
            self._reports.feed(octets)
        return self._tell(before)

    def pause(self) -> None:
        before = self._known
        self._take(self._channel.pause())
        self._tell(before)

    @property
    def _known(self) -> tuple[object, ...]:
        return self.stands, self.fault, self.end, self.echoed, self.out, self.status

    def _tell(self, before: tuple[object, ...]) -> bool:
        news = before != self._known
        if news:
            self._news()
        return news

    def _take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.answered = True
            self._understand(message, self._whole)

    def _understand(self, message: Message, whole: bool) -> None:
        # One that does not know ECHO answers what comes behind it.
        self._begun = self._begun or isinstance(message, Answer) or message == Echo(words=f"{self._said.cookie} begin")
        if not self._begun:
            return
        match message:
            case DeviceStatus():
                self.status = message
            case Answer(status=status):
                self.status = status
            case Echo(words=words):
                self.echoed = self.echoed or (whole and words == f"{self._said.cookie} end")
            case JobStart(name=name):
                self._started = self._started or name == self._name
            case PagesOut(pages=pages):
                self._count(pages)
            case JobEnd() if message.name != self._name:
                # The pages that were told since ours began may have been of the job before, whose end is late.
                self._out = max(0, self._said.start - 1) if self.end is None else self._out
            case JobEnd() if self.end is None and (whole or message.result not in ("", OK)):
                self.end = message

    def _count(self, pages: int) -> None:
        """Of the running job alone; a number that jumps counts something else."""
        if self._started and self.end is None and 0 < pages - self.out <= _PAGES_AT_ONCE:
            self._out = min(pages, self._said.pages or pages)

    def goes_on(self) -> None:
        if self._reports is not None and self._reports.fault:
            self._reports.fault = ""
            self._news()

    def dress(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        pieces = iter(blocks)
        piece = self.prologue + next(pieces, b"")
        for following in pieces:
            yield piece
            piece = following
        yield piece + self.epilogue


def _section(*lines: str) -> bytes:
    return UEL + "".join(f"@PJL {line}\r\n" for line in lines).encode("ascii")
