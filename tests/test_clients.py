"""Foreign clients against the whole system: they submit, it prints; it keeps, they fetch."""

from __future__ import annotations

import asyncio
import email
import poplib
import smtplib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.job import DeliveryProof, JobState
from tests.documents import postscript
from tests.fetching import fetchmail, mpop
from tests.house import ADA, PATIENCE, SECRET, House, foreign, house, mail_of
from tests.sink import sink

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

DOCUMENT = postscript(3) + b".\n..\n.leading dots\n" + bytes(range(256)) * 300


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("apart"), apart=True) as running:
        yield running


# -- they submit


async def by_swaks(house: House, address: str, mail: Path) -> None:
    server = "{}:{}".format(*house.smtp)
    done = await foreign("swaks", "--server", server, "--from", ADA, "--to", address, "--data", f"@{mail}")
    assert done.status == 0, done.out


def unix(mail: Path) -> bytes:
    """As a file of this machine: with LF."""
    return mail.read_bytes().replace(b"\r\n", b"\n")


async def by_msmtp(house: House, address: str, mail: Path) -> None:
    host, port = house.smtp
    words = (
        f"--host={host}",
        f"--port={port}",
        f"--from={ADA}",
        "--tls=off",
        "--auth=off",
        "--file=/dev/null",
        address,
    )
    done = await foreign("msmtp", *words, stdin=unix(mail))
    assert done.status == 0, done.err


async def by_curl(house: House, address: str, mail: Path) -> None:
    url = "smtp://{}:{}/client.example.com".format(*house.smtp)
    done = await foreign("curl", "-sS", url, "--mail-from", ADA, "--mail-rcpt", address, "--upload-file", str(mail))
    assert done.status == 0, done.err


async def by_smtplib(house: House, address: str, mail: Path) -> None:
    def submit() -> None:
        with smtplib.SMTP(*house.smtp, timeout=PATIENCE) as client:
            assert client.sendmail(ADA, [address], mail.read_bytes()) == {}

    await asyncio.to_thread(submit)


Submit = Callable[[House, str, Path], Awaitable[None]]


@pytest.mark.parametrize("submit", [by_swaks, by_msmtp, by_curl, by_smtplib])
async def test_a_client_submits_and_the_document_is_printed(made: House, tmp_path: Path, submit: Submit) -> None:
    mail = tmp_path / "mail"
    mail.write_bytes(mail_of(DOCUMENT))
    async with sink() as printer:
        name = await made.add(submit.__name__.replace("_", "-"), printer.uri)
        await submit(made, f"{name}@example.com", mail)
        (waiting,) = await made.store.jobs(printer=name)
        job = await made.job(waiting.id)
        assert (job.state, job.sender, job.attempts) == (JobState.COMPLETED, ADA, 1)
        assert printer.jobs == [DOCUMENT]


# -- they fetch


async def with_curl(house: House, printer: str, folder: Path) -> bytes:
    base, login = "pop3://{}:{}".format(*house.pop3), ("--user", f"{printer}:{SECRET}")
    got = await foreign("curl", "-sS", *login, f"{base}/1")
    assert got.status == 0, got.err
    deleted = await foreign("curl", "-sS", *login, "-X", "DELE", "--head", f"{base}/1")
    assert deleted.status == 0, deleted.err
    return got.out.encode("latin-1").replace(b"\r\n", b"\n")


async def with_poplib(house: House, printer: str, folder: Path) -> bytes:
    def fetch() -> bytes:
        mailbox = poplib.POP3(*house.pop3, timeout=PATIENCE)
        mailbox.user(printer)
        mailbox.pass_(SECRET)
        lines = mailbox.retr(1)[1]
        mailbox.dele(1)
        mailbox.quit()
        return b"".join(line + b"\n" for line in lines)

    return await asyncio.to_thread(fetch)


Fetch = Callable[[House, str, Path], Awaitable[bytes]]


@pytest.mark.parametrize("fetch", [with_curl, with_poplib, fetchmail, mpop])
async def test_a_client_fetches_what_was_mailed(made: House, tmp_path: Path, fetch: Fetch) -> None:
    name = await made.add(fetch.__name__.replace("_", "-"), poll_interval=1)
    mail = mail_of(DOCUMENT, subject="bytes as they came")
    code, text = await made.submit(mail, name)
    assert code == 250, text
    fetched = (await fetch(made, name, tmp_path)).replace(b"\n", b"\r\n")
    assert fetched.endswith(mail)
    before = fetched.removesuffix(mail).split(b"\r\n")
    assert before[0] == f"Return-Path: <{ADA}>".encode()
    assert before[1] == f"Delivered-To: {name}@example.com".encode()
    assert before[2] == b"Authentication-Results: mail.example.com;"
    assert before[3] == b"\tnone (client 127.0.0.1 is in the networks of this site)"
    assert before[4].startswith(b"Received: from client.example.com ([127.0.0.1])")
    (waiting,) = await made.store.jobs(printer=name)
    job = await made.job(waiting.id)
    assert (job.state, job.delivery_proof) == (JobState.COMPLETED, DeliveryProof.FETCHED)


@pytest.mark.parametrize("fetch", [with_curl, with_poplib, fetchmail, mpop])
async def test_a_client_fetches_as_base64_what_came_as_binarymime(made: House, tmp_path: Path, fetch: Fetch) -> None:
    """RFC 6856 section 2.1: POP3 cannot serve what is binary."""
    name = await made.add(f"binary-{fetch.__name__.replace('_', '-')}", poll_interval=1)
    header = (
        "Subject: binary\nMIME-Version: 1.0\nContent-Type: application/postscript\nContent-Transfer-Encoding: binary"
    )
    message = header.replace("\n", "\r\n").encode() + b"\r\n\r\n" + DOCUMENT

    def submit() -> None:
        with smtplib.SMTP(*made.smtp, timeout=PATIENCE) as client:
            client.ehlo("client.example.com")
            assert client.docmd(f"MAIL FROM:<{ADA}> BODY=BINARYMIME")[0] == 250
            assert client.rcpt(f"{name}@example.com")[0] == 250
            client.send(b"BDAT %d LAST\r\n" % len(message) + message)
            assert client.getreply()[0] == 250

    await asyncio.to_thread(submit)
    fetched = email.message_from_bytes(await fetch(made, name, tmp_path))
    assert fetched["content-transfer-encoding"] == "base64"
    assert fetched.get_payload(decode=True) == DOCUMENT


@pytest.mark.parametrize("fetch", [with_curl, with_poplib, fetchmail, mpop])
async def test_a_client_that_knows_no_utf8_fetches_internationalized_mail(
    made: House, tmp_path: Path, fetch: Fetch
) -> None:
    """RFC 6856 section 2: what such a client fetches is a surrogate, with a header in ASCII; the rest is as it was."""
    name = await made.add(f"utf8-{fetch.__name__.replace('_', '-')}", poll_interval=1)
    text = f"From: Größe <größe@example.com>\nTo: {name}@example.com\nSubject: Größe €\n\nDas Maß\n".replace(
        "\n", "\r\n"
    )

    def submit() -> None:
        with smtplib.SMTP(*made.smtp, timeout=PATIENCE) as client:
            sent = client.sendmail(
                "größe@example.com", [f"{name}@example.com"], text.encode(), ["SMTPUTF8", "BODY=8BITMIME"]
            )
            assert sent == {}

    await asyncio.to_thread(submit)
    fetched = await fetch(made, name, tmp_path)
    header, _, body = fetched.partition(b"\n\n")
    assert header.isascii()
    assert b"\nSubject: Gr....e ..." in header
    assert body == "Das Maß\n".encode()
