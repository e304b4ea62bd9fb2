"""A message on its way in: its header judged, its size by POP3 foretold, the limits as they were set."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.smtp.intake import Intake
from appliance.smtp.limits import Limits
from mailstore.failure import PermanentFailure
from mailstore.store.contract import Envelope, Recipient, Role, Store
from mailstore.store.sql import open_store
from tests.directory_server import short_folder

TRACE = b"Received: from client.example.com by mx.example.com;\r\n\tSun, 22 Nov 2026 21:00:00 +0000\r\n"
BINARY = b"Content-Type: application/postscript\r\nContent-Transfer-Encoding: binary\r\n"
POSTSCRIPT = b"%!PS\nshowpage\n\0\r"


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


async def taken(store: Store, *pieces: bytes, binary: bool = True, limits: Limits | None = None) -> Intake:
    """An intake that has got these pieces, and is finished."""
    draft = await store.draft()
    intake = Intake(draft, trace=TRACE, hostname="mx.example.com", limits=limits or Limits(), binary=binary)
    for piece in pieces:
        intake.write(memoryview(piece))
    try:
        intake.finish()
    except PermanentFailure:
        await draft.discard()
        raise
    return intake


async def by_pop3(store: Store, intake: Intake) -> bytes:
    """What a client fetches, once its size proved true."""
    envelope = Envelope(
        reverse_path="ada@example.com",
        client_ip="192.0.2.9",
        helo="client.example.com",
        trust="insider",
        body="BINARYMIME",
        pop3_octets=intake.pop3_octets,
    )
    fields = b"Delivered-To: phaser@example.com\r\n"
    recipient = Recipient(maildrop="phaser", address="phaser@example.com", quota=1 << 40, fields=fields)
    await store.accept(intake.draft, envelope, [recipient])
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    (entry,) = maildrop.entries
    octets = b"".join([block async for block in maildrop.read(entry)])
    assert len(octets) == entry.size == intake.pop3_octets + len(fields)
    await maildrop.update([entry])
    return octets


@pytest.mark.parametrize("most", [Limits().header, 20_000, 1 << 20])
async def test_a_header_may_be_as_long_as_the_limit_says_trace_or_not(store: Store, most: int) -> None:
    header = BINARY + b"X: " + b"x" * (most - len(BINARY) - 5) + b"\r\n"
    for binary in (True, False):
        intake = await taken(store, header + b"\r\n" + POSTSCRIPT, binary=binary, limits=Limits(header=most))
        if binary:
            assert (await by_pop3(store, intake)).endswith(b"\r\n\r\nJSFQUwpzaG93cGFnZQoADQ==\r\n")
        else:
            await intake.draft.discard()
        for message in (b"A" + header + b"\r\n", b"A" + header):
            with pytest.raises(PermanentFailure, match=f"the header is longer than {most} octets") as failure:
                await taken(store, message, binary=binary, limits=Limits(header=most))
            assert failure.value.status == "5.3.4"


async def test_the_header_of_a_part_may_be_as_long_as_that_of_the_mail(store: Store) -> None:
    head, label = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", BINARY + b"X: "
    part = label + b"x" * 300_000 + b"\r\n\r\n%!PS\r\n--b--\r\n"
    with pytest.raises(PermanentFailure, match="a header of the message is longer than"):
        await taken(store, head + part)
    await by_pop3(store, await taken(store, head + part, limits=Limits(header=400_000)))


@pytest.mark.parametrize("size", [0, 1, 57, 64 * 1024 - 1, 64 * 1024, 2_000_000])
async def test_its_size_by_pop3_is_foretold_however_it_comes(store: Store, size: int) -> None:
    message = BINARY + b"\r\n%!PS\n" + (bytes(range(256)) * (size // 256 + 1))[:size]
    fetched = {
        await by_pop3(
            store, await taken(store, *(message[start : start + step] for start in range(0, len(message), step)))
        )
        for step in (len(message), 70_001, 1 << 20)
    }
    assert len(fetched) == 1


async def test_chunks_of_one_octet_cost_linear_time(store: Store) -> None:
    start = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + BINARY + b"X: "
    message = start + b"x" * 100_000 + b"\r\n\r\n%!PS\r\n--b--\r\n"
    begun = time.process_time()
    intake = await taken(store, *(message[octet : octet + 1] for octet in range(len(message))))
    assert time.process_time() - begun < 3
    await intake.draft.discard()


@pytest.mark.parametrize(
    ("fields", "automatic"),
    [
        (b"", False),
        (b"Auto-Submitted: no\r\n", False),
        (b"auto-submitted: NO (a person)\r\n", False),
        (b"Auto-Submitted: no; x=y\r\n", False),
        (b"Precedence: first-class\r\n", False),
        (b"X-List-Id: a\r\n", False),
        (b"Auto-Submitted: auto-replied\r\n", True),
        (b"Auto-Submitted:\r\n", True),
        (b"Auto-Submitted: no\r\nAuto-Submitted: auto-generated\r\n", True),
        (b"Precedence: Bulk\r\n", True),
        (b"Precedence: first-class\r\nPrecedence:\r\n\tlist\r\n", True),
        (b"LIST-ID : <a.example.com>\r\n", True),
    ],
)
async def test_who_is_not_answered(store: Store, fields: bytes, automatic: bool) -> None:
    intake = await taken(store, fields + BINARY + b"\r\n" + POSTSCRIPT)
    assert intake.heading.automatic is automatic
    await intake.draft.discard()
