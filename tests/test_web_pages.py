"""What the pages show and what administrators do on them, and the words they use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.web import overview
from appliance.web.pages import ago, duration, sentence
from appliance.web.words import octets
from mailstore import condition
from mailstore.directory.records import Printer
from mailstore.store.outbox import OutgoingMail, WebSession
from tests.web_house import ADA, ADA_NAME, ADA_PASSWORD, PRINTER, WebHouse, web_house

POLLING = Printer(name="cellar", addresses=("cellar@example.com",), location="B <1>", allow=("@example.com",))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    async with web_house(tmp_path, PRINTER, POLLING) as running:
        yield running


# -- what is seen


async def test_the_overview_says_how_printers_fare(house: WebHouse) -> None:
    await house.mail(name="a report")
    await house.store.polled("cellar", time.time() - 7200)
    await house.store.set_condition("office", "stopped", ["media-empty-error"], "TRAY 2 EMPTY")
    await house.store.set_accepting("cellar", accepting=False)
    async with house.browser(ADA_NAME, ADA_PASSWORD) as client:
        text = (await client.get("/")).text
    for words in (
        'href="/printers/office"',
        "office@example.com",
        "the paper is used up (TRAY 2 EMPTY)",
        "Stopped: office (the paper is used up).",
        "takes no mail",
        "2 hours ago",
        "Room 2.14",
        "B &lt;1&gt;",
    ):
        assert words in text


async def test_an_empty_house_says_how_to_begin(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house, house.browser() as client:
        text = (await client.get("/")).text
        assert "No printer yet" in text
        assert "printpost printer add office" in text
        assert 'href="/printers/new"' in text


async def test_mail_that_cannot_go_out_is_told(house: WebHouse) -> None:
    mail = OutgoingMail(
        recipient="ada@example.com", octets=b"Subject: x\r\n\r\n", job_id=0, expires_at=time.time() + 99
    )
    await house.store.tell([mail], [])
    async with house.browser() as client:
        assert "to be delivered" not in (await client.get("/")).text  # it has not failed yet
        (queued,) = await house.store.take_outgoing("test", 1, 60)
        await house.store.outgoing_later(queued, time.time() + 60, "<ada@example.com>: mailbox full")
        text = (await client.get("/")).text
        async with house.browser(ADA_NAME, ADA_PASSWORD) as ada:
            others = (await ada.get("/")).text
    assert "1 notice waits to be delivered, the oldest came just now: &lt;ada@example.com&gt;: mailbox full." in text
    assert "1 notice waits to be delivered, the oldest came just now. An administrator can see why." in others
    assert "ada@example.com" not in others, "whose notice it is, is nobody else's business"


async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    store = {"url": f"sqlite:{tmp_path}", "reserve": 1 << 60}
    async with web_house(tmp_path, store=store) as house, house.browser() as client:
        assert "The disk is nearly full: soon mail will be refused." in (await client.get("/")).text


async def test_text_of_strangers_stays_text(house: WebHouse) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x>"
    number = await house.mail(name=evil, sender="<b>@example.com")
    await house.store.set_condition("office", "stopped", ["x-<i>"], evil)
    async with house.browser() as client:
        for path in ("/", "/printers/office", "/jobs", f"/jobs/{number}", f"/login?next=/{evil}", f"/{evil}"):
            text = (await client.get(path)).text
            assert not any(tag in text for tag in ("<script>", "<img src=x>", "<i>", "<b>")), path
        assert "&lt;script&gt;" in (await client.get("/")).text
        answer = await client.post("/add-person", data={"name": evil, "addresses": evil, "full_name": evil})
        assert answer.status_code == 422
        assert "<script>" not in answer.text


async def test_of_very_many_printers_some_are_shown_and_the_others_found(
    house: WebHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST", 1)
    await house.store.set_condition("office", "stopped", ["media-empty"], "")
    async with house.browser() as client:
        text = (await client.get("/")).text
        assert 'id="printer-office"' in text  # it stopped, so it comes before the cellar
        assert 'id="printer-cellar"' not in text
        assert "These are 1 of 2" in text
        text = (await client.get("/?find=CELLAR@")).text
        assert 'id="printer-cellar"' in text
        assert 'hx-get="/?find=CELLAR@"' in text
        assert "No printer has “attic”" in (await client.get("/?find=attic")).text


# -- people


async def test_an_administrator_adds_changes_and_removes_people(house: WebHouse) -> None:
    async with house.browser() as client:
        new = {"name": "Bob", "full_name": "Bob Kahn", "addresses": "bob@example.com, rk@example.com"}
        answer = await client.post("/add-person", data=new)
        assert answer.status_code == 200
        password = answer.text.partition('<output class="secret">')[2].partition("<")[0]
        assert len(password) == 23
        bob = await house.people.verify("bob", password)
        assert bob is not None
        assert (bob.addresses, bob.full_name, bob.administrator) == (
            ("bob@example.com", "rk@example.com"),
            "Bob Kahn",
            False,
        )
        assert password not in (await client.get("/people/bob")).text

        seen = (await client.get("/people/bob")).text.partition('name="seen" value="')[2].partition('"')[0]
        change = {"seen": seen, "full_name": "Robert Kahn", "addresses": "bob@example.com", "administrator": "yes"}
        assert (await client.post("/people/bob", data=change)).status_code == 303
        assert "bob was saved." in (await client.get("/people")).text.lower()
        changed = await house.people.person("bob")
        assert changed is not None
        assert (changed.full_name, changed.administrator) == ("Robert Kahn", True)
        answer = await client.post("/people/bob", data={**change, "full_name": "Bobby"})
        assert answer.status_code == 422
        assert "Somebody else changed bob meanwhile" in answer.text
        assert 'value="Bobby"' in answer.text

        answer = await client.post("/people/bob/password")
        assert await house.people.verify("bob", password) is None
        password = answer.text.partition('<output class="secret">')[2].partition("<")[0]
        assert await house.people.verify("bob", password) is not None

        assert "Remove bob?" in (await client.get("/people/bob/remove")).text
        assert await house.people.person("bob") is not None
        assert (await client.post("/people/bob/remove")).status_code == 303
        assert await house.people.person("bob") is None
        assert (await client.get("/people/bob")).status_code == 404


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        ({"name": "", "addresses": "x@example.com"}, "name", "Somebody needs a name."),
        ({"name": "eve", "addresses": ""}, "addresses", "Give at least one address."),
        ({"name": "ada", "addresses": "x@example.com"}, "name", "ada"),
        ({"name": "eve", "addresses": "ada@example.com"}, "addresses", "ada@example.com"),
        ({"name": "eve", "addresses": "office@example.com"}, "addresses", "office@example.com"),
        ({"name": "e v", "addresses": "x@example.com"}, "name", "e v"),
        ({"name": "eve", "addresses": "no address"}, "addresses", "no"),
        ({"name": "eve", "addresses": "x@example.com", "full_name": "user@" * 30}, "full_name", "at most 127 octets"),
    ],
)
async def test_somebody_who_cannot_be_added_says_why(
    house: WebHouse, data: dict[str, str], field: str, text: str
) -> None:
    async with house.browser() as client:
        answer = await client.post("/add-person", data=data)
    assert answer.status_code == 422
    error = answer.text.partition(f'id="{field}-error">')[2].partition("</p>")[0]
    assert text in error
    for typed in data.values():
        assert typed in answer.text


async def test_nobody_locks_himself_out(house: WebHouse) -> None:
    async with house.browser() as client:
        seen = (await client.get("/people/grace")).text.partition('name="seen" value="')[2].partition('"')[0]
        answer = await client.post("/people/grace", data={"seen": seen, "addresses": "grace@example.com"})
        assert answer.status_code == 422
        assert "Nobody takes this right from himself" in answer.text
        assert (await client.post("/people/grace/remove")).status_code == 403
        assert (await client.get("/people")).status_code == 200


async def test_a_name_that_becomes_ours_is_nobody_elses_any_more(house: WebHouse) -> None:
    """Somebody of this name in the site's own directory may be logged in."""
    now = time.time()
    await house.store.begin_session(WebSession(key="k", person="bob", created_at=now, expires_at=now + 60))
    async with house.browser() as client:
        assert (
            await client.post("/add-person", data={"name": "Bob", "addresses": "bob@example.com"})
        ).status_code == 200
    assert await house.store.session("k") is None


async def test_two_who_remove_each_other_leave_one(house: WebHouse) -> None:
    await house.people.replace(replace(ADA, administrator=True))
    await house.changed()
    async with house.browser() as grace, house.browser(ADA_NAME, ADA_PASSWORD) as ada:
        answers = await asyncio.gather(grace.post("/people/ada/remove"), ada.post("/people/grace/remove"))
        assert sorted(answer.status_code for answer in answers)[0] == 303
        assert [answer.status_code for answer in answers].count(303) >= 1
    house.web.site.refresh()
    assert [person.administrator for person in await house.people.people()] == [True]


async def test_mail_of_somebody_who_was_removed_goes(house: WebHouse) -> None:
    await house.mail(ADA.maildrop)
    assert (await house.store.standing(ADA.maildrop))[1] > 0
    async with house.browser() as client:
        await client.post("/people/ada/remove")
    assert (await house.store.standing(ADA.maildrop))[1] == 0


# -- words


def test_lengths_of_time() -> None:
    said = [duration(seconds) for seconds in (0, 1, 59.9, 60, 3600, 7199, 86400, 40 * 86400, 366 * 86400)]
    assert said == ["0 seconds", "1 second", "59 seconds", "1 minute", "1 hour", "1 hour", "1 day", "40 days", "1 year"]
    assert (ago(0), ago(100, 103), ago(100, 700)) == ("never", "just now", "10 minutes ago")


def test_sizes_and_sentences() -> None:
    assert [octets(size) for size in (0, 999, 1000, 97_000, 10 << 20, 3 << 30)] == [
        *("0 bytes", "999 bytes", "1.0 kB", "97 kB", "10 MB", "3.2 GB"),
    ]
    assert (sentence("no PDF came"), sentence("Well."), sentence("")) == ("No PDF came.", "Well.", "")


def test_reasons_in_words() -> None:
    assert (
        condition.all_in_words(["media-empty-error", "toner-low-warning"]) == "the paper is used up; the toner is low"
    )
    assert condition.all_in_words(["none"]) == ""
    assert condition.in_words("x-lamp-broken-report") == "lamp broken"
    assert condition.keyword("media-empty") == "media-empty"
    assert set(condition.PRINTER_STATES) == {"idle", "processing", "stopped"}
