"""The bridge as a whole: a real store, a real slapd, printers on real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Language, WhenUncertain
from mailstore.failure import TransientFailure
from mailstore.job import DeliveryProof, JobState
from mailstore.store.papers import Fate
from printerbridge.ready import Ready
from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_sockets import darken
from tests.documents import pdf
from tests.printshop import POSTSCRIPT, Printshop, message, printshop
from tests.sink import Peer, free_port, sink

PCL = b"\x1bE\x1b&l0Ohello\x0c\x1bE"

pytestmark = pytest.mark.slow  # foreign programs


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Printshop]:
    async with printshop(tmp_path) as made:
        yield made


def numbered(count: int) -> list[bytes]:
    return [POSTSCRIPT + b"%% %d\n" % number for number in range(count)]


async def test_postscript_arrives_octet_for_octet_once(shop: Printshop) -> None:
    document = POSTSCRIPT + bytes(range(256)) * 400
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        job_id = await shop.submit("phaser", message(document))
        (job,) = await shop.ended(job_id)
        assert printer.jobs == [document]
    assert job.state is JobState.COMPLETED
    assert job.delivery_proof is DeliveryProof.CLOSED
    assert job.attempts == 1
    assert (await shop.store.standing("phaser"))[1] == 0


async def test_what_the_printer_says_is_in_the_trace(shop: Printshop) -> None:
    async def chatty(peer: Peer) -> None:
        await peer.take_all()
        await peer.say(b"%%[ Error: undefined; \x1b[2J OffendingCommand: shwo ]%%\r\n" * 3000)

    async with sink(chatty) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        trace = await shop.trace(job.id)
    assert "OffendingCommand: shwo" in trace
    assert "\x1b" not in trace
    assert len(trace) < 1000


async def test_a_bridge_that_cannot_tell_what_it_can_prints(shop: Printshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk must not keep it from printing, which makes room."""

    async def full(abilities: object) -> None:
        raise TransientFailure("4.3.1", "the disk is full")

    monkeypatch.setattr(shop.drains, "set_abilities", full)
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        assert printer.jobs == [POSTSCRIPT]


async def test_jobs_that_waited_are_found_without_a_ring(shop: Printshop) -> None:
    async with sink() as printer:
        await shop.printer("phaser", printer.uri)
        jobs = [await shop.submit("phaser", message(document)) for document in numbered(40)]
        async with shop.bridge():
            await shop.ended(*jobs)
            assert printer.jobs == numbered(40)


async def test_documents_of_a_job_go_one_after_another(shop: Printshop) -> None:
    documents = numbered(3)
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        (job,) = await shop.ended(await shop.submit("phaser", message(*documents)))
        assert printer.jobs == documents
    assert (job.state, job.attempts) == (JobState.COMPLETED, 1)


async def test_refused_waits_and_keeps_order(shop: Printshop) -> None:
    port = await free_port()
    await shop.printer("phaser", f"socket://127.0.0.1:{port}")
    async with shop.bridge():
        jobs = [await shop.submit("phaser", message(document)) for document in numbered(5)]
        await shop.told(jobs[0], "refuses")
        first = await shop.store.job(jobs[0])
        assert first is not None
        assert first.state is JobState.PENDING
        assert first.reasons == ("resources-are-not-ready",)
        assert first.next_attempt_at > 0
        assert first.attempts == 0
        async with sink(port=port) as printer:
            ended = await shop.ended(*jobs)
            assert printer.jobs == numbered(5)
    assert {job.state for job in ended} == {JobState.COMPLETED}


async def test_reset_before_any_octet_is_tried_again_in_order(shop: Printshop) -> None:
    seen = 0

    async def moody(peer: Peer) -> None:
        nonlocal seen
        seen += 1
        if seen in (1, 2, 4):
            peer.reset()
        else:
            await peer.take_all()

    async with sink(moody) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        jobs = [await shop.submit("phaser", message(document)) for document in numbered(3)]
        ended = await shop.ended(*jobs)
        assert [job for job in printer.jobs if job] == numbered(3)
    assert {job.state for job in ended} == {JobState.COMPLETED}


async def test_a_stall_before_any_octet_was_taken_leaves_no_doubt(shop: Printshop) -> None:
    """It lost its power as soon as we were connected: people hear that it stands, and the job is tried again."""
    stands = asyncio.Event()

    async def dies_at_first(peer: Peer) -> None:
        if printer.connections == 1:
            darken(peer.sock)
            await stands.wait()
            peer.reset()
        else:
            await peer.take_all()

    async with sink(dies_at_first) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.until(job_id, JobState.PROCESSING_STOPPED)
        stands.set()
        (job,) = await shop.ended(job_id)
        assert printer.jobs == [b"", POSTSCRIPT]
    assert (job.state, job.reasons) == (JobState.COMPLETED, ("job-completed-successfully",))


async def test_reset_after_octets_is_uncertain_held_and_does_not_hold_the_line(shop: Printshop) -> None:
    broken = asyncio.Event()

    async def breaks_once(peer: Peer) -> None:
        if broken.is_set():
            await peer.take_all()
        else:
            broken.set()
            await peer.take(10)
            peer.reset()

    async with sink(breaks_once) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        first, second = [await shop.submit("phaser", message(document)) for document in numbered(2)]
        await shop.ended(second)
        job = await shop.until(first, JobState.PROCESSING_STOPPED)
        assert printer.jobs == [numbered(2)[0][:10], numbered(2)[1]]
    assert job.reasons == ("job-suspended", "x-delivery-unknown")
    assert "document 1" in job.detail


async def test_uncertain_is_printed_again_under_a_banner(shop: Printshop) -> None:
    broken = asyncio.Event()

    async def breaks_once(peer: Peer) -> None:
        if broken.is_set():
            await peer.take_all()
        else:
            broken.set()
            await peer.take(10)
            peer.reset()

    async with sink(breaks_once) as printer, shop.bridge():
        await shop.printer(
            "phaser", printer.uri, Language.POSTSCRIPT, Language.TEXT, when_uncertain=WhenUncertain.REPRINT
        )
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        (job,) = await shop.ended(job_id)
        stump, banner, again = printer.jobs
    assert stump == POSTSCRIPT[:10]
    assert b"POSSIBLE DUPLICATE" in banner
    assert b"%d" % job_id in banner
    assert again == POSTSCRIPT
    assert job.state is JobState.COMPLETED
    assert job.attempts == 2
    assert "x-printed-again" in job.reasons


async def test_a_job_that_breaks_every_time_is_not_printed_for_ever(shop: Printshop) -> None:
    async def breaks(peer: Peer) -> None:
        await peer.take(10)
        peer.reset()

    async with sink(breaks) as printer, shop.bridge():
        await shop.printer(
            "phaser", printer.uri, Language.POSTSCRIPT, Language.TEXT, when_uncertain=WhenUncertain.REPRINT
        )
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        async with asyncio.timeout(10):
            await printer.count(3)
        job = await shop.until(job_id, JobState.PROCESSING_STOPPED)
        assert job.attempts == 3


async def test_uncertain_is_counted_as_printed(shop: Printshop) -> None:
    async def breaks(peer: Peer) -> None:
        await peer.take(10)
        peer.reset()

    async with sink(breaks) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, when_uncertain=WhenUncertain.PRINTED)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        assert printer.connections == 1
    assert (job.state, job.delivery_proof) == (JobState.COMPLETED, DeliveryProof.NONE)
    assert "x-delivery-unknown" in job.reasons


async def test_paper_out_stops_the_line_and_goes_on(shop: Printshop) -> None:
    paper = asyncio.Event()

    async def out_of_paper(peer: Peer) -> None:
        await peer.take(1000)
        await paper.wait()
        await peer.take_all()

    document = POSTSCRIPT + b"%" * (4 << 20)
    async with sink(out_of_paper, window=4096) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        first = await shop.submit("phaser", message(document))
        second = await shop.submit("phaser", message(POSTSCRIPT))
        job = await shop.until(first, JobState.PROCESSING_STOPPED)
        assert job.reasons == ("printer-stopped",)
        assert (await shop.states([second])) == [JobState.PENDING]
        paper.set()
        await shop.ended(first, second)
        assert printer.jobs == [document, POSTSCRIPT]


async def test_a_damaged_job_is_aborted_alone(shop: Printshop) -> None:
    encoded = base64.b64encode(POSTSCRIPT)[:20]
    damaged = message(POSTSCRIPT).replace(encoded, encoded[:10] + b"=" + encoded[11:])
    assert damaged != message(POSTSCRIPT)
    empty = b"Subject: a program\r\nContent-Type: application/octet-stream\r\n\r\n\x7fELF\0\0\0\0\r\n"
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, Language.PDF)
        unsupported = await shop.submit("phaser", message(b"\x1bE\x1b&l0O not for this one"))
        nothing = await shop.submit("phaser", empty)
        await shop.printer("laser", printer.uri)
        broken = await shop.submit("laser", damaged)
        good = await shop.submit("laser", message(POSTSCRIPT))
        jobs = {job.id: job for job in await shop.ended(unsupported, nothing, broken, good)}
        assert printer.jobs == [POSTSCRIPT]
    assert jobs[good].state is JobState.COMPLETED
    assert {jobs[each].state for each in (unsupported, nothing, broken)} == {JobState.ABORTED}
    assert "unsupported-document-format" in jobs[unsupported].reasons
    assert "document-unprintable-error" in jobs[nothing].reasons
    assert "document-format-error" in jobs[broken].reasons
    assert "document 1" in jobs[unsupported].detail
    assert jobs[unsupported].attempts == 0


async def test_one_bad_document_keeps_the_others_from_nothing(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        job_id = await shop.submit("phaser", message(POSTSCRIPT, PCL, POSTSCRIPT))
        (job,) = await shop.ended(job_id)
        assert printer.jobs == [POSTSCRIPT, POSTSCRIPT]
        fates = [one.fate for one in await shop.store.documents(job_id)]
    assert (job.state, job.reasons) == (JobState.COMPLETED, ("job-completed-with-errors",))
    assert 'not printed: document 2 ("document-2"): a document of the format application/vnd.hp-pcl' in job.detail
    assert fates == [Fate.PRINTED, Fate.FAILED, Fate.PRINTED, Fate.LEFT_OUT]


async def test_if_no_document_can_be_printed_nobody_is_dialed(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        (job,) = await shop.ended(await shop.submit("phaser", message(PCL, PCL)))
        assert printer.connections == 0
    assert job.state is JobState.ABORTED
    assert "document 1 of 2" in job.detail


async def test_two_entries_of_one_device_share_one_line(shop: Printshop) -> None:
    together = 0

    async def alone(peer: Peer) -> None:
        nonlocal together
        together += 1
        assert together == 1
        await peer.take_all()
        together -= 1

    async with sink(alone) as printer, shop.bridge() as bridge:
        await shop.printer("phaser", printer.uri)
        await shop.printer("letterhead", printer.uri.replace("socket", "SOCKET") + "/")
        names = ["phaser", "letterhead"] * 10
        jobs = [await shop.submit(name, message(document)) for name, document in zip(names, numbered(20), strict=True)]
        await shop.ended(*jobs)
        assert printer.jobs == numbered(20)
        assert bridge.lines == 1


async def test_a_printer_that_stalls_delays_no_other(shop: Printshop) -> None:
    async def stuck(peer: Peer) -> None:
        await peer.take(10)
        await asyncio.Event().wait()

    async with sink(stuck, window=4096) as slow, sink() as fast, shop.bridge(grace=0.1):
        await shop.printer("slow", slow.uri)
        await shop.printer("fast", fast.uri)
        stalled = await shop.submit("slow", message(POSTSCRIPT + b"%" * (4 << 20)))
        await shop.until(stalled, JobState.PROCESSING, JobState.PROCESSING_STOPPED)
        started = time.monotonic()
        await shop.ended(*[await shop.submit("fast", message(document)) for document in numbered(20)])
        assert time.monotonic() - started < 3
        assert fast.jobs == numbered(20)


async def test_a_paused_printer_is_not_sent_to(shop: Printshop) -> None:
    async with sink() as printer, sink() as other, shop.bridge():
        await shop.printer("phaser", printer.uri)
        await shop.printer("other", other.uri)
        await shop.pause("phaser", True)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.ended(await shop.submit("other", message(POSTSCRIPT)))
        assert await shop.states([job_id]) == [JobState.PENDING]
        assert printer.connections == 0
        await shop.pause("phaser", False)
        await shop.ended(job_id)


async def test_a_polling_printers_jobs_are_left_alone(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("poller", "")
        await shop.printer("phaser", printer.uri)
        left = await shop.submit("poller", message(POSTSCRIPT))
        await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        assert await shop.states([left]) == [JobState.PENDING]


async def test_jobs_of_an_unknown_printer_stay_until_it_is_known(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("other", printer.uri)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.ended(await shop.submit("other", message(POSTSCRIPT)))
        assert await shop.states([job_id]) == [JobState.PENDING]
        await shop.printer("phaser", printer.uri)
        await shop.ended(job_id)


async def test_stop_finishes_the_present_job_and_releases_the_rest(shop: Printshop) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.take(1)
        arrived.set()
        await go_on.wait()
        await peer.take_all()

    async with sink(slow) as printer:
        await shop.printer("phaser", printer.uri)
        async with shop.bridge(), asyncio.timeout(10):
            jobs = [await shop.submit("phaser", message(document)) for document in numbered(3)]
            await arrived.wait()
            asyncio.get_running_loop().call_later(0.2, go_on.set)
        assert await shop.states(jobs) == [JobState.COMPLETED, JobState.PENDING, JobState.PENDING]
        async with shop.bridge():
            await shop.ended(*jobs)
        assert printer.jobs == numbered(3)


async def test_stop_breaks_off_after_the_grace_and_the_job_is_uncertain(shop: Printshop) -> None:
    async def stuck(peer: Peer) -> None:
        await peer.take(10)
        await asyncio.Event().wait()

    async with sink(stuck, window=4096) as printer:
        await shop.printer("phaser", printer.uri)
        async with shop.bridge(grace=0.1):
            job_id = await shop.submit("phaser", message(POSTSCRIPT + b"%" * (4 << 20)))
            await shop.until(job_id, JobState.PROCESSING_STOPPED)
        job = await shop.until(job_id, JobState.PROCESSING_STOPPED)
        assert "x-delivery-unknown" in job.reasons


async def test_a_maildrop_that_a_pop3_session_holds_is_waited_for(shop: Printshop) -> None:
    """The printer gets a device address while it polls: what is in the session's list may still be deleted by it."""
    async with sink() as printer, sink() as other, shop.bridge():
        await shop.printer("phaser", "")
        await shop.printer("other", other.uri)
        fetched = await shop.submit("phaser", message(POSTSCRIPT))
        session = await shop.store.open_maildrop("phaser", "pop3:test", 60)
        assert session is not None
        await shop.printer("phaser", printer.uri)
        sent = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.ended(await shop.submit("other", message(POSTSCRIPT)))
        assert await shop.states([fetched, sent]) == [JobState.PENDING] * 2
        await session.update(session.entries)
        await shop.ended(sent)
        assert printer.jobs == [POSTSCRIPT]
        assert [job.delivery_proof for job in await shop.ended(fetched, sent)] == [
            DeliveryProof.FETCHED,
            DeliveryProof.CLOSED,
        ]


async def test_a_pop3_session_that_found_nothing_is_not_waited_for(shop: Printshop) -> None:
    """Its list stays empty (RFC 1939 section 5): it can neither fetch nor delete what the bridge prints meanwhile."""
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", "")
        session = await shop.store.open_maildrop("phaser", "pop3:test", 60)
        assert session is not None
        await shop.printer("phaser", printer.uri)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        later = await shop.submit("phaser", message(POSTSCRIPT))
        await session.renew()
        await session.update([])
        await shop.ended(later)
        assert session.entries == ()
        assert job.delivery_proof is DeliveryProof.CLOSED
        assert printer.jobs == [POSTSCRIPT] * 2


@contextlib.asynccontextmanager
async def virtual_printer(output: Path, *faults: str) -> AsyncIterator[tuple[VirtualPrinter, str]]:
    printer = VirtualPrinter(output, faults=faults)
    host, port = await printer.start()
    try:
        yield printer, f"socket://{host}:{port}"
    finally:
        await printer.close()


@pytest.mark.slow
async def test_pdf_comes_out_of_a_printer_that_speaks_only_postscript(shop: Printshop, tmp_path: Path) -> None:
    async with virtual_printer(tmp_path / "paper") as (printer, uri), shop.bridge():
        await shop.printer("phaser", uri, Language.POSTSCRIPT2)
        job_id = await shop.submit("phaser", message(pdf(2)))
        (job,) = await shop.ended(job_id)
        assert job.state is JobState.COMPLETED, job
        assert job.pages == 2
        async with asyncio.timeout(20):
            printed = await printer.job(1)
    assert printed.pages == 2
    assert "converted in" in await shop.trace(job_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("reset-after:0*2", JobState.COMPLETED),
        ("slow:65536*1", JobState.COMPLETED),
        ("reset-after:1000*1", JobState.PROCESSING_STOPPED),
        ("close-early:1000*1", JobState.PROCESSING_STOPPED),
        ("accept-then-stall:1000*1", JobState.PROCESSING_STOPPED),
    ],
)
async def test_faults_of_the_virtual_printer(shop: Printshop, tmp_path: Path, fault: str, state: JobState) -> None:
    document = POSTSCRIPT + b"%" * 99_000
    async with virtual_printer(tmp_path / "paper", fault) as (_, uri), shop.bridge(grace=0.1):
        await shop.printer("phaser", uri)
        job_id = await shop.submit("phaser", message(document))
        await shop.until(job_id, state)
        if state is JobState.PROCESSING_STOPPED:
            await shop.told(job_id, "printer-stopped" if "stall" in fault else "x-delivery-unknown")


@pytest.mark.slow
async def test_a_printer_that_refuses_gets_its_jobs_when_it_listens(shop: Printshop, tmp_path: Path) -> None:
    async with virtual_printer(tmp_path / "paper", "refuse") as (printer, uri), shop.bridge():
        await shop.printer("phaser", uri)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.told(job_id, "refuses")
        printer.set_fault()
        await shop.ended(job_id)


@pytest.mark.slow
async def test_a_card_that_takes_one_client_at_a_time_gets_all_jobs_in_order(shop: Printshop, tmp_path: Path) -> None:
    async with virtual_printer(tmp_path / "paper") as (printer, uri), shop.bridge():
        await shop.printer("phaser", uri)
        jobs = [await shop.submit("phaser", message(document)) for document in numbered(10)]
        ended = await shop.ended(*jobs)
        assert {job.state for job in ended} == {JobState.COMPLETED}
        printed = [await printer.job(number) for number in range(1, 11)]
    assert [job.sha256 for job in printed] == [hashlib.sha256(document).hexdigest() for document in numbered(10)]


async def test_a_document_is_gone_with_its_job(shop: Printshop) -> None:
    """Not when the garbage collector comes round: ten of ten megabytes would stand in the way of everything else."""
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        gc.collect()
        gc.disable()
        try:
            await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
            async with asyncio.timeout(5):
                while [one for one in gc.get_objects() if isinstance(one, Ready)]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()
