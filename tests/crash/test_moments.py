"""Everything, or the bridge alone, is killed at each moment of a job's sending: what becomes of it is never a guess.

At each of five moments a printer stalls, so that all jobs stand there when SIGKILL comes.  Whatever the printers make
of the stumps, a job is in doubt afterwards, and its printer's entry says what follows: held, printed again under a
banner, or counted as printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailstore.directory.records import Raw, WhenUncertain
from mailstore.job import Job, JobState
from printerbridge.virtual import VirtualPrinter
from tests.documents import pdf
from tests.house import GLANCE, PATIENCE, House, house
from tests.matrix.cells import MOMENTS, OCTETS, document, octets

pytestmark = [pytest.mark.crash, pytest.mark.slow]

DECISIONS = (WhenUncertain.HOLD, WhenUncertain.REPRINT, WhenUncertain.PRINTED)
DOUBT = ("job-suspended", "x-delivery-unknown")
_TAKEN: Mapping[str, int] = dict(zip(MOMENTS, (0, 32768, OCTETS // 2, OCTETS, OCTETS), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    moment: str
    decision: WhenUncertain
    printer: VirtualPrinter
    folder: Path
    job: int

    def stands(self) -> bool:
        """The printer has what it takes before it stalls."""
        spool = self.folder / "job-0001.prn"
        return spool.exists() and spool.stat().st_size >= _TAKEN[self.moment]

    @property
    def whole(self) -> int:
        return sum(job.octets == OCTETS and job.outcome == "printed" for job in self.printer.jobs)


@pytest.mark.parametrize("everything", [False, True], ids=["the bridge", "everything"])
async def test_killed_at_each_moment(tmp_path: Path, everything: bool) -> None:
    async with house(tmp_path / "house") as up, _cases(up, tmp_path) as cases:
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(lambda: all(case.stands() for case in cases)):  # noqa: ASYNC110
                await asyncio.sleep(GLANCE)
        (supervisor,) = up.children
        doomed = supervisor.children()
        for pid in [supervisor.pid, *doomed.values()] if everything else [doomed["bridge"]]:
            os.kill(pid, signal.SIGKILL)
        for case in cases:
            case.printer.set_fault()
            case.printer.resume()
        if everything:
            await supervisor.process.wait()
            await up.up()
        for case in cases:
            _settled(case, await _job(up, case))
        up.children = [child for child in up.children if child.process.returncode is None]


def _settled(case: Case, job: Job) -> None:
    told = f"{case.moment}, {case.decision.value}: {job}"
    match case.decision:
        case WhenUncertain.HOLD:
            assert (job.state, job.reasons) == (JobState.PROCESSING_STOPPED, DOUBT), told
            assert (job.attempts, len(case.printer.jobs)) == (1, 1), told
        case WhenUncertain.REPRINT:
            assert job.state is JobState.COMPLETED, told
            assert job.reasons == ("job-completed-with-warnings", "x-printed-again"), told
            assert job.attempts == 2, told
            # The stump, the banner, and the whole of it: never a second time without the banner before it.
            assert [one.octets == OCTETS for one in case.printer.jobs[1:]] == [False, True], told
        case WhenUncertain.PRINTED:
            assert job.state is JobState.COMPLETED, told
            assert job.reasons == ("job-completed-with-warnings", "x-delivery-unknown"), told
            assert len(case.printer.jobs) == 1, told
    assert case.whole <= job.attempts, told


async def _job(up: House, case: Case) -> Job:
    """Once nothing more happens to it by itself, and its printer has printed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            job = await up.store.job(case.job)
            assert job is not None
            doubt = case.decision is WhenUncertain.HOLD and job.reasons == DOUBT
            connections = 3 if case.decision is WhenUncertain.REPRINT else 1
            if (job.state.ended or doubt) and len(case.printer.jobs) >= connections:
                return job
            await asyncio.sleep(GLANCE)


@contextlib.asynccontextmanager
async def _cases(up: House, folder: Path) -> AsyncIterator[list[Case]]:
    """A printer for each moment and decision, and a job on its way to it."""
    made: list[Case] = []
    try:
        for number, (moment, decision) in enumerate((m, d) for m in MOMENTS for d in DECISIONS):
            paper = folder / f"paper-{number}"
            printer = VirtualPrinter(paper, render=False, faults=[f"accept-then-stall:{octets(moment)}*1"])
            host, port = await printer.start()
            name = await up.add(f"p{number}", f"socket://{host}:{port}", when_uncertain=decision)
            job = await up.mail(name, document())
            made.append(Case(moment=moment, decision=decision, printer=printer, folder=paper, job=job))
        yield made
    finally:
        await asyncio.gather(*(case.printer.close() for case in made))


async def test_killed_between_two_pages_it_goes_on_behind_the_last_one(tmp_path: Path) -> None:
    """The bridge dies while the printer puts out page after page; the rest comes under a banner, and all of it."""
    printer = VirtualPrinter(tmp_path / "paper", render=False, page_seconds=0.7)
    try:
        host, port = await printer.start()
        async with house(tmp_path / "house") as up:
            uri = f"socket://{host}:{port}"
            await up.add("p", uri, pjl=True, when_uncertain=WhenUncertain.RESUME, raw=Raw.NOBODY)
            number = await up.mail("p", pdf(5))
            async with asyncio.timeout(PATIENCE):
                while (progress := await up.store.progress(number)) is None or progress.confirmed < 2:  # noqa: ASYNC110
                    await asyncio.sleep(GLANCE)
            (supervisor,) = up.children
            os.kill(supervisor.children()["bridge"], signal.SIGKILL)
            job = await up.job(number)
            trace = " ".join(event.text for event in await up.store.trace(number))
            async with asyncio.timeout(PATIENCE):
                while len(printer.jobs) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(GLANCE)
    finally:
        await printer.close()
    assert (job.state, job.reasons) == (JobState.COMPLETED, ("job-completed-with-warnings", "x-resumed")), job
    assert job.attempts == 2
    assert "printed on from page" in trace, trace
    stump, banner, rest = printer.jobs
    assert (banner.pages, rest.outcome) == (1, "printed")
    # Whatever the printer still made of what it had, nothing is missing behind the last page that it confirmed.
    assert rest.pages in (1, 2, 3)
    assert stump.pages + rest.pages >= 5
