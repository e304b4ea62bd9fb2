"""Out of a stored message: the documents that print, decoded, in memory or in files.

Small documents wait in memory, all together bounded; the others in files of the job's folder.

Security: the octets are a stranger's.  `mailstore.documents` decodes them and bounds what it keeps; what a document is
is told by its octets and not by its labels.  Names in the folder come from job numbers and part numbers alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import mkdtemp

from mailstore.directory.records import Body
from mailstore.document_format import DocumentFormat
from mailstore.documents import Document, Extractor, Said, Selection, Surveyor, take
from mailstore.failure import PermanentFailure
from mailstore.job import Job
from mailstore.mime import ACCEPTED
from mailstore.store.contract import Store
from printerbridge.part import Part
from printerbridge.ready import Prepared

MESSAGE_AT_ONCE = 1 << 20  # a message up to this size is read once and walked through in one piece
DOCUMENT_IN_MEMORY = 12 << 20
ALL_IN_MEMORY = 24 << 20
_WRITE = 1 << 20  # octets gathered for one visit to the disk's thread
_AT_ONCE = 8  # messages being taken apart: after a restart a thousand lines begin together, with up to 2 MiB each
_DAMAGED = "5.6.0"  # with which one damaged document refuses the whole mail, or none can be read

Able = Callable[[DocumentFormat], bool]
"""Whether a document of this format can get to the printer."""


class Extraction:
    """For all jobs of a bridge.  `folder` is that of the spool."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self.in_memory = 0  # octets, of all jobs

    async def parts(self, job: Job, body: Body, able: Able, prepared: Prepared) -> tuple[list[Part], Selection, Said]:
        """The documents in order, what was left out, and what the letter says of how it is to be printed.

        A document whose encoding is broken says why.  Raises `PermanentFailure` if there is nothing to print,
        `TransientFailure`, `OSError`.
        """
        async with self._reading:
            if job.octets <= MESSAGE_AT_ONCE:
                message = b"".join([block async for block in self._store.read(job.id)])
                try:
                    selection, said, octets = take(message, body, able, ACCEPTED)
                except PermanentFailure as failure:
                    if failure.status != _DAMAGED:
                        raise
                else:
                    return await self._hold(selection, octets, prepared), selection, said
            surveyor = Surveyor(ACCEPTED)
            async for block in self._store.read(job.id):
                surveyor.feed(block)
            survey = surveyor.close()
            selection = survey.select(body, able)
            if not selection.documents:
                raise survey.refusal(selection)
            return await self._stream(job, selection, prepared), selection, survey.said

    def discard(self, prepared: Prepared) -> None:
        """Give back the memory that the job held."""
        self.in_memory -= prepared.held
        prepared.held = 0

    async def keep(self, part: Part, octets: bytes, prepared: Prepared) -> None:
        """Put `octets` to the end of the document: in memory while there is room, else in its file.

        In the end `flush` and `shut` it.
        """
        part.waiting.append(octets)
        part.unwritten += len(octets)
        part.octets += len(octets)
        if part.path is None:
            if part.octets <= DOCUMENT_IN_MEMORY and self.in_memory + len(octets) <= ALL_IN_MEMORY:
                part.held += len(octets)
                prepared.held += len(octets)
                self.in_memory += len(octets)
                return
            await self._to_file(part, prepared)
        if part.unwritten >= _WRITE:
            await part.flush()

    def emptied(self, part: Part, prepared: Prepared) -> list[bytes]:
        """What a document in memory was, which has nothing any more."""
        self._give_back(part, prepared)
        octets, part.waiting, part.octets, part.unwritten = part.waiting, [], 0, 0
        return octets

    async def whole_file(self, part: Part, prepared: Prepared) -> Path:
        """The document as a file, wherever it was."""
        if part.path is None:
            await self._to_file(part, prepared)
            try:
                await part.flush()
            finally:
                part.shut()
        assert part.path is not None
        return part.path

    async def own_folder(self, prepared: Prepared) -> Path:
        """The job's folder, made when it is first wanted."""
        if prepared.folder is None:
            made = await asyncio.to_thread(mkdtemp, prefix=f"job-{prepared.job.id}-", dir=self._folder)
            prepared.folder = Path(made)
        return prepared.folder

    async def _hold(self, selection: Selection, octets: dict[str, bytes], prepared: Prepared) -> list[Part]:
        pictures = await self._pictures(selection, prepared)
        if pictures:  # most letters show none, and a thread costs more than the rest of this
            await asyncio.to_thread(lambda: [file.write_bytes(octets[path]) for path, file in pictures.items()])
        parts = [_part(document, pictures) for document in selection.documents]
        for part, document in zip(parts, selection.documents, strict=True):
            try:
                await self.keep(part, octets[document.path], prepared)
                await part.flush()
            finally:
                part.shut()
        return parts

    async def _stream(self, job: Job, selection: Selection, prepared: Prepared) -> list[Part]:
        pictures = await self._pictures(selection, prepared)
        parts = [_part(document, pictures) for document in selection.documents]
        takers: dict[str, Part] = {}
        for path, file in pictures.items():
            takers[path] = Part(selection.documents[0])
            takers[path].path = file
        takers |= {document.path: part for part, document in zip(parts, selection.documents, strict=True)}
        extractor = Extractor(takers, ACCEPTED, lenient=takers)
        taking = parts[0]
        try:
            async for block in self._store.read(job.id):
                taking = await self._take(extractor.feed(block), takers, taking, prepared)
                if extractor.done:
                    break
            else:
                taking = await self._take(extractor.close(), takers, taking, prepared)
            await taking.flush()
        finally:
            taking.shut()
        for part, document in zip(parts, selection.documents, strict=True):
            part.failure = extractor.damaged.get(document.path)
        return parts

    async def _take(
        self, taken: Sequence[tuple[str, bytes]], takers: dict[str, Part], taking: Part, prepared: Prepared
    ) -> Part:
        """Who takes what comes next.  One after the other: a mail of a thousand parts needs one descriptor."""
        for path, octets in taken:
            if takers[path] is not taking:
                await taking.flush()
                taking.shut()
                taking = takers[path]
            await self.keep(taking, octets, prepared)
        return taking

    async def _pictures(self, selection: Selection, prepared: Prepared) -> dict[str, Path]:
        """An empty file for every part that is shown, one also where many letters show it, by the part's path."""
        paths = dict.fromkeys(shown.path for document in selection.documents for shown in document.shown)
        if not paths:
            return {}
        folder = await self.own_folder(prepared)
        files = {path: folder / f"shown-{path}" for path in paths}
        await asyncio.to_thread(_make, files.values())
        return files

    async def _to_file(self, part: Part, prepared: Prepared) -> None:
        prepared.files += 1
        part.path = (await self.own_folder(prepared)) / f"document-{prepared.files}"
        self._give_back(part, prepared)

    def _give_back(self, part: Part, prepared: Prepared) -> None:
        self.in_memory -= part.held
        prepared.held -= part.held
        part.held = 0


def _make(files: Iterable[Path]) -> None:
    for file in files:
        file.touch(exist_ok=False)


def _part(document: Document, pictures: dict[str, Path]) -> Part:
    part = Part(document)
    part.shown = [(shown.content_id, pictures[shown.path]) for shown in document.shown]
    return part
