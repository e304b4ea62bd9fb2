"""A printer's page and its settings, by HTTP against a real store, a real slapd and uvicorn."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import httpx2
import pytest

from appliance.web.printer import prints
from appliance.web.printer_form import texts
from appliance.web.words import duration, event_in_words, login, rhythm, rule_in_words
from mailstore.directory.records import Body, Hold, Language, Person, Printer, Raw, Snmp, WhenUncertain
from mailstore.job import JobState
from mailstore.store.contract import PrinterState
from mailstore.ticket import ColorMode, Sides, Ticket
from tests.web_house import ADA_NAME, ADA_PASSWORD, GRACE, PRINTER, WebHouse, web_house

SECRET = "correct horse"
OFFICE = replace(
    PRINTER,
    deny=("mallory@example.com",),
    sysadmin=("linus@example.com",),
    service_person=("sam@example.com",),
    key_user=("ken@example.com",),
)
POLLS = Printer(name="phaser360", addresses=("phaser360@example.com",), allow=("*",), sysadmin=("linus@example.com",))
ROLES = {"administrator": "grace", "SysAdmin": "linus", "Service": "sam", "Key User": "ken", "nobody": "ada"}


@contextlib.asynccontextmanager
async def house_of(folder: Path) -> AsyncIterator[WebHouse]:
    """Everybody of `ROLES` may log in; of the new ones the password is `SECRET`."""
    async with web_house(folder, OFFICE, POLLS) as house:
        for name in ("linus", "sam", "ken"):
            await house.people.add(Person(name=name, addresses=(f"{name}@example.com",)), SECRET)
        await house.changed()
        yield house


def logged_in(house: WebHouse, name: str) -> contextlib.AbstractAsyncContextManager[httpx2.AsyncClient]:
    if name == GRACE.name:
        return house.browser()
    return house.browser(name, ADA_PASSWORD if name == ADA_NAME else SECRET)


def form_of(page: str) -> dict[str, str]:
    """The hidden fields that carry what the page has shown."""
    return dict(re.findall(r'name="(revision|marks)" value="([^"]*)"', page))


def names_in(page: str) -> set[str]:
    """What the forms of a page ask for."""
    return set(re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', page))


async def entry(house: WebHouse, name: str = "office") -> Printer:
    house.directory.forget()
    found = await house.directory.printer(name)
    assert found is not None
    return found


# -- who may ask for what

ROUTES: dict[tuple[str, str], tuple[set[str], int]] = {
    ("GET", "/printers/office"): ({*ROLES}, 200),
    ("GET", "/printers/office/try?sender=ada@example.com"): ({*ROLES} - {"nobody"}, 200),
    ("POST", "/printers/office/test-page"): ({*ROLES} - {"nobody"}, 303),
    ("POST", "/printers/office/pause"): ({*ROLES} - {"nobody"}, 303),
    ("POST", "/printers/office/resume"): ({*ROLES} - {"nobody"}, 303),
    ("POST", "/printers/office/refuse"): ({*ROLES} - {"nobody"}, 303),
    ("POST", "/printers/office/accept"): ({*ROLES} - {"nobody"}, 303),
    ("GET", "/printers/office/settings"): ({"administrator", "SysAdmin"}, 200),
    ("POST", "/printers/office/settings"): ({"administrator", "SysAdmin"}, 303),
    ("POST", "/printers/phaser360/password"): ({"administrator", "SysAdmin"}, 200),
    ("GET", "/printers/office/addresses"): ({"administrator", "SysAdmin"}, 200),
    ("POST", "/printers/office/addresses"): ({"administrator", "SysAdmin"}, 200),
    ("GET", "/printers/office/addresses/1/revoke"): ({"administrator", "SysAdmin"}, 200),
    ("POST", "/printers/office/addresses/1/revoke"): ({"administrator", "SysAdmin"}, 303),
    ("GET", "/printers/new"): ({"administrator"}, 200),
    ("POST", "/printers/new"): ({"administrator"}, 422),
    ("GET", "/printers/office/remove"): ({"administrator"}, 200),
    ("POST", "/printers/office/remove"): ({"administrator"}, 303),
}


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_ask_for_what(role: str, tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, ROLES[role]) as browser:
        for (method, path), (roles, status) in ROUTES.items():
            answer = await browser.request(method, path, data={} if method == "POST" else None)
            assert answer.status_code == (status if role in roles else 403), (method, path)
            if role not in roles:
                assert f"{ROLES[role].capitalize()} may not" in answer.text


async def test_strangers_are_led_to_the_login(tmp_path: Path) -> None:
    async with web_house(tmp_path, OFFICE) as house, house.stranger() as client:
        for method, path in ROUTES:
            answer = await client.request(method, path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login")
        assert await house.store.printer_state("office") == PrinterState(printer="office")


@pytest.mark.parametrize("role", ROLES)
async def test_the_page_offers_what_one_may(role: str, tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, ROLES[role]) as browser:
        page = (await browser.get("/printers/office")).text
        assert ("Print a test page" in page) is (role != "nobody")
        assert ("mallory@example.com" in page) is (role != "nobody")  # the lists are nobody else's business
        assert ('href="/printers/office/settings"' in page) is (role in ("administrator", "SysAdmin"))
        assert ('href="/printers/office/remove"' in page) is (role == "administrator")
        assert 'href="mailto:sam@example.com"' in page


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        for method, path in ROUTES:
            path = path.replace("office", "attic").replace("phaser360", "attic")
            if "attic" in path:
                answer = await browser.request(method, path, data={} if method == "POST" else None)
                assert answer.status_code == 404, path
                assert "there is no printer" in answer.text.lower()
        assert (await browser.post("/printers/office/explode")).status_code in (404, 405, 422)


# -- operating


async def test_pausing_and_refusing(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        for wish, told, paused, accepting in (
            ("pause", "mail is taken and waits", True, True),
            ("refuse", "takes no mail", True, False),
            ("resume", "goes on printing", False, False),
            ("accept", "takes mail again", False, True),
        ):
            answer = await browser.post(f"/printers/OFFICE/{wish}")
            assert (answer.status_code, answer.headers["location"]) == (303, "/printers/office")
            page = (await browser.get("/printers/office")).text
            assert told in page
            state = await house.store.printer_state("office")
            assert (state.paused, state.accepting) == (paused, accepting)
            assert told not in (await browser.get("/printers/office")).text.partition("<section")[0]  # said once


async def test_a_test_page(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        answer = await browser.post("/printers/office/test-page")
        number = int(answer.headers["location"].removeprefix("/jobs/"))
        job = await house.store.job(number)
        assert job is not None
        assert (job.printer, job.state) == ("office", JobState.PENDING)


async def test_how_a_printer_fares_is_told_in_words(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        await house.store.set_condition("office", "stopped", ["media-empty-error"], "tray <2>")
        await house.mail()
        page = (await browser.get("/printers/office")).text
        assert "the paper is used up (tray &lt;2&gt;)" in page
        assert re.search(r"<dd>1, the oldest came\s+<time", page)
        assert "should poll" not in page


async def test_the_rhythm_of_a_printer_that_polls(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        page = (await browser.get("/printers/phaser360")).text
        assert "It should poll every 60 seconds. It has not polled yet." in page
        now = time.time()
        for ago in (100.0, 10.0):
            await house.store.polled("phaser360", now - ago)
        page = (await browser.get("/printers/phaser360")).text
        assert "Of late it polls every 90 seconds." in page
        assert "The next is expected in" in page


@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (30, "The next is expected in 30 seconds."),
        (100, "The next is expected any moment."),
        (600, "It is late: the next was expected 9 minutes ago. Is it switched on?"),
    ],
)
def test_what_is_said_of_the_next_poll(passed: float, told: str) -> None:
    state = PrinterState(printer="phaser360", last_poll=1000.0)
    assert rhythm(POLLS, state, 1000.0 + passed)[-1] == told


def test_a_password_in_clear_is_spoken_of() -> None:
    old = replace(POLLS, plain_from=("192.0.2.7/32",))
    clear = PrinterState(printer="phaser360", last_poll=1000.0, poll_clear=True)
    assert login(POLLS, PrinterState(printer="phaser360")) == []
    assert login(old, replace(clear, poll_clear=False)) == ["It may log in without TLS from 192.0.2.7/32."]
    assert login(old, clear)[0].startswith("Its last login sent the password over the network in clear")


def test_durations_can_be_compared() -> None:
    assert [duration(seconds) for seconds in (-1, 1, 60, 119, 120, 7199, 7200, 200_000, 1e7)] == [
        "0 seconds", "1 second", "60 seconds", "119 seconds", "2 minutes", "120 minutes", "2 hours", "56 hours",
        "116 days",
    ]  # fmt: skip


def test_what_a_printer_prints_is_said_to_whoever_sends() -> None:
    assert prints(OFFICE) == []
    assert prints(replace(OFFICE, max_copies=1, media=("na_ledger_11x17in", "custom_label_100x62mm"))) == [
        "on ledger, custom_label_100x62mm",
        "one copy",
    ]
    assert prints(replace(POLLS, color=True, max_copies=3)) == []


# -- who may send


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("ada@example.com", "mail sent from ada@example.com"),
        ("@example.com", "mail sent from any address at example.com"),
        ("from:ada@example.com", "mail whose From field names ada@example.com"),
        ("ip:192.0.2.0/24", "mail that comes from the network 192.0.2.0/24, whoever sends it"),
        ("ip:192.0.2.7", "mail that comes from the computer at 192.0.2.7, whoever sends it"),
        ("ip:0.0.0.0/0", "mail that comes from any IPv4 address, whoever sends it"),
        ("authenticated", "everybody who sends with a user name and password"),
        ("*", "everybody who proves the address he sends from"),
        ("nobody", "cannot be read, and while it stands here nobody may send"),
    ],
)
def test_a_rule_in_words(rule: str, words: str) -> None:
    assert rule_in_words(rule) == words


def test_the_trace_in_words() -> None:
    assert event_in_words("completed: job-completed-successfully") == "printed"
    assert (
        event_in_words("aborted: aborted-by-system document-format-error (page 1)")
        == "given up; the document is damaged (page 1)"
    )
    for text in ("sending: attempt 1, document 1", "completed: hello world", "<b>: x", ""):
        assert event_in_words(text) == text


async def test_trying_an_address(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "ken") as browser:
        for query, status, told in (
            ({"sender": "ada@example.com"}, 200, "may print on office: the rule @example.com allows it."),
            ({"sender": "mallory@example.com"}, 200, "the rule mallory@example.com refuses it."),
            (
                {"sender": "eve@example.org"},
                200,
                "may not print on office: no rule matches; the rule eve@example.org would allow it.",
            ),
            ({"sender": ""}, 200, "the null reverse-path &lt;&gt;"),
            ({"sender": "ada@example.com", "where": "ip", "ip": "203.0.113.9"}, 200, "connected from 203.0.113.9"),
            ({"sender": "ada@example.com", "where": "login"}, 200, "and logged in, may print"),
            (
                {"sender": "ada@example.com", "author": "eve@example.org"},
                200,
                "with the author eve@example.org, may print",
            ),
            ({"sender": "ada@example.com", "where": "ip", "ip": "203.0.113.9"}, 200, "asked to try again"),
            ({"sender": "eve@example.org", "where": "ip", "ip": "203.0.113.9"}, 200, "may not print</span>"),
            ({"sender": "eve@example.org", "where": "given-away", "ip": "203.0.113.9"}, 200, "may print</span>"),
            ({"sender": "ada@example.com", "where": "signed", "ip": "203.0.113.9"}, 200, "may print</span>"),
            ({"sender": "ada"}, 422, "This is not an address"),
            ({"sender": "ada@example.com", "author": "eve"}, 422, "author in From is not an address"),
            ({"sender": "", "where": "login"}, 422, "This is not an address"),
            ({"sender": "a@example.com", "where": "ip", "ip": "3"}, 422, "is not an IP address"),
            ({"sender": "<b>@example.com"}, 422, "This is not an address"),
        ):
            answer = await browser.get("/printers/office/try", params=query)
            assert answer.status_code == status, query
            assert told in answer.text
            assert "<b>" not in answer.text
            assert f'name="sender" type="text" value="{query["sender"].replace("<b>", "&lt;b&gt;")}"' in answer.text
            # htmx takes the verdict out of the same page, and takes nothing out of an error.
            part = await browser.get("/printers/office/try", params=query, headers={"HX-Request": "true"})
            assert (part.status_code, told in part.text) == (200, True)
        assert (await browser.get("/printers/office/try", params={"where": "moon"})).status_code == 422


async def test_network_facts_that_cannot_be_are_told(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        facts = {"network_address": "192.0.2.7", "netmask": "/24", "gateway": "192.0.3.1"}
        assert (await browser.post("/printers/office/settings", data=facts)).status_code == 303
        page = (await browser.get("/printers/office")).text
        assert "The gateway 192.0.3.1 is outside" in page


# -- settings


async def test_settings_are_saved_and_count(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "linus") as browser:
        page = (await browser.get("/printers/office/settings")).text
        assert "How often it polls" not in page
        sent = form_of(page) | texts(OFFICE) | {"allow": "@example.com\r\neve@example.org", "tell_printed": "on"}
        answer = await browser.post("/printers/office/settings", data=sent | {"languages": ["", "pdf", "pcl"]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/printers/office")
        page = (await browser.get("/printers/office")).text
        assert "Saved. It counts from the next mail" in page
        assert "mail sent from eve@example.org" in page
        assert await entry(house) == replace(
            OFFICE,
            allow=("@example.com", "eve@example.org"),
            tell_printed=True,
            languages=(Language.PDF, Language.PCL),
        )


async def test_a_printer_that_polls_shows_how_often(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        page = (await browser.get("/printers/phaser360/settings")).text
        assert "How often it polls" in page
        assert "can be read by whoever listens on the way" in page
        sent = form_of(page) | {"poll_interval": "300", "plain_from": "192.0.2.7"}
        assert (await browser.post("/printers/phaser360/settings", data=sent)).status_code == 303
        changed = await entry(house, "phaser360")
        assert (changed.poll_interval, changed.plain_from) == (300, ("192.0.2.7/32",))


async def test_what_is_refused_says_why_beside_the_field_and_keeps_what_was_typed(tmp_path: Path) -> None:
    wrong = {
        "allow": ("ada@example.com\nnobody<i>", "is not a rule"),
        "deny": ("ip:300", "names no network"),
        "sysadmin": ("linus", "is not an address"),
        "service_person": ("@", "is not an address"),
        "key_user": ("a b@example.com", "is not an address"),
        "uri": ("192.0.2.7", "write it like socket://"),
        "quota": ("much", "write it like 1 GiB"),
        "addresses": ("", "a printer needs an address"),
        "location": ("x" * 200, "at most 127 octets"),
        "network_address": ("here", "is not an IP address"),
        "gateway": ("there", "is not an IP address"),
        "hardware_address": ("00:11", "is not a hardware address"),
        "poll_interval": ("often", "is not a poll interval"),
        "plain_from": ("everywhere", "is not a network"),
    }
    async with house_of(tmp_path) as house, house.browser() as browser:
        before = await entry(house, "phaser360")
        sent = {name: typed for name, (typed, _) in wrong.items()} | {
            "model": "typed too",
            "languages": "",
            "pjl": "on",
        }
        answer = await browser.post("/printers/phaser360/settings", data=sent)
        assert answer.status_code == 422
        assert "<i>" not in answer.text
        for name, (typed, why) in wrong.items():
            told = re.search(rf'id="{name}-error">.*?</p>', answer.text, re.DOTALL)
            assert told, name
            assert why in told[0].lower() or why in told[0], name
            assert re.search(rf'id="{name}" name="{name}"[^>]*aria-invalid="true"', answer.text), name
            assert typed.replace("<i>", "&lt;i&gt;") in answer.text
        assert "Choose at least one language" in answer.text
        assert 'value="typed too"' in answer.text
        assert re.search(r'id="pjl" name="pjl" value="on"[^>]* checked', answer.text)
        assert await entry(house, "phaser360") == before


async def test_what_prints_and_how_is_set_on_the_page(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        page = (await browser.get("/printers/office/settings")).text
        assert '<h2 id="printing">What prints and how</h2>' in page
        form = form_of(page)
        how = {
            "body": "never",
            "ticket": "Duplex colour copies=2",
            "color": "on",
            "media": "letter\r\na4",
            "max_copies": "5",
            "confidential": "on",
            "raw": "verified",
            "unfiltered": "insider",
        }
        assert how.keys() <= names_in(page)
        assert (await browser.post("/printers/office/settings", data=form | how)).status_code == 303
        changed = await entry(house)
        assert changed == replace(
            OFFICE,
            body=Body.NEVER,
            ticket=Ticket(copies=2, sides=Sides.LONG_EDGE, color=ColorMode.COLOR),
            color=True,
            media=("na_letter_8.5x11in", "iso_a4_210x297mm"),
            max_copies=5,
            confidential=True,
            raw=Raw.VERIFIED,
            unfiltered=Raw.INSIDER,
        )
        page = (await browser.get("/printers/office")).text
        assert "PostScript and PDF of senders outside who proved their address reach it as they came" in page
        assert "Documents of senders inside reach it with every command that is in them" in page
        asked = "copies=2 sides=two-sided-long-edge print-color-mode=color"
        assert f"in colour; on letter, a4; at most 5 copies; if a job says nothing else, {asked}</dd>" in page
        page = (await browser.get("/printers/office/settings")).text
        assert 'value="copies=2 sides=two-sided-long-edge print-color-mode=color"' in page
        for wrong, field, why in (
            ({"color": ""}, "ticket", "colour was asked for, which this printer does not print"),
            ({"max_copies": "1"}, "ticket", "2 copies were asked for; this printer makes at most 1"),
            ({"ticket": "a3"}, "ticket", "iso_a3_297x420mm was asked for, which this printer does not have"),
            ({"ticket": "upside-down"}, "ticket", "is no word of a job ticket"),
            ({"media": "a4\r\npaper"}, "media", "is no paper: write a4, letter"),
            ({"max_copies": "-1"}, "max_copies", "give 0 to 999 copies"),
            ({"body": "perhaps"}, "body", "Choose one of those that are offered"),
            ({"unfiltered": "everybody"}, "unfiltered", "Choose one of those that are offered"),
        ):
            answer = await browser.post("/printers/office/settings", data=form_of(page) | wrong)
            assert answer.status_code == 422, wrong
            told = re.search(rf'id="{field}-error">.*?</p>', answer.text, re.DOTALL)
            assert told, wrong
            assert why in unescape(told[0])
        assert await entry(house) == changed


async def test_how_it_is_served_is_set_on_the_page(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        page = (await browser.get("/printers/office/settings")).text
        for heading in ('"port">At its port', '"health">How it fares', '"holding">Holding jobs'):
            assert f"<h2 id={heading}</h2>" in page
        assert re.search(r'id="half_close" name="half_close" value="on"[^>]* checked', page)
        assert 'value="90 seconds"' in page
        how = {
            "half_close": "",
            "end_wait": "10 min",
            "stall_limit": "2 days",
            "pjl_one_option": "on",
            "ps_echo": "on",
            "count_pages": "",
            "snmp": "2c",
            "snmp_community": 'se"same',
            "snmp_port": "1161",
            "status_interval": "5m",
            "quiet_hours": "22:00-6:00\r\nsat,sun 0:00-24:00",
            "hold": "code",
            "hold_expiry": "8 h",
            "expiry": "1 day",
            "when_uncertain": "resume",
        }
        assert how.keys() <= names_in(page)
        assert (await browser.post("/printers/office/settings", data=form_of(page) | how)).status_code == 303
        changed = await entry(house)
        assert changed == replace(
            OFFICE,
            half_close=False,
            end_wait=600,
            stall_limit=2 * 86400,
            pjl_one_option=True,
            ps_echo=True,
            count_pages=False,
            snmp=Snmp.V2C,
            snmp_community='se"same',
            snmp_port=1161,
            status_interval=300,
            quiet_hours=("22:00-06:00", "sat,sun 00:00-24:00"),
            hold=Hold.CODE,
            hold_expiry=8 * 3600,
            expiry=86400,
            when_uncertain=WhenUncertain.RESUME,
        )
        page = (await browser.get("/printers/office/settings")).text
        assert 'value="10 minutes"' in page
        assert 'value="se&#34;same"' in page
        assert "se&#34;same" not in (await browser.get("/printers/office")).text
        for wrong, why in (
            ({"end_wait": "2 h"}, "give 1 second to 1 hour, like 90s, 15m, 8h or 7d"),
            ({"stall_limit": ""}, "give 1 minute to 30 days"),
            ({"snmp_community": "two words"}, "that is no SNMP community".capitalize()),
            ({"snmp_port": "x"}, "is no UDP port"),
            ({"quiet_hours": "nights"}, "write it like 22:00-06:00"),
            ({"hold": "some"}, "Choose one of those that are offered"),
        ):
            answer = await browser.post("/printers/office/settings", data=form_of(page) | wrong)
            assert answer.status_code == 422, wrong
            told = re.search(rf'id="{next(iter(wrong))}-error">.*?</p>', answer.text, re.DOTALL)
            assert told, wrong
            assert why.lower() in unescape(told[0]).lower()
        assert await entry(house) == changed


async def test_of_a_printer_that_polls_only_what_concerns_its_mailbox_is_set(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        page = (await browser.get("/printers/phaser360/settings")).text
        assert {"hold", "hold_expiry", "expiry"} <= names_in(page)
        assert not {"half_close", "end_wait", "snmp", "snmp_community", "quiet_hours"} & names_in(page)
        held = form_of(page) | {"hold": "all", "hold_expiry": "1h"}
        assert (await browser.post("/printers/phaser360/settings", data=held)).status_code == 303
        changed = await entry(house, "phaser360")
        assert (changed.hold, changed.hold_expiry, changed.half_close) == (Hold.ALL, 3600, True)


async def test_what_cannot_be_between_is_not_offered_for_a_printer_that_polls(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        page = (await browser.get("/printers/phaser360/settings")).text
        assert "What prints and how" not in page
        assert "Whose mail it gets" in page
        assert not {"unfiltered", "body", "ticket", "max_copies"} & names_in(page)
        tint = {"name": "tint", "uri": "socket://192.0.2.8", "color": "on"}
        assert tint.keys() <= names_in((await browser.get("/printers/new")).text)
        assert (await browser.post("/printers/new", data=tint)).status_code == 303
        assert (await entry(house, "tint")).color


async def test_an_address_that_somebody_else_has_is_told_beside_the_field(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        answer = await browser.post("/printers/office/settings", data={"addresses": "phaser360@example.com"})
        assert answer.status_code == 422
        assert 'id="addresses-error"' in answer.text
        assert ">\nphaser360@example.com</textarea>" in answer.text
        assert await entry(house) == OFFICE


async def test_two_people_who_edit_one_printer_are_told(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as graces, logged_in(house, "linus") as linuss:
        graces_form = form_of((await graces.get("/printers/office/settings")).text) | texts(OFFICE)
        linuss_form = form_of((await linuss.get("/printers/office/settings")).text) | texts(OFFICE)
        first = linuss_form | {"location": "Cellar", "deny": "mallory@example.com\nx@example.com"}
        assert (await linuss.post("/printers/office/settings", data=first)).status_code == 303
        answer = await graces.post(
            "/printers/office/settings", data=graces_form | {"location": "Attic", "model": "<x>"}
        )
        assert answer.status_code == 409
        page = answer.text
        assert "Somebody else changed this printer while you typed" in page
        rows = {
            label: re.sub(r"<[^>]+>", "|", row)
            for label, row in re.findall(r'<th role="rowheader" scope="row">(\w[^<]*)</th>(.*?)</tr>', page, re.DOTALL)
        }
        assert set(rows) == {"Place", "Who may not"}
        assert "|Cellar|" in rows["Place"]
        assert "|Attic|" in rows["Place"]
        assert "theirs is taken over" in rows["Who may not"]
        assert 'value="Attic"' in page
        assert 'value="&lt;x&gt;"' in page
        assert ">\nmallory@example.com\nx@example.com</textarea>" in page
        assert (await entry(house)).location == "Cellar"
        # The same form once more, for the revision that she has seen now: both get what they wanted.
        again = form_of(page) | first | {"location": "Attic", "model": "<x>"}
        again |= form_of(page)
        assert (await graces.post("/printers/office/settings", data=again)).status_code == 303
        saved = await entry(house)
        assert (saved.location, saved.model, saved.deny) == ("Attic", "<x>", ("mallory@example.com", "x@example.com"))


async def test_a_password_is_shown_once(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, logged_in(house, "linus") as browser:
        answer = await browser.post("/printers/phaser360/password")
        assert answer.headers["cache-control"] == "no-store"
        found = re.search(r'id="password"[^>]*>([^<]+)<', answer.text)
        assert found
        assert await house.directory.verify("phaser360", found[1])
        for path in ("/printers/phaser360", "/printers/phaser360/settings", "/"):
            assert found[1] not in (await browser.get(path)).text
        refused = await browser.post("/printers/office/password")
        assert refused.status_code == 400
        assert "needs no password" in refused.text


async def test_a_new_printer(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        for name, told in (
            ("", "cannot be a printer"),
            ("a b", "cannot be a printer"),
            ("new", "taken by the page"),
            ("office", 'id="name-error"'),
            ("postmaster", "for whoever runs the site"),
        ):
            answer = await browser.post("/printers/new", data={"name": name, "location": "kept", "languages": "pdf"})
            assert answer.status_code == 422, name
            assert told in answer.text, name
            assert 'value="kept"' in answer.text
        answer = await browser.post("/printers/new", data={"name": "Attic", "uri": "socket://192.0.2.9"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/printers/attic")
        made = await entry(house, "attic")
        assert (made.addresses, made.uri, made.allow) == (("attic@example.com",), "socket://192.0.2.9:9100", ())
        assert "there is no rule that lets anybody print" in (await browser.get("/printers/attic")).text


async def test_a_new_printer_that_polls_gets_a_password(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        answer = await browser.post("/printers/new", data={"name": "cellar", "languages": ["", "text"], "uri": ""})
        assert answer.status_code == 200
        found = re.search(r'id="password"[^>]*>([^<]+)<', answer.text)
        assert found
        assert await house.directory.verify("cellar", found[1])


async def test_removing_says_first_what_is_lost(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        number = await house.mail()
        page = (await browser.get("/printers/office/remove")).text
        assert "1 job that waits is canceled" in page
        assert await entry(house) == OFFICE
        answer = await browser.post("/printers/office/remove")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "office is removed." in (await browser.get("/")).text
        job = await house.store.job(number)
        assert job is not None
        assert job.state is JobState.CANCELED
        assert (await browser.get("/printers/office")).status_code == 404


async def test_strangers_text_stays_text(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    entry_ = replace(PRINTER, name="evil", addresses=("evil@example.com",), location=evil, model=evil)
    async with web_house(tmp_path, entry_) as house, house.browser() as browser:
        await house.mail("evil", name=evil)
        await house.store.set_condition("evil", "stopped", ["other"], evil)
        for path in ("/printers/evil", "/printers/evil/settings", "/printers/evil/remove", "/jobs", "/jobs/1", "/"):
            page = (await browser.get(path)).text
            assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in (await browser.get("/printers/evil")).text


async def test_with_the_directory_down_one_sees_what_is_known_and_changes_nothing(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        page = (await browser.get("/printers/office/settings")).text
        sent = form_of(page) | {"location": "typed in vain"}
        await house.mail()
        await house.slapd.stop()
        house.directory.forget()  # that nobody is there is believed for a few seconds
        for path in ("/printers/office", "/printers/office/settings", "/jobs"):
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            assert "The directory does not answer" in answer.text
        page = (await browser.get("/printers/office/settings")).text
        assert '<fieldset class="whole" disabled>' in page
        assert 'value="Room 2.14"' in page
        answer = await browser.post("/printers/office/settings", data=sent)
        assert answer.status_code == 503
        assert "Nothing can be saved now" in answer.text
        assert 'value="typed in vain"' in answer.text
        new = await browser.post("/printers/new", data={"name": "attic", "languages": "pdf"})
        assert new.status_code == 503
        assert 'value="attic"' in new.text
        # What lies in the store goes on.
        assert (await browser.post("/printers/office/pause")).status_code == 303
        assert (await house.store.printer_state("office")).paused
        await house.slapd.start()
        house.directory.forget()
        assert (await entry(house)).location == "Room 2.14"
