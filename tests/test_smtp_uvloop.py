"""The same receiver on the loop that is used where it installs: where the two loops differ."""

from __future__ import annotations

import asyncio
import inspect
import socket
from pathlib import Path

import pytest
import uvloop

from tests import test_balancer, test_smtp_chunks, test_smtp_hostile, test_smtp_submission
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


@pytest.mark.slow
def test_balancers_on_uvloop(tmp_path: Path) -> None:
    """Every test of `test_balancer` that asks for no more than a house: sockets change hands there."""
    tests = [test for name, test in vars(test_balancer).items() if name.startswith("test_")]

    async def run() -> None:
        async with site(tmp_path) as house:
            for test in tests:
                if inspect.signature(test).parameters.keys() == {"house"}:
                    await asyncio.wait_for(test(house), 20)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@pytest.mark.slow
def test_submission_on_uvloop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every test of `test_smtp_submission` that asks for no more than a house and a receiver, and its dialogues."""
    tests = [member for name, member in vars(test_smtp_submission).items() if name.startswith("test_")]

    async def run() -> None:
        async with site(tmp_path) as house, house.receiver(limits=test_smtp_submission.QUICK) as receiver:
            for name in test_smtp_submission.NAMES:
                await test_smtp_submission.test_dialogue(house, receiver, name)
            known = {"house": house, "receiver": receiver, "tmp_path": tmp_path}
            for test in tests:
                wanted = inspect.signature(test).parameters
                if wanted.keys() <= known.keys():
                    await asyncio.wait_for(test(**{name: known[name] for name in wanted}), 20)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.slow
def test_hostile_clients_and_large_messages_on_uvloop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with site(tmp_path) as house, house.receiver() as receiver:
            for tls in (False, True):
                for chunked in (False, True):
                    await test_smtp_chunks.test_much_comes_whole_and_the_connection_goes_on_behind_it(
                        house, receiver, tls, chunked
                    )
            await test_smtp_chunks.test_a_client_that_vanishes_in_a_large_message(house, receiver)
            await test_smtp_hostile.test_replies_to_a_flood_are_not_gathered_and_recipients_have_an_end(receiver)
            await test_smtp_hostile.test_tiny_chunks_take_nobody_elses_time(receiver, b"BDAT 1\r\nx")
            await test_smtp_hostile.test_shutting_down_waits_for_no_message_that_is_refused(house)
            await test_smtp_hostile.test_twenty_megabytes_of_one_line(receiver)
            for way in ("reset", "end", "close"):
                await test_smtp_hostile.test_whenever_a_client_goes_nothing_is_left(house, way)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
