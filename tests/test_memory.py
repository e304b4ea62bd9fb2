"""A 300 MB job passes through both processes in flat memory, octet for octet."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.job import JobState
from tests.house import House, house, promised
from tests.sink import Peer, sink

pytestmark = pytest.mark.slow

OCTETS = 300 << 20  # of the message
LINE = 57  # octets that make a line of base64
MOST = 120 << 20


def blocks() -> Iterator[bytes]:
    """The document: PostScript, then what no two lines have alike."""
    chance = random.Random(9100)
    yield b"%!PS-Adobe-3.0\n%".ljust(LINE, b"%")
    sent = 0
    while sent < OCTETS * LINE // 78:
        block = chance.randbytes(LINE * 4096)
        sent += len(block)
        yield block


async def stream(house: House, printer: str) -> int:
    """Mail the document without ever having it whole; the job's number."""
    reader, writer = await asyncio.open_connection(*house.smtp)

    async def reply(code: bytes) -> str:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        assert line.startswith(code), line
        return line[4:].decode().strip()

    await reply(b"220")
    dialogue = (b"EHLO client.example.com", b"MAIL FROM:<ada@example.com>", f"RCPT TO:<{printer}@example.com>".encode())
    for command in dialogue:
        writer.write(command + b"\r\n")
        await reply(b"250")
    writer.write(b"DATA\r\n")
    await reply(b"354")
    writer.write(
        b"MIME-Version: 1.0\r\nContent-Type: application/postscript\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    for block in blocks():
        writer.write(base64.encodebytes(block).replace(b"\n", b"\r\n"))
        await writer.drain()
    writer.write(b".\r\n")
    number = promised(await reply(b"250"))
    writer.close()
    await writer.wait_closed()
    return number


def peak(pid: int) -> int:
    """VmHWM: the most octets of memory that the process ever had, its children apart."""
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) * 1024


async def test_a_message_of_300_mb(tmp_path: Path) -> None:
    digest, octets = hashlib.sha256(), 0

    async def weigh(peer: Peer) -> None:
        nonlocal octets
        loop = asyncio.get_running_loop()
        while block := await loop.sock_recv(peer.sock, 1 << 20):
            digest.update(block)
            octets += len(block)

    async with house(tmp_path, apart=True) as made, sink(weigh) as printer:
        await made.add("phaser", printer.uri)
        async with asyncio.timeout(100):
            job = await made.job(await stream(made, "phaser"))
        assert job.state is JobState.COMPLETED
        assert job.octets > OCTETS
        assert printer.connections == 1
        for name, running in made.latest.items():
            most = peak(running.pid)
            print(f"{name}: {most / (1 << 20):.2f} MB")
            assert most < MOST, name
    expected = hashlib.sha256()
    for block in blocks():
        expected.update(block)
    assert digest.hexdigest() == expected.hexdigest(), octets
