"""BINARYMIME by BDAT through the whole system: printed bit for bit, fetched as base64 in the sizes that were told."""

from __future__ import annotations

import asyncio
import email
import poplib
import smtplib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mailstore.directory.records import Raw
from mailstore.job import JobState
from tests.documents import postscript
from tests.house import ADA, PATIENCE, SECRET, House, foreign, house, promised
from tests.sink import sink

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

# Whatever line ends, delimiters and ends of data could be mistaken for.
ODD = b"\r\n--b\n--b\n\r--b\r\n.\r\n..\r\n.\nQUIT\r\nBDAT 5 LAST\r\n\0\r\r\n\n--b--\n \r\n--bx\r\n\x04\x1b%-12345X"
DOCUMENT = postscript(2) + b"%" + ODD + bytes(range(256)) * 9 + b"\r"
LABEL = b"Content-Type: application/postscript\r\nContent-Transfer-Encoding: binary\r\n\r\n"


def mail(*documents: bytes) -> bytes:
    """One document as the whole message, several as its parts."""
    if len(documents) == 1:
        return b"Subject: one\r\nMIME-Version: 1.0\r\n" + LABEL + documents[0]
    start = b"Subject: many\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
    parts = b"".join(b"\r\n--b\r\n" + LABEL + document for document in documents)
    return start + b"Content-Transfer-Encoding: binary\r\n" + parts + b"\r\n--b--\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("binary")) as running:
        yield running


async def submit(up: House, printer: str, message: bytes, chunk: int) -> int:
    """By BDAT in chunks of that size; the number of the job."""

    def send() -> str:
        with smtplib.SMTP(*up.smtp, timeout=PATIENCE) as client:
            client.ehlo("client.example.com")
            assert client.docmd(f"MAIL FROM:<{ADA}> BODY=BINARYMIME SIZE={len(message)}")[0] == 250
            assert client.rcpt(f"{printer}@example.com")[0] == 250
            for start in range(0, len(message), chunk):
                piece = message[start : start + chunk]
                last = b" LAST" if start + chunk >= len(message) else b""
                client.send(b"BDAT %d%b\r\n" % (len(piece), last) + piece)
                code, text = client.getreply()
                assert code == 250, text
            return text.decode()

    return promised(await asyncio.to_thread(send))


MAILS = [
    pytest.param([DOCUMENT], 1 << 20, id="one"),
    pytest.param([DOCUMENT], 7, id="one-in-small-chunks"),
    pytest.param([DOCUMENT, postscript() + ODD, DOCUMENT], 1000, id="many"),
    pytest.param([DOCUMENT + ODD * 30_000], 1 << 20, id="large"),
]


@pytest.mark.parametrize(("documents", "chunk"), MAILS)
async def test_it_is_printed_bit_for_bit(
    up: House, request: pytest.FixtureRequest, documents: list[bytes], chunk: int
) -> None:
    async with sink() as printer:
        name = await up.add(f"prints-{request.node.callspec.id}", printer.uri, unfiltered=Raw.INSIDER)
        job = await up.job(await submit(up, name, mail(*documents), chunk))
        assert (job.state, job.documents) == (JobState.COMPLETED, len(documents))
        assert b"".join(printer.jobs) == b"".join(documents)


@pytest.mark.parametrize(("documents", "chunk"), MAILS)
async def test_it_is_fetched_as_base64_in_the_sizes_that_were_told(
    up: House, request: pytest.FixtureRequest, documents: list[bytes], chunk: int
) -> None:
    """RFC 6856 section 2.1, RFC 1939 section 11: LIST and STAT tell the octets that RETR sends."""
    name = await up.add(f"fetches-{request.node.callspec.id}", poll_interval=1)
    number = await submit(up, name, mail(*documents), chunk)
    url = "pop3://{}:{}/1".format(*up.pop3)
    by_curl = await foreign("curl", "-sS", "--user", f"{name}:{SECRET}", url)
    assert by_curl.status == 0, by_curl.err

    def fetch() -> tuple[int, int, int, bytes]:
        client = poplib.POP3(*up.pop3, timeout=PATIENCE)
        client.user(name)
        client.pass_(SECRET)
        (listed,) = client.list()[1]
        _, lines, read = client.retr(1)
        stuffed = sum(line.startswith(b".") for line in lines)
        stat = client.stat()[1]
        client.dele(1)
        client.quit()
        assert stuffed == 0
        return int(listed.split()[1]), stat, read, b"".join(line + b"\r\n" for line in lines)

    listed, stat, read, octets = await asyncio.to_thread(fetch)
    assert listed == stat == read == len(octets)
    fetched = email.message_from_bytes(octets)
    leaves = [part for part in fetched.walk() if not part.is_multipart()]
    assert [part["content-transfer-encoding"] for part in leaves] == ["base64"] * len(documents)
    assert [part.get_payload(decode=True) for part in leaves] == documents
    assert fetched["content-transfer-encoding"] == ("base64" if len(documents) == 1 else "8bit")
    assert (await up.job(number)).state is JobState.COMPLETED
    assert by_curl.out.replace("\r\n", "\n") == octets.decode("ascii").replace("\r\n", "\n")
