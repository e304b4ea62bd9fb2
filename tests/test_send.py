"""Sending: what another SMTP server gets is what the files were."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from appliance.send import send
from mailstore.failure import PermanentFailure, TransientFailure


class Post:
    """The handler of a stock aiosmtpd server: keeps what comes, refuses whom it does not know."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("busy"):
            return "451 4.4.3 later"
        if not address.startswith("phaser360"):
            return "550 5.1.1 no such printer"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 2.0.0 accepted as job 17"


@pytest.fixture
async def post() -> AsyncIterator[tuple[Post, tuple[str, int]]]:
    handler = Post()
    loop = asyncio.get_running_loop()
    factory = lambda: SMTP(handler, hostname="mail.example.com", loop=loop, data_size_limit=50_000_000)  # noqa: E731
    server = await loop.create_server(factory, "127.0.0.1", 0)
    async with server:
        yield handler, server.sockets[0].getsockname()[:2]


async def mailed(files: list[Path], server: tuple[str, int], recipient: str = "phaser360@example.com") -> str:
    return await asyncio.to_thread(send, files, recipient=recipient, sender="ada@example.com", server=server)


@pytest.mark.parametrize("octets", [0, 1, 56, 57, 58, 57 * 4096, 57 * 4096 + 1, 3_000_000])
async def test_a_file_arrives_as_it_was(post: tuple[Post, tuple[str, int]], tmp_path: Path, octets: int) -> None:
    handler, server = post
    file = tmp_path / "Prüfbericht 1.ps"
    file.write_bytes((b"%!PS\n" + bytes(range(256)) * (octets // 256 + 1))[:octets])
    assert await mailed([file], server) == "2.0.0 accepted as job 17"
    (envelope,) = handler.envelopes
    message = email.message_from_bytes(
        envelope.original_content or b"", _class=EmailMessage, policy=email.policy.default
    )
    (part,) = message.iter_attachments()
    assert part.get_filename() == file.name
    assert part.get_payload(decode=True) == file.read_bytes()
    assert message["From"] == "ada@example.com"


async def test_several_files_stay_in_order_and_the_size_is_told(
    post: tuple[Post, tuple[str, int]], tmp_path: Path
) -> None:
    handler, server = post
    files = [tmp_path / name for name in ("b.pdf", "a.txt")]
    files[0].write_bytes(b"%PDF-1.4\n%%EOF\n")
    files[1].write_text("Grüße\n")
    await mailed(files, server)
    (envelope,) = handler.envelopes
    content = envelope.original_content or b""
    message = email.message_from_bytes(content, _class=EmailMessage, policy=email.policy.default)
    assert [part.get_filename() for part in message.iter_attachments()] == ["b.pdf", "a.txt"]
    assert [part.get_content_type() for part in message.iter_attachments()] == ["application/pdf", "text/plain"]
    assert envelope.mail_options == [f"SIZE={len(content)}"]


async def test_the_servers_words_are_passed_on(post: tuple[Post, tuple[str, int]], tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("x")
    with pytest.raises(PermanentFailure, match=r"550 5\.1\.1 no such printer"):
        await mailed([file], post[1], "laser@example.com")
    with pytest.raises(TransientFailure, match=r"451 4\.4\.3 later"):
        await mailed([file], post[1], "busy@example.com")


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("x")
    with pytest.raises(TransientFailure, match=r"127\.0\.0\.1:1 does not take the mail"):
        await mailed([file], ("127.0.0.1", 1))
    with pytest.raises(FileNotFoundError):
        await mailed([tmp_path / "gone.txt"], ("127.0.0.1", 1))


@pytest.mark.parametrize(
    "address", ["ada", "", "a b@example.com", "a@@example.com", "a@example.com\r\nRCPT TO:<b@c>", "\xe4@x"]
)
async def test_an_address_that_is_none_is_refused_in_a_sentence(tmp_path: Path, address: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text("x")
    with pytest.raises(PermanentFailure, match="the address"):
        await mailed([file], ("127.0.0.1", 1), address)
    with pytest.raises(PermanentFailure, match="the address"):
        send([file], recipient="phaser360@example.com", sender=address, server=("127.0.0.1", 1))


async def test_odd_file_names_become_header_fields(post: tuple[Post, tuple[str, int]], tmp_path: Path) -> None:
    handler, server = post
    names = [b"two\nlines.txt", b"latin-\xe4.txt", b"\n", b"\xc3\xa4" * 120]
    files = [tmp_path / os.fsdecode(name) for name in names]
    for file in files:
        file.write_text("x")
    await mailed(files, server)
    message = email.message_from_bytes(
        handler.envelopes[0].original_content or b"", _class=EmailMessage, policy=email.policy.default
    )
    assert [part.get_filename() for part in message.iter_attachments()] == [
        "two lines.txt", "latin-.txt", "document", "\xe4" * 120,
    ]  # fmt: skip


async def test_who_breaks_off_leaves_at_once_and_nothing_is_accepted(
    post: tuple[Post, tuple[str, int]], tmp_path: Path
) -> None:
    handler, server = post
    file = tmp_path / "a.ps"
    file.write_bytes(bytes(2_000_000))

    def interrupted(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    def break_off() -> None:
        with pytest.raises(KeyboardInterrupt):
            send([file], recipient="phaser360@example.com", sender="a@example.com", server=server, progress=interrupted)

    async with asyncio.timeout(5):
        await asyncio.to_thread(break_off)
    assert not handler.envelopes
