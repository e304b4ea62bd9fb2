"""A program that draws a document's first pages small: `thumbnails.py PACKAGES SOURCE PAGES WIDTH HEIGHT`.

Page k of the PDF becomes the file `page-k`: a PGM or PPM with the lines `P5` or `P6`, width and height, 255, and then
the samples.  It is WIDTH pixels wide, narrower where it would be higher than HEIGHT.

Security: reads strangers' PDF through PDFium, in a confined process.  No script of a document runs: this PDFium has no
engine for them.  What is drawn is bounded in pixels whatever size a page says it has, and in number.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.extend(sys.argv.pop(1).split(os.pathsep))

import pypdfium2
from pypdfium2 import raw


def draw(page: pypdfium2.PdfPage, width: int, height: int) -> bytes:
    """One page as PPM, as PGM if nothing on it is coloured."""
    across, down = (max(side, 1.0) for side in page.get_size())
    scale = min(width / across, height / down)
    bitmap = page.render(scale=scale, force_bitmap_format=raw.FPDFBitmap_BGR, rev_byteorder=True)
    # An extreme page may round up to a pixel more than there is room for.
    columns, rows = min(bitmap.width, width), min(bitmap.height, height)
    octets, stride = bytes(bitmap.buffer), bitmap.stride
    pixels = b"".join(octets[row * stride : row * stride + 3 * columns] for row in range(rows))
    kind, red = b"P6", pixels[::3]
    if red == pixels[1::3] == pixels[2::3]:
        kind, pixels = b"P5", red
    return b"%b\n%d %d\n255\n%b" % (kind, columns, rows, pixels)


def main() -> int:
    """Draw what the command line names."""
    source, pages, width, height = sys.argv[1], *map(int, sys.argv[2:])
    try:
        document = pypdfium2.PdfDocument(source)
        document.init_forms()
        count = min(len(document), pages)
        for number in range(count):
            Path(f"page-{number + 1}").write_bytes(draw(document[number], width, height))
    except pypdfium2.PdfiumError as error:
        sys.stderr.write(f"the pages cannot be drawn: {error}\n")
        return 1
    sys.stdout.write(f"pages: {count}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
