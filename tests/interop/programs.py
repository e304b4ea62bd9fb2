"""Foreign programs: found or the test is skipped, run as children that end with the test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

SYSTEM = os.pathsep.join(["/usr/sbin", "/sbin"])
GRACE = 10.0


def found(name: str) -> str | None:
    """Where a program lies, those for administrators too."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM)


def program(name: str) -> str:
    """The same; skips the test if it is not there."""
    path = found(name)
    if path is None:
        pytest.skip(f"{name} is not installed; .ci/packages interop does that")
    return path


@contextlib.asynccontextmanager
async def running(argv: Sequence[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that says what it has to say in `log`, and that does not outlive us."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "TERM", "--", *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(GRACE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def finished(argv: Sequence[str], seconds: float = 30.0, **environment: str) -> tuple[int, str]:
    """Run a program to its end; its status, and all it said."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        await end(process)
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait for what a foreign program does not tell us.  Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.02)
