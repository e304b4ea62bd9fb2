"""What differs between asyncio's own loop and uvloop, on which the bridge and the virtual printer run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from mailstore.directory.records import Language
from mailstore.job import DeliveryProof
from printerbridge import sandbox
from printerbridge.appsocket import Broken, Patience, connect
from printerbridge.dialing import NotConnected
from printerbridge.pjl import Conversation
from printerbridge.virtual import VirtualPrinter

uvloop = pytest.importorskip("uvloop")


def on_uvloop(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def test_a_card_refuses_a_second_client_and_takes_the_next() -> None:
    async def print_two() -> None:
        printer = VirtualPrinter(None)
        host, port = await printer.start()
        async with asyncio.timeout(10):
            first = await connect(host, port)
            refused = False
            while not refused:  # until the printer has seen the first
                try:
                    (await connect(host, port)).close()
                except NotConnected as error:
                    refused = error.busy
            await first.send([b"%!PS\n"], patience=Patience())
            first.close()
            assert (await printer.job(1)).octets == 5
        await printer.close()

    on_uvloop(print_two())


def test_a_conversation_is_heard_out_and_another_one_broken_off() -> None:
    async def print_two() -> None:
        printer = VirtualPrinter(None, faults=["media-empty*2"])
        host, port = await printer.start()
        async with asyncio.timeout(10):
            empty = asyncio.Event()
            first = await connect(host, port)
            conversation = Conversation(b"%!PS\n", Language.POSTSCRIPT, "1-1", empty.set)
            sending = asyncio.create_task(first.send([b"%!PS\n"], patience=Patience(), conversation=conversation))
            while not conversation.stands:
                await empty.wait()
                empty.clear()
            printer.resume()
            assert (await sending).proof is DeliveryProof.JOB_END
            first.close()
            second = await connect(host, port)
            conversation = Conversation(b"%!PS\n", Language.POSTSCRIPT, "1-2", empty.set)
            sending = asyncio.create_task(second.send([b"%" * 9000], patience=Patience(), conversation=conversation))
            while not conversation.stands:
                await empty.wait()
                empty.clear()
            second.break_off("canceled")
            with pytest.raises(Broken, match="canceled"):
                await sending
            await second.part()
            second.close()
            printer.resume()
            assert (await printer.job(2)).octets > 4096
        await printer.close()

    on_uvloop(print_two())


@pytest.mark.slow
def test_children_get_no_descriptor_that_was_left_open(tmp_path: Path) -> None:
    async def look() -> None:
        with (tmp_path / "open").open("w") as file:
            os.set_inheritable(file.fileno(), True)
            script = f"if true >&{file.fileno()}; then echo inherited; fi"
            finished = await sandbox.run(["bash", "-c", script], folder=tmp_path, timeout=10)
        assert b"inherited" not in finished.stdout

    on_uvloop(look())
