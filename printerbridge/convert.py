"""From a document to a language that the printer speaks: going the way that `printerbridge.route` finds.

Each step is a confined child that reads one file of the job's folder and writes another.  A PDF that a step cannot read
is repaired once.

Security: nothing here opens a document.  Even counting a PDF's pages and asking whether it is encrypted is done by a
confined child; of what the children leave, only sizes and their own short report are read, as hostile input.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
from mailstore.ticket import NO_TICKET, ColorMode, Ticket
from printerbridge import leftovers, sandbox
from printerbridge.converters import arrange, cairo, eps, ghostscript, mono, office
from printerbridge.converters.contract import Converter, Media, Task
from printerbridge.route import Route, route, spoken
from printerbridge.slots import Slots

log = logging.getLogger(__name__)

_TOLD = 200  # characters of what a converter said last
_PAGES = re.compile(rb"^pages: (\d{1,7})$|^Pages: +(\d{1,7})$", re.ASCII | re.MULTILINE)
_SIZE = re.compile(rb"^Page +\d+ size: +([0-9.]{1,12}) x ([0-9.]{1,12}) pts", re.MULTILINE)
_TURNED = re.compile(rb"^Page +\d+ rot: +(\d{1,3})$", re.MULTILINE)
_LOOKED_AT = 150  # pages whose sizes are looked at: a longer report would lose its beginning
_MOST_PAGES = 10_000
_OF_PAGE_SIZE = (cairo.LEVEL3, cairo.LEVEL2, cairo.AGAIN)  # which have to be told that it is the paper's
_OF_ANY_SIZE = (eps.EPS, eps.DOS_EPS, *office.OFFICE)  # which give pages as large as the document says
_PROGRAMS = frozenset({DocumentFormat.POSTSCRIPT, DocumentFormat.EPS, DocumentFormat.DOS_EPS})
_COLORED = frozenset({Language.POSTSCRIPT, Language.POSTSCRIPT2, Language.PDF})  # whose converters keep colours
_DISK_NEEDED = 16 << 20  # octets; a converter that fails with less left has failed for want of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A document as the printer gets it.  `pages` is 0 where nobody can tell; `route` names the converters in order.

    `pdf` is the PDF that shows the same pages, where there was one on the way and it was to be kept.
    """

    path: Path
    language: Language
    document_format: DocumentFormat
    pages: int
    route: tuple[str, ...]
    pdf: Path | None = None


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
    ticket: Ticket = NO_TICKET,
    shown: Sequence[tuple[str, Path]] = (),
    counted: bool = False,
    keep_pdf: bool = False,
    slots: Slots | None = None,
    timeout: float = 120.0,
) -> Converted:
    """Make of `document` what a printer with `languages` understands, for paper of the PWG name `media`.

    The result is `document` itself where it goes as it is, else a new file in `folder`, which is the caller's to
    delete, as is the PDF with `keep_pdf`; `document` is never changed.  `color`: the printer prints colours.  Of the
    `ticket` comes what cannot be said to a printer: which pages, how they are arranged, in grey.  `shown` are pictures
    of an HTML letter by Content-ID.  With `counted`, the pages of what is drawn anew are no word of the document's own:
    PostScript goes by way of PDF, which is counted from outside.  At most as many conversions run at once as there are
    `slots`; `timeout` in seconds counts from the start of the first step and is for all of them.

    Raises `PermanentFailure` with the `job-state-reasons` keyword `unsupported-document-format`,
    `document-password-error`, `document-format-error`, `document-unprintable-error` or `aborted-by-system`;
    `TransientFailure` if this machine lacks a program or the room; `ValueError` for a wrong `media`.
    """
    if source is DocumentFormat.PCLM:
        source = DocumentFormat.PDF
    grey = color and ticket.color is ColorMode.MONOCHROME
    way = _way(source, languages, as_is=as_is, ticket=ticket, grey=grey, counted=counted)
    if way is None:
        raise no_way(source, languages, as_is=as_is) or _unforeseen(source)
    task = Task(
        source="",
        output="",
        media=Media.named(media),
        charset=charset,
        color=color and not grey,
        sides=ticket.sides,
        ticket=ticket,
        shown=tuple((content_id, str(path.absolute())) for content_id, path in shown),
    )
    async with contextlib.AsyncExitStack() as stack:
        size = (await asyncio.to_thread(document.stat)).st_size
        memory = await stack.enter_async_context(slots.take(size)) if slots else None
        work = Path(mkdtemp(prefix="convert-", dir=folder))
        try:
            conversion = _Conversion(document, work, task, timeout, memory)
            return await conversion.go(source, languages, way, keep_pdf=keep_pdf)
        finally:
            await asyncio.to_thread(leftovers.discard, work)


def _way(
    source: DocumentFormat, languages: Sequence[Language], *, as_is: bool, ticket: Ticket, grey: bool, counted: bool
) -> Route | None:
    through = [arrange.ARRANGE] if ticket.rearranges else []
    by_pdf = counted and source in _PROGRAMS and (not as_is or spoken(source, languages) is None)
    way = route(source, languages, as_is=as_is, through=through, by_pdf=by_pdf)
    if way and grey and way[-1].language in _COLORED:
        way = route(source, languages, as_is=as_is, through=[*through, cairo.LEVEL3, mono.MONO])
    elif way and len(way) == 1 and way[0] in _OF_ANY_SIZE:
        way = (*way, cairo.AGAIN)  # which brings the pages onto the paper
    return way


def _unforeseen(source: DocumentFormat) -> PermanentFailure:
    text = f"a document of the format {source.value} cannot be printed as it was asked for"
    return PermanentFailure("5.6.1", text, reason="unsupported-document-format")


async def count(document: Path, *, folder: Path, slots: Slots | None = None, timeout: float = 120.0) -> int:
    """The pages that the PostScript program at an absolute path prints; 0 if it cannot be run here to its end.

    Its own copies are included.  Costs about as much as a conversion.  A program that wants to can print other pages
    elsewhere.
    """
    async with contextlib.AsyncExitStack() as stack:
        size = (await asyncio.to_thread(document.stat)).st_size
        memory = await stack.enter_async_context(slots.take(size)) if slots else None
        work = Path(mkdtemp(prefix="count-", dir=folder))
        try:
            finished = await sandbox.run(
                ghostscript.count(str(document)),
                folder=work,
                timeout=timeout,
                readable=(document,),
                limits=_within(None, memory),
            )
            return 0 if finished.returncode else _pages(finished)
        except Failure:
            return 0
        finally:
            await asyncio.to_thread(leftovers.discard, work)


def _within(limits: sandbox.Limits | None, memory: int | None) -> sandbox.Limits:
    """A converter's limits, within its share of the memory of all."""
    limits = limits or sandbox.Limits()
    return limits if memory is None else replace(limits, memory=min(limits.memory, memory))


class _Conversion:
    """One document on its way, in a folder of its own."""

    def __init__(self, document: Path, work: Path, task: Task, timeout: float, memory: int | None) -> None:
        self._document = document.absolute()
        self._work, self._task, self._memory = work, task, memory
        self._deadline = asyncio.get_running_loop().time() + timeout
        # Read where it lies: a converter that was taken over can't change what is printed when the job is tried again.
        self._here = str(self._document)
        self._readable: tuple[Path, ...] = (self._document,)
        self._looked = ""  # the PDF whose pages were looked at
        self._repaired = False

    async def go(
        self, source: DocumentFormat, languages: Sequence[Language], way: Route, *, keep_pdf: bool
    ) -> Converted:
        pages = await self._pages_of_pdf() if source is DocumentFormat.PDF else 0
        language = way[-1].language if way else spoken(source, languages)
        assert language is not None
        pdf = self._here if source is DocumentFormat.PDF else ""
        for number, converter in enumerate(way, 1):
            before = self._here
            told = await self._step(converter, f"step-{number}")
            pages = pages or told
            if converter.language is Language.PDF:
                pdf = self._here
                # Counted from outside: not every converter tells, and what a program says it may say falsely.
                pages = pages if converter is cairo.AGAIN and pages else await self._look()
            if number > 1 and before != pdf:
                with contextlib.suppress(OSError):  # the step may have put something else there
                    (self._work / before).unlink()
        route = tuple(converter.name for converter in way)
        path = self._document
        if self._made:
            path = (self._work / self._here).rename(self._work.with_name(f"{self._work.name}.{language.value}"))
            route = ("repair-pdf", *route) if self._repaired else route
        return Converted(
            path=path,
            language=language,
            document_format=language.document_format,
            pages=pages,
            route=route,
            pdf=self._kept(pdf, path) if keep_pdf and pdf else None,
        )

    @property
    def _made(self) -> bool:
        return self._here != str(self._document)

    def _kept(self, pdf: str, result: Path) -> Path:
        if pdf == str(self._document):
            return self._document
        if pdf == self._here:
            return result
        sandbox.regular_file(self._work / pdf)  # still: later steps could write there too
        return (self._work / pdf).rename(self._work.with_name(f"{self._work.name}.shown.pdf"))

    async def _pages_of_pdf(self) -> int:
        """How many there are; it also tells that the document is encrypted, and how large its pages are."""
        try:
            return await self._look()
        except PermanentFailure as failed:
            await self._repair(failed)
            return await self._look()

    async def _look(self) -> int:
        looked = await self._run(["pdfinfo", "-f", "1", "-l", str(_LOOKED_AT), self._here], self._readable)
        pages, media = _pages(looked), self._task.media
        if pages > _MOST_PAGES:
            text = f"the document has {pages} pages; send at most {_MOST_PAGES} in one"
            raise PermanentFailure("5.3.4", text, reason="document-unprintable-error")
        sizes = [tuple(map(float, size)) for size in _SIZE.findall(looked.stdout)]
        upright = all(int(turned) == 0 for turned in _TURNED.findall(looked.stdout))
        exact = all(abs(width - media.width) < 1 and abs(height - media.height) < 1 for width, height in sizes)
        self._task = replace(self._task, exact=exact and upright and len(sizes) == pages)
        self._looked = self._here
        return pages

    async def _repair(self, failed: PermanentFailure) -> None:
        """Once, and only what is damaged; else raises what failed."""
        if failed.reason != "document-format-error" or self._repaired:
            raise failed
        self._repaired = True
        try:
            await self._through(arrange.REPAIR, "repaired", replace(self._task, ticket=NO_TICKET))
        except PermanentFailure:
            raise failed from None

    async def _step(self, converter: Converter, output: str) -> int:
        if converter in _OF_PAGE_SIZE and self._looked != self._here:
            await self._look()
        try:
            return await self._through(converter, output)
        except PermanentFailure as failed:
            if converter.source is not DocumentFormat.PDF:
                raise
            await self._repair(failed)
            return await self._through(converter, output)

    async def _through(self, converter: Converter, output: str, task: Task | None = None) -> int:
        """What was made is where the next step finds it; returns the pages, 0 if it does not say."""
        task = replace(task or self._task, source=self._here, output=output)
        readable = (*converter.readable(), *self._readable, *(Path(path) for _, path in task.shown))
        finished = await self._run(converter.command(task), readable, converter.limits)
        pages = _pages(finished)
        size = sandbox.regular_file(self._work / output)
        if not _whole(self._work / output, size, converter.language.document_format):
            raise self._failed(finished)
        if not size:
            raise _nothing()
        self._here, self._readable = f"./{output}", ()
        return pages

    async def _run(
        self, argv: Sequence[str], readable: Sequence[Path], limits: sandbox.Limits | None = None
    ) -> sandbox.Finished:
        left = max(0.1, self._deadline - asyncio.get_running_loop().time())
        finished = await sandbox.run(
            argv, folder=self._work, timeout=left, readable=readable, limits=_within(limits, self._memory)
        )
        if finished.returncode:
            raise self._failed(finished)
        return finished

    def _failed(self, finished: sandbox.Finished) -> Failure:
        ours = finished.returncode == -signal.SIGSYS or finished.stderr.startswith(_TRACEBACK)
        last = finished.stderr.decode("ascii", "backslashreplace").strip().rpartition("\n")[2][-_TOLD:]
        log.log(
            logging.ERROR if ours else logging.INFO, "a converter ended with %d and said %r", finished.returncode, last
        )
        return failure(finished, free=shutil.disk_usage(self._work).free)


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
    if finished.stderr.startswith(_TRACEBACK):
        return _aborted("could not be converted")
    if finished.returncode == 0:
        return _aborted("could not be converted to its end")
    if b"Incorrect password" in said:
        return PermanentFailure(
            "5.6.1", "the document is encrypted; send it without a password", reason="document-password-error"
        )
    for words, text, reason in _REASONS:
        if words in finished.stderr:
            return PermanentFailure("5.6.1", text, reason=reason)
    return PermanentFailure("5.6.5", "the document is damaged and cannot be printed", reason="document-format-error")


def _aborted(what: str) -> PermanentFailure:
    return PermanentFailure("5.6.5", f"the document {what}", reason="aborted-by-system")


_UNPRINTABLE = "document-unprintable-error"
_REASONS = (  # what our own programs say; whoever says it falsely makes his own job fail with another sentence
    (b"none of the pages asked for", "the document has none of the pages that were asked for", _UNPRINTABLE),
    (b"million pixels", "the picture has too many pixels; send it smaller", _UNPRINTABLE),
    (b"more than ", "the document has too many pages; send it in parts", _UNPRINTABLE),
    (b"letter is too large", "the letter is too large; send it in parts", _UNPRINTABLE),
)
_OUT_OF_MEMORY = (
    *(b"VMerror", b"out of memory", b"Out of memory", b"bad_alloc", b"MemoryError"),
    *(b"annot allocate memory", b"failed to allocate"),  # the C library, GLib
)
_TRACEBACK = b"Traceback (most recent call last)"  # a program of ours has a fault, or lacks something here
_STOPPED = {
    -signal.SIGSYS: "could not be converted",  # the sandbox forbids what its converter needs
    -signal.SIGTRAP: "needs more memory than there is for a conversion",  # so does GLib end that finds none
    -signal.SIGKILL: "needs more memory than there is for a conversion",
    -signal.SIGXCPU: "needs too much time to convert",
    -signal.SIGXFSZ: "grows too large when it is converted",
}
