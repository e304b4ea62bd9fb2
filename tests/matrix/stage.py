"""One bridge, the page and the API, and a virtual printer for each cell of the table; all cells are played at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.doctor import printers as doctor
from appliance.doctor.finding import Level
from appliance.doctor.house import House
from appliance.doctor.network import Answer
from mailstore.condition import in_words
from mailstore.directory.records import Printer, Snmp
from mailstore.job import ENDED, Job, JobState
from mailstore.store.contract import Envelope, PrinterState, Recipient, Role, Store
from mailstore.store.sql import open_store
from printerbridge.appsocket import Patience
from printerbridge.bridge import Bridge
from printerbridge.patience import Timing
from printerbridge.retry import SCHEDULES, Schedule
from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_job import PrintedJob
from tests.matrix.cells import CONNECT, Cell, Expected, document
from tests.matrix.expected import EXPECTED, OR
from tests.printshop import message
from tests.web_house import WebHouse, web_house

QUICK = Timing(
    patience=Patience(connect=5.0, stall=0.2, give_up=60.0, end=8.0, answer=4.0),
    schedules=dict.fromkeys(SCHEDULES, Schedule(first=0.2, factor=1.0, longest=0.2)),
    look=0.5,
    idle=1.0,
    busy=0.5,
)
"""Seconds of a real site made fractions of one; what waits for somebody waits as long as the play goes."""
LIMITED = replace(QUICK, patience=replace(QUICK.patience, give_up=2.0))
"""The same with a stall limit that is reached."""
DEADLINE = 60.0
GLANCE = 0.02
STANDS_SECONDS = 3.0
"""For a cell of which nothing is known."""
PAPER_SECONDS = 20.0
REST_SECONDS = 5.0
_MENDED = frozenset({"stall", "media-empty", "vanish", "cancel"})
STANDS = frozenset({JobState.PROCESSING_STOPPED.value, JobState.PENDING.value})


@dataclass(slots=True, kw_only=True)
class Played:
    """What was seen of one cell: while the fault stood, if somebody had to mend it, and in the end."""

    cell: Cell
    stood: Job | None = None
    stood_printer: PrinterState | None = None
    job: Job
    printer: PrinterState
    paper: Sequence[PrintedJob]
    untold: Sequence[str]  # what the page, the API or doctor got wrong

    @property
    def came(self) -> str:
        """What came out, connection by connection; those that brought nothing are left out."""
        return _came(self.paper)

    @property
    def whole(self) -> int:
        """How often all of it came out."""
        return sum(one.outcome == "printed" for one in self.paper)

    @property
    def expected(self) -> Expected | None:
        return EXPECTED[self.cell.pjl].get((self.cell.row, self.cell.moment))

    @property
    def as_expected(self) -> bool:
        """In one way or the other, where there are two."""
        return self.observed in (self.expected, OR.get((self.cell.row, self.cell.moment, self.cell.pjl)))

    @property
    def observed(self) -> Expected:
        return Expected(
            stands=self.stood.state.value if self.stood else "",
            printer=" ".join(self.stood_printer.state_reasons) if self.stood_printer else "",
            state=self.job.state.value,
            reasons=" ".join(self.job.reasons),
            proof=self.job.delivery_proof.value,
            attempts=self.job.attempts,
            paper=self.came,
        )


class Stage:
    """Where cells are played."""

    def __init__(self, house: WebHouse, folder: Path, silence: float) -> None:
        """`silence`: seconds after which a printer takes a job for ended of which nothing more comes."""
        self.house = house
        self._silence = silence
        self._folder = folder
        self._browser: Any = None

    @property
    def store(self) -> Store:
        return self.house.store

    async def ahead(self) -> int:
        """Octets of PJL that go before a document."""
        healthy = Cell(row="healthy", moment=CONNECT, pjl=True, settings={"pjl": True})
        paper = await self._printer(healthy, fault="")
        try:
            await self.house.changed()
            await self._until(await self._submit(healthy.name), healthy)
            taken = (await paper.job(1)).path
            assert taken is not None
            return (await asyncio.to_thread(taken.read_bytes)).index(document()[:20])
        finally:
            await paper.close()

    async def play(self, cells: Sequence[Cell]) -> list[Played]:
        """All at once."""
        made = {cell: await self._printer(cell, cell.fault) for cell in cells}
        await self.house.changed()
        try:
            async with self.house.browser() as self._browser:
                return list(await asyncio.gather(*(self._one(cell, paper) for cell, paper in made.items())))
        finally:
            await asyncio.gather(*(paper.close() for paper in made.values()))

    async def _printer(self, cell: Cell, fault: str) -> VirtualPrinter:
        folder = self._folder / "paper" / cell.name
        paper = VirtualPrinter(folder, render=False, idle_timeout=self._silence, faults=[fault] if fault else [])
        host, port = await paper.start()
        entry = Printer(
            name=cell.name,
            addresses=(f"{cell.name}@example.com",),
            uri=f"socket://{host}:{port}",
            allow=("@example.com",),
            snmp=Snmp.OFF,
            **cell.settings,
        )
        await self.house.directory.add(entry, None)
        return paper

    async def _one(self, cell: Cell, paper: VirtualPrinter) -> Played:
        number = await self._submit(cell.name)
        stood = stood_printer = None
        untold: list[str] = []
        expected = EXPECTED[cell.pjl].get((cell.row, cell.moment))
        if expected is None or expected.stands:
            stood, stood_printer = await self._stands(number, cell, expected)
            untold = await self._truth(stood, stood_printer) if stood.state.value in STANDS else []
            await self._mend(cell, number, paper)
        job = await self._until(number, cell)
        if cell.row in _MENDED and job.state is not JobState.CANCELED:  # whose connection is reset a moment later
            paper.resume()
        await self._put_out(paper, expected)
        printer = await self._at_rest(cell.name)
        untold += await self._truth(job, printer)
        return Played(
            cell=cell,
            stood=stood,
            stood_printer=stood_printer,
            job=job,
            printer=printer,
            paper=list(paper.jobs),
            untold=untold,
        )

    async def _put_out(self, paper: VirtualPrinter, expected: Expected | None) -> None:
        """Until the printer has put out what it should, or a while has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAPER_SECONDS):
                while not paper.jobs or (expected and _came(paper.jobs) != expected.paper):  # noqa: ASYNC110
                    await asyncio.sleep(GLANCE)

    async def _at_rest(self, name: str) -> PrinterState:
        """How the printer fares once nothing is being sent to it any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REST_SECONDS):
                while (await self.store.printer_state(name)).state != "idle":  # noqa: ASYNC110
                    await asyncio.sleep(GLANCE)
        return await self.store.printer_state(name)

    async def _submit(self, printer: str) -> int:
        mail = message(document())
        draft = await self.store.draft(len(mail))
        draft.write(mail)
        envelope = Envelope(
            reverse_path="ada@example.com", client_ip="127.0.0.1", helo="h", trust="insider", name="a job", documents=1
        )
        to = Recipient(maildrop=printer, address=f"{printer}@example.com", quota=1 << 40, fields=b"")
        return (await self.store.accept(draft, envelope, [to]))[0]

    async def _stands(self, number: int, cell: Cell, expected: Expected | None) -> tuple[Job, PrinterState]:
        """The job and the printer, once the fault is told of as it should be; of a cell that nobody knows, a guess."""
        job = state = None
        try:
            async with asyncio.timeout(DEADLINE if expected else STANDS_SECONDS):
                while True:
                    job, state = await self.store.job(number), await self.store.printer_state(cell.name)
                    assert job is not None
                    told = (job.state.value, " ".join(state.state_reasons))
                    if expected and told == (expected.stands, expected.printer):
                        return job, state
                    await asyncio.sleep(GLANCE)
        except TimeoutError:
            assert expected is None, f"{cell.name} should stand: {job} {state}"
            assert job is not None
            assert state is not None
            return job, state

    async def _mend(self, cell: Cell, number: int, paper: VirtualPrinter) -> None:
        if cell.row == "cancel":
            await self.store.cancel(number, "ada")
        elif cell.row != "give-up":
            paper.set_fault()
            paper.resume()

    async def _until(self, number: int, cell: Cell) -> Job:
        job = None
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    job = await self.store.job(number)
                    assert job is not None
                    doubt = job.state is JobState.PROCESSING_STOPPED and "x-delivery-unknown" in job.reasons
                    if job.state in ENDED or doubt or await self._waits(cell):
                        return job
                    await asyncio.sleep(GLANCE)
        except TimeoutError:
            raise AssertionError(f"{cell.name} does not end: {job}") from None

    async def _waits(self, cell: Cell) -> bool:
        """A printer that was never reached is waited for until the job's own time is over."""
        reached = (cell.row, cell.moment) != ("give-up", CONNECT)
        return not reached and (await self.store.printer_state(cell.name)).state == "stopped"

    async def _truth(self, job: Job, state: PrinterState) -> list[str]:
        """What the page, the API and doctor say otherwise than the store; nothing, if they tell the truth."""
        wrong = []
        told = (await self._browser.get(f"/api/v1/printers/{job.printer}")).json()
        if (told["state"], tuple(told["state_reasons"])) not in _states(state):
            wrong.append(f"the API says {told['state']} {told['state_reasons']}, the store {state}")
        told = (await self._browser.get(f"/api/v1/jobs/{job.id}")).json()
        now = await self.store.job(job.id)
        assert now is not None
        if (told["state"], told["delivery_proof"]) != (now.state.value, now.delivery_proof.value):
            wrong.append(f"the API says {told['state']} {told['delivery_proof']}, the store {now}")
        page = (await self._browser.get(f"/printers/{job.printer}")).text
        wrong += [f"the printer's page does not say {reason}" for reason in _words(state) if reason not in page]
        wrong += await self._doctor(job, state)
        return wrong

    async def _doctor(self, job: Job, state: PrinterState) -> list[str]:
        nobody = Answer(heard=False, trouble="")
        entry = await self.house.directory.printer(job.printer)
        assert entry is not None
        house = House(settings=self.house.settings, appliance=nobody, bridge=nobody, store=self.store, printers=[entry])
        found = " ".join([one.text async for one in doctor.printers(house) if one.level is Level.WARNING])
        now = await self.store.job(job.id)
        wrong = []
        if state.state == "stopped" and "stopped" not in found:
            wrong.append(f"doctor does not say that {job.printer} is stopped: {found}")
        if now is not None and now.state is JobState.PROCESSING_STOPPED and "waits for somebody" not in found:
            wrong.append(f"doctor does not say that the job of {job.printer} waits: {found}")
        return wrong


def _came(paper: Sequence[PrintedJob]) -> str:
    return ", ".join(one.outcome for one in paper if one.outcome != "nothing") or "nothing"


def _states(state: PrinterState) -> set[tuple[str, tuple[str, ...]]]:
    """An idle printer with a job at hand is processing."""
    held = {(state.state, state.state_reasons)}
    return held | {("processing", state.state_reasons)} if state.state == "idle" else held


def _words(state: PrinterState) -> list[str]:
    return [in_words(reason) for reason in state.state_reasons]


@contextlib.asynccontextmanager
async def stage(folder: Path, timing: Timing = QUICK, silence: float = 60.0) -> AsyncIterator[Stage]:
    """Everything real but the printers."""
    async with web_house(folder / "house") as house:
        drains = await open_store(folder / "house", role=Role.BRIDGE, runtime=house.runtime)
        bridge = Bridge(
            drains, house.bridges, spool=folder / "spool", media="iso_a4_210x297mm", converters=2, timing=timing
        )
        await bridge.start()
        try:
            yield Stage(house, folder, silence)
        finally:
            await bridge.stop(1.0)
            await drains.close()
