"""A mail's ticket, from all the places where it may be said to what the printer gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Language
from mailstore.job import JobState
from tests.documents import pdf, postscript
from tests.printshop import Printshop, printshop
from tests.sink import sink
from tests.test_bridge_pjl import laser

pytestmark = pytest.mark.slow  # foreign programs

PCL = b"\x1bE\x1b&l0Ohello\x0c\x1bE"
WISHES = "tumble a5 tray=2"
PJL = b"@PJL SET DUPLEX = ON\r\n@PJL SET BINDING = SHORTEDGE\r\n@PJL SET PAPER = A5\r\n@PJL SET MEDIASOURCE = TRAY2\r\n"


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Printshop]:
    async with printshop(tmp_path) as made:
        yield made


def mail(document: bytes, subject: str = "Report", letter: str = "see attachment\n", field: str = "") -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = "ada@example.com", "phaser@example.com", subject
    if field:
        made["Printpost-Options"] = field
    made.set_content(letter)
    made.add_attachment(document, maintype="application", subtype="octet-stream", filename="document")
    return made.as_bytes()


async def test_the_same_ticket_works_in_every_language(shop: Printshop) -> None:
    ways = {
        Language.POSTSCRIPT: (postscript(1), False, [b"/Tumble true put", b"/PageSize[420 595]", b"/MediaPosition 1 "]),
        Language.PCL: (PCL, False, [b"\x1bE\x1b&l2S\x1b&l25A\x1b&l1H\x1b&l0Ohello"]),
        Language.PDF: (pdf(1), True, [PJL + b"@PJL ENTER LANGUAGE = PDF\r\n%PDF-"]),
    }
    async with sink(laser) as printer, shop.bridge():
        for number, (language, (document, pjl, said)) in enumerate(ways.items()):
            await shop.printer("phaser", printer.uri, language, pjl=pjl)
            (job,) = await shop.ended(await shop.submit("phaser", mail(document, f"[{WISHES}] Report")))
            assert job.state is JobState.COMPLETED
            assert "could not be asked for" not in await shop.trace(job.id)
            assert all(words in printer.jobs[number] for words in said)


async def test_what_is_said_in_several_places_is_put_together(shop: Printshop) -> None:
    said = mail(
        PCL, "[copies=2] Re: [EXT] Report", "\n#print copies=5 duplex\nsee attachment\n", "simplex; a4; fitting"
    )
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, Language.PCL)
        (job,) = await shop.ended(await shop.submit("phaser", said, options="+a3"))
        trace = await shop.trace(job.id)
        assert printer.jobs == [b"\x1bE\x1b&l1S\x1b&l27A\x1b&l0Ohello\x0c\x1bE"] * 2
    assert "the Printpost-Options field says 'fitting', which a job ticket does not know" in trace


async def test_pages_are_chosen_of_what_would_have_passed(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge():
        await shop.printer("phaser", printer.uri, Language.POSTSCRIPT)
        mails = [mail(document, "[pages=2-3,5-]") for document in (pdf(6), postscript(6))]
        jobs = [(await shop.ended(await shop.submit("phaser", each)))[0] for each in mails]
        assert [job.pages for job in jobs] == [4, 4]
        assert all(octets.count(b"%%Page: ") == 4 for octets in printer.jobs)
