"""Groups of printers, limits and raw: what the desk lets pass, and what the page, the API and others make of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from appliance.desk import COMMAND_LINE, Missing
from appliance.doctor import printers as doctor
from appliance.gauges import StoreGauges
from appliance.rights import NotAllowed
from appliance.web.api_printers import LimitName
from mailstore.directory.records import NO_LIMITS, Printer, PrintLimits, Raw
from mailstore.directory.values import LIMITS
from mailstore.failure import PermanentFailure
from mailstore.store.contract import PrinterState
from tests.house import Metrics
from tests.pop3_house import client, running_pop3
from tests.test_desk import ALAN, EVE, GRACE, MALLORY, OFFICE, POLLS, Place, place
from tests.test_web_printer import form_of
from tests.web_house import ADA_NAME, ADA_PASSWORD, GRACE_NAME, GRACE_PASSWORD, WebHouse, web_house

pytestmark = pytest.mark.slow  # foreign programs

ATTIC = replace(OFFICE, name="attic", addresses=("attic@example.com",), sysadmin=("root@example.com",))
ALL = Printer(
    name="all",
    addresses=("all@example.com",),
    languages=(),
    members=("office", "polls"),
    allow=("@example.com",),
    sysadmin=("grace@example.com",),
)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path) as made:
        await made.directory.add(ATTIC, None)
        yield made


# -- what may be a group


async def test_a_group_is_made_changed_and_removed(here: Place) -> None:
    assert await here.desk.add(COMMAND_LINE, ALL) == ALL
    smaller = await here.desk.change(COMMAND_LINE, "all", "", {"members": ("Attic",)})
    assert smaller.members == ("attic",)
    assert (await here.desk.printer(COMMAND_LINE, "all")).printer == smaller
    await here.desk.remove(COMMAND_LINE, "all")
    with pytest.raises(Missing):
        await here.desk.printer(COMMAND_LINE, "all")


async def test_members_are_printers_that_exist(here: Place) -> None:
    await here.desk.add(COMMAND_LINE, ALL)
    for members, why in (
        (("office", "nowhere"), "nowhere is no printer"),
        (("all",), "member of itself"),
        (("other",), "other is no printer"),
    ):
        with pytest.raises(PermanentFailure, match=why):
            await here.desk.change(COMMAND_LINE, "all", "", {"members": members})
    other = replace(ALL, name="other", addresses=("other@example.com",), members=("all",))
    with pytest.raises(PermanentFailure, match="all is a group, and cannot be a member"):
        await here.desk.add(COMMAND_LINE, other)
    assert await here.directory.printer("other") is None
    assert await here.directory.printer("all") == ALL


async def test_a_group_takes_no_name_that_a_group_still_has(here: Place) -> None:
    """The entry of a member went by another client; then a group of its name would be a group in a group."""
    await here.desk.add(COMMAND_LINE, replace(ALL, members=("office", "attic")))
    await here.directory.remove("attic")
    attic = replace(ALL, name="attic", addresses=("attic@example.com",))
    with pytest.raises(PermanentFailure, match="attic is a member of all"):
        await here.desk.add(COMMAND_LINE, attic)


async def test_a_printer_never_becomes_a_group_nor_a_group_a_printer(here: Place) -> None:
    """Of the one, mail would wait in a maildrop that nobody drains; the other would get one that is open to POP3."""
    await here.desk.add(COMMAND_LINE, ALL)
    with pytest.raises(PermanentFailure, match="cannot become a group"):
        await here.desk.change(COMMAND_LINE, "polls", "", {"members": ("office",)})
    for change in ({}, {"languages": POLLS.languages}, {"uri": OFFICE.uri}):
        with pytest.raises(PermanentFailure, match="a group and needs a member"):
            await here.desk.change(COMMAND_LINE, "all", "", {"members": (), **change})


async def test_nobody_puts_a_printer_into_his_group_that_is_not_his(here: Place) -> None:
    """Else the SysAdmin of a group would let people in by its rules where others set the rules."""
    await here.desk.add(COMMAND_LINE, ALL)
    with pytest.raises(NotAllowed):
        await here.desk.change(GRACE, "all", "", {"members": ("office", "attic")})
    assert (await here.desk.change(GRACE, "all", "", {"members": ("office",)})).members == ("office",)
    assert (await here.desk.change(GRACE, "all", "", {"members": ("polls", "office")})).members == ("polls", "office")
    await here.desk.change(COMMAND_LINE, "all", "", {"members": ("attic", "office")})
    changed = await here.desk.change(GRACE, "all", "", {"location": "everywhere"})  # what is in it may stay
    assert changed.members == ("attic", "office")


async def test_a_member_is_not_removed(here: Place) -> None:
    await here.desk.add(COMMAND_LINE, ALL)
    with pytest.raises(PermanentFailure, match=r"first: printpost printer set all --member polls$"):
        await here.desk.remove(COMMAND_LINE, "office")
    assert await here.directory.printer("office")
    await here.desk.change(COMMAND_LINE, "all", "", {"members": ("office",)})
    await here.desk.remove(COMMAND_LINE, "polls")
    with pytest.raises(PermanentFailure, match=r"first: printpost printer remove all$"):
        await here.desk.remove(COMMAND_LINE, "office")
    await here.desk.remove(COMMAND_LINE, "all")
    await here.desk.remove(COMMAND_LINE, "office")


async def test_what_a_group_has_not(here: Place) -> None:
    with pytest.raises(PermanentFailure, match="has no password"):
        await here.desk.add(COMMAND_LINE, ALL, "sesame")
    assert await here.directory.printer("all") is None
    await here.desk.add(COMMAND_LINE, ALL)
    for act, why in (
        (here.desk.new_password(COMMAND_LINE, "all"), "has no password, for nothing fetches its mail"),
        (here.desk.test_page(COMMAND_LINE, "all"), "prints nothing itself"),
        (here.desk.set_paused(COMMAND_LINE, "all", True), "has nothing waiting"),
        (here.desk.set_accepting(COMMAND_LINE, "all", False), "takes what its members take"),
    ):
        with pytest.raises(PermanentFailure, match=rf"all is a group and {why}: do this with a member, office, polls"):
            await act
    assert await here.store.jobs() == []
    assert await here.store.printer_state("all") == PrinterState(printer="all")


async def test_what_was_sent_to_a_group_stands_under_its_name(here: Place) -> None:
    await here.desk.add(COMMAND_LINE, replace(ALL, members=("attic", "office"), key_user=("alan@example.com",)))
    sent = [await here.mail(to, address="All+duplex@example.com") for to in ("office", "attic", "office")]
    await here.mail("office")
    await here.mail("polls", address="all@example.com")  # that was in it once
    for person, seen in ((COMMAND_LINE, sent), (GRACE, [sent[0], sent[2]]), (ALAN, sent), (EVE, sent)):
        assert [job.id for job in await here.desk.jobs(person, "all")] == seen[::-1], person.name
    assert await here.desk.jobs(MALLORY, "all") == []
    assert [job.id for job in await here.desk.jobs(COMMAND_LINE, "all", 1, before=sent[2])] == [sent[1]]
    assert await here.store.cancel(sent[1], "somebody")
    assert [job.id for job in await here.desk.jobs(COMMAND_LINE, "all", states=["canceled"])] == [sent[1]]


async def test_metrics_know_a_group_by_name_alone(here: Place) -> None:
    await here.directory.add(ALL, None)
    registry = CollectorRegistry()
    gauges = StoreGauges(here.store, here.directory, registry)
    await gauges.refresh()
    text = generate_latest(registry).decode()
    gauges.close()
    assert [line for line in text.splitlines() if 'printer="all"' in line] == [
        'printpost_printer_info{location="",model="",printer="all",transport="group"} 1.0'
    ]
    assert Metrics(text).value("printpost_printer_enabled", printer="office") == 1


# -- POP3


async def test_nobody_logs_in_as_a_group(tmp_path: Path) -> None:
    async with running_pop3(tmp_path) as house:
        member = await house.printer()
        group = await house.printer(members=(member,))  # of this one somebody set a password by LDAP
        async with client(house) as printer:
            refused = await printer.login("nobody")
            assert refused.startswith("-ERR [AUTH]")
        for name in (group, f"{group}@print.example.com"):
            async with client(house) as printer:
                assert await printer.login(name) == refused
        async with client(house) as printer:
            assert (await printer.login(member)).startswith("+OK")


# -- doctor


def test_what_doctor_says_of_a_group() -> None:
    known = [OFFICE, POLLS, ALL]
    assert doctor.members(ALL, known) == []
    assert doctor.members(OFFICE, known) == []
    (told,) = doctor.members(replace(ALL, members=("office", "gone")), known)
    assert "its members gone are no printers" in told
    assert told.endswith("printpost printer set all --member office")
    (told,) = doctor.members(replace(ALL, name="other", members=("all",)), known)
    assert "are groups" in told
    assert told.endswith("printpost printer remove other")
    assert doctor.fares(ALL, PrinterState(printer="all"), 1e9) == [], "it never polls"
    (told,) = doctor.settings(replace(ALL, allow=()))
    assert "nobody may print" in told


# -- the page


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    async with web_house(tmp_path, OFFICE, POLLS, ALL) as made:
        yield made


async def test_a_groups_page_shows_its_printers(house: WebHouse) -> None:
    await house.store.set_condition("office", "stopped", ["media-empty-error"], "tray 2")
    async with house.browser() as browser:
        page = (await browser.get("/printers/all")).text
        assert "Prints on each of these" in page
        for name in ("office", "polls"):
            assert f'<a href="/printers/{name}">{name}</a>' in page
        assert "the paper is used up" in page
        assert 'data-live="office polls"' in page
        for absent in ("should poll", "Print a test page", "Sent to", "Model"):
            assert absent not in page
        assert "No job yet" in page
        job = await house.mail(address="all@example.com")
        page = (await browser.get("/printers/all")).text
        assert f'id="job-{job}"' in page
        assert f'id="printer-of-{job}"' in page
        assert 'href="/jobs?printer=all"' in page
        assert f'id="job-{job}"' in (await browser.get("/jobs", params={"printer": "all"})).text
        await house.directory.remove("polls")
        await house.changed()
        assert "There is no printer of this name" in (await browser.get("/printers/all")).text
        listed = (await browser.get("/")).text
        assert "prints on" in listed
        assert "no printer" in listed


async def test_the_form_of_a_group(house: WebHouse) -> None:
    async with house.browser() as browser:
        page = (await browser.get("/printers/all/settings")).text
        for absent in ('name="uri"', 'name="languages"', 'name="raw"', 'name="poll_interval"', "Make a new password"):
            assert absent not in page
        assert 'name="tell_printed"' not in page, "that is asked of the printer that printed it"
        assert "Hears when something is wrong" not in page
        sent = form_of(page) | {"members": "office\r\nnowhere", "limits": "jobs=5", "unverified_ok": "on"}
        answer = await browser.post("/printers/all/settings", data=sent)
        assert answer.status_code == 422
        assert "Nowhere is no printer" in answer.text
        sent["members"] = "office"
        assert (await browser.post("/printers/all/settings", data=sent)).status_code == 303
        changed = await _entry(house, "all")
        assert (changed.members, changed.limits, changed.unverified_ok) == (("office",), PrintLimits(jobs=5), True)
        page = (await browser.get("/printers/all")).text
        assert "5 jobs an hour" in page
        assert "Nothing has to be proved here" in page


async def test_a_group_is_added_on_the_page(house: WebHouse) -> None:
    async with house.browser() as browser:
        assert 'href="/printers/new?group=true"' in (await browser.get("/printers/new")).text
        page = (await browser.get("/printers/new", params={"group": "true"})).text
        assert "Add a group" in page
        assert 'name="uri"' not in page
        sent = {"name": "school", "members": "", "allow": "@example.com", "sysadmin": "ada@example.com"}
        answer = await browser.post("/printers/new", data=sent)
        assert answer.status_code == 422
        assert "Name at least one printer" in answer.text
        answer = await browser.post("/printers/new", data=sent | {"members": "office\r\npolls"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/printers/school")
        made = await _entry(house, "school")
        assert (made.members, made.addresses) == (("office", "polls"), ("school@example.com",))
        assert made.sysadmin == ("ada@example.com",)


async def test_limits_and_raw_on_the_page(house: WebHouse) -> None:
    async with house.browser() as browser:
        assert "made anew</option>" not in (await browser.get("/printers/polls/settings")).text, "it polls"
        page = (await browser.get("/printers/office/settings")).text
        assert '<option value="insider" selected>' in page
        assert '<option value="nobody">' in page
        for wrong, told in (
            ({"limits": "jobs=many"}, "is not a limit of jobs"),
            ({"limits": "sheets=5"}, "is not a limit: write it like jobs=100"),
            ({"limits": "jobs=5\njobs=6"}, "stands there twice"),
            ({"raw": "all"}, "Choose one of those"),
        ):
            answer = await browser.post("/printers/office/settings", data=form_of(page) | wrong)
            assert answer.status_code == 422
            assert told in answer.text
        sent = form_of(page) | {"limits": "Jobs = 100\n\nsender-pages=20", "raw": "nobody"}
        assert (await browser.post("/printers/office/settings", data=sent)).status_code == 303
        changed = await _entry(house, "office")
        assert (changed.limits, changed.raw) == (PrintLimits(jobs=100, sender_pages=20), Raw.NOBODY)
        assert "as they came" not in (await browser.get("/printers/office")).text
        sent = form_of((await browser.get("/printers/office/settings")).text) | {"raw": "stranger"}
        assert (await browser.post("/printers/office/settings", data=sent)).status_code == 303
        assert (
            "PostScript and PDF of everybody who may print reach it as they came"
            in (await browser.get("/printers/office")).text
        )


async def test_groups_of_people_on_the_page(house: WebHouse) -> None:
    async with house.browser() as browser:
        sent = {"full_name": "Ada", "addresses": "ada@example.com", "groups": "Teachers\r\n head  office \r\n"}
        assert (await browser.post(f"/people/{ADA_NAME}", data=sent)).status_code == 303
        page = (await browser.get(f"/people/{ADA_NAME}")).text
        assert "teachers\nhead office</textarea>" in page
        answer = await browser.post(f"/people/{ADA_NAME}", data=sent | {"groups": "x" * 300})
        assert answer.status_code == 422
        assert "cannot be a group" in answer.text
    house.people.forget()
    assert await house.people.groups("ada@example.com") == {"teachers", "head office"}


# -- the API


async def test_groups_limits_and_raw_by_the_api(house: WebHouse) -> None:
    async def call(method: str, path: str, body: Any = None, name: str = "") -> httpx2.Response:
        who = (ADA_NAME, ADA_PASSWORD) if name else (GRACE_NAME, GRACE_PASSWORD)
        return await house.client.request(method, f"/api/v1{path}", json=body, auth=who)

    made = await call("POST", "/printers", {"name": "school", "members": ["office"], "limits": {"sender-jobs": 3}})
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["members"], told["limits"], told["languages"], told["raw"]) == (
        ["office"],
        {"sender-jobs": 3},
        [],
        "insider",
    )
    assert (await call("GET", "/printers/school", name=ADA_NAME)).json()["members"] == ["office"]
    for body, status, words in (
        ({"members": ["nowhere"]}, 400, "no printer"),
        ({"limits": {"sheets": 1}}, 422, "limits"),
        ({"limits": {"jobs": -1}}, 422, "limits"),
        ({"raw": "all"}, 422, "raw"),
        ({"uri": "socket://192.0.2.7"}, 400, "is a group"),
    ):
        refused = await call("PATCH", "/printers/school", body)
        assert refused.status_code == status, refused.text
        assert words in json.dumps(refused.json())
    office = (await call("PATCH", "/printers/office", {"raw": "verified", "unverified_ok": True})).json()
    assert (office["raw"], office["unverified_ok"], office["limits"]) == ("verified", True, {})
    cleared = (await call("PATCH", "/printers/school", {"limits": {"sender-jobs": 0}})).json()
    assert cleared["limits"] == {}
    assert (await _entry(house, "school")).limits == NO_LIMITS
    assert (await call("DELETE", "/printers/office")).status_code in (400, 409)
    assert (await call("GET", "/status")).json()["printers"]["idle"] == 2, "a group is no printer that is ready"
    people = await call("PATCH", f"/people/{ADA_NAME}", {"groups": ["Teachers"]})
    assert people.json()["groups"] == ["teachers"]


def test_the_api_knows_every_limit() -> None:
    assert get_args(LimitName) == tuple(LIMITS)


async def _entry(house: WebHouse, name: str) -> Printer:
    house.directory.forget()
    found = await house.directory.printer(name)
    assert found is not None
    return found
