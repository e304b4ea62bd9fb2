"""Codes that are typed at the release page: what they show, what guessing costs, and that no answer tells more.

Real store, slapd and uvicorn; the clocks of the bounds are the test's own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from appliance import guessing, releasing
from appliance.guessing import Guesses
from appliance.releasing import BY_ONE, FROM_INSIDE, FROM_OUTSIDE, HOUR, Bound, NoSuchCode, Releases, TooManyCodes, read
from mailstore.directory.records import Hold
from mailstore.job import Job, JobState
from mailstore.store.contract import Envelope, Recipient
from mailstore.store.waits import CODE_DIGITS
from tests.web_house import PRINTER, WebHouse, web_house

CODED = replace(PRINTER, name="coded", addresses=("coded@example.com",), hold=Hold.CODE, location="2nd <floor>")
INSIDE = "127.0.0.1"
NOTHING = "No job waits for this code; see whether it is typed right, and whether its time is over."


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    async with web_house(tmp_path, CODED) as running:
        yield running


async def held(house: WebHouse, hold: Hold = Hold.CODE) -> Job:
    draft = await house.store.draft()
    draft.write(b"Subject: The secret plan\r\n\r\nText\r\n")
    sender, said = "ada@example.com", {"client_ip": "127.0.0.1", "helo": "x", "trust": "insider"}
    envelope = Envelope(reverse_path=sender, name="The secret plan", documents=2, **said)  # type: ignore[arg-type]
    recipient = Recipient(maildrop="coded", address="coded@example.com", quota=1 << 20, fields=b"", hold=hold)
    (number,) = await house.store.accept(draft, envelope, [recipient])
    job = await house.store.job(number)
    assert job is not None
    return job


async def state(house: WebHouse, job: Job) -> JobState:
    found = await house.store.job(job.id)
    assert found is not None
    return found.state


def wrong(job: Job) -> Callable[[int], str]:
    """Codes that release nothing."""
    return lambda number: f"{(int(job.release_code) + 1 + number) % 10**CODE_DIGITS:0{CODE_DIGITS}}"


# -- the page


async def test_whoever_knows_the_code_lets_it_print(house: WebHouse) -> None:
    job = await held(house)
    async with house.stranger() as client:
        form = await client.get("/release")
        assert (form.status_code, form.headers["cache-control"]) == (200, "no-store")
        found = await client.post("/release", data={"code": f"{job.release_code[:4]} {job.release_code[4:]}"})
        assert found.status_code == 200
        assert "coded, 2nd &lt;floor&gt;" in found.text
        assert "2 documents" in found.text
        assert await state(house, job) is JobState.PENDING_HELD  # looking releases nothing
        (kept,) = re.findall(r'name="code" value="([^"]*)"', found.text)
        done = await client.post("/release/now", data={"code": kept})
        assert done.status_code == 200
        assert "It prints now: 2 documents on coded, 2nd &lt;floor&gt;." in done.text
        assert await state(house, job) is JobState.PENDING
        for page in (form, found, done):
            for private in ("secret plan", "ada", f"{job.id}</", "/jobs/"):
                assert private not in page.text, private
    trace = await house.store.trace(job.id)
    assert any("released by the code, typed at 127.0.0.1" in event.text for event in trace)


async def test_who_stands_there_hears_that_the_printer_does_not_print(house: WebHouse) -> None:
    job = await held(house)
    async with house.stranger() as client:
        await house.store.set_paused("coded", True)
        assert "The printer is paused." in (await client.post("/release", data={"code": job.release_code})).text
        await house.store.set_paused("coded", False)
        await house.store.set_condition("coded", "stopped", ("media-empty",), "LOAD <A4>")
        done = (await client.post("/release/now", data={"code": job.release_code})).text
    assert "It prints as soon as the printer can: 2 documents on coded" in done
    assert "The printer stands: the paper is used up." in done


async def test_every_code_that_releases_nothing_gets_the_same_answer(house: WebHouse) -> None:
    used, canceled, uncoded = await held(house), await held(house), await held(house, Hold.ALL)
    assert await house.store.unhold(used.id, "test")
    assert await house.store.cancel(canceled.id, "test")
    assert not uncoded.release_code
    never = wrong(used)(0)
    async with house.stranger() as client:
        for path in ("/release", "/release/now"):
            answers = {
                (answer.status_code, answer.text, tuple(sorted(set(answer.headers) - {"date"})))
                for code in (used.release_code, canceled.release_code, never, "", "12", "x" * 99, "٣" * 8)
                for answer in [await client.post(path, data={"code": code})]
            }
            assert len(answers) == 1
            ((status, text, _),) = answers
            assert (status, NOTHING in text) == (404, True)


async def test_a_link_opened_by_a_program_releases_nothing(house: WebHouse) -> None:
    job = await held(house)
    async with house.stranger() as client:
        assert (await client.get("/release", params={"code": job.release_code})).status_code == 200
        assert (await client.get("/release/now", params={"code": job.release_code})).status_code == 405
    assert await state(house, job) is JobState.PENDING_HELD


async def test_no_other_sites_page_can_type_a_code(house: WebHouse) -> None:
    job = await held(house)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        answer = await house.client.post("/release/now", data={"code": job.release_code}, headers=headers)
        assert answer.status_code == 403
    assert await state(house, job) is JobState.PENDING_HELD


async def test_who_types_too_many_wrong_ones_has_to_wait(house: WebHouse) -> None:
    job = await held(house)
    codes = wrong(job)
    async with house.stranger() as client:
        for number in range(guessing.FREE):
            assert (await client.post("/release", data={"code": codes(number)})).status_code == 404
        answer: httpx2.Response = await client.post("/release", data={"code": job.release_code})
        assert answer.status_code == 429
        assert "Too many wrong codes were typed lately" in answer.text
        # who has no code is not among them, and who logs in can still release it
        assert (await client.post("/release", data={"code": "12"})).status_code == 404
    async with house.browser() as browser:
        assert (await browser.post(f"/jobs/{job.id}/release")).status_code == 303
    assert await state(house, job) is JobState.PENDING


async def test_while_the_directory_is_silent_it_still_prints(house: WebHouse) -> None:
    job = await held(house)
    await house.slapd.stop()
    async with house.stranger() as client:
        found = await client.post("/release/now", data={"code": job.release_code})
    assert found.status_code == 200
    assert await state(house, job) is JobState.PENDING


# -- what guessing costs


@dataclass(kw_only=True)
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def releases(house: WebHouse, clock: Clock) -> Releases:
    guesses = Guesses(clock=clock, first=0.0)
    return Releases(house.store, house.directory, guesses, house.settings.site.networks, clock=clock)


async def tried(made: Releases, client: str, code: str) -> bool:
    """Whether the code was looked at."""
    try:
        await made.find(client, code)
    except NoSuchCode:
        return True
    except TooManyCodes:
        return False
    return True


async def test_a_botnet_cannot_walk_the_codes(house: WebHouse) -> None:
    """Of as many clients as there can be, so many codes are looked at in an hour as the docstring reckons with."""
    job = await held(house)
    codes, clock = wrong(job), Clock()
    made = releases(house, clock)
    looked = 0
    for number in range(4 * FROM_OUTSIDE):
        looked += await tried(made, f"198.51.{number // 250}.{number % 250}", codes(number))
    assert looked == FROM_OUTSIDE
    assert not await tried(made, "192.0.2.1", job.release_code)  # nor is a right one, or they would find it so
    assert (await made.find(INSIDE, job.release_code)).job.id == job.id  # but the site's own people are not kept out
    for hour in range(1, 4):
        clock.now = hour * HOUR
        looked = 0
        for number in range(2 * FROM_OUTSIDE):
            looked += await tried(made, f"198.{50 + hour}.{number // 250}.{number % 250}", codes(number))
        assert looked == FROM_OUTSIDE
    assert "1,440 a day" in (releasing.__doc__ or "")
    assert FROM_OUTSIDE * 24 == 1440
    assert round(10**CODE_DIGITS / 100 / 1440) == 694
    assert round(10**CODE_DIGITS / 1440 / 365.25) == 190


async def test_wrong_ones_from_outside_cost_nobody_inside_his_typing_mistake(house: WebHouse) -> None:
    job = await held(house)
    codes, made = wrong(job), releases(house, Clock())
    for number in range(FROM_OUTSIDE):
        assert await tried(made, f"198.51.100.{number}", codes(number))
    assert await tried(made, INSIDE, codes(0))
    assert (await made.find(INSIDE, job.release_code)).job.id == job.id


async def test_one_client_outside_does_not_use_up_what_all_have(house: WebHouse) -> None:
    job = await held(house)
    codes, clock = wrong(job), Clock()
    made = releases(house, clock)
    one = sum([await tried(made, "198.51.100.7", codes(number)) for number in range(30)])
    site = sum([await tried(made, f"2001:db8:1:{number:x}::1", codes(number)) for number in range(30)])
    assert (one, site) == (BY_ONE, BY_ONE)  # a /48 is one
    assert (await made.find("192.0.2.1", job.release_code)).job.id == job.id
    clock.now = HOUR / BY_ONE  # it fills again bit by bit
    assert sum([await tried(made, "198.51.100.7", codes(number)) for number in range(30)]) == 1


async def test_inside_there_is_a_bound_too(house: WebHouse) -> None:
    job = await held(house)
    clock = Clock()
    taken = Bound(FROM_INSIDE, clock=clock)
    for _ in range(FROM_INSIDE):
        taken.take()
    with pytest.raises(TooManyCodes):
        taken.take()
    made = releases(house, clock)
    assert sum([await tried(made, INSIDE, wrong(job)(number)) for number in range(30)]) == guessing.FREE


async def test_right_codes_cost_nothing(house: WebHouse) -> None:
    job, clock = await held(house), Clock()
    made = releases(house, clock)
    for _ in range(3 * FROM_OUTSIDE):
        assert (await made.find("192.0.2.1", job.release_code)).job.id == job.id


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("12345678", "12345678"),
        (" 1234 5678\n", "12345678"),
        ("1234-5678", "12345678"),
        ("12 34 56 78", "12345678"),
        ("1234567", ""),
        ("123456789", ""),
        ("1234567a", ""),
        ("", ""),
        ("١٢٣٤٥٦٧٨", ""),
        ("1" + " " * 1_000_000 + "2345678", ""),
    ],
)
def test_what_people_type(typed: str, code: str) -> None:
    assert read(typed) == code
