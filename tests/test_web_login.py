"""Logging in to the page: real passwords in a real directory, real cookies over real connections."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.registry import REGISTRY

from appliance.desk import COMMAND_LINE
from appliance.guessing import FREE
from appliance.web import login
from appliance.web.login import cookie_name, key_of, own_path
from mailstore.store.outbox import WebSession
from tests.web_house import (
    ADA,
    ADA_NAME,
    ADA_PASSWORD,
    GRACE_NAME,
    GRACE_PASSWORD,
    PRINTER,
    WebHouse,
    web_house,
)

COOKIE = cookie_name(secure=False)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebHouse]:
    monkeypatch.setattr(login, "WRONG_SECONDS", 0.05)
    async with web_house(tmp_path, PRINTER) as running:
        yield running


async def try_in(client: httpx2.AsyncClient, name: str, password: str, **more: str) -> httpx2.Response:
    return await client.post("/login", data={"name": name, "password": password, **more})


def counted() -> tuple[float, float]:
    names = ("printpost_web_auth_attempts_total", "printpost_web_auth_failures_total")
    attempts, failures = (REGISTRY.get_sample_value(name) or 0 for name in names)
    return attempts, failures


# -- in and out


async def test_a_login_leads_to_where_one_wanted_to_go(house: WebHouse) -> None:
    async with house.stranger() as client:
        answer = await client.get("/people?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fpeople%3Fx%3D1")
        answer = await client.get(answer.headers["location"])
        assert 'name="next" value="/people?x=1"' in answer.text
        answer = await try_in(client, GRACE_NAME, GRACE_PASSWORD, next="/people?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/people?x=1")
        assert (await client.get("/people")).status_code == 200
        answer = await client.get("/login?next=/account")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(house: WebHouse) -> None:
    async with house.stranger() as client:
        answer = await try_in(client, "Grace@Example.com", GRACE_PASSWORD)
        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith("printpost=")
        assert len(name.removeprefix("printpost=")) == 43  # 32 octets
        assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=43200"} == set(attributes)
        cookie = name.removeprefix("printpost=")
        assert await house.store.session(cookie) is None  # what lies in the store opens nothing
        session = await house.store.session(key_of(cookie))
        assert session is not None
        assert (session.person, round(session.expires_at - session.created_at)) == (GRACE_NAME, 12 * 3600)


@pytest.mark.slow
async def test_a_wrong_password_costs_a_second_and_says_little(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house, house.stranger() as client:
        before = counted()
        for name, password in ((GRACE_NAME, "wrong"), ("nobody", GRACE_PASSWORD)):
            began = time.monotonic()
            answer = await try_in(client, name, password)
            assert time.monotonic() - began >= 1.0
            assert answer.status_code == 403
            assert "That is not the password of such a user." in answer.text
            assert f'value="{name}"' in answer.text
            assert password not in answer.text
            assert "set-cookie" not in answer.headers
        after = counted()
        assert (after[0] - before[0], after[1] - before[1]) == (2, 2)


async def test_an_empty_form_is_not_tried(house: WebHouse) -> None:
    before = counted()
    async with house.stranger() as client:
        for data in ({}, {"name": GRACE_NAME}, {"name": " ", "password": "x"}):
            answer = await client.post("/login", data=data)
            assert answer.status_code == 422
            assert "Give your user name and your password." in answer.text
    assert counted() == before


async def test_too_many_wrong_passwords_shut_the_door_for_a_while(house: WebHouse) -> None:
    async with house.stranger() as client:
        tries = [try_in(client, GRACE_NAME, f"wrong {number}") for number in range(FREE + 5)]
        statuses = [answer.status_code for answer in await asyncio.gather(*tries)]
        assert (statuses.count(403), statuses.count(429)) == (FREE, 5)
        answer = await try_in(client, GRACE_NAME, GRACE_PASSWORD)
        assert answer.status_code == 429
        assert "Too many wrong passwords; wait five minutes and try again." in answer.text


async def test_right_passwords_are_never_too_many(house: WebHouse) -> None:
    async with house.stranger() as client:
        for _ in range(FREE + 5):
            assert (await try_in(client, GRACE_NAME, GRACE_PASSWORD)).status_code == 303


async def test_a_planted_cookie_is_nobodys_session(house: WebHouse) -> None:
    planted = "A" * 43
    async with house.stranger() as client:
        client.cookies.set(COOKIE, planted)
        answer = await try_in(client, GRACE_NAME, GRACE_PASSWORD)
        assert answer.cookies[COOKIE] != planted
    async with house.stranger() as attacker:
        attacker.cookies.set(COOKIE, planted)
        assert (await attacker.get("/")).status_code == 303


async def test_a_new_login_ends_the_session_before_it(house: WebHouse) -> None:
    async with house.browser() as client:
        first = client.cookies[COOKIE]
        await try_in(client, GRACE_NAME, GRACE_PASSWORD)
        assert client.cookies[COOKIE] != first
        assert await house.store.session(key_of(first)) is None


async def test_logging_out_ends_the_session_and_not_only_the_cookie(house: WebHouse) -> None:
    async with house.browser() as client:
        cookie = client.cookies[COOKIE]
        answer = await client.post("/logout")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert COOKIE not in client.cookies
        client.cookies.set(COOKIE, cookie)
        assert (await client.get("/")).status_code == 303


async def test_a_session_ends_with_its_time(house: WebHouse) -> None:
    now = time.time()
    for cookie, ends, status in (("fresh", now + 60, 200), ("stale", now - 1, 303)):
        session = WebSession(key=key_of(cookie), person=GRACE_NAME, created_at=now - 3600, expires_at=ends)
        await house.store.begin_session(session)
        async with house.stranger() as client:
            client.cookies.set(COOKIE, cookie)
            assert (await client.get("/")).status_code == status


async def test_somebody_who_was_removed_is_out(house: WebHouse) -> None:
    async with house.browser(ADA_NAME, ADA_PASSWORD) as ada, house.browser() as grace:
        assert (await ada.get("/")).status_code == 200
        assert (await grace.post(f"/people/{ADA_NAME}/remove")).status_code == 303
        assert (await ada.get("/")).status_code == 303


async def test_somebody_who_was_removed_by_a_command_is_out(house: WebHouse) -> None:
    async with house.browser(ADA_NAME, ADA_PASSWORD) as ada:
        await house.people.remove(ADA_NAME)
        await house.changed()
        assert (await ada.get("/")).status_code == 303


async def test_rights_are_those_of_now(house: WebHouse) -> None:
    async with house.browser(ADA_NAME, ADA_PASSWORD) as ada:
        answer = await ada.get("/people")
        assert answer.status_code == 403
        assert "Ada may not add and remove printers and people; ask an administrator." in answer.text
        assert 'href="/people"' not in (await ada.get("/")).text
        await house.people.replace(replace(ADA, administrator=True))
        await house.changed()
        assert (await ada.get("/people")).status_code == 200


# -- behind a reverse proxy on this machine


async def test_behind_a_proxy_the_browser_is_on_https(house: WebHouse) -> None:
    """TLS ends at the proxy; browsers that say no `Sec-Fetch-Site` say an `Origin` with https."""
    through = {"Host": "printers.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    origin = {"Origin": "https://printers.example.com"}
    async with httpx2.AsyncClient(base_url=house.origin) as client:
        login = {"name": ADA_NAME, "password": ADA_PASSWORD}
        answer = await client.post("/login", data=login, headers=through | origin)
        assert answer.status_code == 303
        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith("__Host-printpost=")
        assert "Secure" in attributes
        assert (await client.get("/", headers=through | {"Cookie": name})).status_code == 200
        assert (await client.get("/", headers={"Cookie": name})).status_code == 303
        for other in ("http://printers.example.com", "https://evil.example"):
            answer = await client.post("/login", data=login, headers=through | {"Origin": other})
            assert answer.status_code == 403, other


async def test_behind_a_proxy_one_who_guesses_shuts_nobody_else_out(house: WebHouse) -> None:
    async with house.stranger() as client:
        for forwarded in ("198.51.100.7", "203.0.113.1, 198.51.100.7"):  # what he says himself stands first
            client.headers["X-Forwarded-For"] = forwarded
            for _ in range(FREE // 2):
                assert (await try_in(client, "grace", "wrong")).status_code == 403
        assert (await try_in(client, "grace", "wrong")).status_code == 429
        client.headers["X-Forwarded-For"] = "198.51.100.8"
        assert (await try_in(client, ADA_NAME, ADA_PASSWORD)).status_code == 303


async def test_off_loopback_nobody_is_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "WRONG_SECONDS", 0.01)
    async with web_house(tmp_path, listen="0.0.0.0:0") as house, house.stranger() as client:
        client.base_url = httpx2.URL(f"https://localhost:{house.web.address[1]}")
        for number in range(FREE):
            client.headers["X-Forwarded-For"] = f"198.51.100.{number}"
            assert (await try_in(client, "grace", "wrong")).status_code == 403
        assert (await try_in(client, "grace", "wrong")).status_code == 429


# -- passwords of one's own


async def test_a_new_password_ends_all_other_sessions(house: WebHouse) -> None:
    new = "an engine, weaving"
    async with house.browser(ADA_NAME, ADA_PASSWORD) as here, house.browser(ADA_NAME, ADA_PASSWORD) as elsewhere:
        before = here.cookies[COOKIE]
        answer = await here.post("/account/password", data={"old": ADA_PASSWORD, "new": new, "again": new})
        assert answer.status_code == 303
        assert "Your password was changed." in (await here.get("/account")).text
        assert "Your password was changed." not in (await here.get("/account")).text  # said once
        assert here.cookies[COOKIE] != before
        assert (await elsewhere.get("/")).status_code == 303
    async with house.stranger() as client:
        assert (await try_in(client, ADA_NAME, ADA_PASSWORD)).status_code == 403
        assert (await try_in(client, ADA_NAME, new)).status_code == 303


async def test_a_login_does_not_outrun_a_new_password(house: WebHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old password was right when it was tried, and all sessions are ended before this one begins."""
    begin, register = login.begin, house.web.site.register

    async def late(*of: Any) -> str:
        await register.set_password(COMMAND_LINE, ADA_NAME, "an engine, weaving")
        return await begin(*of)

    async with house.stranger() as client:
        monkeypatch.setattr(login, "begin", late)
        assert (await try_in(client, ADA_NAME, ADA_PASSWORD)).status_code == 403
        assert (await client.get("/")).status_code == 303
        monkeypatch.setattr(login, "begin", begin)
        assert (await try_in(client, ADA_NAME, "an engine, weaving")).status_code == 303
    async with house.stranger() as client:  # another change does not keep him out
        monkeypatch.setattr(login, "begin", late)
        assert (await try_in(client, ADA_NAME, "an engine, weaving")).status_code == 303


@pytest.mark.parametrize(
    ("old", "new", "again", "field", "text"),
    [
        ("wrong", "an engine, weaving", "an engine, weaving", "old", "This is not your password."),
        (ADA_PASSWORD, "short", "short", "new", "Take at least 8 characters."),
        (ADA_PASSWORD, "an engine, weaving", "an engine, waving", "again", "This is not what stands above."),
    ],
)
async def test_a_password_that_cannot_be_says_why_beside_the_field(
    house: WebHouse, old: str, new: str, again: str, field: str, text: str
) -> None:
    async with house.browser(ADA_NAME, ADA_PASSWORD) as client:
        answer = await client.post("/account/password", data={"old": old, "new": new, "again": again})
        assert answer.status_code == 422
        assert f'aria-invalid="true" aria-describedby="{field}-error' in answer.text
        assert answer.text.count('aria-invalid="true"') == 1
        assert text in answer.text
        assert new not in answer.text
    async with house.stranger() as client:
        assert (await try_in(client, ADA_NAME, ADA_PASSWORD)).status_code == 303


# -- the API


async def test_a_script_logs_in_with_each_request(house: WebHouse) -> None:
    async def ask(name: str, password: str) -> int:
        return (await house.client.get("/api/v1/printers", auth=(name, password))).status_code

    assert await ask(ADA_NAME, ADA_PASSWORD) != 401
    assert await ask(ADA_NAME, "wrong") == 401
    answer = await house.client.get("/", auth=(ADA_NAME, ADA_PASSWORD))
    assert answer.status_code == 303  # pages take nothing but a session
    for nonsense in ("Basic", "Basic !", "Basic " + base64.b64encode(b"ada").decode(), "Bearer x"):
        answer = await house.client.get("/api/v1/printers", headers={"Authorization": nonsense})
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 401
        assert "www-authenticate" not in answer.headers  # a browser would ask, and remember


# -- the directory is down


async def test_without_a_directory_nobody_new_logs_in_and_who_is_known_sees(house: WebHouse) -> None:
    async with house.browser() as grace, house.stranger() as client:
        form = (await grace.get("/people/ada")).text
        assert "disabled" not in form
        seen = re.search(r'name="seen" value="(\w+)"', form)
        assert seen
        assert (await grace.get("/")).status_code == 200
        await house.slapd.stop()
        house.web.site.refresh()
        answer = await grace.get("/")
        assert answer.status_code == 200
        assert "The directory does not answer. What you see is as of 20" in answer.text
        assert ">office</a>" in answer.text
        answer = await grace.get("/people/ada")
        assert answer.status_code == 200
        assert "nothing of it can be changed now" in answer.text
        assert answer.text.count("disabled") == 5  # four fields and the button
        typed = {"seen": seen[1], "full_name": "Countess", "addresses": "ada@example.com"}
        answer = await grace.post("/people/ada", data=typed)
        assert answer.status_code == 422
        assert "The directory does not answer" in answer.text
        assert 'value="Countess"' in answer.text
        answer = await try_in(client, ADA_NAME, ADA_PASSWORD)
        assert answer.status_code == 503
        assert "Nobody can log in now: the directory does not answer" in answer.text


# -- without a house


@pytest.mark.parametrize("path", ["/", "/printers/office", "/jobs?printer=office&state=x", "/a%20b"])
def test_paths_of_our_own(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "evil",
        "/a\\b",
        "/a\r\nb",
        "/a b",
        "/ä",
        "\t//x",
    ],
)
def test_paths_of_others(path: str) -> None:
    assert own_path(path) == "/"


async def test_a_script_that_asks_many_things_at_once_is_let_in(house: WebHouse) -> None:
    auth = httpx2.BasicAuth(ADA_NAME, ADA_PASSWORD)
    async with httpx2.AsyncClient(base_url=house.origin, auth=auth, timeout=20) as script:
        answers = await asyncio.gather(*(script.get("/api/v1/me") for _ in range(3 * FREE)))
    assert {answer.status_code for answer in answers} == {200}
