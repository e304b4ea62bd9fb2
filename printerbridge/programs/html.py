"""A program that draws an HTML letter as a PDF: `html.py PACKAGES SOURCE OUTPUT CHARSET WIDTH HEIGHT [CID PATH]...`.

WeasyPrint lays it out for paper of WIDTH by HEIGHT points.  What the letter shows by `cid:` (RFC 2392) comes from the
PATH beside its Content-ID, `data:` (RFC 2397) from itself, and nothing else from anywhere: a picture out in the world
shows its alt text.  What is wider than the paper is shrunk as a whole, as browsers do; pages that show nothing are left
out.  A letter that cannot be laid out as it is written is printed as its bare text.

Security: reads strangers' octets, in a confined process.  Fetching would tell the sender that and where his letter is
read, and could reach what only this site can; reading files would print them.  So the fetcher knows two schemes and
serves pictures in formats of a short list (told by their octets), SVG and style sheets; no fonts.  The letter, each
picture's pixels and the pages are limited; time and memory are where this runs.  No title, author, link or attachment
of the letter's gets into the PDF.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, unquote_to_bytes

MAX_LETTER = 48 << 20  # octets, with the pictures inside it
MAX_PICTURE = 64 << 20
MAX_PIXELS = 64_000_000  # of one picture
MAX_PAGES = 2_000
SMALL = 0.6  # of its own size, below which a letter loses the widths of its tables before it is shrunk further
SMALLEST = 0.3  # what is wider still is cut off
PATIENCE = 60.0  # seconds for laying out a letter, of the time that there is for printing it as bare text then
_RECURSION = 8_000  # frames; tables within tables take many
_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_META = re.compile(rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_DATA = re.compile(r"data:([^,]{0,200}),", re.ASCII | re.IGNORECASE)
_DOCTYPE = re.compile(r"\s*<!doctype", re.IGNORECASE)
_BLOCKS = re.compile("(address|article|blockquote|br|center|d[dlt]|div|h[1-6r]|li|ol|p|pre|section|table|tr|ul)$")
_UNSEEN = re.compile("(script|style|head|title|template|noscript)$")

_STYLE = """
@page {{ size: {width}pt {height}pt !important; margin: {margin}pt !important; marks: none !important }}
body {{ margin: 0; font-family: sans-serif; font-size: 11pt }}
html, body {{ color: black; max-width: 100% !important }}
img, svg {{ max-width: {room}pt }}
pre {{ white-space: pre-wrap !important }}
body {{ overflow-wrap: break-word }}
a {{ overflow-wrap: anywhere; color: inherit }}
"""
# Without a document type, browsers do not let tables inherit how the text round them is aligned.
_QUIRKS = "table { text-align: start }"
_FLUID = """
* { min-width: 0 !important }
table, td, th, col, div { width: auto !important }
td, th { overflow-wrap: anywhere }
"""


def decoded(octets: bytes, charset: str) -> str:
    """The characters of an HTML document; `charset` is a Python codec, the survey's finding or guess.

    A byte order mark comes first, then what the mail says.  UTF-8 and windows-1252 may be guesses by a beginning that
    is all ASCII: there, octets that are no UTF-8 or escape to other sets are in what the document says of itself.
    """
    charset = charset.replace("_", "-")
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if octets.startswith(mark):
            return octets.decode(name, "replace")
    if charset.startswith("utf-8") and not octets.isascii():
        with contextlib.suppress(UnicodeDecodeError):
            return octets.decode("utf-8")
    if charset.startswith(("utf-8", "cp1252")) and (found := _META.search(octets[:4096])):
        # The labels of the web, and no other codecs
        from webencodings import lookup  # type: ignore[import-untyped]

        if (named := lookup(found[1].decode("ascii"))) is not None and not named.name.startswith("utf-16"):
            return str(named.codec_info.decode(octets, "replace")[0])
    return octets.decode(charset, "replace")


class Fetcher:
    """What WeasyPrint gets its resources by (`url_fetcher`): `shown` gives the path of each Content-ID."""

    _fail_on_errors = False

    def __init__(self, shown: dict[str, str]) -> None:
        self._shown = {_bare(cid): path for cid, path in shown.items()}

    def __call__(self, url: str) -> Any:
        """Raises `ValueError` for all that is not in the letter."""
        from weasyprint.urls import URLFetcherResponse  # type: ignore[import-untyped]

        if found := _DATA.match(url):
            kind, *words = found[1].lower().replace(" ", "").split(";")
            octets = unquote_to_bytes(url[found.end() :])
            if "base64" in words:
                octets = base64.b64decode(re.sub(rb"[^A-Za-z0-9+/]", b"", octets) + b"===")
        elif url[:4].lower() == "cid:" and (path := self._shown.get(_bare(unquote(url[4:])))):
            kind, octets = "", _read(path, MAX_PICTURE)
        else:
            raise ValueError("not in the letter")
        return URLFetcherResponse(url, octets, {"Content-Type": _kind(kind, octets)})


def _bare(cid: str) -> str:
    return cid.strip().removeprefix("<").removesuffix(">").strip()


def _kind(declared: str, octets: bytes) -> str:
    if octets.startswith(_PICTURES) or (octets[:4] == b"RIFF" and octets[8:12] == b"WEBP"):
        return "image/png"  # any that Pillow opens
    if declared == "text/css":
        return declared
    if octets[:256].lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"<"):
        return "image/svg+xml"
    raise ValueError("neither picture nor style sheet")


def _read(path: str, limit: int) -> bytes:
    with Path(path).open("rb") as file:
        octets = file.read(limit + 1)
    if len(octets) > limit:
        raise ValueError("too large")
    return octets


def prepare(packages: str) -> None:
    """Make WeasyPrint importable, and starting faster by a third."""
    sys.path[:0] = packages.split(os.pathsep)
    import ctypes.util

    # It would start ldconfig and compilers to find libraries that have the names it tries last anyway.
    ctypes.util.find_library = lambda name: None  # noqa: ARG005
    gc.disable()
    import weasyprint.document  # type: ignore[import-untyped]
    from PIL import Image

    gc.enable()
    gc.freeze()
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice as many
    weasyprint.document.LOGGER.disabled = True
    # A font may call itself a style sheet; and what reads fonts has had holes.
    weasyprint.document.FontConfiguration.add_font_face = lambda *_: None
    sys.setrecursionlimit(_RECURSION)


def draw(html: str, style: Callable[[float], str], file: BinaryIO, fetcher: Fetcher) -> int:
    """Write the PDF of `html` and return its pages.  `style` gives the style sheet for a layout at a scale."""
    scale, more = 1.0, "" if _DOCTYPE.match(html) else _QUIRKS
    document = _laid_out(html, style(scale) + more, fetcher)
    if (wide := _overflow(document)) > 1 / SMALL:
        more += _FLUID
        document = _laid_out(html, style(scale) + more, fetcher)
        wide = _overflow(document)
    if wide > 1.01:
        scale = max(SMALLEST, 1 / wide)
        document = _laid_out(html, style(scale) + more, fetcher)
    pages = [page for page in document.pages if _shows(page._page_box, 0)]
    if len(pages) > MAX_PAGES:
        raise ValueError(f"more than {MAX_PAGES} pages")
    for page in pages:
        page.links, page.bookmarks, page.anchors = [], [], {}
    document.metadata = type(document.metadata)()
    if pages:
        document.copy(pages).write_pdf(file, zoom=scale)
    return len(pages)


def _laid_out(html: str, style: str, fetcher: Fetcher) -> Any:
    import weasyprint

    letter = weasyprint.HTML(string=html, url_fetcher=fetcher)
    sheet = weasyprint.CSS(string=style, url_fetcher=fetcher)
    return letter.render(stylesheets=[sheet], presentational_hints=True)


def _overflow(document: Any) -> float:
    """How many times as wide as there is room on the paper the letter is."""
    widest = 1.0
    for page in document.pages:
        box = page._page_box
        right, room = box.content_box_x() + box.width, box.width
        for reaches in _edges(box):
            widest = max(widest, 1 + (reaches - right) / room)
    return widest


def _edges(box: Any) -> Iterator[float]:
    from weasyprint.formatting_structure import boxes  # type: ignore[import-untyped]

    for child in getattr(box, "children", ()):
        if isinstance(child, boxes.TextBox | boxes.ReplacedBox | boxes.TableCellBox) and _number(child.width):
            yield child.position_x + child.width
        if child.style["overflow"] == "visible":
            yield from _edges(child)


def _number(value: object) -> bool:
    return isinstance(value, int | float)


def _shows(box: Any, depth: int) -> bool:
    """Whether there is anything on a page: text, a picture, a line, or colour that is not the whole page's."""
    from weasyprint.formatting_structure import boxes

    if isinstance(box, boxes.ReplacedBox) or (isinstance(box, boxes.TextBox) and box.text.strip()):
        return True
    if depth and any(box.style[f"border_{side}_width"] for side in ("top", "right", "bottom", "left")):
        return True
    return any(_shows(child, depth + 1) for child in getattr(box, "children", ()))


def bare_text(html: str) -> str:
    """`html` as nothing but its lines, for what cannot be laid out."""
    from xml.etree import ElementTree

    import tinyhtml5  # type: ignore[import-untyped]

    lines, tree = [""], tinyhtml5.parse(html, namespace_html_elements=False)
    for event, element in _events(tree):
        if event == "end" and element.tag == "img" and element.get("alt"):
            lines[-1] += f" [{element.get('alt')}] "
        if _BLOCKS.match(element.tag) and lines[-1].strip():
            lines.append("")
        if element.tag in ("td", "th"):
            lines[-1] += " "
        lines[-1] += (element.text if event == "start" else element.tail) or ""
    root = ElementTree.Element("body")
    for line in lines:
        ElementTree.SubElement(root, "p").text = " ".join(line.split())
    return ElementTree.tostring(root, encoding="unicode", method="html")


def _events(tree: Any) -> Iterator[tuple[str, Any]]:
    """The elements as they begin and end, without recursion."""
    open_ = [("start", tree)]
    while open_:
        event, element = open_.pop()
        if not isinstance(element.tag, str) or _UNSEEN.match(element.tag):
            yield "end", element
            continue
        yield event, element
        if event == "start":
            open_.append(("end", element))
            open_ += [("start", child) for child in reversed(element)]


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Raises `TimeoutError` in what takes longer, again and again if it is caught."""

    def interrupt(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def page_style(width: float, height: float) -> Callable[[float], str]:
    """The style sheet for paper of a size in points: larger paper for what is to be shrunk."""
    margin = min(36.0, 0.06 * min(width, height))

    def style(scale: float) -> str:
        room = width - 2 * margin
        return _STYLE.format(width=width / scale, height=height / scale, margin=margin / scale, room=room / scale)

    return style


def main(packages: str, source: str, output: str, charset: str, width: str, height: str, *shown: str) -> int:
    prepare(packages)
    if Path(source).stat().st_size > MAX_LETTER:
        raise ValueError("the letter is too large")
    letter = decoded(_read(source, MAX_LETTER), charset)
    style = page_style(float(width), float(height))
    fetcher = Fetcher(dict(zip(shown[::2], shown[1::2], strict=True)))
    try:
        with Path(output).open("wb") as file, patience(PATIENCE):
            pages = draw(letter, style, file, fetcher)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - its layout has bugs, and letters are worse
        with Path(output).open("wb") as file:
            pages = draw(bare_text(letter), style, file, fetcher)
    sys.stdout.write(f"pages: {pages}\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
