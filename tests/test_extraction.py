"""Documents out of stored mails: what it takes of the disk and of descriptors, however the mail is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import pytest
import pytest_asyncio

from mailstore.directory.records import Body
from mailstore.failure import PermanentFailure
from mailstore.store.contract import Role, Store
from mailstore.store.sql import open_store
from printerbridge import extraction as module
from printerbridge import part as parts
from printerbridge.extraction import Extraction
from printerbridge.part import Part
from printerbridge.ready import Prepared
from tests.directory_server import short_folder
from tests.letters import attached, html, inline, message, multipart, png, text
from tests.test_spool import accepted

PICTURE = png(700, 700) + bytes(200_000)  # what stands behind its end nobody looks at


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


@pytest.fixture
def extraction(store: Store, tmp_path: Path) -> Extraction:
    (tmp_path / "spool").mkdir()
    return Extraction(store, tmp_path / "spool")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def octets(part: Part) -> bytes:
    return part.path.read_bytes() if part.path is not None else b"".join(part.waiting)


async def taken(store: Store, extraction: Extraction, mail: bytes, body: Body = Body.ALONE) -> list[Part]:
    job = await accepted(store, mail)
    found, _, _ = await extraction.parts(job, body, lambda _: True, Prepared(job=job))
    return found


@pytest.mark.parametrize("at_once", [0, 1 << 30], ids=["in two walks", "in one"])
async def test_a_picture_that_many_letters_show_is_on_disk_once(
    store: Store, extraction: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(module, "MESSAGE_AT_ONCE", at_once)
    pages = [html(f'page {number} <img src="cid:p@x"><img src="cid:q@x">') for number in range(20)]
    pictures = inline(PICTURE, "image/png", "p.png", "p@x"), inline(png(9, 9), "image/png", "q.png", "q@x")
    found = await taken(store, extraction, message(multipart("related", *pages, *pictures)))
    assert len(found) == 20
    assert {each for part in found for each in part.shown} == set(found[0].shown)
    assert [(content_id, path.read_bytes()) for content_id, path in found[0].shown] == [
        ("p@x", PICTURE),
        ("q@x", png(9, 9)),
    ]
    assert len([each for each in (tmp_path / "spool").rglob("*") if each.is_file()]) == 2


async def test_a_thousand_documents_take_one_descriptor(
    store: Store, extraction: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGE_AT_ONCE", 0)
    monkeypatch.setattr(module, "DOCUMENT_IN_MEMORY", 0)
    texts = [f"document {number}\r\n".encode() for number in range(300)]
    pages = [html(f'<img src="cid:{number}@x">') for number in range(300)]
    pictures = [inline(png(9, 9), "image/png", "a.png", f"{number}@x") for number in range(300)]
    mail = multipart("mixed", *(attached(each, "text/plain", "a.txt") for each in texts), *pages, *pictures)
    opened: list[int] = []
    written = parts._write

    def counted(file: BinaryIO, blocks: list[bytes]) -> None:
        opened.append(descriptors())
        written(file, blocks)

    monkeypatch.setattr(parts, "_write", counted)
    before = descriptors()
    found = await taken(store, extraction, message(mail), Body.ALWAYS)
    assert len(opened) == 900
    assert max(opened) < before + 20
    assert [octets(part) for part in found[:300]] == texts
    assert all(path.read_bytes() == png(9, 9) for part in found[300:] for _, path in part.shown)


@pytest.mark.parametrize("at_once", [0, 1 << 30], ids=["in two walks", "in one"])
async def test_a_letter_for_a_printer_that_prints_none_is_refused_in_the_same_words(
    store: Store, extraction: Extraction, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """The printer's entry was changed while the mail waited."""
    monkeypatch.setattr(module, "MESSAGE_AT_ONCE", at_once)
    with pytest.raises(PermanentFailure, match="attach what is to be printed"):
        await taken(store, extraction, message(text("the letter\n")), Body.NEVER)


@pytest.mark.parametrize("at_once", [0, 1 << 30], ids=["in two walks", "in one"])
async def test_of_a_mail_with_a_damaged_document_the_others_print(
    store: Store, extraction: Extraction, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(module, "MESSAGE_AT_ONCE", at_once)
    whole = attached(b"%PDF-1.4 " + bytes(9000), "application/pdf", "a.pdf")
    texts = [attached(each, "text/plain", "a.txt") for each in (b"one", b"two")]
    mail = message(multipart("mixed", texts[0], whole[:-14] + b"\r\n", texts[1]))
    one, damaged, two = await taken(store, extraction, mail)
    assert (octets(one), octets(two)) == (b"one", b"two")
    assert (one.failure, two.failure) == (None, None)
    assert damaged.failure is not None
    assert (damaged.failure.status, damaged.failure.reason) == ("5.6.0", "document-format-error")
    assert damaged.failure.text == "part 2 of the message is damaged: its base64 is cut short"
