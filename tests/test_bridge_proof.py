"""How jobs end, and what proves it: marks, errors, limits, quiet hours, and going on behind a confirmed page."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mailstore.directory.records import Language, WhenUncertain
from mailstore.job import DeliveryProof, JobState
from mailstore.store.following import Progress
from mailstore.store.outbox import Occasion
from printerbridge.appsocket import Patience
from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_device import Device
from printerbridge.virtual_panel import Panel
from printerbridge.virtual_personality import personality
from printerbridge.virtual_pjl import Command, Document, JobStream
from tests.documents import pdf
from tests.printshop import POSTSCRIPT, SOON, Printshop, message, printshop
from tests.sink import Peer, free_port, sink

pytestmark = pytest.mark.slow  # foreign programs

ANSWERING = replace(SOON, patience=Patience(connect=5.0, stall=60.0, give_up=60.0, end=10.0, answer=5.0))

COUNTING = replace(ANSWERING, count=0.1)


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Printshop]:
    async with printshop(tmp_path) as made:
        yield made


async def interpreter(peer: Peer, said: bytes = b"", *, runs: bool = True) -> None:
    """A PostScript printer's back channel: it says `said`, and what a mark prints, if it `runs` so far."""
    taken = b""
    while data := await peer.take(1):
        taken += data
        if mark := re.search(rb"\((%%\[.*?\]%%)\) print flush\n$", taken):
            await peer.say(said + (mark[1] + b"\r\n" if runs else b""))


async def test_a_mark_behind_the_document_comes_back(shop: Printshop) -> None:
    async with sink(interpreter) as printer, shop.bridge(ANSWERING):
        await shop.printer("phaser", printer.uri, ps_echo=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)), seconds=4)
        (received,) = printer.jobs
    assert (job.state, job.reasons) == (JobState.COMPLETED, ("job-completed-successfully",))
    assert job.delivery_proof is DeliveryProof.INTERPRETED
    assert received.startswith(POSTSCRIPT)


@pytest.mark.parametrize(
    ("runs", "reason"), [(False, "job-completed-with-errors"), (True, "job-completed-with-warnings")]
)
async def test_a_program_that_fails_is_never_printed_successfully(shop: Printshop, runs: bool, reason: str) -> None:
    async def stumbles(peer: Peer) -> None:
        said = b"%%[ Error: undefined; OffendingCommand: shwo ]%%\r\n"
        await interpreter(peer, said if runs else said + b"%%[ Flushing: rest of job ]%%\r\n", runs=runs)

    async with sink(stumbles) as printer, shop.bridge(ANSWERING):
        await shop.printer("phaser", printer.uri, ps_echo=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)), seconds=4)
    assert (job.state, job.reasons) == (JobState.COMPLETED, (reason,))
    assert "document 1: the printer says: undefined; OffendingCommand: shwo" in job.detail
    assert [one.occasion for one in await shop.store.occurrences(10)] == [Occasion.INCOMPLETE] * (not runs)


async def test_a_postscript_printer_without_paper_says_so(shop: Printshop) -> None:
    paper = asyncio.Event()

    async def empty(peer: Peer) -> None:
        await peer.take(len(POSTSCRIPT))
        await peer.say(b"%%[ PrinterError: out of paper ]%%\r\n")
        await paper.wait()
        await peer.say(b"%%[ status: busy; source: Ethernet ]%%\r\n")
        await peer.take_all()

    async with sink(empty) as printer, shop.bridge(ANSWERING):
        await shop.printer("phaser", printer.uri)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        state = await shop.fares("phaser", "media-empty")
        await shop.until(job_id, JobState.PROCESSING_STOPPED)
        paper.set()
        (job,) = await shop.ended(job_id)
        await shop.fares("phaser")
    assert state.detail == "the printer says: out of paper"
    assert job.reasons == ("job-completed-successfully",)


async def test_a_printer_that_takes_nothing_for_too_long_loses_the_job_and_not_the_line(shop: Printshop) -> None:
    large = POSTSCRIPT + b"%" * (2 << 20)

    async def stuck(peer: Peer) -> None:
        if printer.connections == 1:
            await peer.take(1000)
            await asyncio.Event().wait()
        await peer.take_all()

    patience = Patience(connect=5.0, stall=0.1, give_up=0.4, end=5.0)
    async with sink(stuck, window=4096) as printer, shop.bridge(replace(SOON, patience=patience)):
        await shop.printer("phaser", printer.uri)
        job_id = await shop.submit("phaser", message(large))
        job, following = await shop.ended(job_id, await shop.submit("phaser", message(POSTSCRIPT)))
        progress = await shop.store.progress(job_id)
        await shop.fares("phaser")
    assert (job.state, job.reasons) == (JobState.ABORTED, ("aborted-by-system", "job-canceled-after-timeout"))
    assert re.search(r"document 1: the printer took nothing for .*; [0-9]{4,} octets taken", job.detail)
    assert following.state is JobState.COMPLETED
    assert progress is not None
    assert 1000 <= progress.octets < progress.octets_total == len(large)


async def test_one_that_is_busy_is_no_trouble_until_it_lasts(shop: Printshop) -> None:
    port = await free_port()
    await shop.printer("phaser", f"socket://127.0.0.1:{port}")
    async with shop.bridge(replace(SOON, idle=0.1)):
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.told(job_id, "refuses")
        state = await shop.store.printer_state("phaser")
    assert (state.state, state.state_reasons) == ("idle", ())
    async with shop.bridge(replace(SOON, busy=0.0, idle=0.1)):
        await shop.fares("phaser", "connecting-to-device")
        await shop.store.cancel(job_id, "ada")
        await shop.fares("phaser")  # nobody tries any more


async def test_quiet_hours_hold_the_line_and_are_told(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, quiet_hours=("00:00-24:00",))
        await shop.printer("laser", printer.uri)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        state = await shop.fares("phaser", "shutdown-report")
        await shop.ended(await shop.submit("laser", message(POSTSCRIPT)))  # whose printer it is, too
        assert await shop.states([job_id]) == [JobState.PENDING]
        await shop.printer("phaser", printer.uri)
        await shop.ended(job_id)
        await shop.fares("phaser")
        assert len(printer.jobs) == 2
    assert state.state == "stopped"
    assert state.detail.startswith("quiet hours until ")


# -- going on behind a confirmed page


async def laser(peer: Peer, breaks_after: int = 0, *, pages: int = 3) -> list[str]:
    """A printer that says page after page of a document of so many, and is gone after some of them."""
    stream, panel = JobStream(), Panel(Device(), personality("plain"))
    jobs: list[str] = []
    while data := await asyncio.get_running_loop().sock_recv(peer.sock, 65536):
        peer.taken += data
        for item in stream.feed(data):
            if isinstance(item, Document):
                first = panel.wanted[0]
                panel.skip(first - 1)
                for number in range(first, pages + 1):
                    if breaks_after and number > breaks_after:
                        peer.reset()
                        return jobs
                    await peer.say(panel.page())
            elif isinstance(item, Command):
                jobs += [item.rest] if item.verb == "JOB" else []
                await peer.say(panel.answer(item))
    return jobs


async def breaks_at_first(shop: Printshop, policy: WhenUncertain, **more: Any) -> tuple[int, list[list[str]]]:
    """A job of three pages, of which two are confirmed before the connection breaks; and what JOB lines there were."""
    jobs: list[list[str]] = []

    async def moody(peer: Peer) -> None:
        first = not jobs
        jobs.append([])
        jobs[-1] += await laser(peer, 2 if first else 0)

    async with sink(moody) as printer, shop.bridge(ANSWERING):
        await shop.printer("laser", printer.uri, when_uncertain=policy, pjl=True, **more)
        job_id = await shop.submit("laser", message(pdf(3)))
        await shop.told(job_id, "x-delivery-unknown")
        if policy is WhenUncertain.RESUME and not more:
            await shop.ended(job_id)
        elif more:
            await shop.store.decide(job_id, "ada", printed=False, resume=True)
            await shop.told(job_id, "it cannot go on")
    return job_id, jobs


async def test_a_job_goes_on_behind_the_last_page_that_the_printer_confirmed(shop: Printshop) -> None:
    job_id, jobs = await breaks_at_first(shop, WhenUncertain.RESUME)
    job = await shop.store.job(job_id)
    assert job is not None
    assert (job.state, job.reasons) == (JobState.COMPLETED, ("job-completed-with-warnings", "x-resumed"))
    assert job.attempts == 2
    (broken,), (banner,), (rest,) = jobs
    assert "START" not in broken + banner
    assert "START = 3" in rest
    assert "2 of 3 pages confirmed" in await shop.trace(job_id)


async def test_what_is_known_of_a_job_in_doubt_is_said(shop: Printshop) -> None:
    job_id, jobs = await breaks_at_first(shop, WhenUncertain.HOLD)
    job, progress = await shop.store.job(job_id), await shop.store.progress(job_id)
    assert job is not None
    assert progress is not None
    assert job.state is JobState.PROCESSING_STOPPED
    assert "2 of 3 pages confirmed" in job.detail
    assert replace(progress, octets=0, octets_total=0) == Progress(
        document=0, octets=0, octets_total=0, pages=2, pages_total=3, pages_all=3
    )
    assert len(jobs) == 1


async def test_a_job_that_cannot_go_on_is_held_again_and_says_why(shop: Printshop) -> None:
    job_id, jobs = await breaks_at_first(shop, WhenUncertain.RESUME, pjl_one_option=True)
    job = await shop.until(job_id, JobState.PROCESSING_STOPPED)
    assert job.reasons == ("job-suspended", "x-delivery-unknown")
    assert job.detail.endswith("the printer cannot be told by PJL to begin at a page")
    assert len(jobs) == 1
    assert "DISPLAY" not in jobs[0][0]


async def test_documents_that_were_sent_before_are_not_sent_again(shop: Printshop) -> None:
    documents = [POSTSCRIPT + b"%% %d\n" % number for number in range(3)]

    async def breaks_once(peer: Peer) -> None:
        if printer.connections == 2:
            await peer.take(10)
            peer.reset()
        else:
            await peer.take_all()

    async with sink(breaks_once) as printer, shop.bridge():
        await shop.printer(
            "phaser", printer.uri, Language.POSTSCRIPT, Language.TEXT, when_uncertain=WhenUncertain.RESUME
        )
        (job,) = await shop.ended(await shop.submit("phaser", message(*documents)))
        sent = printer.jobs
    assert [sent[0], sent[1], *sent[3:]] == [documents[0], documents[1][:10], documents[1], documents[2]]
    assert b"GOES ON" in sent[2]
    assert b"document 2" in sent[2]
    assert job.reasons == ("job-completed-with-warnings", "x-resumed")


async def test_a_document_that_nobody_saw_through_is_not_left_out(shop: Printshop) -> None:
    """The printer took all of the first one and no more: it may never have come out of its memory."""

    async def never_closes(peer: Peer) -> None:
        if printer.connections == 2:
            await peer.take(10)
            peer.reset()
        else:
            await peer.take_all()
            await asyncio.Event().wait()

    hurried = replace(SOON, patience=Patience(connect=5.0, stall=5.0, give_up=20.0, end=0.1, answer=0.1))
    async with sink(never_closes) as printer, shop.bridge(hurried):
        await shop.printer("phaser", printer.uri, when_uncertain=WhenUncertain.RESUME)
        job_id = await shop.submit("phaser", message(POSTSCRIPT, POSTSCRIPT))
        job = await shop.until(job_id, JobState.PROCESSING_STOPPED, seconds=5)
        assert printer.connections == 2
        assert not await shop.store.decide(job_id, "ada", printed=False, resume=True)
    assert job.reasons == ("job-suspended", "x-delivery-unknown")


@pytest.mark.parametrize(
    ("grace", "told"),
    [(0.0, "the connection was lost"), (60.0, "while it waited for the printer; documents from 2 on were not sent")],
    ids=["broken off", "stopped"],
)
async def test_a_bridge_that_ends_between_two_documents_knows_what_it_sent(
    shop: Printshop, grace: float, told: str
) -> None:
    documents = [POSTSCRIPT + b"%% %d\n" % number for number in range(2)]
    taken, port = asyncio.Event(), await free_port()

    async def goes_off(peer: Peer) -> None:
        await peer.take_all()
        taken.set()
        await asyncio.Event().wait()  # it closes, and does not listen any more

    await shop.printer(
        "phaser",
        f"socket://127.0.0.1:{port}",
        Language.POSTSCRIPT,
        Language.TEXT,
        when_uncertain=WhenUncertain.RESUME,
    )
    async with shop.bridge(grace=grace):
        async with sink(goes_off, port=port) as printer:
            job_id = await shop.submit("phaser", message(*documents))
            await taken.wait()
        await shop.told(job_id, "waiting to send document 2")
    assert told in await shop.trace(job_id)
    async with sink(port=port) as back, shop.bridge():
        (job,) = await shop.ended(job_id)
    banner, second = back.jobs
    assert [*printer.jobs, second] == documents
    assert b"GOES ON" in banner
    assert job.reasons == ("job-completed-with-warnings", "x-resumed")


# -- pages that the printer counts


@contextlib.asynccontextmanager
async def counting_printer(paper: Path) -> AsyncIterator[tuple[VirtualPrinter, str, int]]:
    printer = VirtualPrinter(paper, snmp=True, page_seconds=0.05)
    host, port = await printer.start()
    try:
        assert printer.snmp_address is not None
        yield printer, f"socket://{host}:{port}", printer.snmp_address[1]
    finally:
        await printer.close()


async def test_a_page_counter_that_rises_is_the_proof(shop: Printshop, tmp_path: Path) -> None:
    async with counting_printer(tmp_path / "paper") as (printer, uri, snmp), shop.bridge(COUNTING):
        await shop.printer("laser", uri, snmp_port=snmp)
        (job,) = await shop.ended(await shop.submit("laser", message(pdf(3))), seconds=8)
        assert printer.pages == 3
    assert (job.state, job.delivery_proof) == (JobState.COMPLETED, DeliveryProof.IDLE_PAGES)
    assert job.reasons == ("job-completed-successfully",)
    assert "queued-in-device" in await shop.trace(job.id)


async def test_trouble_before_the_last_page_is_waited_for(shop: Printshop, tmp_path: Path) -> None:
    async with counting_printer(tmp_path / "paper") as (printer, uri, snmp), shop.bridge(COUNTING):
        await shop.printer("laser", uri, snmp_port=snmp)
        printer.set_condition("media-jam")
        job_id = await shop.submit("laser", message(pdf(2)))
        stopped = await shop.until(job_id, JobState.PROCESSING_STOPPED)
        printer.set_condition("")
        (job,) = await shop.ended(job_id, seconds=8)
    assert stopped.reasons == ("printer-stopped",)
    assert "jam" in stopped.detail
    assert job.delivery_proof is DeliveryProof.IDLE_PAGES


async def test_pages_are_waited_for_no_longer_when_the_job_is_canceled(shop: Printshop, tmp_path: Path) -> None:
    async with counting_printer(tmp_path / "paper") as (printer, uri, snmp), shop.bridge(COUNTING):
        await shop.printer("laser", uri, snmp_port=snmp)
        printer.set_condition("media-jam")
        job_id = await shop.submit("laser", message(pdf(2)))
        await shop.until(job_id, JobState.PROCESSING_STOPPED)
        assert await shop.store.cancel(job_id, "ada")
        printer.set_condition("")
        (following,) = await shop.ended(await shop.submit("laser", message(pdf(1))), seconds=8)
    assert following.state is JobState.COMPLETED
    assert await shop.states([job_id]) == [JobState.CANCELED]
