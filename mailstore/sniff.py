"""What a document is, judged by its first octets.

Security: reads strangers' octets.  It looks only at a bounded prefix (`PREFIX_OCTETS`), never decompresses, never calls
a library that parses, and a wrong guess can only choose a wrong converter, which runs confined.
"""

from __future__ import annotations

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
    (b"\x1b%0B", _F.HPGL),
    (b"\x1b%1B", _F.HPGL),
    (b"\x1bE\x1b%0B", _F.HPGL),
    (b"\x1bE\x1b%1B", _F.HPGL),
    (b"\x1bE", _F.PCL),
    (b"\x1b&l", _F.PCL),  # a page set up without the reset before it
    (b"\x1b*t", _F.PCL),
    (b"\x1b*r", _F.PCL),
    (b"\x1b*p", _F.PCL),
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
    (b"GIF87a", _F.GIF),
    (b"GIF89a", _F.GIF),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _F.OLE),
    (b"{\\rtf", _F.RTF),
)

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
}
_ENTER_LANGUAGE = re.compile(rb"@PJL[ \t]+ENTER[ \t]+LANGUAGE[ \t]*=[ \t]*([A-Z0-9]+)", re.IGNORECASE)
_PJL_HEADER = re.compile(rb"(?:(?:\x1b%-12345X)*+[ \t\r\n]*+@PJL[^\n]*+(?:\n|\Z))++|(?:\x1b%-12345X)++", re.IGNORECASE)

_PCLM_SECOND_LINE = re.compile(rb"%PDF-\d\.\d[\r\n]+%PCLm")
_PDF_LINE = re.compile(rb"[\r\n]%PDF-\d")
_EPS_FIRST_LINE = re.compile(rb"%!PS-Adobe-[^\r\n]{0,100}? EPSF")

_OFFICE: tuple[tuple[bytes, DocumentFormat], ...] = (
    (b"mimetypeapplication/vnd.oasis.opendocument.text", _F.ODT),
    (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", _F.ODS),
    (b"mimetypeapplication/vnd.oasis.opendocument.presentation", _F.ODP),
    (b"FixedDocSeq", _F.XPS),
    (b"FixedDocumentSequence", _F.XPS),
    (b"word/", _F.DOCX),
    (b"xl/", _F.XLSX),
    (b"ppt/", _F.PPTX),
)
_ZIPPED = frozenset(format_ for _, format_ in _OFFICE)


def sniff(prefix: bytes, declared: str = "", label: str = "") -> DocumentFormat:
    """The format of a document that begins with `prefix` (its first `PREFIX_OCTETS`, or all of it if shorter).

    `declared` is the media type in lower case and `label` the charset that the message claims.  The octets decide; the
    claim only says which kind of text it is, in what charset, and what is in a zip whose head does not tell.
    """
    head = prefix[:PREFIX_OCTETS]
    if _UEL in head[: _UEL_WITHIN + len(_UEL)]:
        return _inside_pjl(head)
    return _by_magic(head, declared) or _by_reading(head, declared, label)


def _inside_pjl(head: bytes) -> DocumentFormat:
    if entered := _ENTER_LANGUAGE.search(head):
        named = _PJL_LANGUAGES.get(entered[1].upper())
        if named is not None:
            return named
    start = head.index(_UEL)
    header = _PJL_HEADER.match(head, start)
    rest = head[header.end() if header else start + len(_UEL) :]
    return _by_magic(rest, "") or _F.OCTETS


def _by_magic(head: bytes, declared: str) -> DocumentFormat | None:
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
        return _zipped(head, declared)
    # Some printers' scanners and old mail programs put lines before it; a letter that quotes one is no PDF.
    if not declared.startswith("text/") and _PDF_LINE.search(head, 0, _PDF_WITHIN):
        return _F.PDF
    return None


def _zipped(head: bytes, declared: str) -> DocumentFormat:
    for name, found in _OFFICE:
        if name in head:
            return found
    return next((known for known in _ZIPPED if known == declared), _F.ZIP)


def _by_reading(head: bytes, declared: str, label: str) -> DocumentFormat:
    if not charset.detect(head, declared, label):
        return _F.OCTETS
    start = head[:PREFIX_OCTETS].lstrip(b"\xef\xbb\xbf \t\r\n")[:_PDF_WITHIN].lower()
    if start.startswith((b"<!doctype html", b"<html")) or (start.startswith((b"<?xml", b"<!--")) and b"<html" in start):
        return _F.HTML
    return _F.HTML if declared in ("text/html", "application/xhtml+xml") else _F.TEXT
