"""Archives in mails: what comes out of them prints in their place, and the letter beside Outlook's as it should."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Body, Language, Printer
from mailstore.failure import PermanentFailure
from mailstore.store.contract import Role, Store
from mailstore.store.papers import Fate
from mailstore.store.sql import open_store
from printerbridge import archives
from printerbridge.ready import Prepared
from printerbridge.slots import Slots
from printerbridge.spool import Spool
from tests import letters, outlook
from tests.directory_server import short_folder
from tests.letters import attached, message, multipart, png, text
from tests.printshop import MEDIA, POSTSCRIPT
from tests.test_spool import accepted, sent, speaks, yes

PRINTER = speaks(Language.POSTSCRIPT, Language.TEXT)
WINMAIL = ("application/ms-tnef", "winmail.dat")
ELSE = "the letter prints only if nothing is attached"
FORM = "another form of the letter was taken"


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


@pytest.fixture
def spool(store: Store, tmp_path: Path) -> Spool:
    made = Spool(store, tmp_path / "spool", media=MEDIA, slots=Slots(2, 4 << 30))
    made.open()
    return made


class Desk:
    """Prints mails, and tells what became of each document."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self.store, self.spool = store, spool
        self.fates: list[tuple[str, Fate, str]] = []

    async def prints(self, mail: bytes, printer: Printer = PRINTER, body: Body = Body.ALONE) -> list[bytes]:
        job = await accepted(self.store, mail)
        try:
            prepared = await self.spool.prepare(job, replace(printer, body=body), yes)
            assert isinstance(prepared, Prepared)
            documents = [octets.strip() for octets in sent(prepared)]
            await self.spool.discard(prepared)
        finally:
            self.fates = [(one.name, one.fate, one.detail) for one in await self.store.documents(job.id)]
        return documents

    def left_out(self) -> dict[str, str]:
        return {name: detail for name, fate, detail in self.fates if fate is Fate.LEFT_OUT}

    def failed(self) -> dict[str, str]:
        return {name: detail for name, fate, detail in self.fates if fate is Fate.FAILED}


@pytest.fixture
def desk(store: Store, spool: Spool) -> Desk:
    return Desk(store, spool)


def zipped(*entries: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in entries:
            archive.writestr(name, octets)
    return file.getvalue()


def with_zip(*entries: tuple[str, bytes], name: str = "a.zip") -> bytes:
    return attached(zipped(*entries), "application/zip", name)


def mixed(*parts: bytes) -> bytes:
    return message(multipart("mixed", *parts))


def rich(*inside: bytes, letter: str = "") -> bytes:
    """Outlook's, with a letter in it if there is one."""
    said = (outlook.message({0x37: "Inner", outlook.BODY: letter}),) if letter else ()
    return attached(outlook.tnef(*said, *inside), *WINMAIL)


LETTER = text("the letter\n")
FILE = outlook.attachment("one.txt", b"one", "one.txt")


@pytest.mark.parametrize(
    ("body", "container", "printed", "left"),
    [
        (Body.ALONE, rich(FILE), [b"one"], {"": ELSE}),
        (Body.ALWAYS, rich(FILE), [b"the letter", b"one"], {}),
        (Body.NEVER, rich(FILE), [b"one"], {"": "this printer prints attachments, never the letter"}),
        # The letter over again, as Outlook has it.
        (Body.ALONE, rich(letter="the rich letter"), [b"the rich letter"], {"": FORM}),
        (Body.ALWAYS, rich(letter="the rich letter"), [b"the rich letter"], {"": FORM}),
        (Body.ALONE, rich(FILE, letter="the rich letter"), [b"one"], {"": ELSE, "Inner.txt": ELSE}),
        (Body.ALWAYS, rich(FILE, letter="the rich letter"), [b"the rich letter", b"one"], {"": FORM}),
        # Nothing in it but how the letter looks, the commonest of all.
        (Body.ALONE, rich(), [b"the letter"], {"winmail.dat": "nothing is in it that prints"}),
        (Body.ALWAYS, rich(), [b"the letter"], {"winmail.dat": "nothing is in it that prints"}),
    ],
)
async def test_the_letter_beside_what_outlook_sends(
    desk: Desk, body: Body, container: bytes, printed: list[bytes], left: dict[str, str]
) -> None:
    found = await desk.prints(mixed(LETTER, container), body=body)
    assert [octets.removeprefix(b"\xef\xbb\xbf") for octets in found] == printed
    assert desk.left_out() == left
    assert not desk.failed()


async def test_a_letter_that_only_office_could_draw_gives_way_to_the_plain_one(desk: Desk) -> None:
    packed = b"MELA".join([bytes(4) + (20).to_bytes(4, "little"), bytes(4) + rb"{\rtf1\ansi letter}"])
    container = attached(outlook.tnef(outlook.message({0x37: "Inner", outlook.RTF: packed})), *WINMAIL)
    assert await desk.prints(mixed(LETTER, container), speaks(Language.TEXT)) == [b"the letter"]
    assert desk.left_out() == {"Inner.rtf": FORM}


async def test_outlooks_letter_of_an_attached_mail_is_of_that_mail(desk: Desk) -> None:
    inner = letters.forwarded(mixed(text("the inner letter\n"), rich(FILE)))
    assert await desk.prints(mixed(LETTER, inner)) == [b"one"]
    assert await desk.prints(mixed(LETTER, inner), body=Body.ALWAYS) == [b"the letter", b"the inner letter", b"one"]
    inner = letters.forwarded(mixed(text("the inner letter\n"), rich()))
    assert await desk.prints(mixed(LETTER, inner)) == [b"the inner letter"]


async def test_a_printer_that_never_prints_letters_prints_none_out_of_outlooks(desk: Desk) -> None:
    with pytest.raises(PermanentFailure, match="not the letter"):
        await desk.prints(mixed(LETTER, rich(letter="the rich letter")), body=Body.NEVER)


async def test_a_damaged_container_is_told_and_the_letter_prints(desk: Desk) -> None:
    broken = attached(b"\x78\x9f\x3e\x22\x01\x00\x01\x02\x03", *WINMAIL)
    assert await desk.prints(mixed(LETTER, broken)) == [b"the letter"]
    assert "damaged" in desk.failed()["winmail.dat"]


async def test_what_is_attached_with_a_content_id_is_no_ornament(desk: Desk) -> None:
    """Some servers give one to every attachment."""
    files = (
        outlook.attachment("p.ps", POSTSCRIPT, "p.ps", content_id="p@x"),
        outlook.attachment("image001.png", png(400, 400), "image001.png", content_id="image001.png@x"),
        outlook.attachment("l.png", png(40, 40), "l.png", content_id="l@x"),
        outlook.attachment("o.txt", b"one", "o.txt"),
    )
    assert await desk.prints(mixed(LETTER, rich(*files))) == [POSTSCRIPT.strip(), b"one"]
    assert desk.left_out() == {
        "": ELSE,
        "image001.png": "in winmail.dat: mail programs name pictures of a letter so",
        "l.png": "in winmail.dat: it is as small as a logo, and not attached",
    }


# -- zip


async def test_archives_stand_where_they_were_beside_documents(desk: Desk) -> None:
    inner = zipped(("3.txt", b"three"), ("20.txt", b"four"))
    parts = (
        attached(b"one", "text/plain", "1.txt"),
        with_zip(("2.txt", b"two"), ("10.zip", inner), ("empty.txt", b""), ("x.bin", bytes(9)), name="z.zip"),
        attached(b"five", "text/plain", "5.txt"),
    )
    assert await desk.prints(mixed(LETTER, *parts)) == [b"one", b"two", b"three", b"four", b"five"]
    assert desk.left_out() == {
        "": ELSE,
        "empty.txt": "in z.zip: it is empty",
        "x.bin": "in z.zip: application/octet-stream is nothing that can be printed",
    }


async def test_an_archive_that_fails_does_so_beside_documents_that_print(desk: Desk) -> None:
    three_deep = zipped(("a.zip", zipped(("b.zip", zipped(("c.txt", b"c"))))))
    parts = (
        with_zip(("x.bin", bytes(9)), name="nothing.zip"),
        attached(b"PK\x03\x04" + bytes(60), "application/zip", "broken.zip"),
        attached(three_deep, "application/zip", "deep.zip"),
        with_zip(("photo.heic", letters.HEIC), name="photo.zip"),
        attached(b"one", "text/plain", "1.txt"),
    )
    assert await desk.prints(mixed(*parts)) == [b"one"]
    assert {name: words.rpartition("; ")[0] or words for name, words in desk.failed().items()} == {
        "nothing.zip": "nothing that can be printed is in the archive",
        "broken.zip": "the archive is damaged",
        "b.zip": "it is an archive in an archive in an archive",
        "photo.heic": "a document of the format image/heic cannot be made into anything that this printer understands",
    }
    with pytest.raises(PermanentFailure, match="nothing that can be printed is in the archive"):
        await desk.prints(mixed(LETTER, parts[0]))


async def test_names_in_archives_are_labels(desk: Desk) -> None:
    names = ("../../etc/pass\u202ewd.txt", "C:\\a\\b.txt", "/tmp/x\x1b[2J\r\nX.txt")
    assert len(await desk.prints(mixed(with_zip(*((name, b"text") for name in names))))) == 3
    assert sorted(name for name, _, _ in desk.fates) == ["b.txt", "passwd.txt", "x[2JX.txt"]


async def test_a_page_in_an_archive_is_read_in_the_charset_that_it_names(desk: Desk, spool: Spool) -> None:
    page = '<html><head><meta charset="windows-1251"></head><body>Привет</body></html>'.encode("cp1251")
    job = await accepted(desk.store, mixed(with_zip(("a.html", page))))
    prepared = Prepared(job=job)
    extraction = spool._house.extraction
    parts, _, _ = await extraction.parts(job, Body.ALONE, lambda _: True, prepared)
    opening = archives.Archives(
        extraction=extraction, slots=Slots(1, 1 << 30), fits=lambda _: True, body=Body.ALONE, prepared=prepared
    )
    (part,) = await opening.opened(parts)
    assert part.charset == "cp1251"
    await spool.discard(prepared)


async def test_there_is_an_end_to_documents_files_and_octets(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "DOCUMENTS", 5)
    many = with_zip(*((f"{number}.txt", b"text") for number in range(6)))
    with pytest.raises(PermanentFailure, match="more than 5 documents"):
        await desk.prints(mixed(many))


@pytest.mark.parametrize(("files", "octets"), [(2, 1 << 20), (100, 20)])
async def test_archives_share_what_may_come_out_of_them(desk: Desk, spool: Spool, files: int, octets: int) -> None:
    each = with_zip(("1.txt", b"0123456789"), ("2.txt", b"0123456789"))
    job = await accepted(desk.store, mixed(each, each))
    prepared = Prepared(job=job)
    extraction = spool._house.extraction
    parts, _, _ = await extraction.parts(job, Body.ALONE, lambda _: True, prepared)
    opening = archives.Archives(
        extraction=extraction,
        slots=Slots(1, 1 << 30),
        fits=lambda _: True,
        body=Body.ALONE,
        prepared=prepared,
        files=files,
        octets=octets,
    )
    found = await opening.opened(parts)
    assert [part.failure is None for part in found] == [True, True, False]
    assert "hold too much together" in str(found[-1].failure and found[-1].failure.text)
    await spool.discard(prepared)
