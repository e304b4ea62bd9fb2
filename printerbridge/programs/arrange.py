"""A program that puts the pages of a PDF on paper as asked for:
`arrange.py PACKAGES SOURCE OUTPUT WIDTH HEIGHT RANGES SCALING ORIENTATION NUMBER_UP`, the paper in points.

RANGES is like 1-3,7-7, or "" for all pages; SCALING and ORIENTATION are IPP's words (PWG 5100.13, RFC 8011), or "".
Each page is drawn as a form XObject (ISO 32000-1 section 8.10), with its crop box, /Rotate and /UserUnit; what a reader
would print of its annotations and form fields is drawn with it.  Layers stay.  A page wider than high makes the paper
lie across, unless ORIENTATION says otherwise.

Of the document only its pages' content is left: no JavaScript, no actions, no embedded files, no links, no metadata.

A document that readers cannot open, because its end or its table of objects is lost, is often mended by this.

Security: reads strangers' octets through qpdf, in a confined process.  Pages are counted and limited, numbers are taken
only if they are finite and of a size that paper can have.  The output is a new document with what the new pages refer
to, so that what is dropped is not merely unlinked.  A picture or font inside a page stays as its sender wrote it: where
nothing of a sender's may reach the printer, the page is drawn anew after this.
"""

from __future__ import annotations

import math
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

if __name__ == "__main__":
    sys.path.extend(sys.argv.pop(1).split(os.pathsep))

import pikepdf
from pikepdf import Array, Dictionary, Name, Stream

MAX_PAGES = 10_000
GAP = 9.0  # points between pages on one sheet
MARGIN = 18.0  # points around them
_NEAR = 0.01  # a page so much larger than the paper is not shrunk for that
_LARGEST = 200_000.0  # points: what a page may be in each direction
_LETTER = (0.0, 0.0, 612.0, 792.0)  # for a page that does not say
_GRIDS = {1: (1, 1), 2: (2, 1), 4: (2, 2), 6: (3, 2), 9: (3, 3), 16: (4, 4)}
_SALVAGED = 16 << 20  # octets of a damaged page

Size = tuple[float, float]


class Unprintable(Exception):
    """A document that is not arranged; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How pages go on paper."""

    paper: Size
    ranges: tuple[tuple[int, int], ...] = ()
    scaling: str = "auto"
    orientation: str = ""
    number_up: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Where one page of a sheet goes, in points from the sheet's lower left corner."""

    x: float
    y: float
    width: float
    height: float


# -- where pages go: pure


def chosen(ranges: Sequence[tuple[int, int]], count: int) -> list[int]:
    """The indices, from 0, of the pages in `ranges` that a document of `count` pages has."""
    if not ranges:
        return list(range(count))
    return [index for index in range(count) if any(first <= index + 1 <= last for first, last in ranges)]


def scale(page: Size, room: Size, scaling: str) -> float:
    fits = min(room[0] / page[0], room[1] / page[1])
    if scaling == "none":
        return 1.0
    if scaling == "fit":
        return fits
    if scaling == "fill":
        return max(room[0] / page[0], room[1] / page[1])
    return fits if fits < 1 - _NEAR else 1.0


def sheet(wish: Wish, across: bool) -> Size:
    width, height = wish.paper
    return (height, width) if across != (width > height) else (width, height)


def cells(wish: Wish, size: Size, *, tall: bool, from_right: bool) -> list[Cell]:
    """The places on a sheet in the order of reading; `tall`: more rows than columns where the grid is no square."""
    if wish.number_up == 1:
        return [Cell(x=0, y=0, width=size[0], height=size[1])]
    columns, rows = _GRIDS[wish.number_up][:: -1 if tall else 1]
    width = (size[0] - 2 * MARGIN - (columns - 1) * GAP) / columns
    height = (size[1] - 2 * MARGIN - (rows - 1) * GAP) / rows
    return [
        Cell(
            x=MARGIN + (columns - 1 - column if from_right else column) * (width + GAP),
            y=size[1] - MARGIN - height - row * (height + GAP),
            width=width,
            height=height,
        )
        for row in range(rows)
        for column in range(columns)
    ]


def layout(wish: Wish, pages: Sequence[Size], *, from_right: bool) -> tuple[Size, list[Cell]]:
    """The sheet and its cells on which `pages` come out largest; upright if that makes no difference."""
    asked = {"portrait": [False], "landscape": [True]}.get(wish.orientation, [False, True])
    best: tuple[float, Size, list[Cell]] | None = None
    for across in asked:
        for tall in (True, False):
            size = sheet(wish, across)
            places = cells(wish, size, tall=tall, from_right=from_right)
            room = (places[0].width, places[0].height)
            sum_ = sum(scale(page, room, "fit") for page in pages)
            if best is None or sum_ > best[0] * 1.001:
                best = sum_, size, places
    assert best is not None
    return best[1], best[2]


Matrix = tuple[float, float, float, float, float, float]


def times(one: Matrix, other: Matrix) -> Matrix:
    """First `one`, then `other` (ISO 32000-1 section 8.3.4)."""
    a, b, c, d, e, f = one
    g, h, i, j, k, m = other
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)


def turned(size: Size, degrees: int) -> Matrix:
    """Turns a page of `size` at the origin clockwise, so that it is at the origin again."""
    width, height = size
    return {
        0: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
        90: (0.0, -1.0, 1.0, 0.0, 0.0, width),
        180: (-1.0, 0.0, 0.0, -1.0, width, height),
        270: (0.0, 1.0, -1.0, 0.0, height, 0.0),
    }[degrees]


def placed(page: Size, cell: Cell, wish: Wish) -> Matrix:
    """Takes a page at the origin into the middle of its cell."""
    room, matrix = (cell.width, cell.height), turned(page, 0)
    scaling = "fit" if wish.number_up > 1 and wish.scaling != "fill" else wish.scaling
    if wish.number_up > 1 and scale(page[::-1], room, "fit") > 1.1 * scale(page, room, "fit"):
        page, matrix = page[::-1], turned(page, 90)
    by = scale(page, room, scaling)
    x, y = (cell.x + (cell.width - by * page[0]) / 2, cell.y + (cell.height - by * page[1]) / 2)
    return times(matrix, (by, 0, 0, by, x, y))


# -- the document


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A page of the document: `form` draws it, `matrix` takes it to the origin, as it is seen, in points."""

    form: pikepdf.Object
    matrix: Matrix
    size: Size


def _box(page: pikepdf.Page) -> tuple[float, float, float, float]:
    """What is seen of the page: its crop box, as far as it lies on its media box (ISO 32000-1 section 14.11.2)."""
    media = _rectangle(page, "mediabox") or _LETTER
    crop = _rectangle(page, "cropbox") or media
    x0, y0, x1, y1 = (*map(max, media[:2], crop[:2]), *map(min, media[2:], crop[2:]))
    return (x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else media


def _rectangle(page: pikepdf.Page, name: str) -> tuple[float, float, float, float] | None:
    try:
        x0, y0, x1, y1 = (float(side) for side in getattr(page, name))
    except (TypeError, ValueError, AttributeError, RuntimeError, OverflowError):
        return None
    x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    sound = all(map(math.isfinite, (x0, y0, x1, y1))) and 1 <= x1 - x0 <= _LARGEST and 1 <= y1 - y0 <= _LARGEST
    return (x0, y0, x1, y1) if sound else None


def _number(value: object, low: float, high: float, otherwise: float) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return number if math.isfinite(number) and low <= number <= high else otherwise


def drawn(page: pikepdf.Page, pdf: pikepdf.Pdf, out: pikepdf.Pdf) -> Drawn:
    x0, y0, x1, y1 = _box(page)
    unit = _number(page.obj.get("/UserUnit"), 0.001, 1000, 1.0)
    degrees = int(_number(_inherited(page.obj, "/Rotate"), -36_000, 36_000, 0)) % 360
    degrees = degrees if degrees % 90 == 0 else 0
    size = ((x1 - x0) * unit, (y1 - y0) * unit)
    matrix = times(times((1, 0, 0, 1, -x0, -y0), (unit, 0, 0, unit, 0, 0)), turned(size, degrees))
    form = out.make_stream(
        _content(page.obj.get("/Contents")),
        Type=Name.XObject,
        Subtype=Name.Form,
        BBox=Array([_short(side) for side in (x0, y0, x1, y1)]),
        Resources=_copied(_inherited(page.obj, "/Resources"), pdf, out),
    )
    if isinstance(group := page.obj.get("/Group"), Dictionary):
        form.Group = _copied(group, pdf, out)
    return Drawn(form=form, matrix=matrix, size=size if degrees % 180 == 0 else size[::-1])


def _copied(value: object, pdf: pikepdf.Pdf, out: pikepdf.Pdf) -> pikepdf.Object:
    if not isinstance(value, Dictionary):
        return Dictionary()
    # Only what is indirect can be copied, with all that it refers to; what was copied once is not copied again.
    return out.copy_foreign(value if value.is_indirect else pdf.make_indirect(value))


def _content(contents: pikepdf.Object | None) -> bytes:
    if isinstance(contents, Array):
        return b"\n".join(_content(part) for part in contents.as_list() if isinstance(part, Stream))
    if not isinstance(contents, Stream):
        return b""
    try:
        return contents.read_bytes()
    except pikepdf.PdfError:  # damaged: draw what can be read, as readers do
        try:
            return zlib.decompressobj().decompress(contents.read_raw_bytes(), _SALVAGED)
        except zlib.error:
            return b""


def _inherited(node: pikepdf.Object, key: str) -> object:
    for _ in range(64):
        if key in node:
            return node[key]
        if not isinstance(parent := node.get("/Parent"), Dictionary):
            return None
        node = parent
    return None


def _short(number: float) -> pikepdf.Object:
    return pikepdf.Object.parse(f"{number:.4f}".encode())


def _draw_fields(pdf: pikepdf.Pdf) -> None:
    """Make of form fields and annotations what a reader would print of them."""
    form = pdf.Root.get("/AcroForm")
    if isinstance(form, Dictionary):
        bare, dressed = [], {}
        for widget in _widgets(pdf):
            if "/AP" in widget:
                dressed[widget.objgen] = (widget, widget.AP)
            else:
                bare.append(widget)
        again = bool(form.get("/NeedAppearances", False))
        if bare and not again:
            form.NeedAppearances = True
        pdf.generate_appearance_streams()
        for widget, appearance in dressed.values() if not again else ():
            widget.AP = appearance
    pdf.flatten_annotations("print")


def _widgets(pdf: pikepdf.Pdf) -> Iterator[pikepdf.Object]:
    for page in pdf.pages:
        annotations = page.obj.get("/Annots")
        for annotation in annotations.as_list() if isinstance(annotations, Array) else ():
            if isinstance(annotation, Dictionary) and annotation.get("/Subtype") == Name.Widget:
                yield annotation


def _reads_from_right(pdf: pikepdf.Pdf) -> bool:
    preferences = pdf.Root.get("/ViewerPreferences")
    return isinstance(preferences, Dictionary) and preferences.get("/Direction") == Name.R2L


def arranged(pdf: pikepdf.Pdf, out: pikepdf.Pdf, wish: Wish) -> int:
    """Draw the pages of `pdf` on sheets of `out`, which is empty; return how many sheets."""
    told = _number(pdf.Root.Pages.get("/Count"), 0, MAX_PAGES, 0)
    count = len(pdf.pages)
    if count > MAX_PAGES:
        raise Unprintable(f"the document has more than {MAX_PAGES} pages")
    indices = chosen(wish.ranges, count)
    if not indices:
        raise Unprintable(f"none of the pages asked for: the document has {count}")
    lost = told > count or not all("/Contents" in pdf.pages[index].obj for index in indices)
    if lost and pdf.get_warnings():
        raise Unprintable("the document is damaged: pages of it are lost")
    _draw_fields(pdf)
    pages = [drawn(pdf.pages[index], pdf, out) for index in indices]
    from_right = _reads_from_right(pdf)
    common = layout(wish, [page.size for page in pages], from_right=from_right) if wish.number_up > 1 else None
    for start in range(0, len(pages), wish.number_up):
        group = pages[start : start + wish.number_up]
        size, places = common or layout(wish, [page.size for page in group], from_right=from_right)
        _add(
            out, size, [(page, placed(page.size, cell, wish), cell) for page, cell in zip(group, places, strict=False)]
        )
    if isinstance(layers := pdf.Root.get("/OCProperties"), Dictionary):
        out.Root.OCProperties = _copied(layers, pdf, out)
    return len(out.pages)


def _add(pdf: pikepdf.Pdf, size: Size, group: Sequence[tuple[Drawn, Matrix, Cell]]) -> None:
    forms, drawing = Dictionary(), []
    for number, (page, matrix, cell) in enumerate(group):
        forms[f"/P{number}"] = page.form
        numbers = " ".join(f"{part:.5f}" for part in times(page.matrix, matrix))
        inside = f"{cell.x:.3f} {cell.y:.3f} {cell.width:.3f} {cell.height:.3f} re W n"
        drawing.append(f"q {inside} {numbers} cm /P{number} Do Q")
    made = Dictionary(
        Type=Name.Page,
        MediaBox=Array([0, 0, *map(_short, size)]),
        Contents=pdf.make_stream("\n".join(drawing).encode()),
        Resources=Dictionary(XObject=forms),
    )
    pdf.pages.append(pikepdf.Page(pdf.make_indirect(made)))


def wish(width: str, height: str, ranges: str, scaling: str, orientation: str, number_up: str) -> Wish:
    parts = [part.split("-") for part in ranges.split(",") if part]
    return Wish(
        paper=(float(width), float(height)),
        ranges=tuple((int(first), int(last)) for first, last in parts),
        scaling=scaling or "auto",
        orientation=orientation,
        number_up=int(number_up) or 1,
    )


def main(source: str, output: str, *asked: str) -> int:
    try:
        with pikepdf.open(source, suppress_warnings=True) as pdf, pikepdf.new() as out:
            count = arranged(pdf, out, wish(*asked))
            out.save(output, compress_streams=True)
            sys.stdout.write(f"pages: {count}\n")
    except pikepdf.PasswordError:
        sys.stderr.write("Incorrect password\n")
    except MemoryError:
        sys.stderr.write("MemoryError\n")
    except Unprintable as error:
        sys.stderr.write(f"{error}\n")
    except (pikepdf.PdfError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, OSError) as error:
        # qpdf raises any of these for damaged files.
        sys.stderr.write(f"the document is damaged: {str(error)[:200]!r}\n")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
