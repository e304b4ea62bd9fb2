"""The printers of the soak, in a process of their own: virtual printers that misbehave now and then.

    python -m tests.soak.paper COUNT FAULTY SEED

It prints the ports in a line, then a line of JSON for each connection: the printer's number, the SHA-256 of what came,
its octets and how it ended.  FAULTY is the share of connections that meet a fault.  It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from functools import partial

from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_connection import Ended
from printerbridge.virtual_job import PrintedJob

STALL_SECONDS = (0.2, 3.0)
"""So often somebody looks whether there is paper."""
AWAY_SECONDS = (0.5, 4.0)
"""For so long nobody listens."""
GLANCE = 0.05


class Troubled:
    """One printer, and whoever looks after it."""

    def __init__(self, number: int, faulty: float, dice: random.Random) -> None:
        self.number = number
        self._faulty = faulty
        self._dice = dice
        self.printer = VirtualPrinter(None, render=False, idle_timeout=30.0, tell=self._tell)

    def _tell(self, job: PrintedJob) -> None:
        whole = job.ended is Ended.EOF
        line = {"printer": self.number, "sha256": job.sha256, "octets": job.octets, "whole": whole, "fault": job.fault}
        print(json.dumps(line), flush=True)

    async def look_after(self) -> None:
        """A fault now and then, mended after a while."""
        while True:
            # A healthy time between two faults that makes them so many of all connections at some twenty a second.
            await asyncio.sleep(self._dice.expovariate(20 * self._faulty))
            await self._fault()

    async def _fault(self) -> None:
        octets = self._dice.choice((0, 1, 1000, 30_000, 90_000, "eof", "connect"))
        name = self._dice.choice(("reset-after", "close-early", "accept-then-stall", "media-empty", "slow", "refuse"))
        if name == "refuse":
            self.printer.set_fault("refuse")
            await asyncio.sleep(self._dice.uniform(*AWAY_SECONDS))
            self.printer.set_fault()
        elif name == "slow":
            self.printer.set_fault("slow:200000*1")
        else:
            self.printer.set_fault(f"{name}:{octets}*1")

    async def mend(self) -> None:
        """Somebody looks for paper now and then: also where it ran out later than one would think."""
        while True:
            await asyncio.sleep(self._dice.uniform(*STALL_SECONDS))
            self.printer.resume()


async def main(count: int, faulty: float, seed: int) -> None:
    printers = [Troubled(number, faulty, random.Random(seed + number)) for number in range(count)]
    ports = [(await one.printer.start())[1] for one in printers]
    print(*ports, flush=True)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, partial(_ended, over))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for one in printers for work in (one.look_after(), one.mend())]
        await over.wait()
        for task in tasks:
            task.cancel()
    for one in printers:
        await one.printer.close()


def _ended(over: asyncio.Event) -> None:
    """Whatever is written there mends all; its end ends us."""
    asyncio.get_running_loop().remove_reader(sys.stdin)
    over.set()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
