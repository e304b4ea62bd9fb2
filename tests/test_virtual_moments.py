"""Each fault of the virtual printer at the moments where it may strike, and what came out on paper."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_connection import Ended
from printerbridge.virtual_pjl import UEL

DEADLINE = 10.0
SHEETS = 10
TEXT = b"".join(b"sheet %d\r\n" % sheet + b"." * 16000 + b"\r\n\x0c" for sheet in range(SHEETS))
"""Ten pages."""
SIZE = len(TEXT)
PAGE = SIZE // SHEETS
JOB = UEL + b'@PJL USTATUS JOB = ON\r\n@PJL JOB NAME = "a"\r\n' + UEL
END = UEL + b'@PJL EOJ NAME = "a"\r\n' + UEL

Start = Callable[..., Awaitable[tuple[VirtualPrinter, tuple[str, int]]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    printers: list[VirtualPrinter] = []

    async def one(*faults: str, **options: Any) -> tuple[VirtualPrinter, tuple[str, int]]:
        printer = VirtualPrinter(tmp_path / "out", render=False, faults=faults, **options)
        printers.append(printer)
        return printer, await printer.start()

    yield one
    for printer in printers:
        await printer.close()


@asynccontextmanager
async def client(address: tuple[str, int]) -> AsyncIterator[socket.socket]:
    with closing(socket.socket()) as sock:
        sock.setblocking(False)
        async with asyncio.timeout(DEADLINE):
            await asyncio.get_running_loop().sock_connect(sock, address)
        yield sock


async def until_eof(sock: socket.socket) -> bytes:
    got = b""
    async with asyncio.timeout(DEADLINE):
        while piece := await asyncio.get_running_loop().sock_recv(sock, 65536):
            got += piece
    return got


async def send(address: tuple[str, int], data: bytes) -> bytes:
    """All octets, half-close, read to EOF; "reset" or "refused" if it came to that."""
    try:
        async with client(address) as sock:
            async with asyncio.timeout(DEADLINE):
                await asyncio.get_running_loop().sock_sendall(sock, data)
            sock.shutdown(socket.SHUT_WR)
            return await until_eof(sock)
    except ConnectionRefusedError:
        return b"refused"
    except (ConnectionResetError, BrokenPipeError):
        return b"reset"
    except OSError as error:
        if error.errno != errno.ENOTCONN:  # reset before the half-close
            raise
        return b"reset"


RESETS = [
    # fault, pages, outcome
    ("reset-after:connect", 0, "nothing"),
    (f"reset-after:{PAGE + 100}", 2, "part: 2 pages"),
    (f"reset-after:{SIZE}", 10, "part: 10 pages"),
    ("reset-after:eof", 10, "printed"),
    (f"close-early:{2 * PAGE + 100}", 3, "part: 3 pages"),
    ("close-early:eof", 10, "printed"),
    ("power-cycle:connect:0", 0, "nothing"),
    (f"power-cycle:{SIZE}:0", 0, "nothing"),
    ("power-cycle:eof:0", 0, "nothing"),
    ("swallow:connect", 0, "nothing"),
    (f"swallow:{SIZE}", 0, "nothing"),
    ("swallow", 0, "nothing"),
    ("half-close", 0, "nothing"),
    (f"idle-timeout:{PAGE}:0.02", 1, "part: 1 page"),
    ("idle-timeout:connect:0.02", 0, "nothing"),
    ("idle-timeout:eof:0.02", 10, "printed"),
    ("engaged:connect:0.02", 10, "printed"),
    ("chatter", 10, "printed"),
    (f"chatter:{SIZE}", 10, "printed"),
    (f"mute:{PAGE}", 10, "printed"),
    (f"job-error:{3 * PAGE}", 3, "part: 3 pages"),
    ("job-error:connect", 0, "nothing"),
    (f"panel-cancel:{PAGE}", 1, "part: 1 page"),
]


@pytest.mark.parametrize(("fault", "pages", "outcome"), RESETS)
async def test_what_came_out(start: Start, fault: str, pages: int, outcome: str) -> None:
    printer, address = await start(f"{fault}*1")
    said = await send(address, TEXT)
    job = await printer.job(1)
    assert (job.pages, job.outcome, printer.pages) == (pages, outcome, pages)
    name = fault.partition(":")[0]
    if name in ("reset-after", "power-cycle", "swallow"):
        assert (said, job.ended) == (b"reset", Ended.RESET)
    # Whoever comes next meets a healthy printer.
    assert await send(address, TEXT) == b""
    job = await printer.job(2)
    assert (job.outcome, printer.pages) == ("printed", pages + 10)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (f"job-error:{len(JOB) + PAGE}", b'END\r\nNAME="a"\r\nPAGES=1\r\nRESULT=RESOURCE_CANCELED\r\n\x0c'),
        (f"panel-cancel:{len(JOB) + PAGE}", b'END\r\nNAME="a"\r\nPAGES=1\r\nRESULT=USER_CANCELED\r\n\x0c'),
        ("job-error:connect", b'END\r\nNAME="a"\r\nPAGES=0\r\nRESULT=RESOURCE_CANCELED\r\n\x0c'),
        ("panel-cancel:connect", b'END\r\nNAME="a"\r\nPAGES=0\r\nRESULT=USER_CANCELED\r\n\x0c'),
        (f"media-empty:{len(JOB) + PAGE}", b""),
        ("half-close", b'END\r\nNAME="a"\r\nPAGES=10\r\nRESULT=OK\r\n\x0c'),
    ],
)
async def test_what_pjl_says_of_it(start: Start, fault: str, told: bytes) -> None:
    printer, address = await start(fault)
    async with client(address) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, JOB + TEXT + END)
        got = b""
        if not told:
            printer.resume()
            told = b'END\r\nNAME="a"\r\nPAGES=10\r\nRESULT=OK\r\n\x0c'
        async with asyncio.timeout(DEADLINE):
            while not got.endswith(told):
                got += await asyncio.get_running_loop().sock_recv(sock, 65536)
        assert (b"CANCELED\r\nNAME" in got) == fault.startswith("panel-cancel")
        sock.shutdown(socket.SHUT_WR)
        await until_eof(sock)
    job = await printer.job(1)
    assert job.pages == int(told.split(b"PAGES=")[1].split(b"\r")[0])


async def test_a_card_that_was_switched_off_refuses_until_it_is_on(start: Start) -> None:
    printer, address = await start("power-cycle:connect:0.1*1")
    assert await send(address, TEXT) == b"reset"
    off = asyncio.get_running_loop().time()
    assert (await printer.job(1)).outcome == "nothing"
    while await send(address, TEXT) == b"refused":
        assert asyncio.get_running_loop().time() - off < DEADLINE
        await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - off > 0.09
    assert (await printer.job(2)).outcome == "printed"


def unacknowledged(sock: socket.socket) -> int:
    """Octets in the send queue that nobody has acknowledged (`tcp(7)`, SIOCOUTQ)."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


async def test_it_vanishes_at_connect(start: Start) -> None:
    printer, address = await start("vanish:connect")
    with closing(socket.socket()) as sock:
        sock.setblocking(False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, address), 0.05)
    printer.resume()
    assert await send(address, TEXT) == b""
    assert (await printer.job(1)).outcome == "printed"


@pytest.mark.parametrize(("place", "pages", "outcome"), [(str(PAGE), 1, "part: 1 page"), ("eof", 10, "printed")])
async def test_it_vanishes_and_prints_what_it_has(start: Start, place: str, pages: int, outcome: str) -> None:
    printer, address = await start(f"vanish:{place}*1", idle_timeout=0.05)
    loop = asyncio.get_running_loop()
    async with client(address) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * SIZE)
        await loop.sock_sendall(sock, TEXT)
        sock.shutdown(socket.SHUT_WR)
        job = await printer.job(1)
        assert (job.pages, job.outcome, job.ended) == (pages, outcome, Ended.IDLE)
        # Neither an end nor a reset is heard, and nobody answers at its door.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(sock, 1), 0.05)
        assert place == "eof" or unacknowledged(sock) > 0
        with closing(socket.socket()) as another:
            another.setblocking(False)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_connect(another, address), 0.05)
    printer.resume()
    assert await send(address, TEXT) == b""


async def test_a_cable_that_is_plugged_in_again(start: Start) -> None:
    printer, address = await start(f"vanish:{PAGE}")
    async with client(address) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, TEXT)
        sock.shutdown(socket.SHUT_WR)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1), 0.05)
        printer.resume()
        await until_eof(sock)
    assert (await printer.job(1)).outcome == "printed"


async def test_a_stall_behind_the_clients_end(start: Start) -> None:
    printer, address = await start("accept-then-stall:eof*1")
    async with client(address) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, TEXT)
        sock.shutdown(socket.SHUT_WR)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1), 0.05)
        printer.resume()
        await until_eof(sock)
    assert (await printer.job(1)).outcome == "printed"
