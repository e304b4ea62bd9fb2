"""A document on its way out of a message, in memory or in a file."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import BinaryIO

from mailstore import charset
from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.documents import Document
from mailstore.failure import PermanentFailure
from mailstore.store.papers import DocumentRecord, Fate
from printerbridge.ready import Ready

_BEGINNING = 64 << 10  # octets in which a line is looked for
_GAP = rb"(?:\s|\xc2?\xa0|&nbsp;|&#160;)+"


class Part:
    """Its octets are `waiting`, those that are in the file already excepted."""

    def __init__(self, document: Document) -> None:
        self.index = document.index
        self.of = 1
        self.format = document.format
        self.charset = document.charset
        self.name = document.name
        self.declared = document.declared
        self.letter = document.letter
        self.message = document.message
        self.ornament = document.ornament
        self.shown: list[tuple[str, Path]] = []  # of an HTML letter: Content-ID and file of its pictures
        self.failure: PermanentFailure | None = None  # why it cannot be printed, where that is known
        self.ours = False
        self.pages = 0
        self.octets = 0
        self.waiting: list[bytes] = []
        self.unwritten = 0
        self.held = 0  # octets in `waiting` that count against the memory of all jobs
        self.path: Path | None = None
        self.file: BinaryIO | None = None

    def __str__(self) -> str:
        if self.ours:
            return f"the {self.name}"
        number = f"document {self.index}" + (f" of {self.of}" if self.of > 1 else "")
        return f'{number} ("{self.name}")' if self.name else number

    def record(self, fate: Fate, detail: str, pages: int = 0) -> DocumentRecord:
        return DocumentRecord(
            number=self.index, name=self.name, format=self.format.value, pages=pages, fate=fate, detail=detail
        )

    def as_it_came(self, language: Language | None) -> Ready:
        kept = tuple(self.waiting) if self.path is None else ()
        return Ready(octets=self.octets, pages=self.pages, language=language, kept=kept, path=self.path, ours=self.ours)

    def cut(self, line: str) -> None:
        """Take a line of a letter, as people see it, out of its beginning, if it is in memory; HTML has it too."""
        if self.path is not None or not self.waiting:
            return
        codec = charset.codec(self.charset) or "utf-8"
        words = [re.escape(word.encode(codec, "replace")) for word in line.split()]
        whole = b"".join(self.waiting)
        found = re.search(_GAP.join(words), whole[:_BEGINNING])
        if found is not None:
            self.waiting = [whole[: found.start()] + whole[found.end() :]]
            self.octets = self.unwritten = len(self.waiting[0])

    @property
    def blank(self) -> bool:
        """A letter in memory with nothing to read in it."""
        return self.letter and self.path is None and not b"".join(self.waiting).strip()

    async def flush(self) -> None:
        """Write what is waiting, if this is kept in a file.  Raises `OSError`.  In the end, `shut`."""
        if self.path is not None and self.waiting:
            if self.file is None:
                self.file = await asyncio.to_thread(self.path.open, "ab", buffering=0)
            waiting, self.waiting, self.unwritten = self.waiting, [], 0
            await asyncio.to_thread(_write, self.file, waiting)

    def shut(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    @classmethod
    def of_octets(cls, octets: bytes, format_: DocumentFormat, charset: str, name: str) -> Part:
        part = cls(Document(index=0, path="", format=format_, charset=charset, name=name, octets=len(octets)))
        part.waiting, part.octets = [octets], len(octets)
        return part


def _write(file: BinaryIO, blocks: list[bytes]) -> None:
    for block in blocks:
        left = memoryview(block)
        while left:
            left = left[file.write(left) :]
