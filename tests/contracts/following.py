"""What every storage engine must keep of how jobs get on and printers fare (`mailstore.store.following`)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from mailstore.job import DeliveryProof, Event
from mailstore.report import PrinterReport, Supply, Tray
from mailstore.store.contract import Lease, Role, Store
from mailstore.store.following import Progress
from tests.contracts.engines import Opener
from tests.contracts.store import accept, complete, held
from tests.contracts.wishes import DOUBT, in_doubt, traced

SECOND_PAGE = Progress(
    document=1, octets=3_000_000_000, octets_total=5_000_000_000, pages=2, pages_total=7, pages_before=3, pages_all=12
)
PRINTER_REPORT = PrinterReport(
    printer="phaser",
    asked_at=1000.5,
    answered_at=1000.75,
    model="Phaser 360",
    serial="X1",
    console="Bereit, läuft",
    pages=123_456,
    supplies=(
        Supply(name="Black", kind="toner", color="black", level=0.25),
        Supply(name="Waste", kind="waste-toner", color="", level=None),
    ),
    trays=(Tray(name="Tray 1", media="A4", level=1.0), Tray(name="Tray 2", media="", level=None)),
)


async def being_sent(store: Store) -> tuple[Lease, int]:
    (job_id,) = await accept(store, "phaser")
    lease = await held(store)
    assert await store.sending(lease, job_id, 0)
    return lease, job_id


@pytest.mark.parametrize(
    ("progress", "confirmed", "resumable"),
    [
        (Progress(document=0, octets=5, octets_total=9), 0, False),
        (Progress(document=0, octets=9, octets_total=9, pages=2), 2, True),
        (Progress(document=0, octets=9, octets_total=9, pages=3, pages_total=3), 3, True),
        (Progress(document=0, octets=9, octets_total=9, pages=4, pages_total=3), 4, False),  # it counts something else
        (Progress(document=1, octets=0, octets_total=9), 0, True),
        (Progress(document=2, octets=0, octets_total=9, pages=1, pages_before=5), 6, True),
    ],
)
def test_what_a_printer_confirmed_says_where_to_go_on(progress: Progress, confirmed: int, resumable: bool) -> None:
    assert (progress.confirmed, progress.resumable) == (confirmed, resumable)


async def test_progress_is_what_was_told_last(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    _, job_id = await being_sent(bridge)
    assert await bridge.progress(job_id) is None
    for pages in range(7):
        await bridge.set_progress(job_id, replace(SECOND_PAGE, pages=pages))
    await bridge.set_progress(job_id, SECOND_PAGE)
    assert await bridge.progress(job_id) == SECOND_PAGE
    assert await appliance.progress(job_id) == SECOND_PAGE
    assert len(await traced(appliance, job_id)) == 2  # it is not the trace's


async def test_progress_stays_when_the_job_is_in_doubt_and_when_it_ended(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    lease, job_id = await being_sent(store)
    await store.set_progress(job_id, SECOND_PAGE)
    assert await store.move(lease, job_id, Event.DOUBT, reasons=DOUBT)
    assert await store.progress(job_id) == SECOND_PAGE
    assert await store.decide(job_id, "ada", printed=True)
    assert await store.progress(job_id) == SECOND_PAGE
    await store.set_progress(job_id, replace(SECOND_PAGE, pages=3))  # too late
    assert await store.progress(job_id) == SECOND_PAGE


async def test_progress_outlives_the_process(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    _, job_id = await being_sent(store)
    await store.set_progress(job_id, SECOND_PAGE)
    await store.close()
    again = await opened(Role.BRIDGE)
    assert await again.progress(job_id) == SECOND_PAGE


async def test_of_what_is_unknown_or_ended_no_progress_is_kept(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    lease, job_id = await being_sent(store)
    assert await complete(store, lease, job_id)
    for number in (job_id, job_id + 1, 0):
        await store.set_progress(number, SECOND_PAGE)
        assert await store.progress(number) is None


async def test_progress_of_an_end_in_the_same_commit_counts(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    lease, job_id = await being_sent(store)
    await store.set_progress(job_id, SECOND_PAGE)
    assert await complete(store, lease, job_id)
    assert await store.progress(job_id) == SECOND_PAGE


async def test_progress_goes_with_the_jobs_record(opened: Opener) -> None:
    store = await opened()
    lease, job_id = await being_sent(store)
    await store.set_progress(job_id, SECOND_PAGE)
    assert await complete(store, lease, job_id)
    await store.sweep(time.time() + 2 * 86400)
    assert await store.progress(job_id) == SECOND_PAGE
    await store.sweep(time.time() + 100 * 86400)
    assert await store.job(job_id) is None
    assert await store.progress(job_id) is None


async def test_a_removed_printer_leaves_neither_progress_nor_report(opened: Opener) -> None:
    store = await opened()
    _, job_id = await being_sent(store)
    await store.set_progress(job_id, SECOND_PAGE)
    await store.set_report(PRINTER_REPORT)
    await store.set_report(replace(PRINTER_REPORT, printer="other"))
    await store.forget_printer("phaser")
    assert await store.progress(job_id) is None
    assert await store.report("phaser") is None
    assert [report.printer for report in await store.reports()] == ["other"]


async def test_a_report_comes_back_as_it_was_told(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    assert await bridge.report("phaser") is None
    assert await bridge.reports() == []
    await bridge.set_report(PRINTER_REPORT)
    assert await bridge.report("phaser") == PRINTER_REPORT
    assert await appliance.report("phaser") == PRINTER_REPORT
    bare = PrinterReport(printer="a-first", asked_at=2000.0)
    await bridge.set_report(bare)
    assert list(await bridge.reports()) == [bare, PRINTER_REPORT]
    assert not bare.up
    assert PRINTER_REPORT.up
    silent = replace(PRINTER_REPORT, asked_at=2000.0)
    await bridge.set_report(silent)
    assert list(await bridge.reports()) == [bare, silent]
    assert not silent.up


async def test_a_report_takes_what_no_text_can_hold(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    await store.set_report(replace(PRINTER_REPORT, console="half \udc80 a pair", model="\"\\'; DROP TABLE job"))
    found = await store.report("phaser")
    assert found is not None
    assert (found.console, found.model) == ("half ? a pair", "\"\\'; DROP TABLE job")


async def test_many_reports_at_once_are_all_there(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    names = [f"printer-{number:03}" for number in range(300)]
    await asyncio.gather(*(store.set_report(replace(PRINTER_REPORT, printer=name)) for name in names))
    assert [report.printer for report in await store.reports()] == names


# -- going on behind the last page


async def test_a_job_in_doubt_goes_on_behind_the_last_page(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    lease, job_id = await being_sent(store)
    await store.set_progress(job_id, SECOND_PAGE)
    assert await store.move(lease, job_id, Event.DOUBT, reasons=DOUBT, detail="the connection was lost")
    assert await store.decide(job_id, "ada", printed=False, resume=True)
    job = await store.job(job_id)
    assert job is not None
    assert (job.state, job.reasons, job.detail) == ("pending", ("x-resumed", "job-queued"), "the connection was lost")
    told = "to be printed on from page 3 of document 2, by ada"
    assert (await traced(store, job_id))[-1] == f"pending: x-resumed job-queued ({told})"
    assert await store.progress(job_id) == SECOND_PAGE
    assert not await store.decide(job_id, "ada", printed=False, resume=True)


async def test_documents_alone_can_say_where_to_go_on(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    job_id = await in_doubt(store)
    await store.set_progress(job_id, Progress(document=2, octets=0, octets_total=10))
    assert await store.decide(job_id, "ada", printed=False, resume=True)
    assert "from document 3, by ada" in (await traced(store, job_id))[-1]


@pytest.mark.parametrize("progress", [None, Progress(document=0, octets=9, octets_total=10)])
async def test_nothing_goes_on_behind_what_nobody_confirmed(opened: Opener, progress: Progress | None) -> None:
    store = await opened()
    job_id = await in_doubt(store)
    if progress:
        await store.set_progress(job_id, progress)
    before = await traced(store, job_id)
    assert not await store.decide(job_id, "ada", printed=False, resume=True)
    assert await traced(store, job_id) == before
    with pytest.raises(ValueError, match="printed"):
        await store.decide(job_id, "ada", printed=True, resume=True)


async def test_only_a_job_in_doubt_goes_on(opened: Opener) -> None:
    store = await opened()
    _, job_id = await being_sent(store)
    await store.set_progress(job_id, SECOND_PAGE)
    assert not await store.decide(job_id, "ada", printed=False, resume=True)
    assert not await store.decide(job_id + 1, "ada", printed=False, resume=True)


async def test_a_job_that_goes_on_says_so_while_it_waits(opened: Opener) -> None:
    """Held by somebody, held for a limit, left by a holder that died before it sent anything."""
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    job_id = await in_doubt(bridge)
    await bridge.set_progress(job_id, SECOND_PAGE)
    assert await bridge.decide(job_id, "ada", printed=False, resume=True)
    assert await appliance.hold(job_id, "ada")
    assert await appliance.unhold(job_id, "ada")
    lease = await held(bridge)
    assert await bridge.claim(lease, job_id, ["job-transforming", "x-resumed"])
    await bridge.release(lease)
    job = await bridge.job(job_id)
    assert job is not None
    assert (job.state, job.reasons) == ("pending", ("x-resumed", "job-queued"))
    assert await bridge.hold_for_limit(job_id, "too many pages")
    job = await bridge.job(job_id)
    assert job is not None
    assert job.reasons == ("account-limit-reached", "x-resumed")


async def test_a_sending_may_say_what_it_sends(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    lease = await held(store)
    assert await store.sending(lease, job_id, 0)
    assert await store.sending(lease, job_id, 1, told="document 1, copy 2")
    assert (await traced(store, job_id))[1:] == [
        "sending: attempt 1, document 1",
        "sending: attempt 1, document 1, copy 2",
    ]
    reasons = ["job-completed-successfully"]
    assert await store.end(lease, job_id, Event.COMPLETE, reasons=reasons, proof=DeliveryProof.CLOSED)
