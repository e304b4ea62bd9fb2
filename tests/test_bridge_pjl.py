"""What a printer says by PJL while it prints: paper out and the all-clear, how a job ended, and honest silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.failure import TransientFailure
from mailstore.job import DeliveryProof, JobState
from mailstore.store.outbox import Occasion
from printerbridge import transmission
from printerbridge.appsocket import Patience
from printerbridge.virtual_device import Device
from printerbridge.virtual_panel import Panel
from printerbridge.virtual_personality import personality
from printerbridge.virtual_pjl import UEL, Command, Document, JobStream
from tests.documents import pdf
from tests.printshop import POSTSCRIPT, SOON, Printshop, message, printshop
from tests.sink import Peer, sink
from tests.test_bridge import virtual_printer

pytestmark = pytest.mark.slow  # foreign programs

NEVER_STALLED = replace(SOON, patience=Patience(connect=5.0, stall=60.0, give_up=60.0, end=0.3, answer=0.3))
PAGE = b"%!PS-Adobe-3.0\n72 72 100 100 rectfill showpage\n"
LARGE = PAGE + b"%" * 99_000


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Printshop]:
    async with printshop(tmp_path) as made:
        yield made


async def laser(peer: Peer, result: str = "OK", pages: int = 2, begun: bytes = b"") -> None:
    """A printer that answers as the virtual one does; it draws nothing and says how many pages it likes."""
    stream, panel = JobStream(), Panel(Device(), personality("plain"))
    stream.feed(begun)
    while data := await asyncio.get_running_loop().sock_recv(peer.sock, 65536):
        peer.taken += data
        for item in stream.feed(data):
            if isinstance(item, Document):
                await peer.say(b"".join(panel.page() for _ in range(pages)))
            elif isinstance(item, Command):
                await peer.say(panel.answer(item).replace(b"RESULT=OK", b"RESULT=" + result.encode()))


@pytest.mark.parametrize("document", [LARGE, PAGE], ids=["in its middle", "behind its end"])
async def test_paper_out_is_told_at_once_and_over_when_paper_is_loaded(
    shop: Printshop, tmp_path: Path, document: bytes
) -> None:
    patience = replace(NEVER_STALLED.patience, end=1.5)  # for the printer to draw the page on a busy machine
    timing = replace(NEVER_STALLED, patience=patience)
    async with virtual_printer(tmp_path / "paper", "media-empty*1") as (printer, uri), shop.bridge(timing):
        await shop.printer("phaser", uri, pjl=True)
        started = time.monotonic()
        job_id = await shop.submit("phaser", message(document))
        next_id = await shop.submit("phaser", message(POSTSCRIPT))
        stopped = await shop.until(job_id, JobState.PROCESSING_STOPPED)
        state = await shop.fares("phaser", "media-empty")
        assert time.monotonic() - started < 2
        assert (stopped.reasons, stopped.detail) == (("printer-stopped",), "the printer says: LOAD PAPER")
        assert (state.state, state.detail) == ("stopped", "the printer says: LOAD PAPER")
        with pytest.raises(TimeoutError):  # longer than a silent printer is waited for
            await shop.ended(job_id, seconds=2.0)
        assert await shop.states([next_id]) == [JobState.PENDING]
        printer.resume()
        job, following = await shop.ended(job_id, next_id)
        state = await shop.fares("phaser")
        printed = await printer.job(1)
    assert (state.state, state.detail) == ("idle", "")
    assert (job.state, job.delivery_proof, job.pages) == (JobState.COMPLETED, DeliveryProof.JOB_END, 1)
    assert (following.state, following.delivery_proof) == (JobState.COMPLETED, DeliveryProof.JOB_END)
    assert printed.pages == 1
    occasions = [each for each in await shop.store.occurrences(100) if not each.job_id]
    assert [(each.occasion, each.reasons) for each in occasions] == [
        (Occasion.STOPPED, ("media-empty",)),
        (Occasion.CLEAR, ("media-empty",)),
    ]
    assert occasions[0].detail == "the printer says: LOAD PAPER"
    assert (await shop.trace(job_id)).count("LOAD PAPER") >= 1


async def test_a_stall_does_not_speak_over_what_the_printer_says(shop: Printshop, tmp_path: Path) -> None:
    document = POSTSCRIPT + b"%" * (4 << 20)
    async with virtual_printer(tmp_path / "paper", "media-empty*1") as (printer, uri), shop.bridge():
        await shop.printer("phaser", uri, pjl=True)
        job_id = await shop.submit("phaser", message(document))
        await shop.fares("phaser", "media-empty")
        with pytest.raises(TimeoutError):
            await shop.fares("phaser", "timed-out", seconds=0.5)
        printer.resume()
        (job,) = await shop.ended(job_id)
    assert job.delivery_proof is DeliveryProof.JOB_END
    assert "timed-out" not in {reason for each in await shop.store.occurrences(100) for reason in each.reasons}


async def test_a_converted_job_ends_with_the_printers_word(shop: Printshop, tmp_path: Path) -> None:
    async with virtual_printer(tmp_path / "paper") as (printer, uri), shop.bridge():
        await shop.printer("phaser", uri, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(pdf(2))))
        printed = await printer.job(1)
    assert (job.delivery_proof, job.pages, printed.pages) == (DeliveryProof.JOB_END, 2, 2)
    assert "pages counted by the printer: 2" in job.detail


async def test_the_name_on_the_panel_is_the_jobs_and_the_document_is_untouched(shop: Printshop) -> None:
    async with sink(laser) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        (received,) = printer.jobs
    assert b'@PJL JOB NAME = "%d-1 a job" DISPLAY = "ada@example.com"\r\n' % job.id in received
    assert b"@PJL ENTER LANGUAGE = POSTSCRIPT\r\n" + POSTSCRIPT + UEL in received
    assert received.endswith(UEL + b"@PJL USTATUSOFF\r\n" + UEL)
    assert (job.delivery_proof, job.pages) == (DeliveryProof.JOB_END, 2)


async def test_the_panel_of_a_confidential_printer_says_neither_whose_nor_what_a_job_is(shop: Printshop) -> None:
    async with sink(laser) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, pjl=True, confidential=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        (received,) = printer.jobs
    assert b'@PJL JOB NAME = "%d-1"\r\n' % job.id in received
    assert b"DISPLAY" not in received
    assert b"ada" not in received


async def test_a_report_that_cannot_be_written_puts_no_job_in_doubt(
    shop: Printshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is printed must not be sent once more because nobody could write that its printer is well again."""

    async def full(*_: object) -> None:
        raise TransientFailure("4.3.1", "the disk is full")

    async def lacks_paper(peer: Peer) -> None:
        begun = await peer.take(100)
        await peer.say(b'@PJL INFO STATUS\r\nCODE=41213\r\nDISPLAY="LOAD"\r\nONLINE=FALSE\r\n\x0c')
        await laser(peer, begun=begun)

    monkeypatch.setattr(shop.drains, "set_condition", full)
    async with sink(lacks_paper) as printer, shop.bridge(NEVER_STALLED):
        await shop.printer("phaser", printer.uri, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        assert printer.connections == 1
    assert (job.state, job.attempts, job.delivery_proof) == (JobState.COMPLETED, 1, DeliveryProof.JOB_END)


async def test_a_document_that_plays_with_the_panel_for_long_is_told_more_and_more_rarely(
    shop: Printshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit each half second, of a day that a job may take, would fill its trace and wear out its readers."""
    monkeypatch.setattr("printerbridge.transmission._APART", 0.005)
    monkeypatch.setattr("printerbridge.transmission._OFTEN", 2)
    empty = b'@PJL USTATUS DEVICE\r\nCODE=41213\r\nDISPLAY="LOAD %d"\r\nONLINE=FALSE\r\n\x0c'

    asked = b"@PJL INFO STATUS\r\nCODE=10001\r\nONLINE=TRUE\r\n\x0c"  # what came before its answer is not ours

    async def forging(peer: Peer) -> None:
        begun = await peer.take(100)
        await peer.say(asked)
        for number in range(100):
            await peer.say(empty % number)
            await asyncio.sleep(0.01)
        await laser(peer, begun=begun)

    async with sink(forging) as printer, shop.bridge(NEVER_STALLED):
        await shop.printer("phaser", printer.uri, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        told = [each for each in await shop.store.trace(job.id) if "LOAD" in each.text]
    assert 5 < len(told) < 45
    assert job.state is JobState.COMPLETED


async def test_a_job_canceled_at_the_printer_is_told_as_that(shop: Printshop) -> None:
    async def somebody_presses_cancel(peer: Peer) -> None:
        await laser(peer, "USER_CANCELED" if printer.connections == 1 else "OK", 1)

    async with sink(somebody_presses_cancel) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, pjl=True)
        canceled = await shop.submit("phaser", message(POSTSCRIPT, POSTSCRIPT))
        jobs = await shop.ended(canceled, await shop.submit("phaser", message(POSTSCRIPT)))
        assert printer.connections == 2  # the second document was not sent
    assert [job.state for job in jobs] == [JobState.CANCELED, JobState.COMPLETED]
    assert jobs[0].reasons == ("job-canceled-at-device",)
    assert "USER_CANCELED, pages printed: 1" in jobs[0].detail


async def test_a_job_that_the_printer_could_not_print_is_an_error(shop: Printshop) -> None:
    async def out_of_memory(peer: Peer) -> None:
        await laser(peer, "RESOURCE_CANCELED", 1)

    async with sink(out_of_memory) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
    assert (job.state, job.reasons) == (JobState.ABORTED, ("aborted-by-system",))
    assert "RESOURCE_CANCELED, pages printed: 1" in job.detail
    assert [one.occasion for one in await shop.store.occurrences(10)] == [Occasion.ABORTED]


@pytest.mark.parametrize(("fault", "proof"), [("mute", DeliveryProof.CLOSED), ("never-close", DeliveryProof.JOB_END)])
async def test_the_best_proof_there_is(shop: Printshop, tmp_path: Path, fault: str, proof: DeliveryProof) -> None:
    patience = Patience(connect=5.0, stall=60.0, give_up=60.0, end=10.0, answer=0.2)
    timing = replace(SOON, patience=patience)
    async with virtual_printer(tmp_path / "paper", f"{fault}*1") as (_, uri), shop.bridge(timing):
        await shop.printer("phaser", uri, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
    assert (job.state, job.delivery_proof) == (JobState.COMPLETED, proof)


async def test_a_printer_that_says_nothing_is_waited_for_once(
    shop: Printshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transmission, "_ANSWER_OF_MUTE", 0.05)
    patience = Patience(connect=5.0, stall=60.0, give_up=60.0, end=10.0, answer=2.0)
    async with (
        virtual_printer(tmp_path / "paper", "mute*3") as (_, uri),
        shop.bridge(replace(SOON, patience=patience)),
    ):
        await shop.printer("phaser", uri, pjl=True)
        numbers = [await shop.submit("phaser", message(POSTSCRIPT)) for _ in range(5)]
        jobs = await shop.ended(*numbers)
    took = [job.completed_at - job.sending_at for job in jobs]
    assert took[0] > 2 > 1 > max(took[1:])
    assert [job.delivery_proof for job in jobs[-2:]] == [DeliveryProof.JOB_END] * 2  # it speaks again


async def test_a_printer_that_is_not_known_to_speak_pjl_hears_none(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        assert printer.jobs == [POSTSCRIPT]


async def test_a_printer_that_waits_for_ever_is_given_up(shop: Printshop, tmp_path: Path) -> None:
    patience = Patience(connect=5.0, stall=60.0, give_up=0.5, end=0.2, answer=0.2)
    async with (
        virtual_printer(tmp_path / "paper", "media-empty*1") as (_, uri),
        shop.bridge(replace(SOON, patience=patience)),
    ):
        await shop.printer("phaser", uri, pjl=True)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        (job,) = await shop.ended(job_id)
    assert (job.state, job.reasons) == (JobState.ABORTED, ("aborted-by-system", "job-canceled-after-timeout"))
    assert "the printer waited (media-empty)" in job.detail
    assert "octets taken" in job.detail


async def test_a_document_that_chatters_of_faults_is_told_now_and_then(shop: Printshop) -> None:
    """A PostScript program may write what it likes on the back channel; each change might become a mail."""
    empty = b'@PJL USTATUS DEVICE\r\nCODE=41213\r\nDISPLAY="LOAD %d"\r\nONLINE=FALSE\r\n\x0c'
    ready = b"@PJL USTATUS DEVICE\r\nCODE=10001\r\nONLINE=TRUE\r\n\x0c"

    asked = b"@PJL INFO STATUS\r\nCODE=10001\r\nONLINE=TRUE\r\n\x0c"  # what came before its answer is not ours

    async def forging(peer: Peer) -> None:
        begun = await peer.take(100)
        await peer.say(asked)
        for number in range(2000):
            await peer.say(empty % number + ready)
        await laser(peer, begun=begun)

    async with sink(forging) as printer, shop.bridge(NEVER_STALLED):
        await shop.printer("phaser", printer.uri, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(LARGE)))
        await shop.fares("phaser")
        assert len(await shop.store.trace(job.id)) < 20
        assert len(await shop.store.occurrences(100)) < 10
    assert job.state is JobState.COMPLETED
