"""The same receiver on the loop that is used where it installs: where the two loops differ."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import uvloop

from tests.smtp_client import LETTER, site, until, wire


@pytest.mark.slow
def test_the_edges_of_a_connection_on_uvloop(tmp_path: Path) -> None:
    async def talk() -> None:
        async with site(tmp_path) as house, house.receiver() as receiver:
            for spoken, answer in (
                (b"EHLO client.example.com\r\n", b"554 5.5.0 you spoke before it was your turn\r\n"),
                (b"", b"220 mail.example.com ESMTP Printpost\r\n"),
            ):
                early = socket.create_connection(receiver.address)  # the loop has not had its turn to accept it
                early.sendall(spoken)
                if not spoken:
                    early.shutdown(socket.SHUT_WR)
                early.setblocking(False)
                reader, writer = await asyncio.open_connection(sock=early)
                assert await asyncio.wait_for(reader.read(), 10) == answer
                writer.close()
                await until(lambda: not receiver.connections, 1.0)
            async with wire(receiver) as client:
                await client.reply()
                assert (await client.mail(LETTER)).startswith("250 2.0.0 accepted as job")
                client.writer.write_eof()
                assert await client.closed() == b""

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk())
