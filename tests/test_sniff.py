"""The first octets decide; what real programs write is recognised."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore import charset
from mailstore.document_format import DocumentFormat
from mailstore.sniff import PREFIX_OCTETS, sniff

F = DocumentFormat
UEL = b"\x1b%-12345X"


def zipped(*names: str, first: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, first)
    return buffer.getvalue()


WRAPPED = {
    b"POSTSCRIPT": F.POSTSCRIPT,
    b"PDF": F.PDF,
    b"PCL": F.PCL,
    b"PCLXL": F.PCLXL,
    b"HPGL2": F.HPGL,
    b"PCLM": F.PCLM,
    b"URF": F.URF,
    b"PWGRASTER": F.PWG,
    b"ESCPR": F.ESCP,
    b"JPEG": F.JPEG,
    b"TIFF": F.TIFF,
}
STARTS = [
    *((b"%!PS-Adobe-3.0\n", F.POSTSCRIPT), (b"%!PS-Adobe-3.0 EPSF-3.0\n", F.EPS), (b"%PDF-1.4\n", F.PDF)),
    *((b"\x1bE", F.PCL), (b") HP-PCL XL;2;0", F.PCLXL), (b"\x1bE\x1b%0B", F.HPGL), (b"RaS2PwgRaster\0", F.PWG)),
    *((b"UNIRAST\0", F.URF), (b"\xff\xd8\xff\xe0", F.JPEG), (b"II*\0", F.TIFF), (b"\xc5\xd0\xd3\xc6", F.DOS_EPS)),
]


FLAT = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<office:document xmlns:office="urn:oasis:names:tc:opendocument"'
    b' office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.%b">'
)
"""OpenDocument in one file of XML."""


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (b"%PDF-1.7\n", F.PDF),
        (b"\r\n\n%PDF-1.7\n", F.PDF),
        (b"\0junk\r\n%PDF-1.4\n", F.PDF),
        (b"\0" * 1100 + b"\n%PDF-1.4\n", F.OCTETS),
        (b"%PDF-1.7\n%PCLm 1.0\n", F.PCLM),
        (b"%!PS-Adobe-3.0\n", F.POSTSCRIPT),
        (b"%!\nshowpage %PDF-1.4", F.POSTSCRIPT),
        (b"\x04%!PS\n", F.POSTSCRIPT),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", F.EPS),
        (b"%!PS-Adobe-3.0\n%%Title: EPSF\n", F.POSTSCRIPT),
        (b"\xc5\xd0\xd3\xc6\x20", F.DOS_EPS),
        (UEL + b"@PJL JOB\r\n@PJL ENTER LANGUAGE=POSTSCRIPT\r\n%!PS", F.POSTSCRIPT),
        (UEL + b"@PJL enter language = pclxl\n) HP-PCL XL;2;0", F.PCLXL),
        (UEL + b"@PJL ENTER LANGUAGE=PDF\n%PDF-1.4", F.PDF),
        (UEL + b"@PJL SET COPIES=2\r\n\x1bE\x1b&l0O", F.PCL),
        (UEL + UEL + b"\x1bE", F.PCL),
        (UEL + b"%!PS-Adobe-3.0\n", F.POSTSCRIPT),
        (b"\0" * 100 + UEL + b"@PJL\r\n\r\n@PJL ENTER LANGUAGE=AUTO\r\n%!PS\n", F.POSTSCRIPT),
        (UEL + b"@PJL FSUPLOAD NAME=x\r\n", F.OCTETS),
        (b") HP-PCL XL;2;1;Comment\n", F.PCLXL),
        (b"\x1bE\x1b&l1X", F.PCL),
        (b"\x1bE\x1b%0BIN;SP1", F.HPGL),
        (b"\x1b%0BIN", F.HPGL),
        (b"\x1b@hello", F.ESCP),
        (b"RaS2PwgRaster\0" + bytes(50), F.PWG),
        (b"RaS2" + bytes(50), F.CUPS_RASTER),
        (b"RaSt", F.CUPS_RASTER),
        (b"UNIRAST\0\0\0\0\1", F.URF),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", F.JPEG),
        (b"\x89PNG\r\n\x1a\n", F.PNG),
        (b"II*\0", F.TIFF),
        (b"MM\0*", F.TIFF),
        (b"GIF89a", F.GIF),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", F.OLE),
        (zipped("[Content_Types].xml", "word/document.xml"), F.DOCX),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), F.XLSX),
        (zipped("[Content_Types].xml", "ppt/presentation.xml"), F.PPTX),
        (zipped("[Content_Types].xml", "FixedDocSeq.fdseq"), F.XPS),
        (zipped("mimetype", first=b"application/vnd.oasis.opendocument.text"), F.ODT),
        (zipped("readme"), F.ZIP),
        (b"{\\rtf1\\ansi", F.RTF),
        (b"II+\0\x08\0", F.TIFF),
        (b"MM\0+\0\x08", F.TIFF),
        (b"RIFF\x24\0\0\0WEBPVP8 ", F.WEBP),
        (b"RIFF\x24\0\0\0WAVEfmt ", F.OCTETS),
        (b"\0\0\0\x18ftypheic\0\0\0\0", F.HEIC),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", F.HEIF),
        (b"\0\0\0\x18ftypavif\0\0\0\0", F.AVIF),
        (b"\0\0\0\x18ftypisom\0\0\0\0", F.OCTETS),
        (b"\x78\x9f\x3e\x22\1\0", F.TNEF),
        (b"' HP-PCL XL;3;0;", F.PCLXL),
        (b"\x1b&k2G", F.PCL),
        (b"\x1b*b0M", F.PCL),
        (b"\x1b(s0p10h", F.PCL),
        # Inside PJL, every language
        *((UEL + b"@PJL ENTER LANGUAGE=%b\r\n\1" % name, found) for name, found in WRAPPED.items()),
        *((UEL + b"@PJL JOB\r\n" + start, found) for start, found in STARTS),
        (UEL + b"@PJL ENTER LANGUAGE=ZJS\r\n%!PS\n", F.POSTSCRIPT),
        (UEL + b"@PJL ENTER LANGUAGE=ZJS\r\n\1\2", F.OCTETS),
        (UEL + b"@PJL\r\nonly words\r\n", F.OCTETS),
        # Office, as its programs write it
        (zipped("_rels/.rels", "docProps/app.xml", "word/document.xml"), F.DOCX),
        (zipped("[Content_Types].xml", "word/vbaProject.bin"), F.DOCX),
        (zipped("xl/workbook.xml", "[Content_Types].xml"), F.XLSX),
        (zipped("mimetype", first=b"application/vnd.oasis.opendocument.text-template"), F.ODT),
        (zipped("mimetype", first=b"application/vnd.oasis.opendocument.spreadsheet"), F.ODS),
        (zipped("mimetype", first=b"application/vnd.oasis.opendocument.presentation"), F.ODP),
        (zipped("mimetype", first=b"application/epub+zip"), F.ZIP),
        (FLAT % b"text", F.ODT),
        (FLAT % b"spreadsheet", F.ODS),
        (FLAT % b"presentation", F.ODP),
        (FLAT % b"chart", F.TEXT),
        # A zip of files, whatever they are called or are themselves
        (zipped("password/readme"), F.ZIP),
        (zipped("a/word/b"), F.ZIP),
        (zipped("letter.docx", first=zipped("[Content_Types].xml", "word/document.xml")), F.ZIP),
        (b"PK\x03\x04", F.ZIP),
        # HTML
        ("<html><p>Grüße".encode("utf-16"), F.HTML),
        (b"<html>Gr\xfc\xdfe", F.HTML),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">\n<html>', F.HTML),
        (b"<!-- made by a program -->\n<HTML>", F.HTML),
        (b'<?xml version="1.0"?>\n<invoice/>', F.TEXT),
        (b"<html>\0\1\2", F.OCTETS),
        # PDF
        (b"\xef\xbb\xbf%PDF-1.4\n", F.PDF),
        (b"\0\x0ascan.pdf" + bytes(118) + b"%PDF-1.4\n", F.PDF),
        (b"how %PDF-1.4 begins", F.TEXT),
        (b" \r\n<!DOCTYPE html>", F.HTML),
        (b"\xef\xbb\xbf<HTML>", F.HTML),
        (b'<?xml version="1.0"?>\n<html xmlns="x">', F.HTML),
        ("Grüße\r\n".encode(), F.TEXT),
        ("Grüße".encode("utf-16"), F.TEXT),
        (("x" * 8191 + "ü").encode()[:PREFIX_OCTETS], F.TEXT),
        (b"Gr\xfc\xdfe", F.OCTETS),
        (b"text\x1b&l0O", F.OCTETS),
        (b"text\0", F.OCTETS),
        (b"", F.TEXT),
    ],
)
def test_octets_decide(prefix: bytes, found: DocumentFormat) -> None:
    assert sniff(prefix) is found
    if found is not F.TEXT:
        assert sniff(prefix, "application/x-lie") is found
        assert found in (F.OCTETS, F.ZIP) or sniff(prefix, "application/vnd.ms-excel.sheet") is found


def test_the_declared_type_only_says_which_text_or_zip() -> None:
    assert sniff(b"<p>hello", "text/html") is F.HTML
    assert sniff(b"%!PS\n", "text/plain") is F.POSTSCRIPT
    assert sniff(b"A letter.\n%PDF-1.4 is how it begins", "text/plain") is F.TEXT
    assert sniff(zipped("x"), F.DOCX.value) is F.DOCX
    assert sniff(b"%PDF-1.4", "application/postscript") is F.PDF
    assert sniff(b"just words", "application/pdf") is F.TEXT
    assert sniff(b"Rubbish %PDF-1.4", "application/pdf") is F.PDF
    for declared, found in DECLARED.items():
        assert sniff(zipped("x"), declared) is found
        assert sniff(b"no zip", declared) is F.TEXT
    assert sniff(zipped("x"), "application/octet-stream", name="Plan.XLSM") is F.XLSX
    assert sniff(zipped("x"), "application/octet-stream", name="plan.xlsm.zip") is F.ZIP


DECLARED = {
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": F.DOCX,
    "application/vnd.ms-word.document.macroenabled.12": F.DOCX,
    "application/vnd.ms-excel.sheet.macroenabled.12": F.XLSX,
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": F.PPTX,
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": F.PPTX,
    "application/vnd.oasis.opendocument.spreadsheet-template": F.ODS,
    "application/vnd.ms-xpsdocument": F.XPS,
}


@pytest.mark.parametrize(
    ("page", "label", "codec"),
    [
        (b"<html>plain", "", "utf_8"),
        ("<html>Grüße".encode(), "", "utf_8"),
        (b"<html>Gr\xfc\xdfe", "", "cp1252"),
        (b"<html><meta charset=iso-8859-2>\xb1", "", "iso8859_2"),
        (b'<html><meta http-equiv=Content-Type content="text/html; charset=windows-1251">\xcf', "", "cp1251"),
        (b"<html><meta charset=iso-8859-2>\xb1", "iso-8859-15", "iso8859_15"),
        ("<html><meta charset=utf-16>ü".encode(), "", "utf_8"),
        (b"<html><meta charset=idna>x", "", "utf_8"),
        (b"\xef\xbb\xbf<html><meta charset=iso-8859-2>", "iso-8859-2", "utf_8_sig"),
        ("<html>Grüße".encode("utf-16"), "", "utf_16"),
    ],
)
def test_the_charset_of_a_page(page: bytes, label: str, codec: str) -> None:
    assert charset.of_html(page, label) == codec


@pytest.mark.parametrize(
    ("octets", "declared", "label", "codec"),
    [
        (b"plain", "text/plain", "", "utf_8"),
        (b"plain", "text/plain", "us-ascii", "utf_8"),
        ("Grüße".encode(), "text/plain", "us-ascii", "utf_8"),
        (b"Gr\xfc\xdfe", "text/plain", "", "cp1252"),
        (b"Gr\xfc\xdfe", "text/plain", "ISO-8859-1", "latin_1"),
        (b"\x80 10", "text/plain", "iso-8859-1", "cp1252"),
        (b"Gr\xfc\xdfe \xa4", "text/plain", "ISO_8859-15", "iso8859_15"),
        ("日本".encode("iso2022_jp"), "text/plain", "iso-2022-jp", "iso2022_jp"),
        ("日本".encode("shift_jis"), "text/plain", "Shift_JIS", "shift_jis"),
        ("text".encode("utf-16-le"), "text/plain", "utf-16le", "utf_16_le"),
        ("text".encode("utf-16"), "application/octet-stream", "", "utf_16"),
        (b"Gr\xfc\xdfe", "application/octet-stream", "iso-8859-1", ""),
        (b"a\x1bE", "text/plain", "iso-8859-1", ""),
        (b"plain", "text/plain", "idna", "utf_8"),
        (b"plain", "text/plain", "no such thing", "utf_8"),
    ],
)
def test_the_charset_of_a_text(octets: bytes, declared: str, label: str, codec: str) -> None:
    assert charset.detect(octets, declared, label) == codec


@pytest.mark.parametrize("octet", range(128))
def test_text_holds_no_controls(octet: int) -> None:
    shown = bytes((octet,)).decode().isprintable() or octet in b"\t\n\f\r"
    for around in (b"text", "größer".encode()):  # ASCII is looked at another way
        assert charset.detect(around + bytes((octet,)), "text/plain") == ("utf_8" if shown else "")


def test_ascii_reads_the_same_in_what_is_asked_for_no_decoding() -> None:
    octets = bytes(range(128))
    for name in charset._ASCII_WITHIN:
        assert octets.decode(name) == octets.decode("ascii")


@pytest.mark.parametrize(
    "label", ["idna", "punycode", "unicode_escape", "rot13", "zlib", "undefined", "../x", "", "x" * 9999]
)
def test_only_harmless_codecs_are_known(label: str) -> None:
    assert charset.codec(label) == ""


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "text/plain", "text/html"]),
    st.sampled_from(["", "utf-7", "hz", "utf-16", "big5", "iso2022_kr"]),
)
def test_nothing_raises(octets: bytes, declared: str, label: str) -> None:
    for head in (b"", UEL, b"PK\x03\x04"):
        sniff(head + octets, declared, label)
    charset.decode(octets, label)


GS_DEVICES = {
    "pdfwrite": F.PDF,
    "ps2write": F.POSTSCRIPT,
    "eps2write": F.EPS,
    "ljet4": F.PCL,
    "pxlmono": F.PCLXL,
    "pwgraster": F.PWG,
    "urf": F.URF,
    "pclm8": F.PCLM,
    "png16m": F.PNG,
    "jpeg": F.JPEG,
    "tiffg4": F.TIFF,
    "epson": F.ESCP,
}


@pytest.mark.slow
@pytest.mark.parametrize(("device", "found"), GS_DEVICES.items())
def test_what_ghostscript_writes(device: str, found: DocumentFormat, tmp_path: Path) -> None:
    gs = shutil.which("gs")
    assert gs
    output = tmp_path / "out"
    page = "/Courier findfont 20 scalefont setfont 72 400 moveto (hello) show showpage"
    command = [
        gs,
        "-q",
        "-dSAFER",
        "-dBATCH",
        "-dNOPAUSE",
        "-r150",
        f"-sDEVICE={device}",
        f"-sOutputFile={output}",
        "-c",
        page,
    ]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    assert sniff(output.read_bytes()[:PREFIX_OCTETS]) is found
