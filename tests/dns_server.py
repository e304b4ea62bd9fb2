"""Real name servers for tests: an nsd that knows what a test tells it, and servers that do not behave.

`dns_server` is an nsd on a free port of loopback in a folder of its own, up in a tenth of a second, gone at the end.
It is authoritative for all names (one zone, the root), so what a test does not name does not exist.  It is an ordinary
context manager, which blocks while nsd starts, so it serves a test as well as a fixture of any scope:

    from tests.dns_server import dns_server, misbehaving, Fault

    with dns_server(
        {
            "example.com": {"TXT": ["v=spf1 ip4:192.0.2.7 mx -all"], "MX": [(10, "mail.example.com")]},
            "mail.example.com": {"A": ["192.0.2.8"], "AAAA": ["2001:db8::8"]},
            "sel._domainkey.example.com": {"TXT": ["v=DKIM1; p=" + key]},  # cut into strings of 255 octets
            "*.example.net": {"TXT": [b"octets", ("two ", "strings")]},
            "www.example.com": {"CNAME": ["example.com"]},
            "8.2.0.192.in-addr.arpa": {"PTR": ["mail.example.com"]},
        }
    ) as dns:
        settings = ProofSettings(dns=(dns.address,))  # or in printpost.toml: [proof] dns = ["127.0.0.1:PORT"]
        ...
        dns.change({"example.com": {"TXT": ["v=spf1 -all"]}})  # from now on nothing else exists

    @pytest.fixture(scope="module")
    def dns() -> Iterator[DnsServer]:
        with dns_server(RECORDS) as server:
            yield server

`misbehaving` is a server in the test's own loop that has one fault, counts what it is asked, and passes on to a real
one what its fault lets through; without a fault it only listens in:

    async with misbehaving(Fault.SILENT) as dns: ...                # takes questions, never answers, UDP and TCP
    async with misbehaving(Fault.TRUNCATED, behind=real) as dns: ...  # by UDP only "ask me by TCP"
    async with misbehaving(behind=real) as dns:
        dns.failing.add("mail.example.com")  # SERVFAIL about this name
        dns.gate.clear()  # holds answers back until set
        assert dns.questions == ["example.com TXT"]
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import psutil

Value = str | bytes | tuple[str | bytes | int, ...]
Records = Mapping[str, Mapping[str, Sequence[Value]]]
"""By name (as in a zone file, no final dot) and type: TXT takes str, bytes or a tuple of strings; MX (10, "name")."""

PATIENCE = 10.0
"""Seconds for a server that starts or changes."""
TTL = 300
NEGATIVE_TTL = 60
_CONFIG = """
server:
  ip-address: 127.0.0.1@{port}
  server-count: 1
  rrl-ratelimit: 0
  username: ""
  chroot: ""
  database: ""
  pidfile: ""
  zonesdir: "{folder}"
  xfrdfile: ""
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "root.zone"
"""


class DnsServer:
    """A running nsd."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self._folder = folder
        self._process = process
        self._serial = 1

    def change(self, records: Records) -> None:
        """Know `records` and nothing else from now on; returns once they are answered."""
        before = [child for child in psutil.Process(self._process.pid).children(True) if not child.children()]
        self._serial += 1
        (self._folder / "root.zone").write_text(_zone(records, self._serial), encoding="ascii")
        self._process.send_signal(signal.SIGHUP)
        self.wait()
        _, left = psutil.wait_procs(before, PATIENCE)  # for a moment old and new ones read from one socket
        assert not left, f"nsd goes on with what it knew: {left}"

    def wait(self) -> None:
        question = dns.message.make_query(".", "SOA")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            assert self._process.poll() is None, f"nsd ended: {(self._folder / 'log').read_text()}"
            with contextlib.suppress(dns.exception.DNSException, OSError):
                answer = dns.query.udp(question, "127.0.0.1", timeout=0.02, port=self.port).answer
                if answer and answer[0][0].to_text().split()[2] == str(self._serial):
                    return
            time.sleep(0.005)
        raise AssertionError(f"nsd does not answer: {(self._folder / 'log').read_text()}")


@contextlib.contextmanager
def dns_server(records: Records) -> Iterator[DnsServer]:
    """An nsd that knows `records`."""
    program = shutil.which("nsd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
    assert program, "nsd is missing: run .ci/packages test"
    with tempfile.TemporaryDirectory(prefix="pp-dns-") as name:
        folder, port = Path(name), _free_port()
        (folder / "nsd.conf").write_text(_CONFIG.format(port=port, folder=folder))
        (folder / "root.zone").write_text(_zone(records, 1), encoding="ascii")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ("setpriv", "--pdeathsig", "TERM", program, "-d", "-c", str(folder / "nsd.conf")),
                stdout=log,
                stderr=log,
            )
        try:
            server = DnsServer(folder, port, process)
            server.wait()
            yield server
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


def _free_port() -> int:
    """Free for UDP and for TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port


def _zone(records: Records, serial: int) -> str:
    """RFC 1035 section 5."""
    lines = [
        f". {TTL} IN SOA ns.invalid. hostmaster.invalid. {serial} 3600 600 86400 {NEGATIVE_TTL}",
        f". {TTL} IN NS ns.invalid.",
    ]
    for name, types in records.items():
        for kind, values in types.items():
            lines += [f"{name.rstrip('.')}. {TTL} IN {kind} {_data(kind, value)}" for value in values]
    return "\n".join(lines) + "\n"


def _data(kind: str, value: Value) -> str:
    """One record's data as a zone file has it."""
    if kind == "TXT":
        return " ".join(_strings(part) for part in (value if isinstance(value, tuple) else (value,)))
    if isinstance(value, tuple):
        preference, host = value
        assert isinstance(host, str)
        return f"{preference!r} {host.rstrip('.')}."
    assert isinstance(value, str)
    return f"{value.rstrip('.')}." if kind in ("CNAME", "PTR", "NS") else value


def _strings(text: str | bytes | int) -> str:
    """As character-strings of at most 255 octets."""
    octets = text if isinstance(text, bytes) else str(text).encode()
    pieces = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
    return " ".join('"' + "".join(_escaped(octet) for octet in piece) + '"' for piece in pieces)


def _escaped(octet: int) -> str:
    return chr(octet) if 32 < octet < 127 and octet not in b'"\\;' else f"\\{octet:03}"


class Fault(StrEnum):
    NONE = "none"
    SILENT = "silent"  # questions come in, nothing goes out; TCP connects and says nothing
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TRUNCATED = "truncated"  # by UDP only; TCP is right
    GARBAGE = "garbage"  # octets that are no message
    WRONG_ID = "wrong-id"  # a right answer to another question's number, as a forger guesses
    WRONG_QUESTION = "wrong-question"  # an answer to what was not asked


class Misbehaving(asyncio.DatagramProtocol):
    """A server with a fault; `questions` are as "name TYPE", in order, retries included."""

    def __init__(self, fault: Fault, behind: DnsServer | None) -> None:
        self.fault = fault
        self.failing: set[str] = set()
        self.questions: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.address = ""
        self._behind = behind
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = transport  # type: ignore[assignment]  # neither loop's class is a DatagramTransport

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._by_udp(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def by_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    answer = await self._answer(await reader.readexactly(size), tcp=True)
                    if answer is not None:
                        writer.write(len(answer).to_bytes(2, "big") + answer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _by_udp(self, data: bytes, addr: tuple[str | object, int]) -> None:
        answer = await self._answer(data, tcp=False)
        if answer is not None and self._udp is not None:
            self._udp.sendto(answer, addr)

    async def _answer(self, octets: bytes, *, tcp: bool) -> bytes | None:
        question = dns.message.from_wire(octets)
        asked = question.question[0]
        name = asked.name.to_text(omit_final_dot=True)
        self.questions.append(f"{name} {dns.rdatatype.to_text(asked.rdtype)}")
        self.asked.set()
        await self.gate.wait()
        reply = dns.message.make_response(question)
        match Fault.SERVFAIL if name in self.failing else self.fault:
            case Fault.SILENT:
                return None
            case Fault.GARBAGE:
                return octets[:2] + b"\xff" * 40
            case Fault.SERVFAIL:
                reply.set_rcode(dns.rcode.SERVFAIL)
            case Fault.REFUSED:
                reply.set_rcode(dns.rcode.REFUSED)
            case Fault.TRUNCATED if not tcp:
                reply.flags |= dns.flags.TC
            case _:
                reply = await self._passed_on(question)
        return reply.to_wire()

    async def _passed_on(self, question: dns.message.Message) -> dns.message.Message:
        assert self._behind is not None, f"{self.fault} wants a server behind"
        reply = await dns.asyncquery.tcp(question, "127.0.0.1", timeout=PATIENCE, port=self._behind.port)
        if self.fault is Fault.WRONG_ID:
            reply.id ^= 0x5555
        if self.fault is Fault.WRONG_QUESTION:
            other = dns.message.make_query("other.example.com", question.question[0].rdtype, id=question.id)
            reply.question = other.question
        return reply


@contextlib.asynccontextmanager
async def misbehaving(fault: Fault = Fault.NONE, *, behind: DnsServer | None = None) -> AsyncIterator[Misbehaving]:
    """A server with one fault on a free port of loopback, UDP and TCP."""
    loop = asyncio.get_running_loop()
    server = Misbehaving(fault, behind)
    port = _free_port()
    udp, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", port))
    tcp = await asyncio.start_server(server.by_tcp, "127.0.0.1", port)
    server.address = f"127.0.0.1:{port}"
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
        await server.close()
