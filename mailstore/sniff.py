"""What a document is, judged by its first octets.

Security: reads strangers' octets.  It looks only at a bounded prefix (`PREFIX_OCTETS`), never decompresses, never calls
a library that parses, and a wrong guess can only choose a wrong converter, which runs confined.
"""

from __future__ import annotations

import codecs
import re

from mailstore import charset
from mailstore.document_format import DocumentFormat

PREFIX_OCTETS = 8192


_F = DocumentFormat
_UEL = b"\x1b%-12345X"
_UEL_WITHIN = 128
_PDF_WITHIN = 1024

_MAGIC: tuple[tuple[bytes, DocumentFormat], ...] = (
    (b"\xc5\xd0\xd3\xc6", _F.DOS_EPS),
    (b") HP-PCL XL;", _F.PCLXL),
    (b"( HP-PCL XL", _F.PCLXL),
    (b"' HP-PCL XL", _F.PCLXL),
    (b"\x1b%0B", _F.HPGL),
    (b"\x1b%1B", _F.HPGL),
    (b"\x1bE\x1b%0B", _F.HPGL),
    (b"\x1bE\x1b%1B", _F.HPGL),
    (b"\x1bE", _F.PCL),
    (b"\x1b&", _F.PCL),  # a page set up without the reset before it
    (b"\x1b*", _F.PCL),
    (b"\x1b(s", _F.PCL),
    (b"\x1b@", _F.ESCP),
    (b"RaS2PwgRaster\0", _F.PWG),
    (b"RaS2", _F.CUPS_RASTER),
    (b"RaS3", _F.CUPS_RASTER),
    (b"RaSt", _F.CUPS_RASTER),
    (b"2SaR", _F.CUPS_RASTER),
    (b"3SaR", _F.CUPS_RASTER),
    (b"tSaR", _F.CUPS_RASTER),
    (b"UNIRAST\0", _F.URF),
    (b"\xff\xd8\xff", _F.JPEG),
    (b"\x89PNG\r\n\x1a\n", _F.PNG),
    (b"II*\0", _F.TIFF),
    (b"MM\0*", _F.TIFF),
    (b"II+\0", _F.TIFF),  # with offsets of 64 bits
    (b"MM\0+", _F.TIFF),
    (b"GIF87a", _F.GIF),
    (b"GIF89a", _F.GIF),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _F.OLE),
    (b"{\\rtf", _F.RTF),
    (b"\x78\x9f\x3e\x22", _F.TNEF),  # MS-OXTNEF section 2.1.3.1
)

# ISO 14496-12 section 4.3: the brand behind the length of the first box and its type.
_BRANDS: dict[bytes, DocumentFormat] = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"), _F.HEIC),
    **dict.fromkeys((b"mif1", b"msf1", b"mif2"), _F.HEIF),
    **dict.fromkeys((b"avif", b"avis"), _F.AVIF),
}

_FIRST_OCTETS = frozenset(magic[:1] for magic, _ in _MAGIC)

_PJL_LANGUAGES: dict[bytes, DocumentFormat] = {
    b"POSTSCRIPT": _F.POSTSCRIPT,
    b"PS": _F.POSTSCRIPT,
    b"PDF": _F.PDF,
    b"PCL": _F.PCL,
    b"PCL5": _F.PCL,
    b"PCL5C": _F.PCL,
    b"PCLXL": _F.PCLXL,
    b"HPGL2": _F.HPGL,
    b"HPGL": _F.HPGL,
    b"PCLM": _F.PCLM,
    b"URF": _F.URF,
    b"PWGRASTER": _F.PWG,
    b"ESCP": _F.ESCP,
    b"ESCPR": _F.ESCP,
    b"JPEG": _F.JPEG,
    b"TIFF": _F.TIFF,
    b"XPS": _F.XPS,
}
_ENTER_LANGUAGE = re.compile(rb"@PJL[ \t]+ENTER[ \t]+LANGUAGE[ \t]*=[ \t]*([A-Z0-9]+)", re.IGNORECASE)
_PJL_HEADER = re.compile(rb"(?:(?:\x1b%-12345X)*+[ \t\r\n]*+@PJL[^\n]*+(?:\n|\Z))++|(?:\x1b%-12345X)++", re.IGNORECASE)

_PCLM_SECOND_LINE = re.compile(rb"%PDF-\d\.\d[\r\n]+%PCLm")
_PDF_START = re.compile(rb"%PDF-[12]\.\d")
_ZIP_ENTRY = re.compile(rb"PK\x03\x04")
_EPS_FIRST_LINE = re.compile(rb"%!PS-Adobe-[^\r\n]{0,100}? EPSF")

_OPEN_DOCUMENT = re.compile(rb"application/vnd\.oasis\.opendocument\.(text|spreadsheet|presentation)")
_OPEN_DOCUMENTS = {b"text": _F.ODT, b"spreadsheet": _F.ODS, b"presentation": _F.ODP}
_FLAT = re.compile(
    rb"<office:document\s[^<>]{0,8000}office:mimetype=[\"']application/vnd\.oasis\.opendocument\.(\w{1,20})"
)
# What the packages of ECMA-376 begin with, each program in its own order.
_PACKAGE = re.compile(rb"\[Content_Types\]\.xml\Z|(?:_rels|docProps|docMetadata|customXml|word|xl|ppt)/|FixedDoc")
_IN_PACKAGE: tuple[tuple[bytes, DocumentFormat], ...] = (
    (b"FixedDocSeq", _F.XPS),
    (b"FixedDocumentSequence", _F.XPS),
    (b"word/", _F.DOCX),
    (b"xl/", _F.XLSX),
    (b"ppt/", _F.PPTX),
)
# With macros, templates and shows, too.
_DECLARED_PACKAGES: tuple[tuple[str, DocumentFormat], ...] = (
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.", _F.DOCX),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.", _F.XLSX),
    ("application/vnd.openxmlformats-officedocument.presentationml.", _F.PPTX),
    ("application/vnd.ms-word.", _F.DOCX),
    ("application/vnd.ms-excel.", _F.XLSX),
    ("application/vnd.ms-powerpoint.", _F.PPTX),
    ("application/vnd.oasis.opendocument.text", _F.ODT),
    ("application/vnd.oasis.opendocument.spreadsheet", _F.ODS),
    ("application/vnd.oasis.opendocument.presentation", _F.ODP),
    ("application/oxps", _F.XPS),
    ("application/vnd.ms-xpsdocument", _F.XPS),
)
_NAMED_PACKAGES: dict[str, DocumentFormat] = {
    **dict.fromkeys(("docx", "docm", "dotx", "dotm"), _F.DOCX),
    **dict.fromkeys(("xlsx", "xlsm", "xltx", "xltm"), _F.XLSX),
    **dict.fromkeys(("pptx", "pptm", "potx", "potm", "ppsx", "ppsm"), _F.PPTX),
    **dict.fromkeys(("odt", "ott"), _F.ODT),
    **dict.fromkeys(("ods", "ots"), _F.ODS),
    **dict.fromkeys(("odp", "otp"), _F.ODP),
    **dict.fromkeys(("xps", "oxps"), _F.XPS),
}


def sniff(prefix: bytes, declared: str = "", label: str = "", name: str = "") -> DocumentFormat:
    """The format of a document that begins with `prefix` (its first `PREFIX_OCTETS`, or all of it if shorter).

    `declared` is the media type in lower case, `label` the charset and `name` the file name that the message claims.
    The octets decide; the claims only say which kind of text it is, in what charset, and what is in a zip whose head
    does not tell.
    """
    head = prefix[:PREFIX_OCTETS]
    if _UEL in head[: _UEL_WITHIN + len(_UEL)]:
        return _inside_pjl(head)
    return _by_magic(head, declared, name) or _by_reading(head, declared, label)


def _inside_pjl(head: bytes) -> DocumentFormat:
    if entered := _ENTER_LANGUAGE.search(head):
        named = _PJL_LANGUAGES.get(entered[1].upper())
        if named is not None:
            return named
    start = head.index(_UEL)
    header = _PJL_HEADER.match(head, start)
    rest = head[header.end() if header else start + len(_UEL) :]
    return _by_magic(rest, "") or _F.OCTETS


def _by_magic(head: bytes, declared: str, name: str = "") -> DocumentFormat | None:
    start = head.lstrip(b"\r\n")
    if start.startswith(b"%PDF"):
        return _F.PCLM if _PCLM_SECOND_LINE.match(start) else _F.PDF
    postscript = start.lstrip(b"\x04\r\n")
    if postscript.startswith(b"%!"):
        return _F.EPS if _EPS_FIRST_LINE.match(postscript) else _F.POSTSCRIPT
    for magic, found in _MAGIC if head[:1] in _FIRST_OCTETS else ():
        if head.startswith(magic):
            return found
    if head.startswith(b"PK\x03\x04"):
        return _zipped(head, declared, name)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _F.WEBP
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return _F.PDF if _pdf_behind_junk(head, declared) else None


def _pdf_behind_junk(head: bytes, declared: str) -> bool:
    """Some printers' scanners and old mail programs put something before it; a letter that quotes one is no PDF."""
    found = None if declared.startswith("text/") else _PDF_START.search(head, 0, _PDF_WITHIN)
    if found is None:
        return False
    before = head[: found.start()]
    return before.endswith((b"\r", b"\n", codecs.BOM_UTF8)) or declared == "application/pdf" or b"\0" in before


def _zipped(head: bytes, declared: str, name: str) -> DocumentFormat:
    """By the names of what is in it, as far as the head has them."""
    names = [
        head[at + 30 : at + 30 + int.from_bytes(head[at + 26 : at + 28], "little")]
        for at in (found.start() for found in _ZIP_ENTRY.finditer(head))
    ]
    if names[0] == b"mimetype" and (found := _OPEN_DOCUMENT.search(head, 38, 200)):
        return _OPEN_DOCUMENTS[found[1]]
    if _PACKAGE.match(names[0]):
        for start, format_ in _IN_PACKAGE:
            if any(each.startswith(start) for each in names):
                return format_
    for prefix, format_ in _DECLARED_PACKAGES:
        if declared.startswith(prefix):
            return format_
    return _NAMED_PACKAGES.get(name.rpartition(".")[2].lower(), _F.ZIP)


def _by_reading(head: bytes, declared: str, label: str) -> DocumentFormat:
    ascii_ = head.replace(b"\0", b"") if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else head
    start = ascii_.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    markup = start[:_PDF_WITHIN].lower()
    page = markup.startswith((b"<!doctype html", b"<html")) or (
        markup.startswith((b"<?xml", b"<!--", b"<!doctype")) and b"<html" in markup
    )
    if not charset.detect(head, "text/html" if page else declared, label):
        return _F.OCTETS
    if markup.startswith(b"<?xml") and (flat := _FLAT.search(start)):
        return _OPEN_DOCUMENTS.get(flat[1], _F.TEXT)
    return _F.HTML if page or declared in ("text/html", "application/xhtml+xml") else _F.TEXT
