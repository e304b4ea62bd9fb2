"""Printers that hold their jobs, through real SMTP, a real store and directory: what waits, and who may release it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from appliance.desk import COMMAND_LINE, Desk
from appliance.partial import Assembler
from appliance.rights import NotAllowed, may_release
from appliance.smtp.reply import accepted
from mailstore.directory.records import Hold, Person, Printer
from mailstore.job import JobState
from mailstore.store.admission import Accepted
from mailstore.store.outbox import Occasion
from tests.smtp_client import ADA, Site, site, submission, wire
from tests.test_notices import job as a_job
from tests.test_split_mail import BODY, parts_of

DEVICE = "socket://192.0.2.50:9100"  # nobody dials it here
WAITS = "250 2.0.0 accepted as job {}; it waits to be released"


def holding(name: str, hold: Hold, **more: Any) -> Printer:
    known = {"uri": DEVICE, "allow": ("*",), "hold": hold, "key_user": ("kim@example.com",), **more}
    return Printer(name=name, addresses=(f"{name}@example.com",), **known)


MADE = (
    holding("code", Hold.CODE),
    holding("all", Hold.ALL),
    holding("free", Hold.NONE),
    holding("polls", Hold.CODE, uri=""),
    holding("floor", Hold.NONE, uri="", members=("free", "code")),
)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        for printer in MADE:
            await made.directory.add(printer, None)
        yield made


def letter(number: int) -> bytes:
    return b"Subject: a letter\r\nMessage-ID: <%d@client.example.com>\r\n\r\ntext\r\n" % number


async def test_jobs_wait_where_the_printer_says_so(house: Site) -> None:
    async with house.receiver() as receiver, submission(house, receiver) as client:
        assert await client.mail(letter(1), "code@example.com") == WAITS.format(1)
        assert await client.mail(letter(2), "all@example.com") == WAITS.format(2)
        assert await client.mail(letter(3), "free@example.com") == "250 2.0.0 accepted as job 3"
        assert await client.mail(letter(4), "polls@example.com") == WAITS.format(4)
        both = await client.mail(letter(5), "free@example.com", "code@example.com")
        assert both == "250 2.0.0 accepted as jobs 5, 6; job 6 waits to be released"
        # each member's own entry decides
        assert await client.mail(letter(7), "floor@example.com") == (
            "250 2.0.0 accepted as jobs 7, 8; job 8 waits to be released"
        )
        # what came before is no new job, and says nothing of how that stands
        assert await client.mail(letter(1), "code@example.com") == "250 2.0.0 accepted before as job 1"
    jobs = {job.id: job for job in await house.store.jobs()}
    waiting = {number for number, job in jobs.items() if job.state is JobState.PENDING_HELD}
    assert waiting == {1, 2, 4, 6, 8}
    assert {number for number, job in jobs.items() if job.release_code} == waiting - {2}
    assert jobs[4].reasons == ("job-hold-until-specified", "job-fetchable")
    told = [(one.occasion, one.job_id) for one in await house.store.occurrences(100)]
    assert told == [(Occasion.TO_RELEASE, number) for number in sorted(waiting)]


async def test_split_mail_waits_when_it_is_whole(house: Site) -> None:
    assembler = Assembler(house.settings(), house.store, house.directory, house.people)
    async with house.receiver() as receiver, submission(house, receiver) as client:
        for number, octets in enumerate(parts_of(BODY, 2, "<held@example.com>"), 1):
            reply = await client.mail(octets, "code@example.com")
            assert reply.startswith(f"250 2.0.0 accepted as part {number}"), reply
    await assembler.look()
    job = await house.store.job(1)
    assert job is not None
    assert (job.state, len(job.release_code)) == (JobState.PENDING_HELD, 8)
    assert job.reasons == ("job-hold-until-specified", "job-queued")
    assert [one.occasion for one in await house.store.occurrences(10)] == [Occasion.TO_RELEASE]


async def test_the_code_is_in_no_reply_and_in_no_trace(house: Site) -> None:
    async with house.receiver() as receiver, submission(house, receiver) as client:
        reply = await client.mail(letter(1), "code@example.com")
    job = await house.store.job(1)
    assert job is not None
    assert len(job.release_code) == 8
    trace = " ".join(event.text for event in await house.store.trace(1))
    occurrences = await house.store.occurrences(10)
    for text in (reply, trace, *(f"{one.detail} {one.reasons}" for one in occurrences)):
        assert job.release_code not in text


async def test_who_cannot_be_answered_is_told_by_nobody(house: Site) -> None:
    """A client in the site's networks may print, and proves no address."""
    async with house.receiver() as receiver, wire(receiver) as client:
        await client.reply()
        assert await client.mail(letter(1), "code@example.com") == WAITS.format(1)
    assert await house.store.occurrences(10) == []


def test_a_reply_names_those_that_wait() -> None:
    def said(numbers: range, *held: int) -> str:
        return accepted([Accepted(number) for number in numbers], held).text

    assert said(range(1, 2)) == "accepted as job 1"
    assert said(range(1, 2), 1) == "accepted as job 1; it waits to be released"
    assert said(range(1, 3), 1, 2) == "accepted as jobs 1, 2; they wait to be released"
    assert said(range(1, 4), 1, 3) == "accepted as jobs 1, 2, 3; jobs 1, 3 wait to be released"
    many = said(range(1, 41), *range(1, 21))
    assert many == "accepted as 40 jobs, 1 to 40; 20 of them wait to be released"
    before = Accepted(4)
    before.earlier = True
    old = accepted([before, Accepted(5)], {4, 5}).text
    assert old == "accepted as job 5 and before as job 4; job 5 waits to be released"


async def test_test_pages_are_not_held(house: Site) -> None:
    number = await Desk(house.settings(), house.store, house.directory).test_page(COMMAND_LINE, "code")
    job = await house.store.job(number)
    assert job is not None
    assert (job.state, job.release_code) == (JobState.PENDING, "")


# -- who may release

EVE = Person(name="eve", addresses=("eve@example.com",))
KIM = Person(name="kim", addresses=("kim@example.com",))
CODE = {
    "state": JobState.PENDING_HELD,
    "reasons": ("job-hold-until-specified", "job-queued"),
    "release_code": "12345678",
}


@pytest.mark.parametrize(
    ("person", "changes", "may"),
    [
        (ADA, {}, True),
        (ADA, {"login": "ada", "answerable": False}, True),
        (ADA, {"answerable": False}, False),  # somebody claimed to be her
        (ADA, {"release_code": ""}, False),  # its printer's people look at each job
        (ADA, {"reasons": ("account-limit-reached",)}, False),
        (ADA, {"state": JobState.PENDING}, False),
        (EVE, {}, False),
        (KIM, {"release_code": "", "reasons": ("account-limit-reached",)}, True),
    ],
)
def test_who_may_release(person: Person, changes: Any, may: bool) -> None:
    assert may_release(person, a_job(**(CODE | changes)), MADE[0]) is may


def test_while_the_directory_is_silent_the_owner_still_may() -> None:
    assert may_release(ADA, a_job(**CODE), None)
    assert not may_release(KIM, a_job(**CODE), None)


async def test_the_owner_releases_what_has_a_code_and_nothing_else(house: Site) -> None:
    desk = Desk(house.settings(), house.store, house.directory, house.people)
    async with house.receiver() as receiver, submission(house, receiver) as client:
        for number, name in enumerate(("code", "all"), 1):
            await client.mail(letter(number), f"{name}@example.com")
    await desk.unhold(ADA, 1)
    released = await house.store.job(1)
    assert released is not None
    assert (released.state, released.release_code) == (JobState.PENDING, "")
    with pytest.raises(NotAllowed, match="ask whoever runs all"):
        await desk.unhold(ADA, 2)
    with pytest.raises(NotAllowed, match="not hold it"):
        await desk.hold(ADA, 1)
    await desk.unhold(KIM, 2)
    await desk.cancel(KIM, 2)
    with pytest.raises(NotAllowed, match="whoever runs all releases what it prints"):
        await desk.print_again(ADA, 2)
    await desk.cancel(ADA, 1)
    assert await desk.print_again(ADA, 1) == 3
    assert await desk.print_again(KIM, 2) == 4
