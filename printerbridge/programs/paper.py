"""A PDF (ISO 32000-1) whose pages each hold one picture, written as the pictures come.

Used by the programs that draw pictures and rasters.  Nothing is kept of a page but its number, so memory does not grow
with the document.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A picture's pixels, row by row from the top: `octets` in pieces, as ISO 32000-1 section 8.9.5 has them.

    With `filter` they are encoded so already; "" means that they are not, and they are deflated here.
    """

    width: int
    height: int
    components: int  # 1: grey, 3: RGB, 4: CMYK
    bits: int
    octets: Iterable[bytes]
    filter: str = ""
    inverted: bool = False  # 0 is the lightest of grey and RGB, and the most ink of CMYK
    profile: bytes = b""  # an ICC profile for these components


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where on a page of `width` by `height` points a picture goes: `matrix` takes the unit square there."""

    width: float
    height: float
    matrix: tuple[float, float, float, float, float, float]


_SPACES = {1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"}


class Paper:
    """Writes to `file`, page by page; `close` writes the end."""

    _CATALOG, _TREE, _FIRST = 1, 2, 3

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets = dict[int, int]()
        self._next = self._FIRST
        self._pages = list[int]()
        file.write(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")

    def page(self, samples: Samples, place: Place) -> None:
        space = _SPACES[samples.components]
        if samples.profile:
            profile = self._stream(f"/N {samples.components} /Alternate {space}", _deflated([samples.profile]), _FLATE)
            space = f"[/ICCBased {profile} 0 R]"
        inverted = f" /Decode [{'1 0 ' * samples.components}]" if samples.inverted else ""
        image = self._stream(
            f"/Type /XObject /Subtype /Image /Width {samples.width} /Height {samples.height} "
            f"/ColorSpace {space} /BitsPerComponent {samples.bits}{inverted}",
            samples.octets if samples.filter else _deflated(samples.octets),
            samples.filter or _FLATE,
        )
        matrix = " ".join(f"{number:.4f}" for number in place.matrix)
        content = self._stream("", [f"q {matrix} cm /P Do Q".encode()])
        self._pages.append(self._next)
        self._object(
            f"<< /Type /Page /Parent {self._TREE} 0 R /MediaBox [0 0 {place.width:g} {place.height:g}] "
            f"/Contents {content} 0 R /Resources << /XObject << /P {image} 0 R >> >> >>".encode()
        )

    def _object(self, value: bytes, number: int = 0) -> int:
        if not number:
            number, self._next = self._next, self._next + 1
        self._offsets[number] = self._file.tell()
        self._file.write(b"%d 0 obj\n%s\nendobj\n" % (number, value))
        return number

    def _stream(self, entries: str, octets: Iterable[bytes], filter_: str = "") -> int:
        number, self._next = self._next, self._next + 2  # the length, which is known only then, is the next object
        self._offsets[number] = self._file.tell()
        packed = f" /Filter /{filter_}" if filter_ else ""
        self._file.write(f"{number} 0 obj\n<< {entries}{packed} /Length {number + 1} 0 R >>\nstream\n".encode())
        start = self._file.tell()
        for piece in octets:
            self._file.write(piece)
        length = self._file.tell() - start
        self._file.write(b"\nendstream\nendobj\n")
        self._object(b"%d" % length, number + 1)
        return number

    def close(self) -> int:
        """The number of pages."""
        kids = " ".join(f"{number} 0 R" for number in self._pages)
        self._object(f"<< /Type /Pages /Count {len(self._pages)} /Kids [{kids}] >>".encode(), self._TREE)
        self._object(f"<< /Type /Catalog /Pages {self._TREE} 0 R >>".encode(), self._CATALOG)
        table = self._file.tell()
        self._file.write(f"xref\n0 {self._next}\n0000000000 65535 f \n".encode())
        for number in range(1, self._next):
            self._file.write(f"{self._offsets[number]:010} 00000 n \n".encode())
        trailer = f"<< /Size {self._next} /Root {self._CATALOG} 0 R >>"
        self._file.write(f"trailer\n{trailer}\nstartxref\n{table}\n%%EOF\n".encode())
        return len(self._pages)


_FLATE = "FlateDecode"


def _deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()
