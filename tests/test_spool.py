"""From stored octets to documents that are ready to go."""

from __future__ import annotations

import asyncio
import errno
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
import pytest_asyncio

from mailstore.directory.records import Language, Printer
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Job
from mailstore.store.contract import Envelope, Recipient, Role, Store
from mailstore.store.papers import Fate
from mailstore.store.sql import open_store
from printerbridge import extraction as module
from printerbridge import part as parts
from printerbridge.banner import possible_duplicate
from printerbridge.ready import Prepared, Ready
from printerbridge.slots import Slots
from printerbridge.spool import Spool
from tests.directory_server import short_folder
from tests.documents import pdf
from tests.printshop import MEDIA, POSTSCRIPT, message

LIMIT = 1 << 20
TEXTS = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment\r\n\r\none\r\n"
    b"--b\r\nContent-Disposition: attachment\r\n\r\ntwo\r\n--b--\r\n"
)
PCL = b"\x1bE\x1b&l0Ohello\x0c\x1bE"


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


async def accepted(store: Store, mail: bytes, trust: str = "insider") -> Job:
    draft = await store.draft()
    draft.write(mail)
    envelope = Envelope(
        reverse_path="ada@example.com", client_ip="192.0.2.9", helo="client.example.com", trust=trust, name="Grüße"
    )
    recipient = Recipient(maildrop="phaser", address="phaser@example.com", quota=1 << 40, fields=b"")
    (job_id,) = await store.accept(draft, envelope, [recipient])
    job = await store.job(job_id)
    assert job is not None
    return job


def speaks(*languages: Language) -> Printer:
    return Printer(name="phaser", addresses=("phaser@example.com",), uri="socket://192.0.2.7:9100", languages=languages)


async def yes() -> bool:
    return True


async def prepared_of(spool: Spool, job: Job, printer: Printer, *, again: bool = False) -> Prepared:
    prepared = await spool.prepare(job, printer, yes, again=again)
    assert prepared is not None
    return prepared


def sent(prepared: Prepared) -> list[bytes]:
    return [b"".join(document.blocks()) for document in prepared.documents]


def folders(spool_folder: Path) -> list[str]:
    return sorted(each.name for each in spool_folder.iterdir())


@pytest.mark.parametrize(
    ("document", "language"),
    [
        (POSTSCRIPT, Language.POSTSCRIPT),
        (POSTSCRIPT, Language.POSTSCRIPT2),
        (PCL, Language.PCL),
        (b"plain text\r\n" * 10, Language.TEXT),
    ],
)
async def test_what_the_printer_speaks_passes_octet_for_octet(
    store: Store, spool: Spool, tmp_path: Path, document: bytes, language: Language
) -> None:
    body = document if language is not Language.TEXT else b""
    mail = message(document) if body else b"Content-Type: text/plain\r\n\r\n" + document
    prepared = await prepared_of(spool, await accepted(store, mail), speaks(language))
    assert sent(prepared) == [document if body else document + b"\f"]
    assert not prepared.claimed
    assert folders(tmp_path / "spool") == []
    await spool.discard(prepared)


MIXED = b"\r\n--b\n--b\n\r--b\r\n.\r\n..\r\n.\n\0\r\r\n\n--b--\n \r\n--bx\r\n" + bytes(range(256))


@pytest.mark.parametrize("more", [0, 2 * LIMIT])
@pytest.mark.parametrize("around", [(b"\r\n", b""), (b"boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\n", b"\r\n--b--\r\n")])
async def test_what_came_as_binary_is_printed_octet_for_octet(
    store: Store, spool: Spool, more: int, around: tuple[bytes, bytes]
) -> None:
    """Only CRLF and a delimiter line end a part (RFC 2046 section 5.1.1), whatever else it holds."""
    label = b"Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    start, end = around
    head = b"Content-Type: multipart/mixed; " + start + label if end else label
    trailer = b"%" + MIXED * 3 + bytes(more)
    for language, document in ((Language.POSTSCRIPT, POSTSCRIPT + trailer), (Language.PDF, pdf() + trailer[:900])):
        job = await accepted(store, head + document + end)
        prepared = await prepared_of(spool, job, speaks(language))
        assert sent(prepared) == [document]
        await spool.discard(prepared)


@pytest.mark.parametrize("more", [0, 2 * LIMIT])
async def test_what_was_accepted_is_within_limits(store: Store, spool: Spool, more: int) -> None:
    """Whoever receives may allow more (`[limits] mime_depth`) than the walk does where nothing is said."""
    document = POSTSCRIPT + bytes(more)
    mail = b"Content-Type: message/rfc822\r\n\r\n" * 60 + b"Content-Transfer-Encoding: binary\r\n\r\n" + document
    prepared = await prepared_of(spool, await accepted(store, mail), speaks(Language.POSTSCRIPT))
    assert sent(prepared) == [document]
    await spool.discard(prepared)


@pytest.mark.parametrize("size", [LIMIT - 100, LIMIT, 5 << 20])
async def test_large_documents_wait_in_files_and_are_the_same_octets(
    store: Store, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "DOCUMENT_IN_MEMORY", LIMIT)
    documents = [POSTSCRIPT + bytes(range(256)) * (size // 256), POSTSCRIPT]
    prepared = await prepared_of(spool, await accepted(store, message(*documents)), speaks(Language.POSTSCRIPT))
    assert sent(prepared) == documents
    assert all(len(block) <= module.MESSAGE_AT_ONCE for document in prepared.documents for block in document.blocks())
    assert [document.path is None for document in prepared.documents] == [size < LIMIT, True]
    await spool.discard(prepared)
    assert folders(tmp_path / "spool") == []


async def test_what_was_converted_is_held_in_memory_no_longer(store: Store, spool: Spool) -> None:
    prepared = await prepared_of(spool, await accepted(store, message(pdf())), speaks(Language.POSTSCRIPT))
    assert (spool._house.extraction.in_memory, prepared.held) == (0, 0)
    await spool.discard(prepared)
    assert spool._house.extraction.in_memory == 0


async def test_a_full_disk_before_a_conversion_leaves_nothing_behind(
    store: Store, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await accepted(store, message(pdf()))

    def full(file: BinaryIO, blocks: list[bytes]) -> None:
        files.append(file)
        raise OSError(errno.ENOSPC, "No space left on device")

    files: list[BinaryIO] = []
    monkeypatch.setattr(parts, "_write", full)
    with pytest.raises(TransientFailure, match="No space left on device") as failure:
        await prepared_of(spool, job, speaks(Language.POSTSCRIPT))
    assert failure.value.status == "4.3.1"
    assert [file.closed for file in files] == [True]
    assert folders(tmp_path / "spool") == []
    assert spool._house.extraction.in_memory == 0


async def test_memory_for_all_jobs_together_is_bounded(
    store: Store, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALL_IN_MEMORY", 3 * len(POSTSCRIPT))
    printer = speaks(Language.POSTSCRIPT)
    jobs = [await prepared_of(spool, await accepted(store, message(POSTSCRIPT)), printer) for _ in range(5)]
    assert [job.documents[0].path is None for job in jobs] == [True, True, True, False, False]
    assert all(sent(job) == [POSTSCRIPT] for job in jobs)
    for job in jobs:
        await spool.discard(job)
        await spool.discard(job)
    again = await prepared_of(spool, await accepted(store, message(POSTSCRIPT)), printer)
    assert again.documents[0].path is None
    await spool.discard(again)


async def test_the_folder_is_emptied_at_start(spool: Spool, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    (folder / "job-1-left").mkdir()
    (folder / "job-1-left" / "document-1").write_bytes(b"x")
    (folder / "stray").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path)
    spool.open()
    assert folders(folder) == []
    assert folders(tmp_path)


@pytest.mark.slow
async def test_pdf_becomes_postscript_with_the_same_pages(store: Store, spool: Spool, tmp_path: Path) -> None:
    job = await accepted(store, message(pdf(3)))
    prepared = await prepared_of(spool, job, speaks(Language.POSTSCRIPT2))
    (postscript,) = sent(prepared)
    assert postscript.startswith(b"%!PS")
    assert (prepared.pages, prepared.claimed) == (3, True)
    assert prepared.routes
    drawn = await asyncio.to_thread(
        subprocess.run,
        ["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=bbox", "-"],
        input=postscript,
        capture_output=True,
        check=True,
    )
    assert drawn.stderr.count(b"%%BoundingBox") == 3
    await spool.discard(prepared)
    assert folders(tmp_path / "spool") == []


@pytest.mark.slow
async def test_pdf_passes_to_a_pdf_printer_and_its_pages_are_counted(
    store: Store, spool: Spool, tmp_path: Path
) -> None:
    document = pdf(2)
    prepared = await prepared_of(spool, await accepted(store, message(document)), speaks(Language.PDF))
    assert sent(prepared) == [document]
    assert prepared.pages == 2
    await spool.discard(prepared)


@pytest.mark.slow
@pytest.mark.parametrize("language", [Language.PDF, Language.POSTSCRIPT])
async def test_an_encrypted_pdf_is_refused(store: Store, spool: Spool, tmp_path: Path, language: Language) -> None:
    job = await accepted(store, message(POSTSCRIPT, pdf(password="secret")))
    prepared = await prepared_of(spool, job, speaks(language, Language.POSTSCRIPT))
    assert sent(prepared) == [POSTSCRIPT]  # the other one prints
    assert 'document 2 ("document-2"): the document is encrypted' in prepared.failed
    await spool.discard(prepared)
    alone = await accepted(store, message(pdf(password="secret")))
    with pytest.raises(PermanentFailure, match='document 1 \\("document-1"\\)') as caught:
        await spool.prepare(alone, speaks(language, Language.POSTSCRIPT), yes)
    assert caught.value.reason == "document-password-error"
    assert folders(tmp_path / "spool") == []
    letter = Fate.LEFT_OUT
    fates = [[one.fate for one in await store.documents(each.id)] for each in (job, alone)]
    assert fates == [[Fate.READY, Fate.FAILED, letter], [Fate.FAILED, letter]]


async def test_what_the_printer_cannot_get_is_refused(store: Store, spool: Spool, tmp_path: Path) -> None:
    job = await accepted(store, message(PCL, PCL))
    with pytest.raises(PermanentFailure, match="document 1 of 2") as caught:
        await spool.prepare(job, speaks(Language.POSTSCRIPT), yes)
    assert caught.value.reason == "unsupported-document-format"
    assert folders(tmp_path / "spool") == []


async def test_nothing_printable_is_refused(store: Store, spool: Spool) -> None:
    job = await accepted(store, b"Content-Type: application/octet-stream\r\n\r\n\x7fELF\0\0\0\r\n")
    with pytest.raises(PermanentFailure) as caught:
        await spool.prepare(job, speaks(Language.POSTSCRIPT), yes)
    assert caught.value.reason == "document-unprintable-error"


async def test_a_claim_that_fails_ends_it(store: Store, spool: Spool, tmp_path: Path) -> None:
    async def no() -> bool:
        return False

    job = await accepted(store, message(pdf()))
    assert await spool.prepare(job, speaks(Language.POSTSCRIPT), no) is None
    assert folders(tmp_path / "spool") == []


@pytest.mark.slow
@pytest.mark.parametrize("trust", ["verified", "stranger", ""])
async def test_postscript_of_others_never_passes_as_it_is(store: Store, spool: Spool, trust: str) -> None:
    job = await accepted(store, message(POSTSCRIPT), trust)
    try:
        prepared = await spool.prepare(job, speaks(Language.POSTSCRIPT), yes)
    except PermanentFailure:
        return
    assert prepared is not None
    assert POSTSCRIPT not in sent(prepared)
    await spool.discard(prepared)


@pytest.mark.slow
@pytest.mark.parametrize("language", [Language.POSTSCRIPT, Language.PCL, Language.TEXT])
async def test_a_banner_goes_before_the_documents_in_every_language(
    store: Store, spool: Spool, language: Language
) -> None:
    documents = {Language.POSTSCRIPT: POSTSCRIPT, Language.PCL: PCL}
    mail = message(documents[language]) if language in documents else b"Content-Type: text/plain\r\n\r\nhello\r\n"
    prepared = await prepared_of(spool, await accepted(store, mail), speaks(language), again=True)
    banner, document = sent(prepared)
    assert banner
    assert document in (*documents.values(), b"hello\r\n\f")
    if language is Language.TEXT:
        assert b"POSSIBLE DUPLICATE" in banner
        banner.decode("ascii")
    await spool.discard(prepared)


async def test_copies_are_of_the_documents_and_not_of_the_banner(store: Store, spool: Spool) -> None:
    job = replace(await accepted(store, TEXTS), recipient="phaser+copies=2@example.com")
    prepared = await prepared_of(spool, job, speaks(Language.TEXT), again=True)
    banner, *documents = sent(prepared)
    assert b"POSSIBLE DUPLICATE" in banner
    assert documents == [b"one\f", b"one\f", b"two\f", b"two\f"]
    await spool.discard(prepared)


async def test_each_copy_counts_as_a_page_at_least_and_the_banner_as_none(store: Store, spool: Spool) -> None:
    job = replace(await accepted(store, TEXTS), recipient="phaser+copies=7@example.com")
    prepared = await prepared_of(spool, job, speaks(Language.TEXT), again=True)
    assert (prepared.counted, prepared.pages) == (14, 0)
    await spool.discard(prepared)


async def test_a_job_is_sent_so_often_and_no_more(store: Store, spool: Spool, tmp_path: Path) -> None:
    parts = b"".join(
        b"--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\n1\r\n" for _ in range(6)
    )
    mail = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + parts + b"--x--\r\n"
    job = await accepted(store, mail)
    prepared = await prepared_of(spool, replace(job, recipient="phaser+copies=833@example.com"), speaks(Language.TEXT))
    assert len(prepared.documents) == 4998
    await spool.discard(prepared)
    with pytest.raises(PermanentFailure, match="more than 5000; ask for fewer copies"):
        await prepared_of(spool, replace(job, recipient="phaser+copies=834@example.com"), speaks(Language.TEXT))
    assert folders(tmp_path / "spool") == []
    documents = await store.documents(job.id)
    assert {(one.fate, one.detail) for one in documents} == {
        (Fate.FAILED, "the documents, with their copies, are more than 5000; ask for fewer copies")
    }


async def test_what_cannot_be_recorded_holds_neither_memory_nor_disk(
    store: Store, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def closed(job_id: int, documents: object) -> None:
        raise TransientFailure("4.3.0", "the store is being closed")

    monkeypatch.setattr(store, "record_documents", closed)
    monkeypatch.setattr(module, "DOCUMENT_IN_MEMORY", LIMIT)
    job = await accepted(store, message(POSTSCRIPT, POSTSCRIPT + bytes(LIMIT)))
    with pytest.raises(TransientFailure, match="being closed"):
        await prepared_of(spool, job, speaks(Language.POSTSCRIPT))
    assert folders(tmp_path / "spool") == []
    assert spool._house.extraction.in_memory == 0


async def test_the_trace_of_a_job_of_many_documents_is_short(store: Store) -> None:
    job = await accepted(store, TEXTS)
    prepared = Prepared(job=job, routes=[f"document {number}: text" for number in range(500)], told=["a note"] * 500)
    notes = prepared.notes()
    assert len(notes) == 20
    assert notes[0].endswith("document 19: text; and more")
    assert notes[-1] == "and 482 more of this kind"


async def test_the_banner_says_what_it_must_in_plain_words(store: Store) -> None:
    job = await accepted(store, message(POSTSCRIPT))
    page = possible_duplicate(job, job.received_at + 60)
    assert "POSSIBLE DUPLICATE" in page
    assert str(job.id) in page
    assert "Grüße" in page
    assert page.endswith("\r\n\f")
    assert all(len(line) <= 78 for line in page.splitlines())


async def test_few_messages_are_taken_apart_at_once(
    store: Store, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand lines that begin together after a restart must not hold a thousand messages."""
    read, now, most = store.read, 0, 0

    async def counted(job_id: int) -> AsyncIterator[bytes]:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        async for block in read(job_id):
            await asyncio.sleep(0)
            yield block
        now -= 1

    jobs = [await accepted(store, message(POSTSCRIPT)) for _ in range(40)]
    monkeypatch.setattr(store, "read", counted)
    printer = speaks(Language.POSTSCRIPT)
    prepared = await asyncio.gather(*(prepared_of(spool, job, printer) for job in jobs))
    assert all(sent(job) == [POSTSCRIPT] for job in prepared)
    assert 1 < most <= 8


def test_a_documents_head_is_its_first_octets_however_it_is_kept(tmp_path: Path) -> None:
    octets = bytes(range(256)) * 100
    path = tmp_path / "document"
    path.write_bytes(octets)
    pieces = tuple(octets[start : start + 57] for start in range(0, len(octets), 57))
    for ready in (Ready(octets=25600, pages=0, kept=pieces), Ready(octets=25600, pages=0, path=path)):
        assert ready.head() == octets[:8192]
        assert b"".join(ready.blocks()) == octets
    assert Ready(octets=3, pages=0, kept=(b"%!", b"\n")).head() == b"%!\n"
    assert Ready(octets=0, pages=0).head() == b""
