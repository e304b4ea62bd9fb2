"""Pictures of a document's first pages, for the web page.

A confined child (`programs/thumbnails.py`) draws them as plain samples; here they become PNG.  A picture that cannot be
made is no fault of the job: it is missing, and the log says why.

Security: the child has opened a stranger's document and may have been taken over, so no library decodes what it leaves.
It must be a plain file that begins with one of two headers and is to the octet as long as the header says; then all of
it are samples, whatever their values, and a PNG made of them here is a picture and nothing else.
"""

from __future__ import annotations

import asyncio
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import structlog

from mailstore.failure import Failure
from mailstore.store.papers import THUMBNAIL_OCTETS
from printerbridge import leftovers, sandbox
from printerbridge.converters import python
from printerbridge.sandbox import Limits

PAGES = 4
WIDTH, HEIGHT = 160, 320
"""The most pages of one document, and the most pixels of each."""
LIMITS = Limits(memory=1 << 30, file=1 << 20, folder=8 << 20)

_HEADER = re.compile(rb"P([56])\n([1-9]\d{0,2}) ([1-9]\d{0,2})\n255\n", re.ASCII)
_HEADER_OCTETS = 15
_COMPONENTS = {b"5": 1, b"6": 3}
_COLOUR_TYPE = {1: 0, 3: 2}  # PNG (ISO/IEC 15948) 11.2.2: greyscale, truecolour
_NONE, _UP = 0, 2  # PNG section 9.2
_BITS = (8, 5, 3, 2)  # of each sample, until it is small enough; noise is with 2

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A picture as rows of `width` pixels of 1 or 3 octets each, from the top."""

    width: int
    components: int
    octets: bytes

    @property
    def row(self) -> int:
        return self.width * self.components

    @property
    def height(self) -> int:
        return len(self.octets) // self.row


async def thumbnails(
    pdf: Path, pages: int, *, folder: Path, timeout: float, limits: Limits = LIMITS
) -> list[tuple[int, bytes]]:
    """The first pages of the PDF at an absolute path, at most `PAGES` of its `pages`: page number, from 1, and PNG.

    Each has at most `THUMBNAIL_OCTETS`.  The child works in a new folder in `folder`, at most `timeout` seconds.
    Raises nothing that a document or this machine can cause.
    """
    if pages < 1:
        return []
    work: Path | None = None
    try:
        work = Path(mkdtemp(prefix="thumbnails-", dir=folder))
        why = await _draw(pdf, min(pages, PAGES), work, timeout, limits)
        made = await asyncio.to_thread(_made, work)
    except (Failure, OSError) as error:
        why, made = str(error), []
    finally:
        if work:
            await asyncio.to_thread(leftovers.discard, work)
    if why:
        log.info("pictures of a document's pages are missing", made=len(made), why=why)
    return made


async def _draw(pdf: Path, pages: int, work: Path, timeout: float, limits: Limits) -> str:
    """Why not all pages were drawn, "" if they were."""
    sizes = (str(pdf), str(pages), str(WIDTH), str(HEIGHT))
    try:
        finished = await sandbox.run(
            python.command("thumbnails", *sizes, packages=True),
            folder=work,
            timeout=timeout,
            readable=(*python.readable("thumbnails", packages=True), pdf),
            limits=limits,
        )
    except Failure as failure:  # the first ones may have been drawn before it took too long
        return failure.text
    said = finished.stderr.decode("ascii", "replace").strip().rpartition("\n")[2][:200]
    return said or f"the program ended with {finished.returncode}" if finished.returncode else ""


def _made(work: Path) -> list[tuple[int, bytes]]:
    """Raises `PermanentFailure` if there is something else than files."""
    found = []
    for number in range(1, PAGES + 1):
        samples = _read(work / f"page-{number}")
        if samples is None:
            break
        found.append((number, png(samples)))
    return found


def _read(path: Path) -> Samples | None:
    """None if it is not there or not what it has to be.  Raises `PermanentFailure` if it is no plain file."""
    size = sandbox.regular_file(path)
    if not 0 < size <= _HEADER_OCTETS + 3 * WIDTH * HEIGHT:
        return None
    octets = path.read_bytes()
    header = _HEADER.match(octets)
    if header is None:
        return None
    components, width, height = _COMPONENTS[header[1]], int(header[2]), int(header[3])
    if width > WIDTH or height > HEIGHT or len(octets) != header.end() + width * height * components:
        return None
    return Samples(width=width, components=components, octets=octets[header.end() :])


def png(samples: Samples) -> bytes:
    """As PNG (ISO/IEC 15948) of at most `THUMBNAIL_OCTETS`, with fewer colours where it would be larger."""
    made = b""
    for bits in _BITS:
        highest = (1 << bits) - 1
        octets = samples.octets.translate(bytes((value >> 8 - bits) * 255 // highest for value in range(256)))
        # Text is smaller as it is and most pages are text; photographs are smaller as differences.
        for filtered in (_plain, _differences):
            made = _png(samples, b"".join(filtered(octets, samples.row)))
            if len(made) <= THUMBNAIL_OCTETS:
                return made
    return made


def _plain(octets: bytes, row: int) -> Iterator[bytes]:
    for start in range(0, len(octets), row):
        yield bytes((_NONE,))
        yield octets[start : start + row]


def _differences(octets: bytes, row: int) -> Iterator[bytes]:
    above = bytes(row)
    for start in range(0, len(octets), row):
        line = octets[start : start + row]
        yield bytes((_UP,))
        yield bytes((one - other) & 0xFF for one, other in zip(line, above, strict=True))
        above = line


def _png(samples: Samples, lines: bytes) -> bytes:
    size = struct.pack(">IIBBBBB", samples.width, samples.height, 8, _COLOUR_TYPE[samples.components], 0, 0, 0)
    chunks = (_chunk(b"IHDR", size), _chunk(b"IDAT", zlib.compress(lines, 9)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, octets: bytes) -> bytes:
    """PNG section 5.3."""
    return struct.pack(">I", len(octets)) + kind + octets + struct.pack(">I", zlib.crc32(kind + octets))
