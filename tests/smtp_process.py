"""A receiver in a process of its own, on uvloop: `python -m tests.smtp_process FOLDER`.

Says its ports (smtp, submission, submissions) on a line of their own, and ends at the end of its input with a line that
tells its peak memory in KiB.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from mailstore import loop
from tests.smtp_client import site


async def main(folder: Path) -> None:
    async with site(folder) as house, house.receiver() as receiver:
        print(*[port for _, port in receiver.addresses.values()], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(*[job.octets for job in reversed(await house.store.jobs())])
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))  # noqa: ASYNC240
    assert peak
    print(peak[1], flush=True)


if __name__ == "__main__":
    loop.run(main(Path(sys.argv[1])))
