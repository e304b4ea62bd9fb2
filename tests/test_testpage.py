"""The test page: Ghostscript draws it, and the text on it is read back."""

from __future__ import annotations

import email
import email.policy
import shutil
import subprocess
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from appliance import testpage
from mailstore.config import Settings, Site
from mailstore.directory.records import Language, Printer

PRINTER = Printer(
    name="phaser360",
    addresses=("phaser360@example.com", "colour@example.com"),
    uri="socket://192.0.2.7:9100",
    allow=("@example.com", "ada@example.org"),
    service_person=("ada@example.com",),
    location="Attic (left) \\ Büro",
    model="Tektronix Phaser 360",
)
AT = 1_000_000_000.0
NEEDED = [pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed") for tool in ("gs", "pdftotext")]


def settings(media: str = "iso_a4_210x297mm") -> Settings:
    return Settings(site=Site(hostname="mail.example.com", domains=("example.com",), media=media))


def made(printer: Printer, media: str = "iso_a4_210x297mm") -> EmailMessage:
    octets = testpage.message(printer, settings(media), asked_by="ada", at=AT)
    assert octets.count(b"\n") == octets.count(b"\r\n")
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def drawn(folder: Path, page: bytes) -> Path:
    """As a PDF, by an interpreter that stops at the first error."""
    (folder / "page.ps").write_bytes(page)
    tool = shutil.which("gs")
    assert tool
    command = [tool, "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", f"-sOutputFile={folder}/page.pdf"]
    done = subprocess.run([*command, str(folder / "page.ps")], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return folder / "page.pdf"


def told(tool: str, *words: str) -> str:
    return subprocess.run([tool, *words], capture_output=True, check=True, timeout=60).stdout.decode()


def test_the_mail_is_nobodys_and_answers_nothing() -> None:
    message = made(PRINTER)
    assert message["From"] == "Printpost <postmaster@example.com>"
    assert message["To"] == "phaser360@example.com"
    assert message["Subject"] == testpage.SUBJECT
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() == AT
    assert message["Message-ID"].endswith("@mail.example.com>")
    assert message.get_content_type() == "application/postscript"


@pytest.mark.slow
@NEEDED[0]
@NEEDED[1]
@pytest.mark.parametrize(
    ("media", "size"),
    [
        ("iso_a4_210x297mm", "595 x 842"),
        ("na_letter_8.5x11in", "612 x 792"),
        ("oe_odd", "595 x 842"),
    ],
)
def test_the_page_says_what_the_entry_says(tmp_path: Path, media: str, size: str) -> None:
    page = made(PRINTER, media).get_payload(decode=True)
    assert isinstance(page, bytes)
    assert page.isascii()
    assert f"%%BoundingBox: 0 0 {size.replace(' x', '')}".encode() in page
    pdf = drawn(tmp_path, page)
    assert "Pages:           1\n" in told("pdfinfo", str(pdf))
    text = told("pdftotext", "-layout", str(pdf), "-")
    for line in (
        "phaser360",
        "phaser360@example.com, colour@example.com",
        "Attic (left) \\ Büro",
        "Tektronix Phaser 360",
        "sent to socket://192.0.2.7:9100",
        "2 rules allow, 0 refuse",
        "ada@example.com",
        "mail.example.com",
        media,
    ):
        assert line in text


@pytest.mark.slow
@NEEDED[0]
@NEEDED[1]
def test_no_setting_can_break_out_of_the_page(tmp_path: Path) -> None:
    """Whoever may set a printer's place cannot make the test page run a program of his."""
    entry = replace(PRINTER, location=") show quit (", model="\\) (%!PS \u65e5\u672c" + "x" * 90)
    page = made(entry).get_payload(decode=True)
    assert isinstance(page, bytes)
    text = told("pdftotext", "-layout", str(drawn(tmp_path, page)), "-")
    assert ") show quit (" in text
    assert "\\) (%!PS ??" in text


def test_a_printer_that_polls_gets_postscript_only_if_it_speaks_it() -> None:
    polls = replace(PRINTER, uri="", poll_interval=300)
    assert b"polls by POP3 every 300 s" in bytes(made(polls).get_payload(decode=True))
    for languages in ((Language.TEXT,), (Language.PCL, Language.TEXT)):
        message = made(replace(polls, languages=languages))
        assert message.get_content_type() == "text/plain"
        text = message.get_content()
        assert text.startswith("Printpost test page")
        assert "Attic (left) \\ Büro" in text
    for language in (Language.POSTSCRIPT, Language.POSTSCRIPT2):
        assert made(replace(polls, languages=(language,))).get_content_type() == "application/postscript"


def test_a_bridged_printer_gets_postscript_where_the_bridge_converts_it() -> None:
    assert made(replace(PRINTER, languages=(Language.PCL,))).get_content_type() == "application/postscript"
    assert made(replace(PRINTER, languages=(Language.TEXT,))).get_content_type() == "text/plain"


def test_what_is_not_known_is_left_out() -> None:
    bare = Printer(name="bare", addresses=("bare@example.com",), languages=(Language.TEXT,))
    text = made(bare).get_content()
    assert "Place" not in text
    assert "Model" not in text
    assert "nobody is named" in text
