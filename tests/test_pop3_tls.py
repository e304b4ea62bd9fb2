"""TLS on POP3: STLS, POP3S, what may not be smuggled past it, and what it costs."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from prometheus_client import REGISTRY
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOProtocol

from appliance.pop3.connection import Connection, Limits
from appliance.tls import open_certificate
from mailstore.job import JobState
from tests.pop3_house import FIELDS, LIMITS, SECRET, Pop3House, client, running_pop3

pytestmark = [pytest.mark.slow]
module_loop = pytest.mark.asyncio(loop_scope="module")

MAIL = b"Subject: x\r\n\r\n" + b".line\r\n" * 50
BIG = b"Subject: x\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


def failed_handshakes() -> float:
    return REGISTRY.get_sample_value("printpost_pop3_tls_handshakes_failed_total") or 0


async def until_failed_handshakes(number: float) -> None:
    async with asyncio.timeout(5):
        while failed_handshakes() < number:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.005)


@module_loop
async def test_a_session_after_stls(house: Pop3House) -> None:
    name = await house.printer()
    job = await house.mail(name, MAIL, FIELDS)
    async with client(house) as printer:
        assert "STLS" in await printer.capabilities()
        await printer.stls(house.trust)
        assert "STLS" not in await printer.capabilities()
        assert await printer.ask("STLS") == "-ERR TLS is active already"
        assert (await printer.login(name)).startswith("+OK")
        assert await printer.retr(1) == FIELDS + MAIL
        assert (await printer.ask("DELE 1")).startswith("+OK")
        assert (await printer.ask("QUIT")).startswith("+OK")
        assert await printer.closed() == b""
    assert (await house.job(job)).state is JobState.COMPLETED


@module_loop
async def test_a_session_under_tls_from_the_first_octet(house: Pop3House) -> None:
    name = await house.printer()
    await house.mail(name, BIG)
    async with client(house, trust=house.trust) as printer:
        assert "STLS" not in await printer.capabilities()
        # Pipelined, so that many small answers and a large one are in the line at once.
        await printer.say(f"USER {name}", f"PASS {SECRET}", *["NOOP"] * 1000, "RETR 1", "DELE 1", "QUIT")
        assert [(await printer.line())[:3] for _ in range(1003)] == ["+OK"] * 1003
        assert b"".join(await printer.lines()) == BIG
        assert (await printer.closed()).count(b"+OK") == 2


@module_loop
async def test_what_was_said_in_clear_is_forgotten(house: Pop3House) -> None:
    name = await house.printer()
    async with client(house) as printer:
        assert (await printer.ask(f"USER {name}")).startswith("+OK")
        await printer.stls(house.trust)
        assert await printer.ask(f"PASS {SECRET}") == "-ERR USER comes before PASS"


@module_loop
@pytest.mark.parametrize("behind", [b"USER x\r\n", b"U", b"\r\n", b"QUIT\r\n" * 9000])
async def test_nothing_behind_stls_is_a_command(house: Pop3House, behind: bytes) -> None:
    async with client(house) as attacker:
        attacker.writer.write(b"STLS\r\n" + behind)
        assert await attacker.closed() == b"-ERR nothing may follow STLS before its answer\r\n"


@module_loop
async def test_what_is_injected_into_the_handshake_is_no_command_either(house: Pop3House) -> None:
    """A packet of its own right behind STLS, which the server reads after its answer; then a real ClientHello."""
    async with client(house) as attacker:
        before = failed_handshakes()
        assert (await attacker.ask("STLS")).startswith("+OK")
        attacker.writer.write(b"USER x\r\nCAPA\r\n")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = house.trust.wrap_bio(incoming, outgoing, server_hostname="print.example.com")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        attacker.writer.write(outgoing.read())
        assert b"+OK" not in await attacker.closed()
        await until_failed_handshakes(before + 1)


@module_loop
@pytest.mark.parametrize(
    "garbage", [b"CAPA\r\nUSER x\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""]
)
async def test_failed_handshakes_are_counted_and_leave_no_line_in_the_log(house: Pop3House, garbage: bytes) -> None:
    before = failed_handshakes()
    with structlog.testing.capture_logs() as lines:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.secure_port)
        writer.write(garbage)
        writer.write_eof()
        assert b"POP3" not in await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await until_failed_handshakes(before + 1)
    assert lines == []


@module_loop
@pytest.mark.parametrize("way", ["pop3", "pop3s"])
@pytest.mark.parametrize("dribbled", [b"", b"\x16\x03\x01\x02"])
async def test_a_slow_handshake_is_cut(house: Pop3House, way: str, dribbled: bytes) -> None:
    before = failed_handshakes()
    async with house.serving(Limits(handshake=0.3)) as service:
        with structlog.testing.capture_logs() as lines:
            reader, writer = await asyncio.open_connection(*service.addresses[way])
            if way == "pop3":
                await reader.readline()
                writer.write(b"STLS\r\n")
                await reader.readline()
            began = asyncio.get_running_loop().time()
            writer.write(dribbled)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 5)
            assert 0.2 < asyncio.get_running_loop().time() - began < 2
            writer.close()
            await until_failed_handshakes(before + 1)
        assert lines == []
        assert service._sessions == {}


@module_loop
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_versions(house: Pop3House, version: str) -> None:
    trust = house.trust
    trust.minimum_version = trust.maximum_version = ssl.TLSVersion[version]
    async with client(house, trust=trust) as printer:
        found = printer.writer.get_extra_info("ssl_object")
        assert found.version() == version.replace("_", ".")
        assert "DHE" in found.cipher()[0] or version == "TLSv1_3"


@module_loop
async def test_tls_1_1_is_refused(house: Pop3House) -> None:
    trust = house.trust
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        trust.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        trust.maximum_version = ssl.TLSVersion.TLSv1_1
    trust.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)version"):
        async with client(house, trust=trust):
            pass


@module_loop
async def test_a_new_certificate_is_shown_from_the_next_handshake(house: Pop3House, tmp_path: Path) -> None:
    settings = house.settings.model_copy(
        update={"store": house.settings.store.model_copy(update={"url": f"sqlite:{tmp_path}"})}
    )
    other = Pop3House(house.store, house.directory, None, open_certificate(settings), settings)
    assert other.certificate
    async with other.serving() as service:
        old, shown = other.trust, other.certificate.fingerprint
        async with client(service, trust=old) as before:
            for file in other.certificate.files:
                file.unlink()
            await other.certificate.look(0.0)
            assert other.certificate.fingerprint != shown
            assert await before.ask("NOOP") == "-ERR log in first"  # what stands goes on
            async with client(service, trust=other.trust):
                pass
            with pytest.raises(ssl.SSLCertVerificationError):
                async with client(service, trust=old):
                    pass
        assert other.certificate.reloaded
    assert not other.certificate.reloaded


class Raw:
    """A TLS client in hand: it says when it closes, and when it reads."""

    def __init__(self, house: Pop3House, port: int, receive: int = 0) -> None:
        self.sock = socket.socket()
        if receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", port))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = house.trust.wrap_bio(self.incoming, self.outgoing, server_hostname="print.example.com")

    def shake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                self.incoming.write(self.sock.recv(65536))
            else:
                self.sock.sendall(self.outgoing.read())
                return

    def say(self, *lines: str, alert: bool = False) -> None:
        """All in one packet, with the closing alert behind it if wanted."""
        self.tls.write("".join(f"{line}\r\n" for line in lines).encode())
        if alert:
            with pytest.raises((ssl.SSLWantReadError, ssl.SSLSyscallError)):
                self.tls.unwrap()
        self.sock.sendall(self.outgoing.read())

    def hear(self, lines: int) -> bytes:
        got = b""
        while got.count(b"\r\n") < lines:
            try:
                got += self.tls.read(65536)
            except ssl.SSLWantReadError:
                block = self.sock.recv(65536)
                assert block, "the line ended"
                self.incoming.write(block)
        return got

    def rest(self) -> int:
        """Octets until the server closes."""
        octets = 0
        try:
            while block := self.sock.recv(65536):
                octets += len(block)
        except ConnectionResetError:
            pass
        return octets

    def log_in(self, name: str, *, greeted: bool = False) -> None:
        self.shake()
        self.say(f"USER {name}", f"PASS {SECRET}")
        answers = 2 if greeted else 3
        assert self.hear(answers).count(b"+OK") == answers


@module_loop
async def test_quit_with_the_closing_alert_right_behind_it_counts(house: Pop3House) -> None:
    """A client may say good-bye and hang up: its marks are carried out all the same."""
    name = await house.printer()
    job = await house.mail(name, MAIL)
    raw = Raw(house, house.secure_port)
    await asyncio.to_thread(raw.log_in, name)
    await asyncio.to_thread(raw.say, "DELE 1", "QUIT", alert=True)
    await asyncio.to_thread(raw.rest)
    raw.sock.close()
    await house.becomes_free(name)
    assert (await house.job(job)).state is JobState.COMPLETED


@module_loop
async def test_a_message_asked_for_with_the_closing_alert_is_not_taken_for_delivered(house: Pop3House) -> None:
    """Twisted sends nothing after the alert: what follows the message must not remove it."""
    name = await house.printer()
    job = await house.mail(name, MAIL)
    raw = Raw(house, house.secure_port)
    await asyncio.to_thread(raw.log_in, name)
    await asyncio.to_thread(raw.say, "RETR 1", "DELE 1", "QUIT", alert=True)
    await asyncio.to_thread(raw.rest)
    raw.sock.close()
    await house.becomes_free(name)
    assert (await house.job(job)).state is JobState.PENDING


@module_loop
async def test_a_forged_record_behind_commands_undoes_them(house: Pop3House) -> None:
    """Whoever stands between the two could else have a message removed that was never delivered."""
    name = await house.printer()
    job = await house.mail(name, MAIL)
    raw = Raw(house, house.secure_port)
    await asyncio.to_thread(raw.log_in, name)
    raw.tls.write(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
    await asyncio.to_thread(raw.sock.sendall, raw.outgoing.read() + b"\x17\x03\x03\x00\x20" + b"x" * 32)
    await asyncio.to_thread(raw.rest)
    raw.sock.close()
    await house.becomes_free(name)
    assert (await house.job(job)).state is JobState.PENDING


@module_loop
@pytest.mark.parametrize("way", ["fin", "reset"])
async def test_a_line_cut_without_the_alert_deletes_nothing(house: Pop3House, way: str) -> None:
    name = await house.printer()
    job = await house.mail(name, MAIL)
    raw = Raw(house, house.secure_port)
    await asyncio.to_thread(raw.log_in, name)
    await asyncio.to_thread(raw.say, "DELE 1")
    await asyncio.to_thread(raw.hear, 1)
    if way == "reset":
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.sock.close()
    await house.becomes_free(name)
    assert (await house.job(job)).state is JobState.PENDING


@module_loop
async def test_the_closing_alert_in_the_midst_of_a_message_ends_the_session(house: Pop3House) -> None:
    """The producer stands still then, and nobody would wake it before the autologout."""
    name = await house.printer()
    await house.mail(name, BIG)
    raw = Raw(house, house.secure_port, receive=4096)
    await asyncio.to_thread(raw.log_in, name)
    await asyncio.to_thread(raw.say, "RETR 1", alert=False)
    assert await asyncio.to_thread(raw.sock.recv, 1000)
    with pytest.raises((ssl.SSLWantReadError, ssl.SSLSyscallError, ssl.SSLError)):
        raw.tls.unwrap()
    await asyncio.to_thread(raw.sock.sendall, raw.outgoing.read())
    await house.becomes_free(name, 5)
    assert 0 < await asyncio.to_thread(raw.rest) < len(BIG)
    raw.sock.close()


@module_loop
async def test_a_client_that_ignores_our_closing_alert_is_not_waited_for(house: Pop3House) -> None:
    raw = Raw(house, house.secure_port)
    await asyncio.to_thread(raw.shake)
    await asyncio.to_thread(raw.hear, 1)
    await asyncio.to_thread(raw.say, "QUIT")
    await asyncio.to_thread(raw.rest)  # to the end of the line, though we never answer the alert
    raw.sock.close()


def memory(what: str) -> int:
    [kilobytes] = re.findall(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


@module_loop
@pytest.mark.parametrize("secure", [True, False], ids=["pop3s", "stls"])
async def test_a_reader_that_stalls_costs_little_memory_and_is_cut(house: Pop3House, secure: bool) -> None:
    """Ten of them, each with 20 MB to take."""
    names = [await house.printer() for _ in range(10)]
    for name in names:
        await house.mail(name, BIG)
    limits = Limits(failure_delay=0.01, autologout=1.5)
    async with house.serving(limits) as service:
        before = forget_peak()
        stalled = [Raw(house, service.addresses["pop3s" if secure else "pop3"][1], receive=4096) for _ in names]
        for raw, name in zip(stalled, names, strict=True):
            if not secure:
                await asyncio.to_thread(raw.sock.recv, 1000)
                await asyncio.to_thread(raw.sock.sendall, b"STLS\r\n")
                await asyncio.to_thread(raw.sock.recv, 1000)
            await asyncio.to_thread(raw.log_in, name, greeted=not secure)
            assert not await house.free(name)
            raw.say("RETR 1")
        await asyncio.sleep(0.5)  # as long as it could grow
        assert memory("VmHWM") - before < 10 * (1 << 20)
        for name in names:
            await house.becomes_free(name, 10)
        for raw in stalled:
            raw.sock.close()


@module_loop
async def test_a_slow_reader_that_goes_on_is_not_cut(house: Pop3House) -> None:
    name = await house.printer()
    mail = b"Subject: x\r\n\r\n" + b"x" * 4_000_000 + b"\r\n"
    await house.mail(name, mail)
    async with house.serving(Limits(autologout=0.5)) as service:
        async with client(service, name, trust=house.trust) as printer:
            await printer.say("RETR 1", "QUIT")
            got = bytearray()
            while block := await asyncio.wait_for(printer.reader.read(40_000), 5):
                got += block
                await asyncio.sleep(0.01)
        assert got.endswith(mail + b".\r\n+OK bye\r\n")


@module_loop
async def test_too_many_connections_under_tls_are_closed_unread(house: Pop3House) -> None:
    async with house.serving(Limits(connections_each=1)) as service, client(service):
        reader, writer = await asyncio.open_connection(*service.addresses["pop3s"])
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


@module_loop
async def test_closing_ends_sessions_under_tls_and_handshakes(house: Pop3House) -> None:
    name = await house.printer()
    async with house.serving(LIMITS) as service, client(service, name, trust=house.trust) as printer:
        _, shaking = await asyncio.open_connection(*service.addresses["pop3s"])
        await service.close(grace=0.1)
        assert await printer.closed() == b""
        assert await house.free(name)
        shaking.close()


def test_names_of_twisted_that_ours_relies_on() -> None:
    """`tls` overrides the one place where Twisted ends TLS, and makes the transport as its `startTLS` does."""
    assert "_tlsShutdownFinished" in vars(TLSMemoryBIOProtocol)
    assert "_tlsShutdownFinished" in TLSMemoryBIOProtocol._flushReceiveBIO.__code__.co_names
    assert "_connectWrapped" in BufferingTLSTransport.__init__.__code__.co_varnames
    assert "handshakeCompleted" in TLSMemoryBIOProtocol._checkHandshakeStatus.__code__.co_names
    assert "handshakeCompleted" in vars(Connection)
