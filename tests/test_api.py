"""`/api/v1` by HTTP against a real store, a real slapd and uvicorn; each answer is held to the API's description."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from appliance import cli_job, cli_printer, cli_user, shell
from appliance.described import DescribedPrinter
from appliance.guessing import FREE
from mailstore.directory.records import Person
from mailstore.job import Event, JobState
from mailstore.store.outbox import OutgoingMail
from mailstore.store.papers import DocumentRecord, Fate
from tests.directory_server import short_folder
from tests.openapi import PREFIX, Described
from tests.test_web_printer import OFFICE, POLLS, ROLES, SECRET
from tests.test_web_printer import ROUTES as PAGES
from tests.web_house import ADA_NAME, ADA_PASSWORD, GRACE_NAME, GRACE_PASSWORD, WebHouse, web_house

PNG = b"\x89PNG\r\n\x1a\n and what a picture has"
REPORT = DocumentRecord(
    number=1, name="Report.pdf", format="application/pdf", pages=12, fate=Fate.READY, detail="cairo-postscript"
)
LOGO = DocumentRecord(
    number=2, name="logo.png", format="image/png", pages=0, fate=Fate.LEFT_OUT, detail="it stands in every mail"
)
PASSWORDS = {GRACE_NAME: GRACE_PASSWORD, ADA_NAME: ADA_PASSWORD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API of a house, for whoever logs in with each request."""

    house: WebHouse
    described: Described

    async def __call__(
        self, method: str, path: str, by: str = GRACE_NAME, *, client: httpx2.AsyncClient | None = None, **more: Any
    ) -> httpx2.Response:
        """An answer, which is as described."""
        if client is None:
            client, more = self.house.client, {"auth": (by, PASSWORDS.get(by, SECRET)), **more}
        answer = await client.request(method, PREFIX + path, **more)
        self.described.check(answer)
        return answer

    async def json(self, path: str, by: str = GRACE_NAME) -> Any:
        answer = await self("GET", path, by)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, status: int, method: str, path: str, by: str = GRACE_NAME, **more: Any) -> str:
        """The sentence with which it is refused."""
        answer = await self(method, path, by, **more)
        assert answer.status_code == status, answer.text
        problem = answer.json()
        assert problem["status"] == status
        assert re.fullmatch(r".+[.!?]", problem["detail"])
        return str(problem["detail"])


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with api_of(tmp_path) as running:
        yield running


@contextlib.asynccontextmanager
async def api_of(folder: Path) -> AsyncIterator[Api]:
    """Everybody of `ROLES` may log in."""
    async with web_house(folder, OFFICE, POLLS) as house:
        for name in ("linus", "sam", "ken"):
            await house.people.add(Person(name=name, addresses=(f"{name}@example.com",)), SECRET)
        await house.changed()
        document = (await house.client.get(f"{PREFIX}/openapi.json", auth=(ADA_NAME, ADA_PASSWORD))).json()
        yield Api(house=house, described=Described(document=document))


# -- who may do what

EVERYBODY, MANAGE, SET, OPERATE = {*ROLES}, {"administrator"}, {"administrator", "SysAdmin"}, {*ROLES} - {"nobody"}
TABLE: dict[tuple[str, str], tuple[set[str], int, Any]] = {
    ("GET", "/me"): (EVERYBODY, 200, None),
    ("GET", "/status"): (EVERYBODY, 200, None),
    ("GET", "/openapi.json"): (EVERYBODY, 200, None),
    ("GET", "/printers"): (EVERYBODY, 200, None),
    ("GET", "/jobs"): (EVERYBODY, 200, None),
    ("GET", "/printers/office"): (EVERYBODY, 200, None),
    ("GET", "/printers/office/why?sender=ada@example.com"): (OPERATE, 200, None),
    ("POST", "/printers/office/test-page"): (OPERATE, 201, None),
    ("POST", "/printers/office/pause"): (OPERATE, 204, None),
    ("POST", "/printers/office/resume"): (OPERATE, 204, None),
    ("POST", "/printers/office/refuse"): (OPERATE, 204, None),
    ("POST", "/printers/office/accept"): (OPERATE, 204, None),
    ("GET", "/jobs/NUMBER"): (OPERATE, 200, None),
    ("GET", "/jobs/NUMBER/pictures/1/1"): (OPERATE, 200, None),
    ("POST", "/jobs/NUMBER/hold"): (OPERATE, 204, None),
    ("POST", "/jobs/NUMBER/release"): (OPERATE, 204, None),
    ("POST", "/jobs/NUMBER/printed"): (OPERATE, 409, None),  # it is not in doubt
    ("POST", "/jobs/NUMBER/reprint"): (OPERATE, 409, None),
    ("POST", "/jobs/NUMBER/resume"): (OPERATE, 409, None),
    ("POST", "/jobs/NUMBER/move"): (OPERATE, 400, {"to": "office"}),  # it is there
    ("POST", "/jobs/NUMBER/cancel"): (OPERATE, 204, None),
    ("POST", "/jobs/NUMBER/again"): (OPERATE, 201, None),
    ("PATCH", "/printers/office"): (SET, 200, {"location": "Attic"}),
    ("POST", "/printers/phaser360/password"): (SET, 200, None),
    ("GET", "/printers/office/addresses"): (SET, 200, None),
    ("POST", "/printers/office/addresses"): (SET, 201, {"note": "a shop"}),
    ("DELETE", "/printers/office/addresses/1"): (SET, 204, None),
    ("POST", "/printers"): (MANAGE, 201, {"name": "attic"}),
    ("DELETE", "/printers/attic"): (MANAGE, 204, None),
    ("GET", "/people"): (MANAGE, 200, None),
    ("POST", "/people"): (MANAGE, 201, {"name": "bob", "addresses": ["bob@example.com"]}),
    ("GET", "/people/ada"): (MANAGE, 200, None),
    ("PATCH", "/people/bob"): (MANAGE, 200, {"full_name": "Bob"}),
    ("POST", "/people/ada/password"): (MANAGE, 200, None),  # at the page one proves the old one
    ("DELETE", "/people/bob"): (MANAGE, 204, None),
}


async def test_who_may_do_what(api: Api) -> None:
    for role, name in reversed(ROLES.items()):
        number = await api.house.mail(sender="eve@example.com")
        assert await api.house.store.keep_thumbnail(number, 1, 1, PNG)
        for (method, path), (roles, status, body) in TABLE.items():
            answer = await api(method, path.replace("NUMBER", str(number)), name, json=body)
            others_job = 404 if "NUMBER" in path else 403  # which is nobody's business
            assert answer.status_code == (status if role in roles else others_job), (role, method, path, answer.text)
    met = {(method, path) for method, path, _ in api.described.met}
    assert met == {
        (method.upper(), path) for path, each in api.described.document["paths"].items() for method in each
    }, "each route is in the table"


def test_the_rights_are_those_of_the_pages() -> None:
    same = TABLE.keys() & PAGES.keys()
    assert len(same) >= 7
    assert {route: TABLE[route][0] for route in same} == {route: PAGES[route][0] for route in same}
    assert TABLE["PATCH", "/printers/office"][0] == PAGES["POST", "/printers/office/settings"][0]
    assert TABLE["POST", "/printers"][0] == PAGES["POST", "/printers/new"][0]
    assert TABLE["DELETE", "/printers/attic"][0] == PAGES["POST", "/printers/office/remove"][0]


async def test_strangers_are_told_to_log_in(api: Api) -> None:
    async with api.house.stranger() as client:
        for (method, path), (_, _, body) in TABLE.items():
            answer = await api(method, path.replace("NUMBER", "1"), client=client, json=body)
            assert answer.status_code == 401, (method, path)
            assert "paths" not in answer.text
    assert await api.json("/jobs") == []


async def test_a_sender_has_his_own_job_in_hand(api: Api) -> None:
    number, other = await api.house.mail(), await api.house.mail(sender="eve@example.com")
    assert [job["id"] for job in await api.json("/jobs", "ada")] == [number]
    assert [job["id"] for job in await api.json("/jobs", "sam")] == [other, number]
    assert "not hold" in await api.refused(403, "POST", f"/jobs/{number}/hold", "ada")
    assert (await api("POST", f"/jobs/{number}/cancel", "ada")).status_code == 204
    assert "it has ended" in await api.refused(409, "POST", f"/jobs/{number}/cancel", "ada")
    again = await api("POST", f"/jobs/{number}/again", "ada")
    assert (await api.json(f"/jobs/{again.json()['job']}", "ada"))["state"] == "pending"


async def test_a_job_has_its_documents_and_pictures_of_pages(api: Api) -> None:
    store, number = api.house.store, await api.house.mail()
    assert (await api.json(f"/jobs/{number}", "ada"))["parts"] == []
    await store.record_documents(number, [REPORT, LOGO])
    assert await store.keep_thumbnail(number, 1, 2, PNG)
    report, logo = (await api.json(f"/jobs/{number}", "ada"))["parts"]
    (picture,) = report.pop("pictures")
    assert report == {
        "number": 1,
        "name": "Report.pdf",
        "format": "application/pdf",
        "pages": 12,
        "fate": "ready",
        "detail": "cairo-postscript",
    }
    assert (logo["fate"], logo["pictures"]) == ("left-out", [])
    assert picture == {"page": 2, "href": f"{PREFIX}/jobs/{number}/pictures/1/2"}
    answer = await api("GET", picture["href"].removeprefix(PREFIX), "ada")
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert answer.headers["content-disposition"] == f'inline; filename="job-{number}-document-1-page-2.png"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; img-src 'self'")
    for path in ("1/1", "2/2", f"1/{(1 << 31) - 1}"):
        told = await api.refused(404, "GET", f"/jobs/{number}/pictures/{path}", "ada")
        assert told.startswith("There is no picture of page")
    for path in ("0/1", "1/0", f"1/{1 << 31}", "1/x"):
        assert await api.refused(422, "GET", f"/jobs/{number}/pictures/{path}", "ada")
    assert "no job 99" in await api.refused(404, "GET", "/jobs/99/pictures/1/1")


async def test_a_picture_that_a_browser_has_is_asked_for_each_time(api: Api) -> None:
    store, number = api.house.store, await api.house.mail()
    path = f"/jobs/{number}/pictures/1/1"
    assert await store.keep_thumbnail(number, 1, 1, PNG)
    tag = (await api("GET", path, "ada")).headers["etag"]
    same = await api("GET", path, "ada", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    other = await api("GET", path, "ada", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, PNG)
    others = await api.house.mail(sender="eve@example.com")
    assert await store.keep_thumbnail(others, 1, 1, PNG)
    path_of_others = path.replace(str(number), str(others))
    assert (await api("GET", path_of_others, "ada", headers={"If-None-Match": tag})).status_code == 404
    assert await store.keep_thumbnail(number, 1, 1, PNG + b" drawn again")
    assert (await api("GET", path, "ada", headers={"If-None-Match": tag})).status_code == 200


async def test_of_a_printer_that_became_confidential_no_page_is_seen(api: Api) -> None:
    store, number = api.house.store, await api.house.mail()
    await store.record_documents(number, [REPORT])
    assert await store.keep_thumbnail(number, 1, 1, PNG)
    await api.house.directory.replace(dataclasses.replace(OFFICE, confidential=True))
    await api.house.changed()
    (report,) = (await api.json(f"/jobs/{number}"))["parts"]
    assert (report["name"], report["pictures"]) == ("Report.pdf", [])
    assert await api.refused(404, "GET", f"/jobs/{number}/pictures/1/1")


async def test_whoever_operates_no_printer_sees_no_rule(api: Api) -> None:
    fares, settings = await api.json("/printers/office", "ada"), await api.json("/printers/OFFICE", "ken")
    assert fares.keys() == DescribedPrinter.__annotations__.keys()
    assert settings.items() >= fares.items()
    assert settings["deny"] == ["mallory@example.com"]
    assert await api.json("/printers", "ada") == [fares, await api.json("/printers/phaser360", "ada")]


async def test_a_cookie_serves_too_but_not_from_another_site(api: Api) -> None:
    async with api.house.browser() as browser:
        assert (await api("GET", "/me", client=browser)).json()["name"] == "grace"
        assert (await api("POST", "/printers/office/pause", client=browser)).status_code == 204
        for lie in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            why = await api.refused(403, "POST", "/printers/office/resume", client=browser, headers=lie)
            assert "does not come from this page" in why
    assert (await api.json("/printers/office"))["paused"] is True


# -- settings


async def test_settings_are_read_changed_and_count(api: Api) -> None:
    before = await api.json("/printers/office")
    change = {"allow": ["ada@example.com"], "location": "Room 3", "revision": before["revision"]}
    after = (await api("PATCH", "/printers/office", "linus", json=change)).json()
    assert after == {**before, **change, "revision": after["revision"]}
    assert after["revision"] != before["revision"]
    assert await api.json("/printers/office") == after
    assert (await api.json("/printers/office/why?sender=ada@example.com"))["allowed"] is True
    verdict = await api.json("/printers/office/why?sender=eve@example.com")
    assert verdict["allowed"] is False
    assert "eve@example.com" in verdict["sentence"]

    stale = {"location": "Room 4", "revision": before["revision"]}
    assert "somebody else changed office" in (await api.refused(409, "PATCH", "/printers/office", json=stale)).lower()
    assert await api.json("/printers/office") == after
    del stale["revision"]  # who does not say what he has seen overwrites
    assert (await api("PATCH", "/printers/office", json=stale)).json()["location"] == "Room 4"
    assert (await api("PATCH", "/printers/office", json={"location": ""})).json()["location"] == ""


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (422, {"locatoin": "x"}, "there is no field 'locatoin'"),
        (422, {"name": "other"}, "there is no field 'name'"),
        (422, {"location": None}, "field location: "),
        (422, {"poll_interval": "often"}, "field poll_interval: "),
        (422, {"languages": ["klingon"]}, "field languages.0: "),
        (422, ["location"], "a JSON object"),
        (400, {"poll_interval": 0}, "give 1 to 86400 seconds"),
        (400, {"uri": "ipp://192.0.2.7"}, "socket://"),
        (400, {"allow": ["nonsense"]}, "nonsense"),
        (400, {"allow": ["ip:300.0.0.0/8"]}, "300.0.0.0"),
        (400, {"addresses": []}, "address"),
        (400, {"addresses": ["ada@example.com"]}, "ada@example.com"),
        (400, {"service_person": ["nobody"]}, "is not an address"),
        (400, {"gateway": "next door"}, "is not an IP address"),
        (400, {"location": "a\nb"}, "one line"),
    ],
)
async def test_what_cannot_be_set_is_told(api: Api, status: int, body: Any, words: str) -> None:
    before = await api.json("/printers/office")
    assert words.lower() in (await api.refused(status, "PATCH", "/printers/office", json=body)).lower()
    assert await api.json("/printers/office") == before


async def test_what_prints_and_how(api: Api) -> None:
    how = {
        "unfiltered": "insider",
        "body": "always",
        "color": True,
        "max_copies": 9,
        "media": ["iso_a4_210x297mm", "na_letter_8.5x11in"],
        "ticket": "copies=2 print-color-mode=color",
        "confidential": True,
    }
    said = how | {"media": ["A4", "letter"], "ticket": "colour copies=2"}
    assert (await api.json("/printers/office")).items().isdisjoint({(n, v) for n, v in how.items() if n != "media"})
    answer = await api("PATCH", "/printers/office", json=said)
    assert (answer.status_code, answer.json().items() >= how.items()) == (200, True)
    assert await api.json("/printers/office") == answer.json()
    for body, words in (
        ({"ticket": "upside-down"}, "no word of a job ticket"),
        ({"ticket": "copies=10"}, "at most 9"),
        ({"color": False}, "colour was asked for"),
        ({"media": ["paper"]}, "is no paper"),
        ({"max_copies": 1000}, "give 0 to 999"),
    ):
        assert words in await api.refused(400, "PATCH", "/printers/office", json=body)
    for body in ({"unfiltered": "everybody"}, {"body": ""}, {"max_copies": "many"}):
        await api.refused(422, "PATCH", "/printers/office", json=body)
    back = {"ticket": "", "media": [], "color": False, "max_copies": 0, "unfiltered": "nobody"}
    assert (await api("PATCH", "/printers/office", json=back)).json().items() >= back.items()


async def test_how_it_is_served(api: Api) -> None:
    how = {
        "half_close": False,
        "end_wait": 600,
        "stall_limit": 2 * 86400,
        "pjl_one_option": True,
        "ps_echo": True,
        "count_pages": False,
        "snmp": "2c",
        "snmp_community": "sesame",
        "snmp_port": 1161,
        "status_interval": 300,
        "quiet_hours": ["22:00-06:00", "sat,sun 00:00-24:00"],
        "hold": "code",
        "hold_expiry": 8 * 3600,
        "expiry": 90,
        "when_uncertain": "resume",
    }
    before = await api.json("/printers/office")
    assert (before["half_close"], before["end_wait"], before["snmp_community"]) == (True, 90, "public")
    said = how | {"end_wait": "10m", "stall_limit": "2 days", "hold_expiry": "8h", "quiet_hours": ["22:00-6:00",
        "sat-sun 0:00-24:00"]}  # fmt: skip
    answer = await api("PATCH", "/printers/office", json=said)
    assert (answer.status_code, answer.json().items() >= how.items()) == (200, True)
    assert await api.json("/printers/office") == answer.json()
    for body, words in (
        ({"end_wait": "2h"}, "give 1 second to 1 hour"),
        ({"expiry": 59}, "give 1 minute to 365 days"),
        ({"stall_limit": "soon"}, "is not a limit of a stall"),
        ({"snmp_community": "open sesame"}, "is no SNMP community"),
        ({"snmp_port": 0}, "is no UDP port"),
        ({"quiet_hours": ["nights"]}, "write it like 22:00-06:00"),
    ):
        told = await api.refused(400, "PATCH", "/printers/office", json=body)
        assert words in told
        assert "open sesame" not in told
    unreadable: tuple[dict[str, Any], ...] = ({"snmp": "3"}, {"hold": "some"}, {"half_close": "perhaps"})
    for wrong in (*unreadable, {"snmp_port": "many"}, {"expiry": []}):
        await api.refused(422, "PATCH", "/printers/office", json=wrong)
    # The community is a password of a kind: whoever may not change it does not see it.
    for name, seen in ((GRACE_NAME, "sesame"), ("linus", "sesame"), ("sam", ""), ("ken", ""), (ADA_NAME, None)):
        told = await api.json("/printers/office", name)
        assert told.get("snmp_community") == seen, name
        assert bool(told.get("revision")) is bool(seen), name  # by which it could be guessed
    assert (await api.json("/printers/office")).items() >= how.items()
    assert not any("snmp_community" in one for one in await api.json("/printers"))


async def test_bodies_that_are_none(api: Api) -> None:
    assert "not JSON" in await api.refused(422, "PATCH", "/printers/office", content=b"{", headers=JSON)
    assert "a JSON object" in await api.refused(422, "PATCH", "/printers/office")
    assert "application/json" in await api.refused(422, "PATCH", "/printers/office", data={"location": "x"})
    huge = b'{"location": "' + b"x" * 70_000 + b'"}'
    assert "at most 65536 octets" in await api.refused(413, "PATCH", "/printers/office", content=huge, headers=JSON)


JSON = {"Content-Type": "application/json"}


async def test_printers_come_and_go(api: Api) -> None:
    new = {"name": "Attic", "uri": "socket://192.0.2.9", "languages": ["pdf"], "allow": ["*"], "pjl": True}
    answer = await api("POST", "/printers", json=new)
    assert answer.status_code == 201
    made = answer.json()
    assert made == await api.json("/printers/attic")
    assert made.items() >= {**new, "name": "attic", "uri": "socket://192.0.2.9:9100"}.items()
    assert made["addresses"] == ["attic@example.com"]
    assert "attic" in await api.refused(400, "POST", "/printers", json=new)
    assert "new printers" in await api.refused(400, "POST", "/printers", json={"name": "new"})
    assert "Field name" in await api.refused(422, "POST", "/printers", json={"uri": ""})
    assert (await api("POST", "/printers", json={"name": "polls", "password": "sesame"})).status_code == 201
    assert await api.house.directory.verify("polls", "sesame")
    password = (await api("POST", "/printers/polls/password")).json()["password"]
    assert await api.house.directory.verify("polls", password)
    assert "password" in await api.refused(400, "POST", "/printers/attic/password")
    assert (await api("DELETE", "/printers/attic")).status_code == 204
    assert "no printer 'attic'" in await api.refused(404, "GET", "/printers/attic")


async def test_what_is_not_there(api: Api) -> None:
    for method, path in TABLE:
        for there, gone in (("office", "cellar"), ("phaser360", "cellar"), ("NUMBER", "77"), ("/ada", "/nobody")):
            if there in path:
                body = TABLE[method, path][2]
                await api.refused(404, method, path.replace("ada@", "eve@").replace(there, gone), json=body)
    for number in ("0", "-1", "one", str(1 << 63)):
        assert "number" in await api.refused(422, "GET", f"/jobs/{number}")
    answer = await api.house.client.get(f"{PREFIX}/nothing", auth=("grace", GRACE_PASSWORD))
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


async def test_a_verdict_wants_an_address(api: Api) -> None:
    for query in ("sender=ada", "sender=&login=true", "sender=a@example.com&ip=3"):
        await api.refused(400, "GET", f"/printers/office/why?{query}")
    assert "sender" in await api.refused(422, "GET", "/printers/office/why")
    outside = await api.json("/printers/office/why?sender=ada@example.com&ip=198.51.100.1")
    inside = await api.json("/printers/office/why?sender=ada@example.com&ip=198.51.100.1&login=true")
    assert (outside["allowed"], inside["allowed"]) == (False, True)


# -- operating


async def test_operating_a_printer(api: Api) -> None:
    for wish, paused, accepting in (
        ("pause", True, True),
        ("refuse", True, False),
        ("resume", False, False),
        ("accept", False, True),
    ):
        assert (await api("POST", f"/printers/office/{wish}", "ken")).status_code == 204
        printer = await api.json("/printers/office", "ken")
        assert (printer["paused"], printer["accepting"]) == (paused, accepting)
        assert printer["state"] == ("stopped" if paused else "idle")
    made = (await api("POST", "/printers/office/test-page", "ken")).json()["job"]
    assert (await api.json(f"/jobs/{made}", "ken"))["login"] == "ken"
    assert (await api.json("/printers/office"))["waiting"] == 1


async def test_a_job_in_doubt_is_decided(api: Api) -> None:
    numbers = [await api.house.mail(), await api.house.mail()]
    store = api.house.store
    lease = await store.acquire("device:socket://192.0.2.7:9100", "bridge", 60)
    assert lease is not None
    for number in numbers:
        assert await store.claim(lease, number, ["job-printing"])
        assert await store.sending(lease, number, 0)
        assert await store.move(lease, number, Event.DOUBT, reasons=["job-suspended", "x-delivery-unknown"])
    await store.release(lease)
    for number, wish in zip(numbers, ("printed", "reprint"), strict=True):
        assert (await api.json(f"/jobs/{number}"))["reasons"] == ["job-suspended", "x-delivery-unknown"]
        assert (await api("POST", f"/jobs/{number}/{wish}", "ada")).status_code == 204
        assert "not in doubt" in await api.refused(409, "POST", f"/jobs/{number}/{wish}", "ada")
    states = [(await api.json(f"/jobs/{number}"))["state"] for number in numbers]
    assert states == [JobState.COMPLETED, JobState.PENDING]


async def test_jobs_are_narrowed_and_paged(api: Api) -> None:
    numbers = [await api.house.mail(name=f"job {number}") for number in range(4)]
    other = await api.house.mail("phaser360")
    await api("POST", f"/jobs/{numbers[1]}/cancel")
    await api("POST", f"/jobs/{numbers[2]}/hold")

    async def found(query: str) -> list[int]:
        return [job["id"] for job in await api.json(f"/jobs?{query}")]

    assert await found("") == [other, *reversed(numbers)]
    assert await found("printer=Office&limit=2") == numbers[:1:-1]
    assert await found(f"printer=office&limit=2&before={numbers[2]}") == numbers[1::-1]
    assert await found("state=canceled&state=pending-held") == numbers[2:0:-1]
    assert await found("state=completed") == []
    assert "no printer" in await api.refused(404, "GET", "/jobs?printer=cellar")
    for query in ("state=lost", "limit=0", "limit=1001", "before=-1", "printer=" + "x" * 64):
        assert query.partition("=")[0] in await api.refused(422, "GET", f"/jobs?{query}")


# -- people


async def test_users_come_and_go(api: Api) -> None:
    new = {"name": "Bob", "addresses": ["Bob@example.com"], "full_name": "Bob Kahn"}
    password = (await api("POST", "/people", json=new)).json()["password"]
    assert await api.house.people.verify("bob", password)
    bob = await api.json("/people/bob")
    assert (bob["addresses"], bob["full_name"], bob["administrator"]) == (["bob@example.com"], "Bob Kahn", False)
    assert bob in await api.json("/people")
    change = {"administrator": True, "revision": bob["revision"]}
    changed = (await api("PATCH", "/people/bob", json=change)).json()
    assert changed == {**bob, **change, "revision": changed["revision"]}
    await api.refused(409, "PATCH", "/people/bob", json=change)
    other = (await api("POST", "/people/bob/password")).json()["password"]
    assert not await api.house.people.verify("bob", password)
    assert await api.house.people.verify("bob", other)
    assert (await api("DELETE", "/people/bob")).status_code == 204
    assert "no user 'bob'" in await api.refused(404, "GET", "/people/bob")
    await api.refused(400, "POST", "/people", json={"name": "a b", "addresses": ["ab@example.com"]})
    await api.refused(400, "POST", "/people", json={"name": "carl", "addresses": ["ada@example.com"]})
    assert "addresses" in await api.refused(422, "POST", "/people", json={"name": "carl", "addresses": []})
    await api.refused(403, "DELETE", "/people/grace")
    await api.refused(403, "PATCH", "/people/grace", json={"administrator": False})


# -- trouble


async def test_how_the_house_fares(api: Api) -> None:
    store = api.house.store
    await api.house.mail()
    mail = OutgoingMail(recipient="eve@example.com", octets=b"Subject: x\r\n\r\n", job_id=0, expires_at=4e9)
    await store.tell([mail], [])
    (queued,) = await store.take_outgoing("test", 1, 60)
    await store.outgoing_later(queued, 4e9, "550 no eve@example.com here")
    await store.set_condition("phaser360", "stopped", ["media-empty-error"], "")
    status = await api.json("/status")
    assert (status["printers"], status["waiting"]) == ({"idle": 1, "processing": 0, "stopped": 1}, 1)
    assert status["directory"]["reachable"] is True
    assert status["notices"].items() >= {"waiting": 1, "last_error": "550 no eve@example.com here"}.items()
    assert status["room"] > 0
    assert status["trouble"][0] == "Stopped: phaser360 (the paper is used up)."
    assert "eve@" in status["trouble"][1]
    assert "eve@" not in (await api("GET", "/status", "ada")).text  # whom others write to is not his business


async def test_without_a_directory_what_is_known_is_told_and_nothing_changed(api: Api) -> None:
    number = await api.house.mail()
    async with api.house.browser() as browser:
        for path in ("/printers", "/printers/office"):
            assert (await api("GET", path, client=browser)).status_code == 200
        await api.house.slapd.stop()
        api.house.web.site.refresh()
        status = (await api("GET", "/status", client=browser)).json()
        assert status["directory"]["reachable"] is False
        assert "directory does not answer" in status["trouble"][0]
        assert sum(status["printers"].values()) == 2
        assert (await api("GET", "/printers/office", client=browser)).status_code == 200
        body = {"location": "x"}
        assert "directory" in await api.refused(503, "PATCH", "/printers/office", client=browser, json=body)
        assert (await api("POST", f"/jobs/{number}/cancel", client=browser)).status_code == 204  # the store's affair
        await api.refused(503, "GET", "/me", auth=("linus", "who is not remembered"))


async def test_guessing_passwords_ends_soon(api: Api) -> None:
    assert (await api("GET", "/me")).status_code == 200
    tries = (api("GET", "/me", auth=("linus", f"guess {count}")) for count in range(FREE + 2))
    answers = await asyncio.gather(*tries)
    assert sorted(answer.status_code for answer in answers) == [401] * FREE + [429] * 2
    assert "wait five minutes" in await api.refused(429, "GET", "/me", auth=("linus", "guess"))
    assert (await api("GET", "/me")).status_code == 200  # by a name that has logged in from here before


# -- the description


async def test_everything_is_described(api: Api) -> None:
    document = api.described.document
    assert document["openapi"].startswith("3.1")
    assert all(path.startswith(f"{PREFIX}/") for path in document["paths"])
    assert document["components"]["securitySchemes"].keys() == {"password", "session"}
    assert document["components"]["securitySchemes"]["session"]["name"] == "printpost"
    assert document["security"] == [{"password": []}, {"session": []}]
    names = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"].endswith("."), path
            assert len(operation["tags"]) == 1
            names.add(operation["operationId"])
            assert {"401", "429", "503"} <= operation["responses"].keys()
            makes = method == "post" and (path.count("/") == 3 or path.endswith(("/addresses", "/move")))
            assert ("requestBody" in operation) is (makes or method == "patch")
            for status, answer in operation["responses"].items():
                if status >= "400":
                    ((media_type, content),) = answer["content"].items()
                    assert media_type == "application/problem+json"
                    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert len(names) == sum(len(operations) for operations in document["paths"].values())
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references == document["components"]["schemas"].keys()
    assert "HTTPValidationError" not in references


# -- the same as the commands show


@pytest.mark.slow
async def test_the_commands_show_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    async with api_of(data) as api:
        number = await api.house.mail()
        await api.house.store.record_documents(number, [REPORT, LOGO])
        assert await api.house.store.keep_thumbnail(number, 1, 1, PNG)
        await api("POST", f"/jobs/{number}/cancel")
        ours = [await api.json(path) for path in ("/printers/office", f"/jobs/{number}", "/jobs", "/people")]
    file = tmp_path / "printpost.toml"
    file.write_text(f'[store]\nurl = "sqlite:{data}"\nreserve = 0\n[site]\ndomains = ["example.com"]\n')
    app = typer.Typer()
    for name, part in (("printer", cli_printer.app), ("job", cli_job.app), ("user", cli_user.app)):
        app.add_typer(part, name=name)

    def for_people(*words: str) -> str:
        with capture_logs():  # else they are printed
            result = CliRunner().invoke(app, words, obj=shell.Context(file))
        assert result.exit_code == 0, (result.stderr, result.exception)
        return result.stdout

    def shown(*words: str) -> Any:
        return json.loads(for_people(*words, "--json"))

    with short_folder() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        commands = (("printer", "show", "office"), ("job", "show", str(number)), ("job", "list"), ("user", "list"))
        theirs = [await asyncio.to_thread(shown, *words) for words in commands]
        told = await asyncio.to_thread(for_people, "job", "show", str(number))
    assert theirs == ours
    assert "  document 1, Report.pdf, PDF, 12 pages: made ready, not sent (cairo-postscript)\n" in told
    assert "  document 2, logo.png, PNG picture: left out (it stands in every mail)\n" in told
