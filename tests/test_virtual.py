from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from mailstore.failure import PermanentFailure
from printerbridge import virtual
from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_command import serve_forever
from printerbridge.virtual_connection import Ended
from printerbridge.virtual_pjl import UEL

DEADLINE = 10.0
TEXT = b"Hello, paper.\r\n" * 10
PAGE = b"%!\n/Helvetica findfont 40 scalefont setfont 72 600 moveto (Hi) show showpage\n"

Start = Callable[..., Awaitable[tuple[VirtualPrinter, tuple[str, int]]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start printers that keep what they get but draw nothing, unless told otherwise."""
    printers: list[VirtualPrinter] = []

    async def one(*faults: str, output: Path | None = tmp_path / "out", render: bool = False, **options: Any) -> Any:
        printer = VirtualPrinter(output, render=render, faults=faults, **options)
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


async def put(sock: socket.socket, data: bytes) -> None:
    async with asyncio.timeout(DEADLINE):
        await asyncio.get_running_loop().sock_sendall(sock, data)


async def until(sock: socket.socket, end: bytes = b"") -> bytes:
    """What comes until it ends in `end`, or until EOF."""
    got = b""
    async with asyncio.timeout(DEADLINE):
        while not end or not got.endswith(end):
            piece = await asyncio.get_running_loop().sock_recv(sock, 65536)
            if not piece:
                return got
            got += piece
    return got


async def send(address: tuple[str, int], data: bytes) -> bytes:
    """Print as AppSocket does: all octets, half-close, read to EOF."""
    async with client(address) as sock:
        await put(sock, data)
        sock.shutdown(socket.SHUT_WR)
        return await until(sock)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def test_every_octet_is_kept(start: Start) -> None:
    printer, address = await start()
    data = bytes(range(256)) * 40
    before = time.time()
    assert await send(address, data) == b""
    job = await printer.job(1)
    assert job.path is not None
    assert job.path.name == "job-0001.prn"
    assert job.path.read_bytes() == data
    assert (job.octets, job.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert before <= job.started <= job.first_octet <= job.ended_at <= time.time()
    assert (job.ended, job.fault, job.error) == (Ended.EOF, "", "")


async def test_each_connection_is_a_line_of_json(start: Start, tmp_path: Path) -> None:
    printer, address = await start("mute*1")
    await send(address, PAGE)
    await send(address, b"")
    await printer.job(2)
    lines = [json.loads(line) for line in (tmp_path / "out" / "jobs.jsonl").read_text().splitlines()]
    assert [(one["number"], one["octets"], one["language"]) for one in lines] == [
        (1, len(PAGE), "postscript"),
        (2, 0, ""),
    ]
    assert [(one["fault"], one["ended"]) for one in lines] == [("mute*1", "eof"), ("", "eof")]
    assert lines[0]["sha256"] == hashlib.sha256(PAGE).hexdigest()


async def test_five_clients_in_sequence(start: Start) -> None:
    printer, address = await start()
    for n in range(1, 6):
        await send(address, b"job %d" % n)
    await printer.job(5)
    assert [job.path.read_bytes() for job in printer.jobs if job.path] == [b"job %d" % n for n in range(1, 6)]


async def test_a_second_client_is_refused_while_it_prints(start: Start) -> None:
    printer, address = await start()
    async with client(address) as first:
        await put(first, UEL + b"@PJL ECHO ready\r\n")
        assert await until(first, b"\x0c") == b"@PJL ECHO ready\r\n\x0c"
        with pytest.raises(ConnectionRefusedError):
            await send(address, TEXT)
        await put(first, UEL + TEXT)
        first.shutdown(socket.SHUT_WR)
        await until(first)
    await send(address, TEXT)
    assert (await printer.job(2)).octets == len(TEXT)


async def test_numbers_go_on_in_the_same_folder(start: Start) -> None:
    first, address = await start()
    await send(address, TEXT)
    await first.job(1)
    second, address = await start()
    await send(address, TEXT)
    assert (await second.job(1)).number == 2


async def test_nothing_is_kept_without_a_folder(start: Start, tmp_path: Path) -> None:
    printer, address = await start(output=None, render=True)
    await send(address, PAGE)
    job = await printer.job(1)
    assert (job.octets, job.language, job.path, job.pdf) == (len(PAGE), "postscript", None, None)
    assert names(tmp_path) == []


async def test_silence_ends_the_job(start: Start) -> None:
    printer, address = await start(idle_timeout=0.05)
    async with client(address) as sock:
        await put(sock, TEXT)
        assert await until(sock) == b""
    job = await printer.job(1)
    assert (job.ended, job.octets) == (Ended.IDLE, len(TEXT))


async def test_a_client_that_resets(start: Start) -> None:
    printer, address = await start()
    async with client(address) as sock:
        await put(sock, UEL + b"@PJL ECHO here\r\n")
        await until(sock, b"\x0c")
        reset(sock)
    assert (await printer.job(1)).ended is Ended.RESET


async def test_pjl_both_ways(start: Start) -> None:
    printer, address = await start()
    job = UEL + b'@PJL USTATUS JOB = ON\r\n@PJL JOB NAME = "a"\r\n@PJL ENTER LANGUAGE = POSTSCRIPT\r\n' + PAGE
    job += UEL + b"@PJL ECHO behind\r\n@PJL EOJ\r\n" + UEL
    said = (await send(address, job)).split(b"\x0c")
    assert said[0] == b'@PJL USTATUS JOB\r\nSTART\r\nNAME="a"\r\n'
    assert said[1] == b"@PJL ECHO behind\r\n"
    assert said[2] == b'@PJL USTATUS JOB\r\nEND\r\nNAME="a"\r\nPAGES=1\r\nRESULT=OK\r\n'
    assert (await printer.job(1)).language == "postscript"


async def test_a_client_that_reads_no_replies_cannot_fill_memory(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("printerbridge.virtual_connection.SEND_SECONDS", 0.05)
    printer, address = await start()
    async with client(address) as sock:
        flood = UEL + b"@PJL ECHO " + b"x" * 1000 + b"\r\n"
        await put(sock, flood * 8000)
        sock.shutdown(socket.SHUT_WR)
        assert (await printer.job(1)).octets == len(flood) * 8000


async def test_it_goes_on_after_a_port_scan(start: Start) -> None:
    printer, address = await start()
    async with client(address):
        pass
    assert (await printer.job(1)).octets == 0
    await send(address, TEXT)
    assert (await printer.job(2)).octets == len(TEXT)


async def test_switched_off_in_the_middle_of_a_job(start: Start) -> None:
    printer, address = await start()
    async with client(address) as sock:
        await put(sock, UEL + b"@PJL ECHO here\r\n" + UEL + TEXT)
        await until(sock, b"\x0c")
        await printer.close()
        await asyncio.wait_for(_gone(sock), DEADLINE)
    assert [job.ended for job in printer.jobs] == [Ended.SWITCHED_OFF]


async def test_switched_off_before_a_word_was_said(start: Start) -> None:
    printer, address = await start()
    async with client(address) as sock:
        await printer.close()
        await asyncio.wait_for(_gone(sock), DEADLINE)
    with pytest.raises(ConnectionRefusedError):
        await send(address, TEXT)


async def test_a_full_disk_is_no_end(start: Start, tmp_path: Path) -> None:
    printer, address = await start(output=tmp_path / "out")
    (tmp_path / "out").rmdir()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await send(address, bytes(8 << 20))
    assert (await printer.job(1)).ended is Ended.CLOSED
    (tmp_path / "out").mkdir()
    await send(address, TEXT)
    assert (await printer.job(2)).octets == len(TEXT)


async def test_a_disk_that_takes_half_a_block_is_told(start: Start) -> None:
    printer, address = await start()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with contextlib.suppress(ConnectionResetError):
            await send(address, bytes(100_001))
        assert (await printer.job(1)).ended is Ended.CLOSED
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def _gone(sock: socket.socket) -> None:
    try:
        while await asyncio.get_running_loop().sock_recv(sock, 4096):
            pass
    except ConnectionResetError:
        pass


async def test_refuse_and_come_back(start: Start) -> None:
    printer, address = await start("refuse")
    with pytest.raises(ConnectionRefusedError):
        await send(address, TEXT)
    printer.set_fault()
    await send(address, TEXT)
    assert (await printer.job(1)).octets == len(TEXT)
    printer.set_fault("refuse")
    with pytest.raises(ConnectionRefusedError):
        await send(address, TEXT)


async def test_accept_then_stall(start: Start) -> None:
    printer, address = await start("accept-then-stall:1000*1")
    data = os.urandom(8 << 20)
    async with client(address) as sock:
        # The whole does not fit into the kernel's buffers, so it cannot go out while the printer stalls.
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(sock, data))
        assert not (await asyncio.wait((sending,), timeout=0.2))[0]
        printer.resume()
        await asyncio.wait_for(sending, DEADLINE)
        sock.shutdown(socket.SHUT_WR)
        await until(sock)
    job = await printer.job(1)
    assert (job.octets, job.sha256) == (len(data), hashlib.sha256(data).hexdigest())


async def test_a_client_gives_up_on_a_stall(start: Start) -> None:
    printer, address = await start("accept-then-stall:0*1")
    async with client(address) as sock:
        await put(sock, TEXT)
        reset(sock)
    job = await printer.job(1)
    assert (job.ended, job.octets) == (Ended.RESET, 0)
    await send(address, TEXT)
    assert (await printer.job(2)).octets == len(TEXT)


async def test_slow(start: Start) -> None:
    printer, address = await start("slow:100000")
    began = time.monotonic()
    await send(address, bytes(30000))
    assert 0.25 < time.monotonic() - began < DEADLINE
    assert (await printer.job(1)).octets == 30000


async def test_reset_after(start: Start) -> None:
    printer, address = await start("reset-after:1000*1")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await send(address, bytes(4 << 20))
    job = await printer.job(1)
    assert (job.octets, job.ended, job.fault) == (1000, Ended.RESET, "reset-after:1000*1")
    await send(address, TEXT)
    assert (await printer.job(2)).ended is Ended.EOF


async def test_close_early(start: Start) -> None:
    printer, address = await start("close-early:1000*1")
    async with client(address) as sock:
        await put(sock, bytes(5000))
        assert await until(sock) == b""
    job = await printer.job(1)
    assert (job.octets, job.ended) == (1000, Ended.CLOSED)
    await send(address, TEXT)
    assert (await printer.job(2)).ended is Ended.EOF


@pytest.mark.parametrize("body", [TEXT, TEXT * 1000])
async def test_media_empty(start: Start, body: bytes) -> None:
    printer, address = await start("media-empty*1")
    head = UEL + b'@PJL USTATUS DEVICE = ON\r\n@PJL USTATUS JOB = ON\r\n@PJL JOB NAME="a"\r\n' + UEL
    tail = UEL + b"@PJL EOJ\r\n" + UEL
    async with client(address) as sock:
        await put(sock, head + body + tail)
        sock.shutdown(socket.SHUT_WR)
        told = await until(sock, b"ONLINE=FALSE\r\n\x0c")
        assert b'@PJL USTATUS DEVICE\r\nCODE=41213\r\nDISPLAY="LOAD PAPER"\r\n' in told
        assert printer.jobs == []
        printer.resume()
        rest = await until(sock)
        assert rest.index(b"CODE=10001") < rest.index(b"RESULT=OK")
    assert (await printer.job(1)).octets == len(head + body + tail)


async def test_paper_that_was_loaded_is_there_for_later_jobs_until_it_is_taken_out(start: Start) -> None:
    printer, address = await start("media-empty")
    job = UEL + b"@PJL USTATUS DEVICE = ON\r\n" + UEL + TEXT
    for number in (2, 4):
        async with client(address) as sock:
            await put(sock, job)
            sock.shutdown(socket.SHUT_WR)
            await until(sock, b"ONLINE=FALSE\r\n\x0c")
            printer.resume()
            await until(sock)
        assert b"CODE=41213" not in await send(address, job)
        await printer.job(number)  # it is out: without paper it would keep the next one waiting
        printer.take_paper()
    assert [(await printer.job(number)).fault for number in (1, 2, 3, 4)] == ["media-empty:4096", ""] * 2


async def test_only_the_last_jobs_are_remembered(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "KEPT", 3)
    printer, address = await start()
    for number in range(1, 6):
        await send(address, TEXT)
        await printer.job(number)
    assert [job.number for job in printer.jobs] == [3, 4, 5]


async def test_a_plain_job_waits_for_paper_too(start: Start) -> None:
    printer, address = await start("media-empty*1")
    async with client(address) as sock:
        await put(sock, TEXT)
        sock.shutdown(socket.SHUT_WR)
        reading = asyncio.create_task(until(sock))
        assert not (await asyncio.wait((reading,), timeout=0.1))[0]
        printer.resume()
        assert await reading == b""
    assert (await printer.job(1)).ended is Ended.EOF


async def test_mute(start: Start) -> None:
    printer, address = await start("mute")
    assert await send(address, UEL + b"@PJL ECHO x\r\n" + UEL + TEXT) == b""
    assert (await printer.job(1)).ended is Ended.EOF


async def test_never_close(start: Start) -> None:
    printer, address = await start("never-close*1")
    async with client(address) as sock:
        await put(sock, TEXT)
        sock.shutdown(socket.SHUT_WR)
        assert (await printer.job(1)).octets == len(TEXT)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1), 0.1)
        reset(sock)


async def test_the_port_is_taken(start: Start) -> None:
    _, address = await start()
    with pytest.raises(PermanentFailure, match="Choose another HOST:PORT"):
        await VirtualPrinter(None).start(*address)


async def test_a_job_that_never_comes(start: Start) -> None:
    printer, _ = await start()
    with pytest.raises(TimeoutError, match="job 1 was not printed"):
        await printer.job(1, deadline=0.01)


@pytest.mark.slow
async def test_pages_come_before_the_end_when_it_waits_for_paper(start: Start) -> None:
    printer, address = await start(render=True, wait_for_paper=True)
    said = await send(address, PAGE + PAGE.replace(b"%!\n", b"") + b"(%%[ cookie: 5 ]%%\\n) print flush\n")
    assert said == b"%%[ cookie: 5 ]%%\n"
    (job,) = printer.jobs
    assert (job.pages, printer.pages, [image.name for image in job.images]) == (
        2,
        2,
        ["job-0001-1.png", "job-0001-2.png"],
    )
    assert await send(address, UEL + b"@PJL INFO PAGECOUNT\r\n" + UEL) == b"@PJL INFO PAGECOUNT\r\nPAGECOUNT=2\r\n\x0c"


@pytest.mark.slow
async def test_job_status_tells_the_pages_while_the_client_holds_the_line(start: Start) -> None:
    printer, address = await start(render=True)
    async with client(address) as sock:
        await put(sock, UEL + b"@PJL USTATUS JOB=ON\r\n@PJL JOB\r\n@PJL ENTER LANGUAGE=POSTSCRIPT\r\n" + PAGE)
        await put(sock, UEL + b"@PJL EOJ\r\n")
        assert (await until(sock, b"RESULT=OK\r\n\x0c")).endswith(b"END\r\nPAGES=1\r\nRESULT=OK\r\n\x0c")
    assert (await printer.job(1)).pages == 1


@pytest.mark.slow
async def test_a_plain_job_is_let_go_before_it_is_drawn(start: Start) -> None:
    printer, address = await start(render=True)
    await send(address, PAGE)
    assert printer.jobs == []
    await send(address, PAGE + PAGE)
    assert [(await printer.job(1)).pages, (await printer.job(2)).pages] == [1, 2]


@pytest.mark.slow
async def test_a_stump_is_printed_as_far_as_it_goes(start: Start) -> None:
    printer, address = await start(f"reset-after:{len(PAGE) + 10}", render=True)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await send(address, PAGE * 30000)
    assert (await printer.job(1)).pages == 1


@pytest.mark.slow
async def test_a_large_job_in_flat_memory(start: Start) -> None:
    printer, address = await start()
    block, count = os.urandom(1 << 20), 50
    before = _forget_peak()
    async with client(address) as sock:
        for _ in range(count):
            await put(sock, block)
        sock.shutdown(socket.SHUT_WR)
        await until(sock)
    assert _peak() - before < 8 << 20
    job = await printer.job(1)
    assert job.octets == count << 20
    assert job.sha256 == hashlib.sha256(block * count).hexdigest()


def _forget_peak() -> int:
    """Begin to look for the highest resident memory anew; return the present one, in octets."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


@pytest.mark.slow
async def test_a_foreign_client(start: Start, tmp_path: Path) -> None:
    socat = shutil.which("socat")
    if socat is None:
        pytest.skip("socat is not installed")
    printer, (host, port) = await start()
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))
    child = await asyncio.create_subprocess_exec(socat, "-u", f"FILE:{source}", f"TCP:{host}:{port}")
    assert await asyncio.wait_for(child.wait(), DEADLINE) == 0
    assert (await printer.job(1)).sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.slow
async def test_the_command_prints_until_it_is_told_to_stop(tmp_path: Path) -> None:
    program = (
        "import asyncio, functools, pathlib, sys\n"
        "from printerbridge.virtual_command import serve_forever\n"
        "tell = functools.partial(print, flush=True)\n"
        "asyncio.run(serve_forever('127.0.0.1:0', pathlib.Path(sys.argv[1]), ['media-empty*1'], tell=tell))\n"
    )
    job = UEL + b"@PJL USTATUS DEVICE=ON\r\n" + UEL + TEXT
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "out"), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        line = (await asyncio.wait_for(child.stdout.readline(), DEADLINE)).decode()
        address = ("127.0.0.1", int(line.split("127.0.0.1:")[1].split(",")[0]))
        async with client(address) as sock:
            await put(sock, job)
            sock.shutdown(socket.SHUT_WR)
            await until(sock, b"ONLINE=FALSE\r\n\x0c")
            child.send_signal(signal.SIGUSR1)
            await until(sock)
        assert b"paper is loaded" in await asyncio.wait_for(child.stdout.readline(), DEADLINE)
        line = (await asyncio.wait_for(child.stdout.readline(), DEADLINE)).decode()
        assert line.startswith(f"job 1: {len(job)} octets, text, 1 page, fault media-empty:4096*1 -> ")
        assert line.endswith(f"{tmp_path}/out/job-0001.txt\n")
        child.send_signal(signal.SIGUSR2)
        assert b"the paper is taken out" in await asyncio.wait_for(child.stdout.readline(), DEADLINE)
        async with client(address) as sock:
            await put(sock, job)
            sock.shutdown(socket.SHUT_WR)
            await until(sock, b"ONLINE=FALSE\r\n\x0c")
            child.send_signal(signal.SIGUSR1)
            await until(sock)
        child.terminate()
        assert await asyncio.wait_for(child.wait(), DEADLINE) == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


@pytest.mark.parametrize(("listen", "fault"), [("nowhere", "mute"), ("127.0.0.1:0", "explode")])
async def test_the_command_refuses_what_it_does_not_understand(tmp_path: Path, listen: str, fault: str) -> None:
    with pytest.raises(PermanentFailure):
        await serve_forever(listen, tmp_path / "out", [fault])
