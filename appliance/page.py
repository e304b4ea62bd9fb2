"""Looking at a printed page: how much it differs from another, and a picture of it for a terminal."""

from __future__ import annotations

from pathlib import Path

import pypdfium2

_POINTS = 72
_CELL = 4
"""Edge of the squares, in points, whose mean grey is compared: hairlines are drawn differently by every renderer."""


def difference(one: Path, other: Path) -> float:
    """The largest share of any first-page square's grey by which two PDF files differ, from 0 (the same) to 1.

    Averaged over squares of `_CELL` points; pages of different size differ by 1.
    """
    first, second = _cells(one), _cells(other)
    if first[:2] != second[:2]:
        return 1.0
    worst = sorted((abs(a - b) for a, b in zip(first[2], second[2], strict=True)), reverse=True)
    # A thousandth of the squares may lie on edges that two renderers place differently.
    return worst[len(worst) // 1000] / 255


def thumbnail(document: Path, columns: int) -> str:
    """The first page as text for a terminal that has 24-bit colours, `columns` wide, two points to a character."""
    width, height, pixels = _grey(document, columns)
    rows = []
    for top in range(0, height - 1, 2):
        upper, lower = pixels[top * width : (top + 1) * width], pixels[(top + 1) * width : (top + 2) * width]
        cells = (f"\x1b[38;2;{u};{u};{u}m\x1b[48;2;{d};{d};{d}m▀" for u, d in zip(upper, lower, strict=True))
        rows.append("".join(cells) + "\x1b[0m")
    return "\n".join(rows)


def _cells(document: Path) -> tuple[int, int, list[int]]:
    width, height, pixels = _grey(document)
    across, down = width // _CELL, height // _CELL
    means = []
    for row in range(down):
        lines = [pixels[(row * _CELL + line) * width :][:width] for line in range(_CELL)]
        for column in range(across):
            square = slice(column * _CELL, (column + 1) * _CELL)
            means.append(sum(sum(line[square]) for line in lines) // (_CELL * _CELL))
    return across, down, means


def _grey(document: Path, columns: int = 0) -> tuple[int, int, bytes]:
    """The first page's width, height and grey values; at 72 dpi, or `columns` wide."""
    with pypdfium2.PdfDocument(document) as pdf:
        page = pdf[0]
        bitmap = page.render(scale=columns / page.get_width() if columns else 1.0, grayscale=True)
        width, height, stride = bitmap.width, bitmap.height, bitmap.stride
        raw = bytes(bitmap.buffer)
    return width, height, b"".join(raw[row * stride : row * stride + width] for row in range(height))
