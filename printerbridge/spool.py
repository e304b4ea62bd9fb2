"""From stored octets to documents that are ready to go: decoded, converted, whole.

Everything is finished before anybody connects: a printer cuts a job whose sender pauses, and prints the stump.  Small
documents wait in memory, all together bounded; the others in files of a folder that is emptied at start, since nothing
in it outlives the process.

Security: the octets are a stranger's.  They are decoded by `mailstore.documents`, which bounds what it keeps;
what they are is told by the octets and not by their labels; only confined children open them (`printerbridge.convert`).
If one document of a job cannot be had, nothing of the job is sent.  Names in the folder come from job numbers alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO

from mailstore import options
from mailstore.directory.records import Language, Printer, PrintLimits, Raw
from mailstore.document_format import DocumentFormat
from mailstore.documents import Document, Extractor, Surveyor, take
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Job
from mailstore.mime import ACCEPTED
from mailstore.passage import able, selected
from mailstore.sniff import PREFIX_OCTETS
from mailstore.store.contract import Store
from mailstore.ticket import Ticket
from printerbridge import banner, convert, ticket

BLOCK = 128 << 10
MESSAGE_AT_ONCE = 1 << 20  # a message up to this size is read once and walked through in one piece
DOCUMENT_IN_MEMORY = 12 << 20
ALL_IN_MEMORY = 24 << 20
SENDINGS = 5000  # of the documents of one job, with copies: each is a connection, a sync and a line in the trace
_WRITE = 1 << 20  # octets gathered for one visit to the disk's thread
_AT_ONCE = 8  # messages being taken apart: after a restart a thousand lines begin together, with up to 2 MiB each

Claim = Callable[[], Awaitable[bool]]
"""Awaited before the first conversion; False if the job is not to be printed any more."""


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
        """The octets, in blocks of at most `MESSAGE_AT_ONCE`; one that our words stand in may be a little longer."""
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


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A job that is ready to go.  `discard` it in the end."""

    job: Job
    documents: list[Ready] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)  # "document 1: cairo-postscript", for those that were converted
    missing: list[str] = field(default_factory=list)  # sentences on what was asked for and cannot be
    converting: float = 0.0  # seconds
    claimed: bool = False
    limits: PrintLimits | None = None  # against which its pages count, or those of its capability; None: against none
    folder: Path | None = None
    held: int = 0  # octets of the memory that is shared by all jobs

    @property
    def pages(self) -> int:
        """Of all documents, 0 if it is not known of each."""
        return sum(each.pages for each in self.documents) if all(each.pages for each in self.documents) else 0

    @property
    def passed(self) -> bool:
        """Whether a document of the sender's goes as it came."""
        return not all(document.made or document.ours for document in self.documents)

    @property
    def counted(self) -> int:
        """Pages that count against limits: one at least of each copy of a document, and none of a banner."""
        return sum(max(1, document.pages) for document in self.documents if not document.ours)

    def notes(self) -> list[str]:
        """What the job's trace says of its being made ready."""
        told = []
        if self.routes:
            told.append(f"converted in {self.converting * 1000:.0f} ms: {'; '.join(self.routes)}")
        return told + self.missing


class Spool:
    """Prepares jobs.  `converters` is how many conversions may run at once, `media` the PWG name of the paper."""

    def __init__(self, store: Store, folder: Path, *, media: str, converters: int) -> None:
        self._store = store
        self._folder = folder
        self._media = media
        self._converting = asyncio.Semaphore(converters)
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self._in_memory = 0

    def open(self) -> None:
        """Make the folder, or empty what an earlier process left.  Raises `OSError`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()

    async def prepare(self, job: Job, printer: Printer, claim: Claim, *, again: bool = False) -> Prepared | None:
        """All documents of `job`, as `printer` understands them; `again` puts a banner before them.

        None if `claim` said no.  Raises `PermanentFailure` with a `job-state-reasons` keyword, and `TransientFailure`;
        then nothing is left behind.
        """
        prepared = Prepared(job=job, limits=printer.limits if _limited(job, printer) else None)
        asked = options.of_recipient(job.recipient)
        try:
            found = await self._extract(job, printer, prepared)
            if again:
                found.insert(0, _banner(job, printer))
            for part in found:
                wanted = Ticket() if part.ours else asked
                ready = await self._fit(part, printer, prepared, claim, wanted)
                if ready is None:
                    await self.discard(prepared)
                    return None
                _add(prepared, _dressed(part, ready, printer, prepared, wanted))
        except OSError as error:
            await self.discard(prepared)
            raise TransientFailure("4.3.1", f"the spool folder cannot be written: {error.strerror}") from None
        except BaseException:
            await self.discard(prepared)
            raise
        return prepared

    async def discard(self, prepared: Prepared) -> None:
        """Free what the job holds.  May be called more than once."""
        self._in_memory -= prepared.held
        prepared.held = 0
        prepared.documents.clear()
        if prepared.folder is not None:
            folder, prepared.folder = prepared.folder, None
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    # -- out of the message

    async def _extract(self, job: Job, printer: Printer, prepared: Prepared) -> list[_Part]:
        async with self._reading:
            if job.octets <= MESSAGE_AT_ONCE:
                message = b"".join([block async for block in self._store.read(job.id)])
                selection, _, octets = take(message, printer.body, able(printer, job.trust), ACCEPTED)
                return await self._hold([(each, octets[each.path]) for each in selection.documents], prepared)
            surveyor = Surveyor(ACCEPTED)
            async for block in self._store.read(job.id):
                surveyor.feed(block)
            documents = selected(surveyor.close(), printer, job.trust).documents
            return await self._stream(job, documents, prepared)

    async def _hold(self, taken: Sequence[tuple[Document, bytes]], prepared: Prepared) -> list[_Part]:
        parts = []
        for document, octets in taken:
            part = _Part(document, len(taken))
            parts.append(part)
            try:
                await self._keep(part, octets, prepared)
                await part.flush()
            finally:
                part.shut()
        return parts

    async def _stream(self, job: Job, documents: Sequence[Document], prepared: Prepared) -> list[_Part]:
        parts = {document.path: _Part(document, len(documents)) for document in documents}
        extractor = Extractor(parts, ACCEPTED)
        try:
            async for block in self._store.read(job.id):
                for path, octets in extractor.feed(block):
                    await self._keep(parts[path], octets, prepared)
                if extractor.done:
                    break
            else:
                for path, octets in extractor.close():
                    await self._keep(parts[path], octets, prepared)
            for part in parts.values():
                await part.flush()
        finally:
            for part in parts.values():
                part.shut()
        return list(parts.values())

    async def _keep(self, part: _Part, octets: bytes, prepared: Prepared) -> None:
        part.waiting.append(octets)
        part.unwritten += len(octets)
        part.octets += len(octets)
        if part.file is None:
            if part.octets <= DOCUMENT_IN_MEMORY and self._in_memory + len(octets) <= ALL_IN_MEMORY:
                part.held += len(octets)
                prepared.held += len(octets)
                self._in_memory += len(octets)
                return
            await self._to_file(part, prepared)
        if part.unwritten >= _WRITE:
            await part.flush()

    async def _to_file(self, part: _Part, prepared: Prepared) -> None:
        part.path = (await self._own_folder(prepared)) / f"document-{part.index}"
        part.file = await asyncio.to_thread(part.path.open, "xb", buffering=0)
        self._in_memory -= part.held
        prepared.held -= part.held
        part.held = 0

    async def _own_folder(self, prepared: Prepared) -> Path:
        if prepared.folder is None:
            made = await asyncio.to_thread(mkdtemp, prefix=f"job-{prepared.job.id}-", dir=self._folder)
            prepared.folder = Path(made)
        return prepared.folder

    # -- into the printer's language

    async def _fit(
        self, part: _Part, printer: Printer, prepared: Prepared, claim: Claim, asked: Ticket
    ) -> Ready | None:
        as_is = part.ours or printer.takes_raw(prepared.job.trust or Raw.STRANGER)
        spoken = convert.spoken(part.format, printer.languages)
        # A PDF is looked into even where it passes: an encrypted or damaged one prints as garbage.
        passes = spoken is not None and as_is and part.format is not DocumentFormat.PDF
        counted = passes and part.format is DocumentFormat.POSTSCRIPT and prepared.limits is not None
        if passes and not counted:
            return part.as_it_came(spoken)
        way = convert.route(part.format, printer.languages, as_is=as_is)
        if way is not None and not prepared.claimed:
            if not await claim():
                return None
            prepared.claimed = True
        started = time.monotonic()
        try:
            path = await self._whole_file(part, prepared)
            if counted:
                part.pages = await convert.count(path, folder=path.parent, limit=self._converting)
                return part.as_it_came(spoken)
            converted = await self._convert(part, path, printer, prepared, as_is=as_is, asked=asked)
        except PermanentFailure as failure:
            raise PermanentFailure(failure.status, f"{part}: {failure.text}", reason=failure.reason) from None
        finally:
            prepared.converting += time.monotonic() - started
        if converted.route:
            prepared.routes.append(f"{part}: {' '.join(converted.route)}")
        return Ready(
            octets=(await asyncio.to_thread(converted.path.stat)).st_size,
            pages=converted.pages,
            language=converted.language,
            path=converted.path,
            made=bool(converted.route),
            ours=part.ours,
        )

    async def _whole_file(self, part: _Part, prepared: Prepared) -> Path:
        if part.path is None:
            await self._to_file(part, prepared)
            try:
                await part.flush()
            finally:
                part.shut()
        assert part.path is not None
        return part.path

    async def _convert(
        self, part: _Part, path: Path, printer: Printer, prepared: Prepared, *, as_is: bool, asked: Ticket
    ) -> convert.Converted:
        return await convert.convert(
            path,
            part.format,
            printer.languages,
            folder=await self._own_folder(prepared),
            media=self._media,
            charset=part.charset or "utf-8",
            as_is=as_is,
            sides=asked.sides,
            counted=prepared.limits is not None,
            limit=self._converting,
        )


def _limited(job: Job, printer: Printer) -> bool:
    """Whether pages are counted against anything."""
    limits = printer.limits
    return bool(limits.pages or limits.sender_pages or limits.job_pages or job.capability)


def _add(prepared: Prepared, documents: Sequence[Ready]) -> None:
    if len(prepared.documents) + len(documents) > SENDINGS:
        text = f"the documents, with their copies, are more than {SENDINGS}; ask for fewer copies"
        raise PermanentFailure("5.3.4", text, reason="aborted-by-system")
    prepared.documents += documents


def _dressed(part: _Part, ready: Ready, printer: Printer, prepared: Prepared, asked: Ticket) -> list[Ready]:
    """The document with what was asked for, as often as it is to be sent."""
    if asked == Ticket():
        return [ready]
    plan = ticket.plan(asked, ready.language, ready.head(), made=ready.made, pjl=printer.pjl)
    if plan.missing:
        prepared.missing.append(f"{part}: {plan.missing}")
    octets, pages = ready.octets + len(plan.words), ready.pages * plan.copies
    dressed = replace(ready, octets=octets, pages=pages, at=plan.at, words=plan.words, pjl=plan.pjl)
    return [dressed] * plan.times


class _Part:
    """A document on its way out of the message."""

    def __init__(self, document: Document, of: int) -> None:
        self.index = document.index
        self.format = document.format
        self.charset = document.charset
        self.ours = False
        self.pages = 0
        self.octets = 0
        self.waiting: list[bytes] = []
        self.unwritten = 0
        self.held = 0  # octets in `waiting` that count against `ALL_IN_MEMORY`
        self.path: Path | None = None
        self.file: BinaryIO | None = None
        self._name = document.name
        self._of = of

    def __str__(self) -> str:
        number = f"document {self.index}" + (f" of {self._of}" if self._of > 1 else "")
        return f'{number} ("{self._name}")' if self._name else number

    def as_it_came(self, language: Language | None) -> Ready:
        kept = tuple(self.waiting) if self.path is None else ()
        return Ready(octets=self.octets, pages=self.pages, language=language, kept=kept, path=self.path, ours=self.ours)

    async def flush(self) -> None:
        if self.file is not None and self.waiting:
            waiting, self.waiting, self.unwritten = self.waiting, [], 0
            await asyncio.to_thread(_write, self.file, waiting)

    def shut(self) -> None:
        if self.file is not None:
            self.file.close()


def _write(file: BinaryIO, blocks: list[bytes]) -> None:
    for block in blocks:
        left = memoryview(block)
        while left:
            left = left[file.write(left) :]


def _banner(job: Job, printer: Printer) -> _Part:
    plain = Language.TEXT in printer.languages  # which may know ASCII only
    text = banner.possible_duplicate(job, time.time()).encode("ascii" if plain else "utf-8", "replace")
    document = Document(index=0, path="", format=DocumentFormat.TEXT, charset="utf-8", name="banner", octets=len(text))
    part = _Part(document, 1)
    part.ours, part.pages, part.octets = True, 1, len(text)
    part.waiting = [text]
    return part
