"""From a document to a language that the printer speaks: which way, and going it.

The way is the shortest in a table of converters (`printerbridge.converters`); a document in the printer's own language
goes as it is.  Each step is a confined child that reads one file of the job's folder and writes another.

Security: nothing here opens a document.  Even counting a PDF's pages and asking whether it is encrypted is done by a
confined child; of what the children leave, only sizes and their own short report are read, as hostile input.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import Failure, PermanentFailure, TransientFailure
from mailstore.passage import no_way
from mailstore.ticket import Sides
from printerbridge import sandbox
from printerbridge.converters import CONVERTERS, ghostscript, pdfwrite
from printerbridge.converters.contract import Converter, Media, Task

Route = tuple[Converter, ...]

_PAGES = re.compile(rb"^pages: (\d{1,7})$|^Pages: +(\d{1,7})$", re.ASCII | re.MULTILINE)
_DISK_NEEDED = 16 << 20  # octets; a converter that fails with less left has failed for want of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A document as the printer gets it.  `pages` is 0 where nobody can tell; `route` names the converters in order."""

    path: Path
    language: Language
    document_format: DocumentFormat
    pages: int
    route: tuple[str, ...]


def route(source: DocumentFormat, targets: Sequence[Language], *, as_is: bool = True) -> Route | None:
    """The shortest way from `source` to one of `targets`, the printer's languages in its order; None if there is none.

    () means that the printer speaks it.  With `as_is` false every document is drawn anew, even into its own language,
    so that no octet of the sender's reaches the printer.
    """
    if as_is and spoken(source, targets) is not None:
        return ()
    ways: list[Route] = [(converter,) for converter in CONVERTERS if converter.source is source]
    seen = {way[-1].language for way in ways}
    while ways:
        for target in targets:
            for way in ways:
                if way[-1].language is target:
                    return way
        longer: list[Route] = []
        for way in ways:
            for converter in CONVERTERS:
                if converter.source is way[-1].language.document_format and converter.language not in seen:
                    seen.add(converter.language)
                    longer.append((*way, converter))
        ways = longer
    return None


def by_pdf(targets: Sequence[Language]) -> Route:
    """The shortest way of PostScript to one of `targets` that begins with PDF.  There is one (`mailstore.passage`)."""
    if Language.PDF in targets:
        return (pdfwrite.PDF,)
    return (pdfwrite.PDF, *(route(DocumentFormat.PDF, targets) or ()))


def spoken(source: DocumentFormat, languages: Sequence[Language]) -> Language | None:
    """The first of `languages` that a document of `source` format is in."""
    return next((language for language in languages if language.document_format is source), None)


async def convert(
    document: Path,
    source: DocumentFormat,
    languages: Sequence[Language],
    *,
    folder: Path,
    media: str,
    charset: str = "utf-8",
    color: bool = False,
    as_is: bool = True,
    sides: Sides | None = None,
    counted: bool = False,
    limit: asyncio.Semaphore | None = None,
    timeout: float = 120.0,
) -> Converted:
    """Make of `document` what a printer with `languages` understands, for paper of the PWG name `media`.

    The result is `document` itself where it goes as it is, else a new file in `folder`, which is the caller's to
    delete; `document` is never changed.  With `counted`, the pages of what is drawn anew are no word of the document's
    own: PostScript goes by way of PDF, which is counted from outside.  At most as many conversions run at once as
    `limit` has places; `timeout` in seconds counts from the start of the first step and is for all of them.

    Raises `PermanentFailure` with the `job-state-reasons` keyword `unsupported-document-format`,
    `document-password-error`, `document-format-error`, `document-unprintable-error` or `aborted-by-system`;
    `TransientFailure` if this machine lacks a program or the room; `ValueError` for a wrong `media`.
    """
    if refused := no_way(source, languages, as_is=as_is):
        raise refused
    way = route(source, languages, as_is=as_is)
    assert way is not None
    if counted and source is DocumentFormat.POSTSCRIPT and way:
        way = by_pdf(languages)
    size = Media.named(media)
    async with limit or contextlib.nullcontext():
        work = Path(mkdtemp(prefix="convert-", dir=folder))
        try:
            task = Task(source="", output="", media=size, charset=charset, color=color, sides=sides)
            return await _Conversion(document, work, task, timeout, counted=counted).go(source, languages, way)
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)


async def count(document: Path, *, folder: Path, limit: asyncio.Semaphore | None = None, timeout: float = 120.0) -> int:
    """The pages that the PostScript program at an absolute path prints; 0 if it cannot be run here to its end.

    Its own copies are included.  Costs about as much as a conversion.  A program that wants to can print other pages
    elsewhere.
    """
    async with limit or contextlib.nullcontext():
        work = Path(mkdtemp(prefix="count-", dir=folder))
        try:
            finished = await sandbox.run(
                ghostscript.count(str(document)), folder=work, timeout=timeout, readable=(document,)
            )
            return 0 if finished.returncode else _pages(finished)
        except Failure:
            return 0
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)


class _Conversion:
    """One document on its way, in a folder of its own."""

    def __init__(self, document: Path, work: Path, task: Task, timeout: float, *, counted: bool) -> None:
        self._document = document.absolute()
        self._counted = counted
        self._work, self._task = work, task
        self._deadline = asyncio.get_running_loop().time() + timeout

    async def go(self, source: DocumentFormat, languages: Sequence[Language], way: Route) -> Converted:
        # Read where it lies: a converter that was taken over can't change what is printed when the job is tried again.
        here = str(self._document)
        readable: tuple[Path, ...] = (self._document,)
        pages = 0
        if source is DocumentFormat.PDF:
            pages = _pages(await self._run(["pdfinfo", here], readable))
        if not way:
            language = spoken(source, languages)
            assert language is not None
            return Converted(path=self._document, language=language, document_format=source, pages=pages, route=())
        for number, converter in enumerate(way, 1):
            output = f"step-{number}"
            told = await self._step(converter, here, output, readable)
            pages = pages or told
            if number > 1:
                (self._work / here).unlink(missing_ok=True)
            here, readable = f"./{output}", ()
        language = way[-1].language
        return Converted(
            path=(self._work / here).rename(self._work.with_name(f"{self._work.name}.{language.value}")),
            language=language,
            document_format=language.document_format,
            pages=pages,
            route=tuple(converter.name for converter in way),
        )

    async def _step(self, converter: Converter, source: str, output: str, readable: Sequence[Path]) -> int:
        task = replace(self._task, source=source, output=output)
        finished = await self._run(converter.command(task), (*converter.readable(), *readable))
        pages = _pages(finished)
        size = sandbox.regular_file(self._work / output)
        if not _whole(self._work / output, size, converter.language.document_format):
            raise failure(finished, free=self._free())
        if not size:
            raise _nothing()
        if self._counted and converter.source is DocumentFormat.POSTSCRIPT and converter.language is Language.PDF:
            pages = _pages(await self._run(["pdfinfo", f"./{output}"], ()))
        return pages

    async def _run(self, argv: Sequence[str], readable: Sequence[Path]) -> sandbox.Finished:
        left = max(0.1, self._deadline - asyncio.get_running_loop().time())
        finished = await sandbox.run(argv, folder=self._work, timeout=left, readable=readable)
        if finished.returncode:
            raise failure(finished, free=self._free())
        return finished

    def _free(self) -> int:
        return shutil.disk_usage(self._work).free


def _whole(path: Path, size: int, made: DocumentFormat) -> bool:
    """Whether the file has an end: pdftocairo exits with 0 even when it could not write."""
    if made not in (DocumentFormat.POSTSCRIPT, DocumentFormat.PDF):
        return True
    with path.open("rb") as file:
        file.seek(max(0, size - 32))
        return file.read(32).rstrip().endswith(b"%%EOF")


def _pages(finished: sandbox.Finished) -> int:
    """The number of pages in a child's report, 0 if it does not say.  Raises if it says none."""
    told = _PAGES.findall(finished.stdout)
    if not told:
        return 0
    pages = int(b"".join(told[-1]))
    if pages == 0:
        raise _nothing()
    return pages


def _nothing() -> PermanentFailure:
    return PermanentFailure(
        "5.6.1", "the document has no page that could be printed", reason="document-unprintable-error"
    )


def failure(finished: sandbox.Finished, *, free: int) -> Failure:
    """What it means that a child ended so, with `free` octets left on its disk.

    Only measured facts make it transient: words could be the document's own, which would then be tried for ever.
    """
    said = finished.stdout + finished.stderr
    if free < _DISK_NEEDED:
        return TransientFailure("4.3.1", "there is no room to convert the document")
    if finished.returncode in _STOPPED:
        return _aborted(_STOPPED[finished.returncode])
    if any(word in said for word in _OUT_OF_MEMORY):
        return _aborted(_STOPPED[-signal.SIGKILL])
    if finished.returncode == 0:
        return _aborted("could not be converted to its end")
    if b"Incorrect password" in said:
        return PermanentFailure(
            "5.6.1", "the document is encrypted; send it without a password", reason="document-password-error"
        )
    return PermanentFailure("5.6.5", "the document is damaged and cannot be printed", reason="document-format-error")


def _aborted(what: str) -> PermanentFailure:
    return PermanentFailure("5.6.5", f"the document {what}", reason="aborted-by-system")


_OUT_OF_MEMORY = (b"VMerror", b"out of memory", b"Out of memory", b"bad_alloc", b"MemoryError")
_STOPPED = {
    -signal.SIGKILL: "needs more memory than there is for a conversion",
    -signal.SIGXCPU: "needs too much time to convert",
    -signal.SIGXFSZ: "grows too large when it is converted",
}
