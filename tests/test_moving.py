"""Jobs that are moved to another printer, at the page, by the API and at the desk, with a real store and directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.desk import Missing, TooLate
from appliance.rights import NotAllowed
from mailstore.directory.records import Hold, Language, Person, Printer, Raw
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Event, Job, JobState
from mailstore.store.contract import Envelope, Recipient
from tests.house import mail_of
from tests.web_house import GRACE, PRINTER, WebHouse, web_house

SECRET = "correct horse"
SAM = Person(name="sam", addresses=("sam@example.com",))
EVE = Person(name="eve", addresses=("eve@example.com",))


def printer(name: str, **changes: object) -> Printer:
    uri = f"socket://192.0.2.{len(name)}:9100"
    entry = replace(
        PRINTER, name=name, addresses=(f"{name}@example.com",), uri=uri, service_person=("sam@example.com",)
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


PRINTERS = (
    PRINTER,
    printer("next"),
    printer("theirs", service_person=("eve@example.com",)),
    printer("plain", languages=(Language.TEXT,)),
    printer("polls", uri="", raw=Raw.VERIFIED),
    printer("strict", uri=""),
    printer("group", uri="", members=("next",), service_person=()),
    printer("tiny", quota=100_000),
    printer("holds", hold=Hold.CODE),
    printer("mine"),
)
POSTSCRIPT = b"%!PS-Adobe-3.0\nshowpage\n"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    async with web_house(tmp_path, *PRINTERS) as made:
        for person in (SAM, EVE):
            await made.people.add(person, SECRET)
        await made.changed()
        yield made


async def sent(house: WebHouse, to: str = "mine", trust: str = "insider", *documents: bytes, **more: object) -> int:
    draft = await house.store.draft()
    draft.write(mail_of(*(documents or (POSTSCRIPT,))))
    envelope = Envelope(
        reverse_path="ada@example.com", client_ip="192.0.2.1", helo="x", trust=trust, name="a job", answerable=True
    )
    recipient = Recipient(maildrop=to, address=f"{to}+duplex@example.com", quota=1 << 30, fields=b"", **more)  # type: ignore[arg-type]
    return int((await house.store.accept(draft, envelope, [recipient]))[0])


async def job(house: WebHouse, number: int) -> Job:
    found = await house.store.job(number)
    assert found is not None
    return found


async def test_a_job_waits_at_the_other_printer_under_its_number(house: WebHouse) -> None:
    number = await sent(house)
    target = await house.web.site.moves.move(SAM, number, " NEXT ")
    assert target.name == "next"
    moved = await job(house, number)
    assert (moved.printer, moved.state, moved.reasons) == ("next", JobState.PENDING, ("job-queued",))
    assert moved.recipient == "mine+duplex@example.com"  # whose options it prints by
    assert (await house.store.standing("mine"))[1] == 0
    assert [one.id for one in await house.store.pending(["next"], 10)] == [number]
    assert any("sam" in event.text for event in await house.store.trace(number))


async def test_what_is_held_stays_held_and_gets_the_code_of_the_other_printer(house: WebHouse) -> None:
    free, coded = await sent(house), await sent(house, "holds", hold=Hold.CODE)
    await house.store.hold(free, "test")
    before = (await job(house, coded)).release_code
    await house.web.site.moves.move(SAM, free, "holds")
    await house.web.site.moves.move(SAM, coded, "next")
    held, uncoded = await job(house, free), await job(house, coded)
    assert (held.state, len(held.release_code)) == (JobState.PENDING_HELD, 8)
    assert (uncoded.state, uncoded.release_code) == (JobState.PENDING_HELD, "")
    assert await house.store.job_by_code(before) is None


async def test_one_in_doubt_prints_there_under_a_banner(house: WebHouse) -> None:
    number = await sent(house)
    lease = await house.store.acquire(f"device:{printer('mine').uri}", "bridge", 60)
    assert lease is not None
    assert await house.store.sending(lease, number, 0)
    with pytest.raises(TooLate, match="only a job that waits"):
        await house.web.site.moves.move(SAM, number, "next")
    assert await house.store.move(lease, number, Event.DOUBT, reasons=["job-suspended", "x-delivery-unknown"])
    await house.web.site.moves.move(SAM, number, "next")
    moved = await job(house, number)
    assert (moved.printer, moved.state) == ("next", JobState.PENDING)
    assert "x-printed-again" in moved.reasons


@pytest.mark.parametrize(
    ("to", "error", "why"),
    [
        ("nowhere", Missing, "there is no printer 'nowhere'"),
        ("theirs", NotAllowed, "sam may not operate it"),
        ("group", PermanentFailure, "group is a group and prints nothing itself"),
        ("mine", PermanentFailure, "is at mine already"),
        ("plain", PermanentFailure, "plain cannot get it: a document of the format application/postscript cannot"),
    ],
)
async def test_where_it_cannot_go(house: WebHouse, to: str, error: type[Exception], why: str) -> None:
    number = await sent(house)
    person = SAM if to != "group" else GRACE
    with pytest.raises(error) as refused:
        await house.web.site.moves.move(person, number, to)
    assert why in str(refused.value)
    assert (await job(house, number)).printer == "mine"


async def test_what_may_not_pass_raw_does_not_get_to_a_printer_that_polls(house: WebHouse) -> None:
    moves = house.web.site.moves
    inside, verified = await sent(house), await sent(house, "mine", "verified")
    with pytest.raises(PermanentFailure, match="strict fetches its mail as it came"):
        await moves.move(SAM, verified, "strict")
    await moves.move(SAM, inside, "strict")
    await moves.move(SAM, verified, "polls")
    assert [(await job(house, number)).reasons for number in (inside, verified)] == [("job-fetchable",)] * 2


async def test_a_mailbox_that_is_full_or_closed_takes_no_job(house: WebHouse) -> None:
    moves, store = house.web.site.moves, house.store
    first, second = (
        await sent(house, "mine", "insider", bytes(50_000)),
        await sent(house, "mine", "insider", bytes(50_000)),
    )
    large = await sent(house, "mine", "insider", bytes(200_000))
    await store.set_accepting("next", False)
    with pytest.raises(PermanentFailure, match="next takes no mail now"):
        await moves.move(SAM, first, "next")
    raw = printer("tiny", quota=100_000, uri="", raw=Raw.STRANGER)  # whose documents nobody looks into
    await house.directory.replace(raw)
    await house.changed()
    await moves.move(SAM, first, "tiny")
    with pytest.raises(TransientFailure, match="full"):
        await moves.move(SAM, second, "tiny")
    with pytest.raises(PermanentFailure, match="larger"):
        await moves.move(SAM, large, "tiny")


async def test_only_who_operates_both_printers_moves(house: WebHouse) -> None:
    number = await sent(house)
    ada = await house.people.person("ada")
    assert ada is not None
    with pytest.raises(NotAllowed, match="may stop this job, not move it"):
        await house.web.site.moves.move(ada, number, "next")
    with pytest.raises(Missing):
        await house.web.site.moves.move(EVE, number, "theirs")


async def test_by_the_page_and_the_api(house: WebHouse) -> None:
    number = await sent(house)
    async with house.browser("sam", SECRET) as browser:
        page = await browser.get(f"/jobs/{number}")
        assert f'action="/jobs/{number}/move"' in page.text
        assert 'value="next"' in page.text
        assert 'value="theirs"' not in page.text
        answer = await browser.post(f"/jobs/{number}/move", data={"to": "next"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{number}")
        assert f"Job {number} is at next now." in (await browser.get(f"/jobs/{number}")).text
        assert (await browser.post(f"/jobs/{number}/move", data={"to": "nowhere"})).status_code == 404
        assert (await browser.post(f"/jobs/{number}/move", data={"to": "plain"})).status_code == 400
    script = house.client
    login = ("sam", SECRET)
    assert (await script.post(f"/api/v1/jobs/{number}/move", json={"to": "mine"}, auth=login)).status_code == 204
    assert (await job(house, number)).printer == "mine"
    assert (await script.post(f"/api/v1/jobs/{number}/move", json={"to": "theirs"}, auth=login)).status_code == 403
    assert (await script.post(f"/api/v1/jobs/{number}/move", json={"there": "next"}, auth=login)).status_code == 422
    answer = await script.post(f"/api/v1/jobs/{number}/resume", auth=login)
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        f"Job {number} stays as it is: it is not in doubt, or the printer confirmed nothing of it.",
    )
    assert await house.store.cancel(number, "test")
    assert (await script.post(f"/api/v1/jobs/{number}/move", json={"to": "next"}, auth=login)).status_code == 409
