"""A program that takes an archive apart: `unpack.py zip|tnef SOURCE ENTRIES OCTETS`.

It leaves the files in its working folder, named 1, 2, ..., and beside them `listing`: for each a line `NUMBER OCTETS
file|letter NAME CONTENT-ID`, the last two percent-encoded as in a URI, `-` where there is none.  Those of a zip come in
natural order: page 2 before page 10.  Left out are folders, links, hidden files and what operating systems add.

If the archive cannot be taken apart, it exits with 1 and one word on stderr: encrypted, damaged, method, entries,
octets, bomb or empty.

Security: reads strangers' octets, in a confined process.  Bombs: entries, the octets that really come out and how much
they grow are limited, and entries that share octets are refused.  Names lead to no file, they are labels.
"""

from __future__ import annotations

import re
import stat
import sys
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

_GROWTH = 200  # times its size in the archive, for a file of more than _GROWN octets
_GROWN = 16 << 20
_PIECE = 1 << 16
_NAME = 120  # characters
_ADDED = re.compile(r"(^|/)(\.(?!\.?/)[^/]+|__MACOSX|Thumbs\.db|desktop\.ini)(/|$)", re.IGNORECASE)
_LOCAL_HEADER = 30  # octets, without name and extra field


class Refusal(Exception):
    """The archive cannot be taken apart; its argument is the word for it."""


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts names with their numbers as numbers."""
    parts = re.split(r"(\d{1,18})", name.casefold(), flags=re.ASCII)
    return tuple((int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts))


class Listing:
    """Writes the files and the lines about them, as many and as much as is allowed."""

    def __init__(self, file: TextIO, entries: int, octets: int) -> None:
        self._file, self._entries, self._left = file, entries, octets
        self.count = 0

    def add(self, pieces: Iterable[bytes], name: str, *, letter: bool = False, content_id: str = "") -> None:
        self.count += 1
        if self.count > self._entries:
            raise Refusal("entries")
        size = 0
        with Path(str(self.count)).open("xb") as file:
            for piece in pieces:
                size += len(piece)
                if size > self._left:
                    raise Refusal("octets")
                file.write(piece)
        self._left -= size
        kind = "letter" if letter else "file"
        self._file.write(f"{self.count} {size} {kind} {_encoded(label(name))} {_encoded(content_id[:_NAME])}\n")


def label(name: str) -> str:
    """The last part of a path, without what would not show or would show something else."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return "".join(char for char in last if not unicodedata.category(char).startswith("C")).strip()[:_NAME]


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="replace") or "-"


def unzip(source: str, listing: Listing, limit: int) -> None:
    with zipfile.ZipFile(source) as archive:
        if len(archive.infolist()) > 100 * limit:
            raise Refusal("entries")
        entries = [(_name(info), info) for info in archive.infolist() if _wanted(info)]
        if len(entries) > limit:
            raise Refusal("entries")
        if any(info.flag_bits & 1 for _, info in entries):
            raise Refusal("encrypted")
        if _shared(archive):
            raise Refusal("bomb")
        for name, info in sorted(entries, key=lambda entry: natural(entry[0])):
            listing.add(_pieces(archive, info), name)


def _wanted(info: zipfile.ZipInfo) -> bool:
    mode = info.external_attr >> 16
    return not (info.is_dir() or stat.S_ISLNK(mode) or _ADDED.search(info.filename))


def _name(info: zipfile.ZipInfo) -> str:
    """APPNOTE.TXT appendix D: UTF-8 if bit 11 says so, else code page 437; most who forget the bit write UTF-8."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _shared(archive: zipfile.ZipFile) -> bool:
    """Whether entries overlap, by which a small archive becomes a bomb without any ratio being large."""
    spans = sorted(
        (info.header_offset, info.header_offset + _LOCAL_HEADER + len(info.orig_filename) + info.compress_size)
        for info in archive.infolist()
    )
    ends = [*(start for start, _ in spans[1:]), archive.start_dir]
    return any(end > following for (_, end), following in zip(spans, ends, strict=bool(spans)))


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    most = max(_GROWN, _GROWTH * info.compress_size)
    with archive.open(info) as file:
        size = 0
        while piece := file.read(_PIECE):
            size += len(piece)
            if size > most:
                raise Refusal("bomb")
            yield piece


def untnef(source: str, listing: Listing, limit: int) -> None:
    sys.path.append(str(Path(__file__).parent))
    import tnef  # type: ignore[import-not-found]

    with Path(source).open("rb") as file:
        octets = file.read(limit + 1)
    if len(octets) > limit:
        raise Refusal("octets")
    for each in tnef.found(octets):
        listing.add([each.octets], each.name, letter=each.letter, content_id=each.content_id)


def main(kind: str, source: str, entries: str, octets: str) -> int:
    try:
        with Path("listing").open("x", encoding="ascii") as file:
            listing = Listing(file, int(entries), int(octets))
            if kind == "zip":
                unzip(source, listing, int(entries))
            else:
                untnef(source, listing, int(octets))
        word = "" if listing.count else "empty"
    except Refusal as refusal:
        word = str(refusal)
    except NotImplementedError:  # a compression that zipfile does not know
        word = "method"
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, LookupError):
        word = "damaged"
    if word:
        sys.stderr.write(f"{word}\n")
    return 1 if word else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
