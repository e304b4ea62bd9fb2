"""Office documents on paper: LibreOffice at work, and what it must not do."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge import sandbox
from printerbridge.converters import office
from printerbridge.converters.contract import Media, Task
from printerbridge.programs import office as program
from tests import documents

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006"


def docx(*paragraphs: str, linked: str = "") -> bytes:
    """A Word document, with a picture that it does not hold but only links to."""
    body = "".join(f"<w:p><w:r><w:t>{paragraph}</w:t></w:r></w:p>" for paragraph in paragraphs)
    picture = (
        f'<w:p><w:r><w:drawing><wp:inline xmlns:wp="{_DRAWING}/wordprocessingDrawing"><wp:extent cx="2000000" '
        f'cy="2000000"/><wp:docPr id="1" name="p"/><a:graphic xmlns:a="{_DRAWING}/main"><a:graphicData '
        f'uri="{_DRAWING}/picture"><pic:pic xmlns:pic="{_DRAWING}/picture"><pic:nvPicPr><pic:cNvPr id="0" name="p"/>'
        f'<pic:cNvPicPr/></pic:nvPicPr><pic:blipFill><a:blip r:link="rId9" xmlns:r="{_DOCUMENT}"/><a:stretch>'
        '<a:fillRect/></a:stretch></pic:blipFill><pic:spPr><a:xfrm><a:off x="0" y="0"/><a:ext cx="2000000" '
        'cy="2000000"/></a:xfrm><a:prstGeom prst="rect"/></pic:spPr></pic:pic></a:graphicData></a:graphic>'
        "</wp:inline></w:drawing></w:r></w:p>"
    )
    body += picture if linked else ""
    link = f'<Relationship Id="rId9" Type="{_DOCUMENT}/image" Target="{linked}" TargetMode="External"/>'
    files = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override '
        'PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_DOCUMENT}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{_W}"><w:body>{body}</w:body></w:document>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{link if linked else ""}'
        "</Relationships>",
    }
    return _zip(files)


def _zip(files: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file.getvalue()


def _needs_office() -> str:
    found = office._program()
    if found is None:
        pytest.skip("LibreOffice is not installed")
    return str(found)


def _text(path: Path) -> list[str]:
    shown = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, check=True, timeout=30)
    return shown.stdout.decode().split()


@pytest.mark.slow
async def test_a_word_document_is_printed_confined(tmp_path: Path) -> None:
    _needs_office()
    source, work = tmp_path / "document", tmp_path / "work"
    source.write_bytes(docx("Hello from Word, größer", "中文"))
    work.mkdir()
    (converter,) = (each for each in office.OFFICE if each.source is DocumentFormat.DOCX)
    assert converter.language is Language.PDF
    task = Task(source=str(source), output="o.pdf", media=Media.named("iso_a4_210x297mm"))
    readable = (*converter.readable(), source)
    finished = await sandbox.run(
        converter.command(task), folder=work, timeout=90, readable=readable, limits=converter.limits
    )
    assert finished.returncode == 0, finished.stderr
    (page,) = documents.pages_of(work / "o.pdf")
    assert documents.ink(page) > 0.0005
    assert _text(work / "o.pdf") == ["Hello", "from", "Word,", "größer", "中文"]


@pytest.mark.slow
def test_a_document_shows_no_file_that_it_links_to(tmp_path: Path) -> None:
    """Even where nothing but LibreOffice's own settings are in its way."""
    folder = _needs_office()
    picture = tmp_path / "secret.png"
    Image.new("RGB", (200, 200), "black").save(picture)
    (tmp_path / "document.docx").write_bytes(docx("Before", "After", linked=picture.as_uri()))
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-I", "-S", "-B", program.__file__, folder, "../document.docx", "docx", "o.pdf"]
    subprocess.run(command, cwd=work, check=True, timeout=90, capture_output=True, env={"HOME": str(work)})
    (page,) = documents.pages_of(work / "o.pdf")
    assert _text(work / "o.pdf") == ["Before", "After"]
    assert documents.ink(page) < 0.005  # the picture alone would be 0.05


def _ole(main: bytes = b"", *streams: str) -> bytes:
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(512, b"\0") + main.ljust(512, b"\0")
    return head + b"".join(name.encode("utf-16-le").ljust(128, b"\0") for name in streams)


_MANIFEST = "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"


@pytest.mark.parametrize(
    ("octets", "encrypted"),
    [
        (_ole(b"", "Root Entry", "EncryptionInfo", "EncryptedPackage"), True),
        (_ole(b"", "EncryptedSummary") , True),
        (_ole(struct.pack("<HHHHHH", 0xA5EC, 0xC1, 0, 0, 0, 0x0100)), True),
        (_ole(struct.pack("<HHHHHH", 0xA5EC, 0xC1, 0, 0, 0, 0x0200), "WordDocument"), False),
        (_ole(struct.pack("<HH4sHH", 0x0809, 4, b"abcd", 0x002F, 4)), True),
        (_ole(struct.pack("<HH4sHH", 0x0809, 4, b"abcd", 0x0042, 4), "Workbook"), False),
        (_zip({"META-INF/manifest.xml": _MANIFEST}), True),
        (_zip({"META-INF/manifest.xml": "<manifest/>"}), False),
        (docx("text"), False),
        (b"PK\3\4 and no more", False),
        (b"", False),
    ],
)  # fmt: skip
def test_a_document_with_a_password_is_told_from_a_damaged_one(tmp_path: Path, octets: bytes, encrypted: bool) -> None:
    (tmp_path / "document").write_bytes(octets)
    assert program.encrypted(str(tmp_path / "document")) is encrypted


@pytest.mark.parametrize(
    ("octets", "script", "said", "status"),
    [
        (_ole(b"", "EncryptedPackage"), "exit 0", b"Incorrect password\n", 1),
        (docx("text"), "exit 0", b"damaged\n", 1),
        (docx("text"), "exit 77", b"damaged\n", 1),
        (docx("text"), "kill -9 $$", b"", -9),
        (docx("text"), "[ -e again ] && echo %PDF > document.pdf && exit 0; touch again; exit 81", b"", 0),
    ],
)
def test_how_libreoffice_ends_is_told(tmp_path: Path, octets: bytes, script: str, said: bytes, status: int) -> None:
    """With a program in its place that ends as it does: at its first start it wants another."""
    binary = tmp_path / "soffice.bin"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    (tmp_path / "source").write_bytes(octets)
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-I", "-S", "-B", program.__file__, str(tmp_path), "../source", "docx", "o.pdf"]
    ended = subprocess.run(command, cwd=work, check=False, timeout=30, capture_output=True)
    assert (ended.returncode, ended.stderr) == (status, said)
    assert (work / "o.pdf").exists() is (status == 0)


def test_settings_are_ones_that_libreoffice_knows(tmp_path: Path) -> None:
    """Those of this version; three came later."""
    schema = Path(_needs_office()).parent / "share" / "registry" / "main.xcd"
    known = schema.read_text()
    names = {name for settings in program._SETTINGS.values() for name in settings}
    unknown = {name for name in names if f'oor:name="{name}"' not in known}
    assert unknown <= {"DisableActiveContent", "DisableOLEAutomation", "DisablePythonRuntime"}
    program.profile(tmp_path / "profile")
    written = (tmp_path / "profile" / "user" / "registrymodifications.xcu").read_text()
    assert all(written.count(f'oor:name="{name}"') >= 1 for name in names)


def test_office_is_there_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert office.available() is bool(shutil.which("soffice"))
    monkeypatch.setattr(office, "_PLACES", ("/nowhere",))
    office._program.cache_clear()
    try:
        assert not office.available()
    finally:
        office._program.cache_clear()
