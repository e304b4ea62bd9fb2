"""What the virtual printer says beside its port, and what it keeps of what is said at it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from printerbridge import virtual_capture
from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_capture import Capture
from printerbridge.virtual_pjl import UEL
from tests.test_virtual import DEADLINE, client, put, send, until


@asynccontextmanager
async def printing(output: Path | None, **options: object) -> AsyncIterator[tuple[VirtualPrinter, tuple[str, int]]]:
    printer = VirtualPrinter(output, render=False, **options)  # type: ignore[arg-type]
    try:
        yield printer, await printer.start()
    finally:
        await printer.close()


async def ask(address: tuple[str, int] | None, datagram: bytes) -> bytes:
    assert address is not None
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.setblocking(False)
        sock.connect(address)
        async with asyncio.timeout(DEADLINE):
            await asyncio.get_running_loop().sock_sendall(sock, datagram)
            return await asyncio.get_running_loop().sock_recv(sock, 65536)


async def test_any_datagram_is_told_the_status() -> None:
    async with printing(None, status_port=True) as (printer, _):
        assert await ask(printer.status_address, b"") == b"%%[ status: idle ]%%\r\n"
        printer.take_paper()
        assert await ask(printer.status_address, b"x" * 1000) == b"%%[ PrinterError: out of paper ]%%\r\n"
        printer.resume()
        assert await ask(printer.status_address, b"\0") == b"%%[ status: idle ]%%\r\n"


async def test_an_answer_is_not_answered() -> None:
    async with printing(None, status_port=True) as (printer, _):
        assert printer.status_address is not None
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.setblocking(False)
            sock.connect(printer.status_address)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(DEADLINE):
                for datagram in (b"%%[ status: idle ]%%\r\n", b"how are you?"):
                    await loop.sock_sendall(sock, datagram)
                assert await loop.sock_recv(sock, 65536) == b"%%[ status: idle ]%%\r\n"
                with pytest.raises(BlockingIOError):
                    sock.recv(65536)


async def test_nothing_is_said_beside_unless_it_is_wanted() -> None:
    async with printing(None) as (printer, _):
        assert (printer.snmp_address, printer.status_address) == (None, None)


async def test_an_address_of_its_own(tmp_path: Path) -> None:
    async with printing(tmp_path, status_port="127.0.0.1:0") as (printer, _):
        assert printer.status_address is not None
        assert printer.status_address[0] == "127.0.0.1"


async def snmp(program: str, printer: VirtualPrinter, *words: str) -> str:
    """What net-snmp prints, numbers and no names."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    assert printer.snmp_address is not None
    host, port = printer.snmp_address
    child = await asyncio.create_subprocess_exec(
        path, *words[:1], "-r0", "-t5", "-On", "-Oe", "-c", "public", f"{host}:{port}", *words[1:],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={"MIBS": ""},
    )  # fmt: skip
    output, _ = await asyncio.wait_for(child.communicate(), DEADLINE)
    return output.decode()


@pytest.mark.interop
@pytest.mark.parametrize("version", ["-v1", "-v2c"])
async def test_net_snmp_reads_the_printer(version: str) -> None:
    status = ".1.3.6.1.2.1.25.3.5.1.1.1"
    async with printing(None, snmp=True) as (printer, _):
        assert await snmp("snmpget", printer, version, status) == f"{status} = INTEGER: 3\n"
        printer.set_condition("media-jam")
        errors = await snmp("snmpget", printer, version, ".1.3.6.1.2.1.25.3.5.1.2.1")
        assert errors.rstrip().endswith("04 00")
        walked = await snmp("snmpwalk", printer, version, ".1.3")
        assert "PAPER JAM" in walked
        assert "Counter32: 0" in walked
        assert "CMD:PJL,POSTSCRIPT,PDF,PCL" in walked
        assert "Error" not in walked
        lines = [line for line in walked.splitlines() if line.startswith(".1.3") and " = " in line]
        assert len(lines) > 40
        if version == "-v2c":
            bulk = await snmp("snmpbulkwalk", printer, version, ".1.3")
            oids = [line.partition(" ")[0] for line in bulk.splitlines() if line.startswith(".1.3") and " = " in line]
            assert oids == [line.partition(" ")[0] for line in lines]
        missing = await snmp("snmpget", printer, version, ".1.3.6.1.2.1.1.99.0")
        assert "No Such Object" in missing or "noSuchName" in missing


async def test_every_octet_is_captured_both_ways(tmp_path: Path) -> None:
    async with printing(tmp_path / "out", capture=True) as (printer, address):
        async with client(address) as sock:
            await put(sock, UEL + b"@PJL ECHO one\r\n")
            await until(sock, b"\x0c")
            await put(sock, UEL + b"text \xff")
            sock.shutdown(socket.SHUT_WR)
            await until(sock)
        await printer.job(1)
        await send(address, b"another")
        await printer.job(2)
    found = list(virtual_capture.read(tmp_path / "out" / "job-0001.capture.jsonl"))
    assert [(one.source, one.octets) for one in found] == [
        ("client", UEL + b"@PJL ECHO one\r\n"),
        ("printer", b"@PJL ECHO one\r\n\x0c"),
        ("client", UEL + b"text \xff"),
    ]
    assert [one.seconds for one in found] == sorted(one.seconds for one in found)
    assert 0 <= found[0].seconds < DEADLINE
    (another,) = virtual_capture.read(tmp_path / "out" / "job-0002.capture.jsonl")
    assert another.octets == b"another"


def test_a_capture_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_capture, "LIMIT", 10)
    capture = Capture(tmp_path / "capture")
    for _ in range(5):
        capture.note("client", b"seven77")
    capture.close()
    capture.note("client", b"late")
    found = list(virtual_capture.read(tmp_path / "capture"))
    assert [(one.source, one.octets) for one in found] == [
        ("client", b"seven77"),
        ("client", b"sev"),
        ("capture", b"the rest is left out"),
    ]
