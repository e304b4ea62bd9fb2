"""A job that is ready to go: its documents as the printer gets them, and what is told of them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailstore.directory.records import Language, PrintLimits
from mailstore.documents import LeftOut
from mailstore.job import Job
from mailstore.sniff import PREFIX_OCTETS
from mailstore.store.following import Progress
from mailstore.store.papers import DocumentRecord, Fate

BLOCK = 128 << 10
_TOLD = 20  # lines of a job's trace on its being made ready: it may have hundreds of documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A document as the printer gets it, in memory or in a file, with what is put into it."""

    octets: int
    pages: int  # that it prints, with its copies; 0 where nobody can tell
    language: Language | None = None
    kept: tuple[bytes, ...] = ()
    path: Path | None = None
    made: bool = False  # by us
    ours: bool = False  # no document of the sender's
    at: int = 0  # before its octet with this number, from 0, `words` stand
    words: bytes = b""
    pjl: tuple[str, ...] = ()  # to be said of it to a printer that speaks PJL
    copies: int = 1  # that the printer makes of it
    number: int = 0  # of the document in the mail, from 1; 0 for what is ours

    def head(self) -> bytes:
        """Its first octets, as many as `mailstore.sniff` looks at."""
        head = bytearray()
        with contextlib.closing(self.blocks()) as blocks:
            for block in blocks:
                head += block[: PREFIX_OCTETS - len(head)]
                if len(head) == PREFIX_OCTETS:
                    break
        return bytes(head)

    def blocks(self) -> Generator[bytes]:
        """The octets, in blocks as they were read; one that our words stand in may be a little longer."""
        blocks = self._blocks()
        if self.words:
            head = bytearray()
            for block in blocks:
                head += block
                if len(head) >= self.at:
                    break
            yield bytes(head[: self.at]) + self.words + head[self.at :]
        yield from blocks

    def _blocks(self) -> Generator[bytes]:
        if self.path is None:
            yield from self.kept
            return
        with self.path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                yield block


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The PDF of a document that pictures of its pages are made of."""

    document: int
    pdf: Path
    pages: int


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A job that is ready to go.  `discard` it in the end (`printerbridge.spool`)."""

    job: Job
    documents: list[Ready] = field(default_factory=list)
    records: list[DocumentRecord] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)  # "document 1: cairo-postscript", for those that were converted
    told: list[str] = field(default_factory=list)  # other sentences for the trace: what could not be asked for, say
    left_out: list[LeftOut] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    converting: float = 0.0  # seconds
    claimed: bool = False
    limits: PrintLimits | None = None  # against which its pages count, or those of its capability; None: against none
    folder: Path | None = None
    files: int = 0  # that were made in it
    held: int = 0  # octets of the memory that is shared by all jobs
    resumed: Progress | None = None  # what was printed before; the documents before it are not among these
    start: int = 0  # the page that the first of the sender's documents begins with, 0 for all of it

    @property
    def pages(self) -> int:
        """Of all documents, 0 if it is not known of each."""
        return sum(each.pages for each in self.documents) if all(each.pages for each in self.documents) else 0

    @property
    def senders(self) -> list[Ready]:
        """Without what is ours."""
        return [document for document in self.documents if not document.ours]

    @property
    def passed(self) -> bool:
        """Whether a document of the sender's goes as it came."""
        return not all(document.made or document.ours for document in self.documents)

    @property
    def counted(self) -> int:
        """Pages that count against limits: one at least of each copy of a document, and none of a banner."""
        return sum(max(1, document.pages) for document in self.documents if not document.ours)

    @property
    def failed(self) -> str:
        """What of the job does not print and should, in a sentence; "" if all of it does."""
        lost = [record for record in self.records if record.fate is Fate.FAILED]
        names = [f' ("{one.name}")' if one.name else "" for one in lost[:5]]
        told = [f"document {one.number}{name}: {one.detail}" for one, name in zip(lost, names, strict=False)]
        return "; ".join(told) + ("; and more" if lost[5:] else "")

    def without(self, why: str) -> list[DocumentRecord]:
        """The records if none of the documents prints after all."""
        return [replace(one, fate=Fate.FAILED, detail=why) if one.fate is Fate.READY else one for one in self.records]

    def notes(self) -> list[str]:
        """What the job's trace says of its being made ready."""
        told = list(self.told)
        if self.routes:
            routes = "; ".join(self.routes[:_TOLD]) + ("; and more" if self.routes[_TOLD:] else "")
            told.insert(0, f"converted in {self.converting * 1000:.0f} ms: {routes}")
        return told if len(told) <= _TOLD else [*told[: _TOLD - 1], f"and {len(told) - _TOLD + 1} more of this kind"]
