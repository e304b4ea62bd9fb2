"""Copies, sides, limits of pages and trust, from the maildrop to the paper: real programs, a virtual printer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Language, PrintLimits, Raw
from mailstore.job import JobState
from mailstore.store.outbox import Occasion
from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_pjl import UEL
from tests.documents import pdf, postscript
from tests.printshop import Printshop, message, printshop
from tests.sink import sink
from tests.test_bridge import virtual_printer
from tests.test_bridge_pjl import NEVER_STALLED, laser

pytestmark = pytest.mark.slow  # foreign programs

PCL = b"\x1bE\x1b&l0Ohello\x0c\x1bE"
TEXT = b"Content-Type: text/plain\r\n\r\nhello\r\n"


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Printshop]:
    async with printshop(tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def printing(shop: Printshop, tmp_path: Path) -> AsyncIterator[tuple[VirtualPrinter, str]]:
    async with virtual_printer(tmp_path / "paper") as (printer, uri), shop.bridge():
        yield printer, uri


# -- copies and sides


@pytest.mark.parametrize(
    ("mail", "pages", "connections"),
    [(message(pdf(2)), 2, 1), (TEXT, 1, 1), (message(postscript(2)), 2, 3)],
    ids=["pdf", "text", "postscript"],
)
async def test_copies_lie_in_the_tray(
    shop: Printshop, tmp_path: Path, mail: bytes, pages: int, connections: int
) -> None:
    async with printing(shop, tmp_path) as (printer, uri):
        await shop.printer("phaser", uri, Language.POSTSCRIPT2)
        (job,) = await shop.ended(await shop.submit("phaser", mail, options="+copies=3"))
        printed = [await printer.job(number) for number in range(1, connections + 1)]
    assert sum(each.pages for each in printed) == 3 * pages
    assert job.state is JobState.COMPLETED
    assert job.pages == (3 * pages if connections == 1 else 0)  # how many a program prints nobody knows before


@pytest.mark.parametrize("language", [Language.PDF, Language.PWG, Language.PCLXL, Language.PCL])
async def test_what_has_no_word_for_copies_is_sent_so_often(shop: Printshop, language: Language) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, language)
        (job,) = await shop.ended(await shop.submit("phaser", message(pdf(2)), options="+copies=2"))
        first, second = printer.jobs
    assert first == second
    assert (job.state, job.pages, job.attempts) == (JobState.COMPLETED, 4, 1)


async def test_sides_of_postscript_come_before_it(shop: Printshop, tmp_path: Path) -> None:
    document = postscript(2)
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        for word in ("duplex", "tumble", "simplex"):
            await shop.ended(await shop.submit("phaser", message(document), options=f"+{word}"))
        long_edge, short_edge, one_sided = printer.jobs
    for octets, sides in ((long_edge, b"true put dup/Tumble false"), (short_edge, b"true put dup/Tumble true")):
        assert b"dup/Duplex " + sides in octets
    assert b"dup/Duplex false" in one_sided
    assert all(octets.endswith(document.partition(b"%%EndComments\n")[2]) for octets in printer.jobs)


async def test_pjl_asks_for_sides_where_the_printer_speaks_it(shop: Printshop, tmp_path: Path) -> None:
    async with sink(laser) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, Language.TEXT, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", TEXT, options="+duplex+copies=2"))
        assert "could not" not in await shop.trace(job.id)
        assert len(printer.jobs) == 2
        for octets in printer.jobs:
            head = octets.partition(b"hello")[0]
            assert b"@PJL SET DUPLEX = ON\r\n@PJL SET BINDING = LONGEDGE\r\n@PJL ENTER LANGUAGE = PCL\r\n" in head


async def test_what_cannot_be_asked_for_is_in_the_trace(shop: Printshop, tmp_path: Path) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, Language.TEXT)
        (job,) = await shop.ended(await shop.submit("phaser", TEXT, options="+tumble"))
        trace = await shop.trace(job.id)
        assert printer.jobs == [b"hello\r\n\f"]
    assert "two-sided-short-edge could not be asked for: text has no word for it" in trace
    assert job.state is JobState.COMPLETED


# -- limits


@pytest.mark.parametrize(
    "limits",
    [PrintLimits(pages=5), PrintLimits(sender_pages=5), PrintLimits(job_pages=5)],
    ids=["day", "sender", "job"],
)
@pytest.mark.parametrize("mail", [message(pdf(2)), message(postscript(2))], ids=["converted", "as it came"])
async def test_a_job_that_is_too_long_is_held_and_the_line_goes_on(
    shop: Printshop, tmp_path: Path, limits: PrintLimits, mail: bytes
) -> None:
    async with printing(shop, tmp_path) as (printer, uri):
        await shop.printer("phaser", uri, limits=limits)
        long = await shop.submit("phaser", mail, options="+copies=3", proved="ada@example.com")
        short = await shop.submit("phaser", mail, proved="ada@example.com")
        (done,) = await shop.ended(short)
        held = await shop.until(long, JobState.PENDING_HELD)
        assert (held.reasons, held.attempts) == (("account-limit-reached",), 0)
        assert "with 6 pages" in held.detail
        assert f"limit of {5} pages" in held.detail
        assert not list((tmp_path / "spool").glob("job-*"))
        assert (await printer.job(1)).pages == 2
        (occurrence,) = [one for one in await shop.store.occurrences(10) if one.occasion is Occasion.HELD]
        assert (occurrence.job_id, occurrence.detail) == (long, held.detail)
        assert await shop.store.unhold(long, "kim")
        (released,) = await shop.ended(long)
    assert (done.state, done.pages) == (JobState.COMPLETED, 2)
    assert (released.state, released.waived) == (JobState.COMPLETED, True)
    assert (await shop.store.usage("phaser")).pages == 8


async def test_what_only_the_printer_knew_counts_afterwards(shop: Printshop) -> None:
    limits = PrintLimits(pages=3)
    async with sink(laser) as printer, shop.bridge(NEVER_STALLED):
        await shop.printer("phaser", printer.uri, Language.PCL, Language.POSTSCRIPT, pjl=True, limits=limits)
        jobs = [await shop.submit("phaser", message(PCL)) for _ in range(2)]
        assert [job.pages for job in await shop.ended(*jobs)] == [2, 2]
        await shop.until(await shop.submit("phaser", message(postscript(1))), JobState.PENDING_HELD)
    assert (await shop.store.usage("phaser")).pages == 4


async def test_a_program_that_hid_pages_has_them_counted_by_the_printer(shop: Printshop) -> None:
    async with sink(laser) as printer, shop.bridge(NEVER_STALLED):  # which says that it printed two
        await shop.printer("phaser", printer.uri, pjl=True, limits=PrintLimits(pages=9))
        (job,) = await shop.ended(await shop.submit("phaser", message(postscript(1))))
        await shop.ended(await shop.submit("phaser", message(pdf(1))))
    assert job.pages == 1
    assert (await shop.store.usage("phaser")).pages == 3


async def test_copies_of_what_nobody_can_count_are_held(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, Language.PCL, limits=PrintLimits(job_pages=9))
        job = await shop.until(await shop.submit("phaser", message(PCL), options="+copies=10"), JobState.PENDING_HELD)
        (done,) = await shop.ended(await shop.submit("phaser", message(PCL), options="+copies=9"))
        assert len(printer.jobs) == 9
    assert "with 10 pages" in job.detail
    assert done.state is JobState.COMPLETED


async def test_what_only_the_printer_knew_counts_for_the_address_that_it_came_by(shop: Printshop) -> None:
    made = await shop.store.add_capability("phaser", b"d" * 32, made_by="ada", max_pages=1)
    async with sink(laser) as printer, shop.bridge(NEVER_STALLED):
        await shop.printer("phaser", printer.uri, Language.PCL, pjl=True)
        (job,) = await shop.ended(await shop.submit("phaser", message(PCL), capability=made.id))
    assert job.pages == 2
    (found,) = await shop.store.capabilities()
    assert found.pages == 2
    assert found.why_not(0.0) == "it has had all its pages"


async def test_a_test_page_is_not_held(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, limits=PrintLimits(pages=1))
        jobs = [await shop.submit("phaser", message(postscript(1)), waived=True) for _ in range(2)]
        assert [job.state for job in await shop.ended(*jobs)] == [JobState.COMPLETED] * 2
    assert (await shop.store.usage("phaser")).pages == 2


# -- trust


@pytest.mark.parametrize(
    ("raw", "trust", "passes"),
    [
        (Raw.INSIDER, "insider", True),
        (Raw.INSIDER, "verified", False),
        (Raw.VERIFIED, "verified", True),
        (Raw.VERIFIED, "stranger", False),
        (Raw.STRANGER, "stranger", True),
        (Raw.NOBODY, "insider", False),
    ],
)
async def test_whose_documents_reach_the_printer_as_they_came(
    shop: Printshop, raw: Raw, trust: str, passes: bool
) -> None:
    document = postscript(1)
    looked_through = (raw, trust) == (Raw.INSIDER, "verified")  # what is no program
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, Language.POSTSCRIPT, Language.PCL, raw=raw)
        first, second, third = await shop.ended(
            await shop.submit("phaser", message(document), trust),
            await shop.submit("phaser", message(PCL), trust),
            await shop.submit("phaser", message(UEL + b"@PJL ENTER LANGUAGE=PCL\r\n" + PCL), trust),
        )
        assert (printer.jobs[0] == document) == passes
        assert len(printer.jobs) == (3 if passes or looked_through else 1)
    assert first.state is JobState.COMPLETED
    for job in (second, third):
        if passes or looked_through:
            assert job.state is JobState.COMPLETED
        else:
            assert job.reasons == ("aborted-by-system", "unsupported-document-format")
            assert "from this sender it may not; send it as PDF" in job.detail


async def test_nothing_is_changed_where_nothing_is_asked(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, limits=PrintLimits(pages=10))
        document = postscript(2)
        (job,) = await shop.ended(await shop.submit("phaser", message(document)))
        assert printer.jobs == [document]
    assert job.pages == 2
