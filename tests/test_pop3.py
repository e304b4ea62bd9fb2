"""The POP3 server over a real store and a real directory."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.pop3.connection import Limits
from appliance.pop3.server import Pop3Service, start_pop3
from mailstore.config import Pop3
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, JobState
from mailstore.store import leases
from mailstore.store.contract import Lease, Role
from tests.dialogue import play
from tests.pop3_house import FIELDS, LIMITS, SECRET, Pop3House, client, narrow_client, plain, running_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MAIL = b"From: ada@example.com\r\nSubject: a page\r\n\r\nfirst\r\n.second\r\n..\r\nlast\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


@pytest.mark.parametrize("dialogue", sorted(Path(__file__).parent.glob("dialogues/pop3/*.txt")), ids=lambda p: p.stem)
async def test_dialogue(house: Pop3House, dialogue: Path) -> None:
    name = await house.printer(poll_interval=300)
    bridged = await house.printer(uri="socket://192.0.2.7:9100")
    await house.mail(name, MAIL)
    await house.mail(name, b"A: b\r\n\r\nno end of line")
    await house.mail(name, b"Subject: third\r\n\r\n" + b"line\r\n" * 5)
    await play(
        dialogue,
        house.host,
        house.port,
        name=name,
        password=SECRET,
        bridged=bridged,
        plain=plain(name),
        wrong=plain(name, "wrong"),
        foreign=plain(name, acting_as="root"),
        empty="",
    )
    await house.becomes_free(name)


async def test_fetched_and_deleted_completes_the_job(house: Pop3House) -> None:
    name = await house.printer()
    job = await house.mail(name, MAIL, FIELDS)
    async with client(house, name) as printer:
        assert await printer.ask("STAT") == f"+OK 1 {len(FIELDS + MAIL)}"
        assert await printer.retr(1) == FIELDS + MAIL
        assert (await house.job(job)).state is JobState.PROCESSING
        assert (await printer.ask("DELE 1")).startswith("+OK")
        assert (await house.job(job)).state is JobState.PROCESSING
        assert (await printer.ask("QUIT")).startswith("+OK")
        ended = await house.job(job)
        assert (ended.state, ended.delivery_proof) == (JobState.COMPLETED, DeliveryProof.FETCHED)
        assert await printer.closed() == b""
    async with client(house, name) as printer:
        assert await printer.ask("STAT") == "+OK 0 0"
    assert (await house.store.printer_state(name)).last_poll > 0


async def test_deleted_without_being_fetched_is_gone_too(house: Pop3House) -> None:
    name = await house.printer()
    job = await house.mail(name, MAIL)
    async with client(house, name) as printer:
        await printer.say("DELE 1", "QUIT")
        assert (await printer.closed()).count(b"+OK") == 2
    assert (await house.job(job)).state is JobState.COMPLETED


@pytest.mark.parametrize("said", [[], ["RETR 1"], ["DELE 1"], ["RETR 1", "DELE 1", "DELE 2"], ["LIST", "DEL"]])
@pytest.mark.parametrize("how", ["reset", "close", "half"])
async def test_a_lost_connection_deletes_nothing_and_keeps_no_lease(
    house: Pop3House, said: list[str], how: str
) -> None:
    name = await house.printer()
    jobs = [await house.mail(name, MAIL) for _ in range(2)]
    async with client(house, name) as printer:
        await printer.say(*said)
        if how == "half":
            printer.writer.write_eof()
            await printer.closed()
        elif how == "reset":
            printer.drop()
    await house.becomes_free(name)
    for job in jobs:
        assert (await house.job(job)).state is JobState.PENDING
    async with client(house, name) as printer:
        assert (await printer.ask("STAT")).split()[1] == "2"


@pytest.mark.parametrize("said", [[], ["USER {name}"], ["USER {name}", "PASS {secret}"], ["USER {name}", "PA"]])
async def test_lost_before_or_while_logging_in_keeps_no_lease(house: Pop3House, said: list[str]) -> None:
    name = await house.printer()
    for _ in range(5):
        async with client(house) as printer:
            await printer.say(*(line.format(name=name, secret=SECRET) for line in said))
            printer.drop()
    await house.becomes_free(name)


async def test_second_session_is_told_in_use_and_the_first_goes_on(house: Pop3House) -> None:
    name = await house.printer()
    await house.mail(name, MAIL)
    async with client(house, name) as first, client(house) as second:
        assert await second.login(name) == "-ERR [IN-USE] another session has the maildrop, try again later"
        assert await first.retr(1) == MAIL
        await first.ask("QUIT")
        assert (await second.login(name)).startswith("+OK")


async def test_an_empty_maildrop_is_held_like_any_other(house: Pop3House) -> None:
    """RFC 1939 section 4, although nothing is written: what comes in meanwhile is the next session's."""
    name = await house.printer()
    async with client(house, name) as first:
        await house.mail(name, MAIL)
        async with client(house) as second:
            assert (await second.login(name)).startswith("-ERR [IN-USE]")
        assert await first.ask("STAT") == "+OK 0 0"
        assert (await first.ask("RETR 1")).startswith("-ERR")
        assert (await first.ask("QUIT")).startswith("+OK")
        async with client(house, name) as next_one:
            assert await next_one.retr(1) == MAIL


async def test_an_empty_poll_writes_its_time_and_nothing_else(house: Pop3House) -> None:
    names = [await house.printer() for _ in range(5)]
    for name in names:
        async with client(house, name) as printer:  # the password is remembered from now on
            await printer.ask("QUIT")
    await house.store.committer.settled()
    before = house.store.committer.operations
    for name in names:
        async with client(house, name) as printer:
            assert await printer.ask("STAT") == "+OK 0 0"
            await printer.ask("QUIT")
    await house.store.committer.settled()
    assert house.store.committer.operations - before == len(names)


async def test_login_stat_and_uidl_read_no_octets(house: Pop3House) -> None:
    """The octets are away, of every size and place; only who wants them misses them."""
    name = await house.printer()
    sizes = (100, 100_000, 3_000_000)
    for size in sizes:
        await house.mail(name, b"Subject: x\r\n\r\n" + b"x" * size + b"\r\n")
    folder = house.store._blobs.folder
    before = {path.name: path.rename(path.with_suffix(".away")) for path in folder.iterdir()}
    assert before
    read: list[object] = []
    try:
        async with client(house) as printer:
            with sqlite_reads(house, read):
                assert (await printer.login(name)).startswith("+OK 3 messages")
                assert await printer.ask("STAT") == f"+OK 3 {sum(sizes) + 3 * 16}"
                for listing in ("UIDL", "LIST"):
                    assert (await printer.ask(listing)).startswith("+OK")
                    assert len(await printer.lines()) == 3
            assert read
            assert not [statement for statement in read if "content" in str(statement)]
            assert (await printer.ask("RETR 3")).startswith("-ERR [SYS/")
    finally:
        for was, path in before.items():
            path.rename(folder / was)


@contextlib.contextmanager
def sqlite_reads(house: Pop3House, read: list[object]) -> Iterator[None]:
    """Every statement that the store's readers and its writer run meanwhile."""
    connections = (house.store._reader._near, house.store._reader._far, house.store.committer._connection)
    for connection in connections:
        connection.set_trace_callback(read.append)
    try:
        yield
    finally:
        for connection in connections:
            connection.set_trace_callback(None)


async def test_quit_without_marks_frees_the_maildrop_before_the_answer(house: Pop3House) -> None:
    name = await house.printer()
    for _ in range(20):
        async with client(house, name) as printer:
            assert (await printer.ask("QUIT")).startswith("+OK")
            assert await house.free(name)


async def test_pipelined_session_in_one_write(house: Pop3House) -> None:
    name = await house.printer()
    await house.mail(name, MAIL)
    async with client(house) as printer:
        await printer.say(
            f"USER {name}", f"PASS {SECRET}", "STAT", "LIST 1", "RETR 1", "NOOP", "DELE 1", "STAT", "QUIT"
        )
        assert [(await printer.line())[:3] for _ in range(4)] == ["+OK"] * 4
        assert (await printer.line()).startswith("+OK")
        assert b"".join(await printer.lines()) == MAIL
        assert [await printer.line() for _ in range(3)][2] == "+OK 0 0"
        assert (await printer.line()).startswith("+OK")
        assert await printer.closed() == b""


async def test_ten_thousand_pipelined_commands_are_all_answered(house: Pop3House) -> None:
    """More than is ever held: reading stops and goes on."""
    name = await house.printer()
    async with client(house, name) as printer:
        saying = asyncio.create_task(printer.say(*["NOOP", "BOGUS"] * 5, *["NOOP"] * 10_000, "QUIT"))
        answers = await printer.closed()
        await saying
    assert answers.count(b"+OK") == 10_000 + 5 + 1
    assert answers.count(b"-ERR") == 5


async def test_a_removed_lease_ends_the_session(house: Pop3House) -> None:
    name = await house.printer()
    job = await house.mail(name, MAIL)
    async with house.serving(Limits(lease=0.3)) as service, client(service, name) as printer:
        # Nobody else may take it while it is renewed, and what is renewed is seen in time.
        await printer.say("DELE 1")
        assert (await printer.line()).startswith("+OK")
        loop = asyncio.get_running_loop()
        until = loop.time() + 1.0
        while loop.time() < until:
            assert not await house.free(name)
            await asyncio.sleep(0.05)
        await house.store.release(await _steal(house, name))
        assert await printer.closed() == b""
    assert (await house.job(job)).state is JobState.PENDING


async def _steal(house: Pop3House, name: str) -> Lease:
    """The lease as if it had run out (the machine slept) and somebody else had taken it."""
    resource, later = leases.MAILDROP + name, time.time() + 1000
    lease = await house.store.committer.submit(
        lambda rows: leases.acquire(rows, resource, "thief", Role.APPLIANCE, later, 5.0)
    )
    assert lease
    return lease


async def test_update_after_a_lost_lease_says_that_nothing_was_removed(house: Pop3House) -> None:
    name = await house.printer()
    job = await house.mail(name, MAIL)
    async with client(house, name) as printer:
        await printer.ask("DELE 1")
        await house.store.release(await _steal(house, name))
        assert await printer.ask("QUIT") == "-ERR [SYS/TEMP] some deleted messages not removed"
        assert await printer.closed() == b""
    assert (await house.job(job)).state is JobState.PENDING


async def test_octets_that_are_gone_are_an_answer(house: Pop3House) -> None:
    name = await house.printer()
    await house.mail(name, b"Subject: large\r\n\r\n" + b"x" * 3_000_000 + b"\r\n")
    octets = house.store._blobs.folder
    async with client(house, name) as printer:
        before = {path.name: path.rename(path.with_suffix(".away")) for path in octets.iterdir()}
        try:
            assert (await printer.ask("RETR 1")).startswith("-ERR [SYS/")
            assert (await printer.ask("NOOP")).startswith("+OK")
        finally:
            for was, path in before.items():
                path.rename(octets / was)
        assert len(await printer.retr(1)) == 3_000_020


async def test_a_session_without_login_ends(house: Pop3House) -> None:
    """One time for all that is said before the login: talking does not lengthen it."""
    async with house.serving(Limits(before_login=0.3)) as service, client(service) as stranger:
        began = asyncio.get_running_loop().time()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            for _ in range(100):
                await stranger.say("CAPA")
                assert (await stranger.line()).startswith("+OK")
                await stranger.lines()
                await asyncio.sleep(0.02)
        assert 0.25 < asyncio.get_running_loop().time() - began < 1.5


async def test_others_are_served_while_commands_wait(house: Pop3House) -> None:
    """The loop's own turns, counted while thousands of pipelined commands are answered."""
    name = await house.printer()
    async with client(house, name) as printer:
        turns, running = 0, True

        async def count() -> None:
            nonlocal turns
            while running:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await printer.say(*["NOOP"] * 4000, "QUIT")
        assert (await printer.closed()).count(b"+OK") == 4001
        running = False
        await counting
    assert turns > 4000 / 16


async def test_clients_lost_at_random_moments_keep_no_lease(house: Pop3House) -> None:
    dice = random.Random(7)
    names = [await house.printer() for _ in range(4)]
    for name in names:
        for _ in range(3):
            await house.mail(name, MAIL)
        async with client(house, name) as printer:  # the password is remembered from now on
            await printer.ask("QUIT")

    async def come_and_go(service: Pop3Service) -> None:
        async with client(service) as printer:
            await printer.say(f"USER {dice.choice(names)}", f"PASS {SECRET}", "RETR 1", "DELE 1", "RETR 2", "DELE 2")
            await asyncio.sleep(dice.random() * 0.03)
            printer.drop()

    async with house.serving(Limits(connections_each=1000)) as service:
        for _ in range(8):
            await asyncio.gather(*(come_and_go(service) for _ in range(20)))
        for name in names:
            await house.becomes_free(name)
    for name in names:
        assert len(await house.store.jobs(printer=name, states=["pending"])) == 3


async def test_autologout_says_nothing_and_deletes_nothing(house: Pop3House) -> None:
    name = await house.printer()
    job = await house.mail(name, MAIL)
    async with house.serving(Limits(autologout=0.2)) as service, client(service, name) as printer:
        await printer.ask("DELE 1")
        assert await printer.closed() == b""
    await house.becomes_free(name)
    assert (await house.job(job)).state is JobState.PENDING


async def test_autologout_by_default_is_that_of_the_standard() -> None:
    assert Limits().autologout >= 600


async def test_too_many_senseless_lines(house: Pop3House) -> None:
    async with client(house) as stranger:
        await stranger.say(*["BOGUS"] * 50)
        assert (await stranger.closed()).count(b"-ERR") == LIMITS.bad_before
    name = await house.printer()
    async with client(house, name) as printer:
        await printer.say(*["BOGUS"] * 50)
        assert (await printer.closed()).count(b"-ERR") == LIMITS.bad_after
    await house.becomes_free(name)


async def test_long_lines(house: Pop3House) -> None:
    name = await house.printer()
    async with client(house, name) as printer:
        assert (await printer.ask("NOOP" + " " * 249)).startswith("+OK")  # 255 octets with CRLF
        await printer.say("NOOP" + " " * 250, "NOOP", b"\x00" * 100_000, "NOOP")
        assert [(await printer.line())[:4].strip() for _ in range(4)] == ["-ERR", "+OK", "-ERR", "+OK"]


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST / HTTP/1.1", "Host: 127.0.0.1"])
async def test_browsers_are_cut_without_a_word(house: Pop3House, line: str) -> None:
    async with client(house) as browser:
        await browser.say(line, "USER x", "CAPA")
        assert await browser.closed() == b""


async def test_limits_of_connections(house: Pop3House) -> None:
    async with house.serving(Limits(connections_each=2)) as service:
        async with client(service), client(service):
            reader, writer = await asyncio.open_connection(*service.address)
            assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"-ERR [SYS/TEMP] too many connections")
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(5):
            while service._sessions:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.005)
        async with client(service):
            pass
        assert sum(service._tally.values()) <= 1


async def test_a_connection_counts_until_it_is_closed(house: Pop3House) -> None:
    """Whoever takes no answers keeps its connection for a while, but not one more for each session that has ended."""
    async with house.serving(Limits(autologout=1.5, connections_each=1)) as service:
        async with narrow_client(service.address):
            (session,) = service._sessions
            session._tcp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            session.write(b"x" * 60_000)  # more than the kernel takes, and less than would stop the session
            session.leave()
            assert session.task
            await session.task
            reader, writer = await asyncio.open_connection(*service.address)
            assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"-ERR [SYS/TEMP] too many connections")
            writer.close()
            await writer.wait_closed()
            async with asyncio.timeout(10):
                while service._sessions:  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(0.005)
        async with client(service):
            pass


async def test_an_ipv6_network_is_one_client(house: Pop3House) -> None:
    """One customer has 2^64 addresses, and could else take all the connections there are."""
    async with house.serving(Limits(connections_each=2)) as service:
        taken = [service.session(f"2001:db8::{last}%eth0", implicit=False) for last in range(3)]
        assert [session is None for session in taken] == [False, False, True]
        for session in (service.session("2001:db8:0:1::1", implicit=False), *taken):
            if session:
                service._ended(session)


async def test_the_port_is_taken(house: Pop3House) -> None:
    taken = house.settings.model_copy(update={"pop3": Pop3(listen=f"{house.host}:{house.port}")})
    with pytest.raises(PermanentFailure, match="pop3"):
        await start_pop3(taken, house.store, house.directory)


async def test_closing_gives_back_every_lease(house: Pop3House) -> None:
    name, other = await house.printer(), await house.printer()
    async with house.serving() as service, client(service, name) as idle, client(service, other) as busy:
        await house.mail(other, b"Subject: x\r\n\r\n" + b"x" * 8_000_000)
        await busy.ask("QUIT")
        async with client(service, other) as stalled:
            await stalled.ask("RETR 1")
            await service.close(grace=0.1)
            assert await idle.closed() == b""
            assert await house.free(name)
            assert await house.free(other)
        with pytest.raises(OSError):
            await asyncio.open_connection(*service.address)


async def test_a_directory_that_is_down_is_a_passing_fault(tmp_path: Path, house: Pop3House) -> None:
    from tests.directory_server import running_directory

    async with running_directory(tmp_path) as directory:
        broken = Pop3House(house.store, directory.appliance)
        await directory.server.stop()
        async with broken.serving() as service, client(service) as printer:
            assert (await printer.login("phaser1")).startswith("-ERR [SYS/TEMP] ")
            # What is not known is announced as the largest that there can be.
            assert "LOGIN-DELAY 86400 USER" in await printer.capabilities()


async def test_a_stalled_reader_is_cut_and_its_lease_released(house: Pop3House) -> None:
    name = await house.printer()
    await house.mail(name, b"Subject: x\r\n\r\n" + b"x" * 5_000_000)
    async with house.serving(Limits(autologout=0.5)) as service, narrow_client(service.address) as printer:
        assert (await printer.login(name)).startswith("+OK 1 ")
        assert not await house.free(name)
        await printer.say("RETR 1")
        await house.becomes_free(name, 10)
        assert len(await printer.closed()) < 5_000_000


async def test_a_slow_reader_that_goes_on_is_not_cut(house: Pop3House) -> None:
    name = await house.printer()
    mail = b"Subject: x\r\n\r\n" + b"x" * 4_000_000 + b"\r\n"
    await house.mail(name, mail)
    async with house.serving(Limits(autologout=0.5)) as service:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(service.address)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, f"USER {name}\r\nPASS {SECRET}\r\nRETR 1\r\nQUIT\r\n".encode())
        began, got = loop.time(), bytearray()
        while block := await asyncio.wait_for(loop.sock_recv(sock, 60_000), 5):
            got += block
            await asyncio.sleep(0.01)
        sock.close()
        assert loop.time() - began > 0.6
        assert got.endswith(mail + b".\r\n+OK bye\r\n")


async def test_transient_failures_of_the_store_are_answers(house: Pop3House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk that fails is played by the committer; everything above it is real."""
    name = await house.printer()
    job = await house.mail(name, MAIL)
    async with client(house, name) as printer:
        await printer.ask("DELE 1")
        real = house.store.committer.submit

        def failing(work, wanted=None, *, instant=""):  # type: ignore[no-untyped-def]
            if instant == "4":
                raise TransientFailure("4.3.1", "the disk is full")
            return real(work, wanted) if wanted else real(work, instant=instant)

        monkeypatch.setattr(house.store.committer, "submit", failing)
        assert await printer.ask("QUIT") == "-ERR [SYS/TEMP] some deleted messages not removed"
    monkeypatch.undo()
    await house.becomes_free(name)
    assert (await house.job(job)).state is JobState.PENDING
