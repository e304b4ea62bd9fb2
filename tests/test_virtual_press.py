"""Pages of the virtual printer one by one: which come out, what is said of each, and what holds them up."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_pjl import UEL
from tests.documents import pages_of
from tests.test_virtual import Start, client, put, send, start, until

__all__ = ["start"]

PAGES = b"".join(b"page %d\r\n\x0c" % number for number in range(1, 6))


def job(options: str = "", body: bytes = PAGES, language: str = "PCL") -> bytes:
    subscribe = UEL + b"@PJL USTATUS JOB = ON\r\n@PJL USTATUS PAGE = ON\r\n@PJL USTATUS DEVICE = ON\r\n"
    enter = f'@PJL JOB NAME = "a"{options}\r\n'.encode()
    return subscribe + enter + UEL + body + UEL + b"@PJL EOJ\r\n" + UEL


def told(said: bytes) -> list[str]:
    """Each message in short: PAGE 1, END 5, START."""
    found = []
    for message in said.split(b"\x0c")[:-1]:
        lines = message.decode().strip().split("\r\n")
        if lines[0] == "@PJL USTATUS PAGE":
            found.append(f"PAGE {lines[1]}")
        elif lines[0] == "@PJL USTATUS JOB":
            found.append(" ".join([lines[1], *(line[6:] for line in lines if line.startswith("PAGES="))]))
        elif lines[0] == "@PJL USTATUS DEVICE":
            found.append(lines[1])
    return found


async def test_each_page_is_told(start: Start) -> None:
    printer, address = await start()
    assert told(await send(address, job())) == ["START", *(f"PAGE {n}" for n in range(1, 6)), "END 5"]
    assert ((await printer.job(1)).outcome, printer.pages) == ("printed", 5)


@pytest.mark.parametrize(
    ("options", "pages"), [(" START = 4", ["4", "5"]), (" START=2 END=3", ["2", "3"]), (" START = 6", [])]
)
async def test_a_job_that_goes_on_at_a_page(start: Start, options: str, pages: list[str]) -> None:
    printer, address = await start()
    said = told(await send(address, job(options)))
    assert said == ["START", *(f"PAGE {n}" for n in pages), f"END {len(pages)}"]
    assert ((await printer.job(1)).pages, printer.pages) == (len(pages), len(pages))


async def test_a_printer_that_stops_between_two_jobs(start: Start) -> None:
    printer, address = await start()
    printer.set_condition("door-open")
    async with client(address) as sock:
        await put(sock, job())
        sock.shutdown(socket.SHUT_WR)
        assert told(await until(sock, b"ONLINE=FALSE\r\n\x0c"))[-1] == "CODE=40021"
        assert printer.pages == 0
        printer.set_condition("")
        assert told(await until(sock))[0] == "CODE=10001"
    assert (await printer.job(1)).outcome == "printed"


async def test_the_power_goes_while_pages_come_out(start: Start) -> None:
    body = job()
    printer, address = await start("power-cycle:eof:0*1", page_seconds=0.02)
    async with client(address) as sock:
        await put(sock, body)
        said = await until(sock, b"PAGE\r\n2\r\n\x0c")
        sock.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            await until(sock)
    done = await printer.job(1)
    assert (told(said)[-1], 2 <= done.pages < 5) == ("PAGE 2", True)
    assert done.outcome == f"part: {done.pages} pages"


async def test_the_next_job_begins_before_this_one_ends(start: Start) -> None:
    printer, address = await start(personality="overlapping")
    two = job() + UEL + b'@PJL JOB NAME = "b"\r\n' + UEL + b"one more" + UEL + b"@PJL EOJ\r\n" + UEL
    said = told(await send(address, two))
    assert said == ["START", *(f"PAGE {n}" for n in range(1, 6)), "START", "END 5", "PAGE 1", "END 1"]
    assert (await printer.job(1)).pages == 6


async def test_a_printer_that_says_nothing(start: Start) -> None:
    printer, address = await start(personality="silent")
    assert await send(address, job()) == b""
    assert (await printer.job(1)).outcome == "printed"


@pytest.mark.slow
async def test_timed_status(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("printerbridge.virtual_panel.TIMED", range(1, 301))
    _, address = await start()
    async with client(address) as sock:
        await put(sock, UEL + b"@PJL USTATUS TIMED = 1\r\n")
        assert (await until(sock, b"\x0c")).startswith(b"@PJL USTATUS TIMED\r\nCODE=10001\r\n")


async def test_a_postscript_printer_tells_its_status_beside_the_job(start: Start) -> None:
    printer, address = await start("media-empty*1", personality="phaser")
    async with client(address) as sock:
        await put(sock, b"\x14")
        assert await until(sock, b"]%%\r\n") == b"%%[ status: busy; source: AppSocket ]%%\r\n"
        await put(sock, b"%!\nshowpage\n")
        sock.shutdown(socket.SHUT_WR)
        assert await until(sock, b"]%%\r\n") == b"%%[ PrinterError: out of paper ]%%\r\n"
        printer.resume()
        assert await until(sock) == b""
    done = await printer.job(1)
    assert (done.octets, done.outcome) == (12, "printed")


@pytest.mark.slow
async def test_a_program_that_asks_is_answered_before_the_end(start: Start) -> None:
    """A cookie behind the pages (`print flush`) comes back when the program has been run, and not before."""
    printer, address = await start(render=True)
    program = b"%!\n(first) print flush showpage (%%[ cookie: 7 ]%%\\n) print flush\n\x04"
    assert await send(address, program) == b"first%%[ cookie: 7 ]%%\n"
    assert (await printer.job(1)).pages == 1


@pytest.mark.slow
@pytest.mark.parametrize(("options", "pages"), [(" START=2", 2), (" START=2 END=2", 1), (" START=4", 0)])
async def test_only_the_wanted_pages_are_drawn(tmp_path: Path, options: str, pages: int) -> None:
    printer = VirtualPrinter(tmp_path / "out")
    address = await printer.start()
    try:
        assert told(await send(address, job(options, b"%!\nshowpage\nshowpage\nshowpage\n")))[-1] == f"END {pages}"
        done = await printer.job(1)
        assert (done.pages, len(done.images), (done.pdf is not None), done.error) == (pages, pages, pages > 0, "")
        if done.pdf is not None:
            assert len(pages_of(done.pdf)) == pages
    finally:
        await printer.close()
