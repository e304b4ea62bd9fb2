"""`python -m tests.blotted_demo FOLDER`: the demo, with a printer that prints a black bar across every page."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from appliance import demo
from printerbridge.virtual import VirtualPrinter
from tests.sink import Peer, sink

BAR = b"<< /EndPage { exch pop 2 lt dup { gsave 0 setgray 60 60 400 60 rectfill grestore } if } >> setpagedevice"


@contextlib.asynccontextmanager
async def blotting_printer(place: demo._Place) -> AsyncIterator[None]:
    """The virtual printer, behind somebody who puts a line into every job."""
    printer = VirtualPrinter(place.paper)
    host, port = await printer.start()

    async def blot(peer: Peer) -> None:
        first, _, rest = (await peer.take_all()).partition(b"\n")
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"\n".join([first, BAR, rest]))
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    failed: demo.DemoFailed | None = None
    try:
        async with sink(blot, port=place.printer_port):
            try:
                yield
            except demo.DemoFailed as failure:  # a task group would wrap it
                failed = failure
    finally:
        await printer.close()
    if failed is not None:
        raise failed


if __name__ == "__main__":
    demo._virtual_printer = blotting_printer
    sys.exit(asyncio.run(demo.demo(Path(sys.argv[1]), once=True)))
