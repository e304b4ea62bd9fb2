"""Processes end inside the instants while mail comes in and goes out; afterwards every promise is accounted for.

The witness is what the sinks took, octet for octet; the store has to agree with it.  For every "250" that a client
heard there is one job, and it was printed once, or waits, or is told to be uncertain; mail without a "250" may have
been accepted (nobody got to say so), but is printed no more than once either.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import poplib
import random
import re
import signal
import smtplib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from mailstore.directory.records import Language, WhenUncertain
from mailstore.job import DeliveryProof, Job, JobState
from tests.documents import postscript
from tests.house import GLANCE, PATIENCE, SECRET, House, Running, house, mail_of, promised
from tests.sink import Peer, Sink, sink

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.crash, pytest.mark.slow]

SIZES = (1_000, 100_000, 3_000_000)
"""In the database, in a segment, in a file of its own."""
SERVE, BRIDGE = "serve", "printerbridge"
KILLED = 137
DOUBT = ("job-suspended", "x-delivery-unknown")
_MARK = re.compile(rb"%%Mark: (\d+)\n")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apart(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("apart"), apart=True) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def mended(apart: House) -> AsyncIterator[None]:
    """A test that fails half-way leaves no dead process to the next one."""
    yield
    for name in (SERVE, BRIDGE):
        apart.latest[name].mend()
        if apart.latest[name].process.returncode is not None:
            await replace(apart, name)


def document(mark: int, octets: int) -> bytes:
    """PostScript that nobody else sends."""
    text = postscript(title=f"Mark {mark}").replace(b"\n", b"\n%%%%Mark: %d\n" % mark, 1)
    return text + b"%" * max(0, octets - len(text) - 1) + b"\n"


@dataclass(slots=True)
class Record:
    """What clients sent and heard, and what the printers took."""

    house: House
    sinks: Sequence[Sink]
    printers: Sequence[str]
    sent: dict[int, bytes] = field(default_factory=dict)  # by mark
    heard: dict[int, int] = field(default_factory=dict)  # mark -> the job that was promised
    told: asyncio.Event = field(default_factory=asyncio.Event)  # somebody heard a 250

    async def send(self, mark: int, octets: int, printer: str) -> None:
        """One mail by a client that gives up where the server is lost."""
        self.sent[mark] = document(mark, octets)
        with contextlib.suppress(OSError, smtplib.SMTPException):
            code, text = await self.house.submit(mail_of(self.sent[mark], subject=str(mark)), printer)
            if code == 250:
                self.heard[mark] = promised(text)
                self.told.set()

    async def hears(self, count: int) -> None:
        """Return when so many have been promised."""
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self.told.clear()
                await self.told.wait()

    async def load(self, marks: Sequence[int]) -> None:
        """Mail of all sizes to all printers, several at a time."""
        turns = asyncio.Semaphore(4)

        async def one(mark: int) -> None:
            async with turns:
                await self.send(mark, SIZES[mark % len(SIZES)], self.printers[mark % len(self.printers)])

        await asyncio.gather(*map(one, marks))

    @property
    def taken(self) -> list[bytes]:
        """What came over each connection on which anything came."""
        return [octets for one in self.sinks for octets in one.jobs if octets]

    @property
    def whole(self) -> Counter[int]:
        """How often each document came out whole."""
        marks = [(int(found[1]), octets) for octets in self.taken if (found := _MARK.search(octets))]
        return Counter(mark for mark, octets in marks if self.sent[mark] == octets)

    @property
    def stumps(self) -> list[bytes]:
        known = set(self.sent.values())
        return [octets for octets in self.taken if octets not in known]

    async def settled(self) -> list[Job]:
        """All jobs, once each has ended or is uncertain."""
        async with asyncio.timeout(PATIENCE):
            while True:
                jobs = [job for name in self.printers for job in await self.house.store.jobs(printer=name)]
                if all(job.state.ended or job.reasons == DOUBT for job in jobs):
                    return jobs
                await asyncio.sleep(GLANCE)

    async def accounts(self) -> tuple[int, int]:
        """Hold store and sinks against each other; how many jobs were completed, how many are uncertain."""
        jobs = {job.id: job for job in await self.settled()}
        marks = {int(job.name): job.id for job in jobs.values()}
        assert len(marks) == len(jobs)  # no mail became two jobs
        for mark, number in self.heard.items():
            assert marks.get(mark) == number  # nothing that was promised is lost
        for mark, number in marks.items():
            state, printed = jobs[number].state, self.whole[mark]
            if state is JobState.COMPLETED:
                assert printed == 1, (jobs[number], printed)
            else:
                assert state is JobState.PROCESSING_STOPPED, jobs[number]
                assert printed <= 1, (jobs[number], printed)
                assert jobs[number].attempts == 1
        assert set(self.whole) <= set(marks)  # nothing is printed that is not on record
        uncertain = {mark for mark, number in marks.items() if jobs[number].state is JobState.PROCESSING_STOPPED}
        for stump in self.stumps:
            assert any(self.sent[mark].startswith(stump) for mark in uncertain), stump[:200]
        return len(jobs) - len(uncertain), len(uncertain)


@contextlib.asynccontextmanager
async def record(apart: House, name: str, printers: int = 3) -> AsyncIterator[Record]:
    """Printers of this test alone, each with a sink."""
    async with contextlib.AsyncExitStack() as stack:
        sinks = [await stack.enter_async_context(sink()) for _ in range(printers)]
        names = [await apart.add(f"{name}{number}", one.uri) for number, one in enumerate(sinks)]
        yield Record(apart, sinks, names)


async def replace(apart: House, name: str, crash_at: str = "", ready: bool = True) -> Running:
    """End a process if it still runs, and start it (again), to die at `crash_at`."""
    await apart.latest[name].end()
    command = ("appliance", SERVE) if name == SERVE else (BRIDGE,)
    return await apart.start(*command, environment={"CRASH_AT": crash_at}, ready=ready)


@pytest.mark.parametrize("point", ["1-before-octets", "1-after-octets", "1-before-sync", "1-after-sync"])
async def test_the_appliance_dies_inside_instant_1(apart: House, point: str) -> None:
    async with record(apart, f"at-{point}-") as told:
        await told.load(range(6))
        assert len(told.heard) == 6
        doomed = await replace(apart, SERVE, point)
        await told.load(range(6, 15))
        assert await doomed.ended() == KILLED
        promises = len(told.heard)
        assert promises < 15
        await replace(apart, SERVE)
        await told.load(range(15, 21))
        assert len(told.heard) == promises + 6
        completed, uncertain = await told.accounts()
        assert uncertain == 0
        if point.endswith("-sync"):  # small mail has no octets to sync, and may get by the other points
            assert promises == 6  # it died in its first commit
            # Before the sync nothing happened; after it the mail is there, though nobody was told.
            assert (completed > promises + 6) == (point == "1-after-sync")


@pytest.mark.parametrize("point", [f"{number}-{when}-sync" for number in (2, 3, 4) for when in ("before", "after")])
async def test_the_bridge_dies_inside_an_instant(apart: House, point: str) -> None:
    async with record(apart, f"at-{point}-") as told:
        await apart.latest[BRIDGE].end()
        await told.load(range(9))  # several wait for each printer
        assert len(told.heard) == 9
        doomed = await replace(apart, BRIDGE, point, ready=False)  # it may die before it is ready
        loading = asyncio.create_task(told.load(range(9, 15)))
        assert await doomed.ended() == KILLED
        await loading  # the mail does not notice
        assert len(told.heard) == 15
        found = [job.state for name in told.printers for job in await apart.store.jobs(printer=name)]
        # It died in its first commit of an end, if it came so far: only after the sync one is on record.
        assert (JobState.COMPLETED in found) == (point == "4-after-sync")
        await replace(apart, BRIDGE)
        completed, uncertain = await told.accounts()
        assert completed + uncertain == 15
        if point in ("2-before-sync", "2-after-sync", "3-before-sync"):
            assert uncertain == 0  # no octet had gone out
        else:  # one for each line at most; an end shares its commit with the next beginning
            assert uncertain <= len(told.printers)
            assert uncertain >= 1 or point == "4-after-sync"


@pytest.mark.parametrize("point", ["4-before-sync", "4-after-sync"])
async def test_the_appliance_dies_while_a_fetched_mail_is_deleted(apart: House, point: str) -> None:
    """The client retrieved it and said DELE and QUIT; whether that counts is decided by the sync alone."""
    name = await apart.add(f"polls-{point}", poll_interval=1)
    number = await apart.mail(name, document(1, SIZES[1]))
    doomed = await replace(apart, SERVE, point)
    with pytest.raises((OSError, EOFError, poplib.error_proto)):
        await asyncio.to_thread(fetch, apart.pop3, name)
    assert await doomed.ended() == KILLED
    await replace(apart, SERVE)
    waits = point == "4-before-sync"
    job = await apart.job(number, JobState.PENDING if waits else JobState.COMPLETED)
    assert await asyncio.to_thread(fetch, apart.pop3, name) == int(waits)
    job = await apart.job(number)
    assert (job.state, job.delivery_proof) == (JobState.COMPLETED, DeliveryProof.FETCHED)


def fetch(server: tuple[str, int], name: str) -> int:
    """Retrieve and delete all there is; how many messages that were."""
    with contextlib.closing(poplib.POP3(*server, timeout=PATIENCE)) as mailbox:
        mailbox.user(name)
        mailbox.pass_(SECRET)
        count = mailbox.stat()[0]
        for number in range(1, count + 1):
            mailbox.retr(number)
            mailbox.dele(number)
        mailbox.quit()
    return count


@pytest.mark.parametrize("seed", [1, 2])
async def test_processes_killed_at_random_moments_under_load(apart: House, seed: int) -> None:
    chance = random.Random(seed)
    async with record(apart, f"at-random-{seed}-") as told:
        for turn in range(5):
            victim = chance.choice([SERVE, BRIDGE])
            enough = len(told.heard) + chance.randrange(1, 8)
            loading = asyncio.create_task(told.load(range(turn * 12, turn * 12 + 12)))
            await told.hears(enough)
            await asyncio.sleep(chance.random() / 50)  # the moment is to be anywhere
            apart.latest[victim].send_signal(signal.SIGKILL)
            assert await apart.latest[victim].ended() == KILLED
            await replace(apart, victim)
            await loading
        completed, uncertain = await told.accounts()
        assert completed + uncertain >= len(told.heard) > 20
        assert uncertain <= 5 * len(told.printers)


async def stopped_between_commits(apart: House, running: Running) -> None:
    """SIGSTOP while nobody is inside a transaction.

    The signal is on its way when it is sent: the lock is kept until every thread stands, or one of them might take it
    and be stopped with it.
    """
    with (apart.data / "write.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE):
            while not all(state == "T" for state in running.states()):  # noqa: ASYNC110 - the kernel rings no event
                await asyncio.sleep(0.005)


async def test_mail_comes_in_while_the_bridge_is_stopped(apart: House) -> None:
    async with record(apart, "bridge-stopped-") as told:
        bridge = apart.latest[BRIDGE]
        loading = asyncio.create_task(told.load(range(12)))
        await told.hears(3)
        await stopped_between_commits(apart, bridge)
        try:
            await asyncio.wait_for(loading, PATIENCE)
            await asyncio.wait_for(told.load(range(12, 24)), PATIENCE)
            assert len(told.heard) == 24
        finally:
            bridge.send_signal(signal.SIGCONT)
        assert await told.accounts() == (24, 0)


async def test_what_waits_is_printed_while_the_appliance_is_stopped(apart: House) -> None:
    async with record(apart, "appliance-stopped-") as told:
        await apart.latest[BRIDGE].end()
        await told.load(range(12))
        assert len(told.heard) == 12
        sending = asyncio.create_task(told.load(range(12, 24)))
        await told.hears(14)
        await stopped_between_commits(apart, apart.latest[SERVE])
        try:
            await replace(apart, BRIDGE)
            await asyncio.gather(*(apart.job(number) for number in list(told.heard.values())))
        finally:
            apart.latest[SERVE].send_signal(signal.SIGCONT)
        await sending
        assert len(told.heard) == 24
        assert await told.accounts() == (24, 0)


@pytest.mark.parametrize("decides", [WhenUncertain.REPRINT, WhenUncertain.PRINTED])
async def test_the_entry_decides_what_becomes_of_an_uncertain_job(apart: House, decides: WhenUncertain) -> None:
    """The bridge is killed while the printer holds half of a document."""
    half, killed = asyncio.Event(), asyncio.Event()

    async def stops_once(peer: Peer) -> None:
        if not half.is_set():
            await peer.take(1000)
            half.set()
            await killed.wait()
        await peer.take_all()

    wanted = document(1, 3_000_000)
    async with sink(stops_once, window=4096) as printer:
        languages = (Language.POSTSCRIPT, Language.TEXT)
        name = await apart.add(f"uncertain-{decides}", printer.uri, *languages, when_uncertain=decides)
        number = await apart.mail(name, wanted)
        await asyncio.wait_for(half.wait(), PATIENCE)
        apart.latest[BRIDGE].send_signal(signal.SIGKILL)
        assert await apart.latest[BRIDGE].ended() == KILLED
        killed.set()
        await replace(apart, BRIDGE)
        job = await apart.job(number)
        assert job.state is JobState.COMPLETED
        assert job.reasons[0] == "job-completed-with-warnings"
        stump, *again = printer.jobs
        assert wanted.startswith(stump)
        assert len(stump) < len(wanted)
        if decides is WhenUncertain.PRINTED:
            assert again == []
            assert job.reasons[1] == "x-delivery-unknown"
            return
        banner, whole = again
        assert b"POSSIBLE DUPLICATE" in banner
        assert whole == wanted
        assert job.reasons[1] == "x-printed-again"
        assert job.attempts == 2
