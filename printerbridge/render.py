"""What a printer would put on paper: a document of a job as PDF and page images.

PostScript goes through Ghostscript, as in a PostScript printer; its pages and those of a PDF are drawn by poppler.
Text is kept as text.  Other languages (PCL, PCL-XL, raster) are kept as received: nothing free and packaged draws them.

Security: the documents are strangers' programs.  They are opened only by children under `printerbridge.sandbox` (no
network, one empty folder, limits on time, memory and output); Ghostscript's -dSAFER is a second fence, not the first.
What the children leave is taken only if it is a plain file.  The number of page images is bounded.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mailstore.failure import Failure, PermanentFailure
from printerbridge import sandbox

PREFIX_OCTETS: Final = 1024
IMAGE_DPI: Final = 150
ALL_PAGES: Final = 1 << 30
IMAGES: Final = 500
"""The most page images of one document."""

PJL_LANGUAGES: Final = {"POSTSCRIPT": "postscript", "PDF": "pdf", "PCL": "pcl", "PCLXL": "pclxl"}
"""`ENTER LANGUAGE` to our words; what is not here is judged by its octets."""

_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A printed document.  `output` is what a PostScript program said; `error` a sentence, "" if all went well."""

    language: str
    pages: int = 0
    pdf: Path | None = None
    images: tuple[Path, ...] = ()
    text: Path | None = None
    output: bytes = b""
    error: str = ""
    skipped: int = 0  # pages before the first one that was wanted


def sniff_language(prefix: bytes) -> str:
    """The language of a document by its first octets: postscript, pdf, pclxl, pcl, pwg, text, or octets for none.

    A printer knows few languages and no Content-Type, and it must not share the mistakes of `mailstore.sniff`, which it
    helps to test.
    """
    start = prefix.lstrip(b"\x04\r\n\t ")
    if start.startswith(b"%!"):
        return "postscript"
    if b"%PDF-" in prefix[:PREFIX_OCTETS]:
        return "pdf"
    if start.startswith((b") HP-PCL XL", b"( HP-PCL XL")):
        return "pclxl"
    if start.startswith(b"RaS2PwgRaster"):
        return "pwg"
    if start.startswith(b"\x1b"):
        return "pcl"
    return "text" if start and _TEXT.fullmatch(prefix) else "octets"


_TEXT: Final = re.compile(rb"[\x04\x08-\x0d\x20-\x7e\x80-\xff]+")


async def render(
    source: Path,
    *,
    start: int,
    end: int,
    language: str,
    stem: Path,
    first_page: int,
    timeout: float,
    wanted: tuple[int, int] = (1, ALL_PAGES),
) -> Rendering:
    """Draw the octets `start` to `end` of `source`, within `timeout` seconds for each child.

    `language` is what PJL named, or "".  Files are `stem` with ".pdf", ".txt" and "-N.png", N from `first_page`; an
    existing PDF or text is never overwritten (a second document of a job is `stem`.2.pdf).  Raises nothing that the
    document can cause: its failure is the rendering's `error`.  Of the pages only those from `wanted[0]` to `wanted[1]`
    come out.
    """
    with tempfile.TemporaryDirectory(prefix=".render-", dir=stem.parent) as name:
        folder = Path(name)
        document = folder / "document"
        prefix = await asyncio.to_thread(_cut_out, source, start, end, document)
        language = PJL_LANGUAGES.get(language) or sniff_language(prefix)
        if language == "text":
            return Rendering(language=language, text=_keep(document, stem, ".txt"))
        if language not in ("postscript", "pdf"):
            return Rendering(language=language)
        output = b""
        try:
            if language == "postscript":
                output, error = await _distill(folder, timeout)
            else:
                document.rename(folder / "printed.pdf")
                error = ""
            drawn = Rendering(language=language, output=output, error=error)
            return await _draw(folder, drawn, stem, first_page, timeout, wanted)
        except Failure as failure:
            return Rendering(language=language, output=output, error=failure.text)


def _cut_out(source: Path, start: int, end: int, document: Path) -> bytes:
    """Copy the document out of the job; return its first octets."""
    with source.open("rb") as job, document.open("wb") as copy:
        job.seek(start)
        prefix = job.read(min(PREFIX_OCTETS, end - start))
        # A Ctrl-D before %! ends the job before, as drivers for serial lines send it.
        skip = len(prefix) - len(prefix.lstrip(b"\x04"))
        job.seek(start + skip)
        left = end - start - skip
        while left > 0 and (block := job.read(min(_BLOCK, left))):
            copy.write(block)
            left -= len(block)
    return prefix


async def _distill(folder: Path, timeout: float) -> tuple[bytes, str]:
    """PostScript to `printed.pdf`; return what the program said, and the error that ended it."""
    # One file a page: Ghostscript writes a blank page for a program that prints none, but not under this name.
    # Copies come out as often as on paper.
    quiet = ["-q", "-dSAFER", "-dBATCH", "-dNOPAUSE"]
    gs = ["gs", *quiet, "-sDEVICE=pdfwrite", "-dDoNumCopies", "-o", "page-%d.pdf", "document"]
    run = await sandbox.run(gs, folder=folder, timeout=timeout)
    output, error = postscript_errors(run.stdout)
    if run.returncode != 0 and not error:
        error = "the PostScript program could not be run"
    pages = [page.name for page in _numbered(folder, "page-", ".pdf")]
    if len(pages) == 1:
        (folder / pages[0]).rename(folder / "printed.pdf")
    elif pages:
        united = await sandbox.run(["pdfunite", *pages, "printed.pdf"], folder=folder, timeout=timeout)
        if united.returncode != 0:
            raise PermanentFailure("5.6.5", "the pages could not be put together")
    return output, error


def postscript_errors(output: bytes) -> tuple[bytes, str]:
    """Turn Ghostscript's account of an error into a printer's: return what a printer says, and the error's sentence."""
    match = re.search(rb"^Error: /(\w+) in (\S+)[^\n]*\n", output, re.MULTILINE)
    if match is None:
        return output, ""
    name, culprit = match[1].decode("ascii", "replace"), match[2].decode("ascii", "replace")
    said = (
        f"%%[ Error: {name}; OffendingCommand: {culprit} ]%%\r\n"
        "%%[ Flushing: rest of job (to end-of-file) will be ignored ]%%\r\n"
    )
    return output[: match.start()] + said.encode("ascii", "replace"), f"PostScript error {name} in {culprit}"


async def _draw(
    folder: Path, drawn: Rendering, stem: Path, first_page: int, timeout: float, wanted: tuple[int, int]
) -> Rendering:
    printed = folder / "printed.pdf"
    if not sandbox.regular_file(printed):
        return drawn
    info = await sandbox.run(["pdfinfo", "printed.pdf"], folder=folder, timeout=timeout)
    count = re.search(rb"^Pages:\s+(\d{1,9})$", info.stdout, re.MULTILINE)
    if count is None:
        return replace(drawn, error=drawn.error or "the PDF cannot be read")
    first, last = wanted[0], min(wanted[1], int(count[1]))
    drawn = replace(drawn, skipped=min(first - 1, int(count[1])), pages=max(0, last - first + 1))
    if not drawn.pages:
        return drawn
    if drawn.pages < int(count[1]):
        await _cut_pages(folder, first, last, timeout)
    draw = ["pdftocairo", "-png", "-r", str(IMAGE_DPI), "-l", str(IMAGES), "printed.pdf", "image"]
    if (await sandbox.run(draw, folder=folder, timeout=timeout)).returncode != 0:
        drawn = replace(drawn, error=drawn.error or "the pages could not be drawn")
    images = []
    for number, image in enumerate(_numbered(folder, "image-", ".png"), first_page):
        images.append(image.rename(stem.with_name(f"{stem.name}-{number}.png")))
    return replace(drawn, pdf=_keep(printed, stem, ".pdf"), images=tuple(images))


async def _cut_pages(folder: Path, first: int, last: int, timeout: float) -> None:
    """Leave only these pages in `printed.pdf`."""
    cut = ["pdfseparate", "-f", str(first), "-l", str(last), "printed.pdf", "wanted-%d.pdf"]
    if (await sandbox.run(cut, folder=folder, timeout=timeout)).returncode == 0:
        pages = [page.name for page in _numbered(folder, "wanted-", ".pdf")]
        unite = ["pdfunite", *pages, "printed.pdf"] if len(pages) > 1 else ["cp", *pages, "printed.pdf"]
        if (await sandbox.run(unite, folder=folder, timeout=timeout)).returncode == 0:
            return
    raise PermanentFailure("5.6.5", "the wanted pages could not be cut out")


def _numbered(folder: Path, before: str, after: str) -> list[Path]:
    """The plain files BEFORE-number-AFTER that a child left, by number."""
    found = {}
    for path in folder.iterdir():
        number = path.name.removeprefix(before).removesuffix(after)
        if path.name == f"{before}{number}{after}" and number.isdecimal() and sandbox.regular_file(path):
            found[int(number)] = path
    return [found[number] for number in sorted(found)]


def _keep(path: Path, stem: Path, suffix: str) -> Path:
    """Move a result beside the job, under the first name that is free."""
    target, number = stem.with_name(stem.name + suffix), 1
    while target.exists():
        number += 1
        target = stem.with_name(f"{stem.name}.{number}{suffix}")
    return Path(shutil.move(path, target))
