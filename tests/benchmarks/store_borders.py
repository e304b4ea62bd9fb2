"""Where octets of which size lie best: messages accepted per second for each size, place and page size.

    python -m tests.benchmarks.store_borders [FOLDER] [SECONDS]

FOLDER lies on the disk to be measured (default: the temporary folder).  The constants in `mailstore/store/blobs.py` and
`drafts.py` and the page size in `connection.py` come from this table: medians of three runs, taken in turns, so that a
slow minute of the machine meets all of them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mailstore.store import blobs, connection, drafts, sql
from mailstore.store.contract import Envelope, Recipient, Role

SIZES = [4_000, 8_000, 12_000, 16_000, 32_000, 60_000, 130_000, 250_000, 500_000, 1_000_000]
WRITERS = 10
WAYS = {  # name: page size, whether inline, whether in a segment
    "inline 4K": (4096, True, True),
    "inline 8K": (8192, True, True),
    "inline 16K": (16384, True, True),
    "segment": (4096, False, True),
    "file": (4096, False, False),
}
ENVELOPE = Envelope(reverse_path="ada@example.com", client_ip="192.0.2.1", helo="h", trust="insider", name="Report")
RECIPIENT = Recipient(maildrop="phaser", address="phaser@example.com", quota=10**12, fields=b"")


async def rate(folder: Path, way: str, size: int, seconds: float) -> float:
    connection.PAGE_OCTETS, inline, segment = WAYS[way]
    blobs.INLINE_OCTETS = size if inline else 0
    drafts.MEMORY_OCTETS = size
    role = Role.APPLIANCE if segment else Role.BRIDGE  # only the appliance appends to segments
    store = await sql.open_store(folder / "store", role=role, reserve=0, runtime=folder / "run")
    octets, accepted, until = os.urandom(size), 0, time.perf_counter() + seconds

    async def writer() -> None:
        nonlocal accepted
        while time.perf_counter() < until:
            draft = await store.draft(size)
            draft.write(octets)
            await store.accept(draft, ENVELOPE, [RECIPIENT])
            accepted += 1

    begin = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    took = time.perf_counter() - begin
    await store.close()
    shutil.rmtree(folder)
    return accepted / took


async def main(base: Path, seconds: float) -> None:
    print(f"{'octets':>9}" + "".join(f"{way:>12}" for way in WAYS), flush=True)
    for size in SIZES:
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(3):
            for way, rates in found.items():
                rates.append(await rate(Path(tempfile.mkdtemp(dir=base)), way, size, seconds))
        print(f"{size:>9}" + "".join(f"{statistics.median(rates):>12.0f}" for rates in found.values()), flush=True)


if __name__ == "__main__":
    asyncio.run(
        main(
            Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir()),
            float(sys.argv[2]) if len(sys.argv) > 2 else 1.0,
        )
    )
