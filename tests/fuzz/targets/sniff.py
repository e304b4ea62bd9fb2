"""What a document is: octets decide, only a bounded head counts, and nothing is text that holds control characters."""

from __future__ import annotations

from mailstore import charset
from mailstore.document_format import DocumentFormat
from mailstore.sniff import PREFIX_OCTETS, sniff

WORDS = (
    b"%PDF-1.4",
    b"%!PS-Adobe-3.0 EPSF-3.0",
    b"\x1b%-12345X",
    b"@PJL ENTER LANGUAGE=POSTSCRIPT\r\n",
    b"@PJL \r\n",
    b"PK\x03\x04",
    b"word/",
    b"\x1bE",
    b"<html",
    b"<?xml",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"RaS2PwgRaster\x00",
    b") HP-PCL XL;",
    b"\x04%!",
    b"[Content_Types].xml",
    b"mimetypeapplication/vnd.oasis.opendocument.text",
    b'<office:document office:mimetype="application/vnd.oasis.opendocument.text"',
    b"<meta charset=iso-8859-2>",
    b"\0\0\0\x18ftypheic",
    b"RIFF\0\0\0\0WEBP",
    b"\x78\x9f\x3e\x22",
)
_DECLARED = ("", "text/plain", "text/html", "application/octet-stream", "application/pdf", "application/zip")
_LABELS = ("", "utf-8", "iso-8859-1", "utf-16", "utf-7", "iso-2022-jp", "no such charset", "gb2312")


def check(octets: bytes) -> None:
    chosen, label = (octets + b"\0\0")[:2]
    declared, label_ = _DECLARED[chosen % len(_DECLARED)], _LABELS[label % len(_LABELS)]
    prefix = octets[2:]
    found = sniff(prefix, declared, label_)
    assert isinstance(found, DocumentFormat)
    assert found == sniff(prefix[:PREFIX_OCTETS] + b"\0" * (len(prefix) > PREFIX_OCTETS), declared, label_)
    if found in (DocumentFormat.TEXT, DocumentFormat.HTML):
        head = prefix[:PREFIX_OCTETS]
        page = found is DocumentFormat.HTML
        codec = charset.of_html(head, label_) if page else charset.detect(head, declared, label_)
        assert codec
        charset.decode(head, codec)
        assert b"\x1b%-12345X" not in prefix[:128]  # would leave a printer's language
    if prefix.lstrip(b"\r\n").startswith(b"%!") and b"\x1b%-12345X" not in prefix[:140]:
        assert found in (DocumentFormat.POSTSCRIPT, DocumentFormat.EPS)
