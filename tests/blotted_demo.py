"""`python -m tests.blotted_demo FOLDER`: the demo, with a printer that prints a black bar across every page."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from appliance import demo
from appliance.supervisor import Child
from printerbridge.virtual import VirtualPrinter
from tests.sink import Peer, sink

BAR = b"<< /EndPage { exch pop 2 lt dup { gsave 0 setgray 60 60 400 60 rectfill grestore } if } >> setpagedevice"


async def pass_on_answers(reader: asyncio.StreamReader, peer: Peer) -> None:
    while octets := await reader.read(1 << 16):
        await peer.say(octets)


@contextlib.asynccontextmanager
async def blotting_printer(place: demo._Place) -> AsyncIterator[Child]:
    """The virtual printer, behind somebody who puts a line into every job."""
    printer = VirtualPrinter(place.paper)
    host, port = await printer.start()

    async def blot(peer: Peer) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        async with asyncio.TaskGroup() as both:
            both.create_task(pass_on_answers(reader, peer))
            bar = BAR + b"\n"
            while octets := await asyncio.get_running_loop().sock_recv(peer.sock, 1 << 16):
                before, mark, document = octets.partition(b"%!")  # behind what is said by PJL
                first, end, rest = document.partition(b"\n")
                writer.write(before + mark + first + end + (bar if mark else b"") + rest)
                bar = b"" if mark else bar
                await writer.drain()
            writer.write_eof()
        writer.close()
        await writer.wait_closed()

    failed: demo.DemoFailed | None = None
    try:
        async with sink(blot, port=place.printer_port):
            try:
                yield Child(name="virtual printer", argv=[])
            except demo.DemoFailed as failure:  # a task group would wrap it
                failed = failure
    finally:
        await printer.close()
    if failed is not None:
        raise failed


if __name__ == "__main__":
    demo._virtual_printer = blotting_printer
    sys.exit(asyncio.run(demo.demo(Path(sys.argv[1]), once=True)))
