"""What the pages tell of the way to paper: how far a job came, what is known in doubt, what printers say."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.desk import Standing
from appliance.job_file import expires_at
from appliance.web import levels, paper
from appliance.web.overview import needs_hand
from mailstore.directory.records import Hold, Printer, Snmp
from mailstore.job import JobState
from mailstore.report import PrinterReport, Supply, Tray
from mailstore.store.contract import Envelope, PrinterState, Recipient
from mailstore.store.following import Progress
from tests.test_web_jobs import EVIL, OFFICE, OTHER, doubtful, held, house_of, job_in, logged_in
from tests.web_house import PRINTER, WebHouse, web_house

HALF = Progress(document=0, octets=64_000, octets_total=300_000, pages=3, pages_total=12, pages_all=12)
NOW = 1_790_000_000.0


def told(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


# -- words


@pytest.mark.parametrize(
    ("progress", "words", "doubt", "button"),
    [
        (HALF, "64 kB of 300 kB taken by the printer, 3 of 12 pages printed", "3 of 12 pages", "Go on from page 4"),
        (replace(HALF, octets=300_000, pages=1, pages_all=0), "all 300 kB", "1 page;", "Go on from page 2"),
        (replace(HALF, octets=400_000), "all 300 kB taken", "3 of 12 pages", "Go on from page 4"),
        (replace(HALF, pages=0), "64 kB of 300 kB taken by the printer", "confirmed no page; 64 kB of 300 kB", ""),
        (
            replace(HALF, document=1, pages_before=12, pages_all=24),
            "document 2: ",
            "15 of 24",
            "Go on from page 4 of document 2",
        ),
        (replace(HALF, document=1, pages=0), "document 2: 64 kB", "no page", "Go on from document 2"),
        (replace(HALF, pages=30, pages_total=12), "30 pages printed", "30 pages", ""),
    ],
)
def test_how_far_it_came_in_words(progress: Progress, words: str, doubt: str, button: str) -> None:
    assert words in paper.taken(progress)
    assert doubt in paper.known_in_doubt(progress)
    assert paper.go_on(progress) == button


def test_where_nothing_is_known_nothing_is_claimed() -> None:
    assert paper.known_in_doubt(None) == "How far it came is not known."
    assert paper.go_on(None) == ""


def test_levels_in_words() -> None:
    report = PrinterReport(
        printer="office",
        asked_at=1.0,
        supplies=(
            Supply(name="Black Toner", kind="toner", color="black", level=0.424),
            Supply(name="", kind="waste-toner", color="", level=0.1),
            Supply(name="Drum", kind="opc", color="", level=None),
            Supply(name="Ink", kind="ink", color="cyan", level=0.004),
            Supply(name="Full", kind="waste-ink", color="", level=0.0),
            Supply(name="Odd", kind="", color="", level=9.0),
        ),
        trays=(Tray(name="Tray 1", media="iso_a4_210x297mm", level=0.0),),
    )
    assert levels.in_lines(levels.supplies(report)) == [
        "Black Toner: 42 %",
        "supply 2 (waste toner): 10 % room left",
        "Drum (opc): level unknown",
        "Ink (cyan): under 1 %",
        "Full (waste ink): no room left",
        "Odd: level unknown",
    ]
    assert [one.kind for one in levels.supplies(report)] == ["good", "wait", "off", "wait", "bad", "off"]
    assert levels.in_lines(levels.trays(report)) == ["Tray 1 (a4): empty"]


def test_a_strangers_words_are_one_short_line() -> None:
    report = PrinterReport(
        printer="office",
        asked_at=1.0,
        console="READY\n\x1b[2J" + "x" * 9000,
        serial="S\0N",
        supplies=tuple(Supply(name="y" * 900, kind="toner", color="", level=0.5) for _ in range(1000)),
    )
    assert levels.console(report).startswith("READY [2Jxx")
    assert len(levels.console(report)) == 200
    assert levels.itself(report) == "serial number SN"
    shown = levels.supplies(report)
    assert (len(shown), len(shown[0].name)) == (levels.MOST, 60)


@pytest.mark.parametrize(
    ("printer", "asked", "answered", "words"),
    [
        (PRINTER, NOW - 10, NOW - 10, "It answers SNMP, the last time 10 seconds ago."),
        (PRINTER, NOW - 10, NOW - 7200, "It does not answer SNMP; the last answer came 2 hours ago."),
        (PRINTER, NOW - 10, 0.0, "It has never answered SNMP; it was asked 10 seconds ago."),
        (PRINTER, 0.0, 0.0, "It was not asked yet."),
        (replace(PRINTER, snmp=Snmp.OFF), NOW, NOW, "It is not asked how it fares: SNMP is off in its settings."),
    ],
)
def test_whether_it_answers(printer: Printer, asked: float, answered: float, words: str) -> None:
    report = PrinterReport(printer="office", asked_at=asked, answered_at=answered) if asked else None
    assert levels.answers(printer, report, NOW) == [words]


def test_quiet_hours_are_told_with_their_end() -> None:
    midnight = time.mktime((2026, 9, 22, 0, 30, 0, 0, 0, -1))
    night = replace(PRINTER, quiet_hours=("22:00-06:00",))
    assert levels.answers(night, None, midnight)[-1] == "Quiet until 06:00: it is left alone."
    assert levels.answers(night, None, midnight + 9 * 3600) == ["It was not asked yet."]
    week = replace(PRINTER, quiet_hours=("mon,tue,wed,thu,fri 00:00-24:00",))
    assert levels.answers(week, None, midnight)[-1] == "Quiet until 2026-09-26 00:00: it is left alone."


@pytest.mark.parametrize(
    ("state", "reasons", "needs"),
    [
        ("idle", (), False),
        ("idle", ("marker-supply-low-warning", "none"), False),
        ("idle", ("media-empty",), True),
        ("stopped", ("door-open",), True),
        ("processing", ("spool-area-full-report",), False),
        ("stopped", ("shutdown-report",), False),  # quiet hours
        ("stopped", (), True),
    ],
)
def test_who_needs_a_hand(state: str, reasons: tuple[str, ...], needs: bool) -> None:
    known = PrinterState(printer="office", state=state, state_reasons=reasons)
    assert needs_hand(Standing(printer=PRINTER, state=known, waiting=None)) is needs


def test_when_a_job_is_given_up() -> None:
    printer = replace(PRINTER, hold_expiry=100, expiry=1000)
    assert expires_at(job_in(JobState.PENDING), printer) == 1001
    assert expires_at(job_in(JobState.PENDING_HELD), printer) == 101
    assert expires_at(job_in(JobState.PROCESSING_STOPPED, "x-delivery-unknown"), printer) == 1001
    for state in (JobState.PROCESSING, JobState.PROCESSING_STOPPED, JobState.COMPLETED):
        assert expires_at(job_in(state), printer) == 0
    assert expires_at(job_in(JobState.PENDING), None) == 0
    assert expires_at(replace(job_in(JobState.PENDING), waits_from=50.0), printer) == 1050
    assert expires_at(replace(job_in(JobState.PENDING_HELD), waits_from=70.0), printer) == 170


# -- pages


async def test_a_job_that_is_sent_shows_how_far_it_is(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        number = await house.mail()
        lease = await house.store.acquire("device:socket://192.0.2.7:9100", "bridge", 60)
        assert lease is not None
        assert await house.store.claim(lease, number, ["job-printing"])
        assert await house.store.sending(lease, number, 0)
        await house.store.set_progress(number, HALF)
        for path in (f"/jobs/{number}", "/jobs", "/printers/office"):
            assert "64 kB of 300 kB taken by the printer, 3 of 12 pages printed" in told((await browser.get(path)).text)
        answer = (await browser.get(f"/api/v1/jobs/{number}")).json()
        expected = {"document": 1, "octets": 64_000, "octets_total": 300_000, "pages": 3, "pages_total": 12}
        assert answer["progress"] == expected
        (listed,) = (await browser.get("/api/v1/jobs")).json()
        assert listed["progress"] == expected


async def test_a_job_in_doubt_offers_four_choices_with_what_they_mean(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        number = await doubtful(house)
        await house.store.set_progress(number, HALF)
        page = (await browser.get(f"/jobs/{number}")).text
        assert "The printer confirmed 3 of 12 pages; 64 kB of 300 kB taken by the printer." in told(page)
        for means in (paper.PRINTED_MEANS, paper.REPRINT_MEANS, paper.RESUME_MEANS, paper.CANCEL_MEANS):
            assert means in told(page)
        assert "Go on from page 4" in page
        assert "The printer confirmed 3 of 12 pages" in told((await browser.get("/printers/office")).text)
        answer = await browser.post(f"/jobs/{number}/resume")
        assert answer.status_code == 303
        job = await house.store.job(number)
        assert job is not None
        assert job.state is JobState.PENDING


async def test_where_nothing_was_confirmed_going_on_is_not_offered(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house, house.browser() as browser:
        number = await doubtful(house)
        assert f'action="/jobs/{number}/resume"' not in (await browser.get(f"/jobs/{number}")).text
        assert (await browser.post(f"/jobs/{number}/resume")).status_code == 409


async def test_a_held_job_says_who_may_release_it_and_can_be_moved(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        number = await held(house)
        async with logged_in(house, "grace") as browser:
            page = (await browser.get(f"/jobs/{number}")).text
            assert "sam@example.com, linus@example.com or an administrator" in told(page)
            assert f'action="/jobs/{number}/move"' in page
            assert '<option value="other">other</option>' in page
            assert 'value="office"' not in page
            assert "it is given up then if it still waits" in told(page)
        async with logged_in(house, "ada") as browser:  # she operates no printer
            assert f'action="/jobs/{number}/move"' not in (await browser.get(f"/jobs/{number}")).text


async def test_who_runs_a_printer_sees_to_whom_its_codes_are_told(tmp_path: Path) -> None:
    coded = replace(PRINTER, name="coded", addresses=("coded@example.com",), hold=Hold.CODE)
    async with house_of(tmp_path) as house:
        await house.add(coded)
        draft = await house.store.draft()
        draft.write(b"\r\ntext\r\n")
        network = Envelope(
            reverse_path="ada@example.com", client_ip="127.0.0.1", helo="x", trust="insider", documents=1
        )
        to = Recipient(maildrop="coded", address="coded@example.com", quota=1 << 20, fields=b"", hold=Hold.CODE)
        (number,) = await house.store.accept(draft, network, [to])
        job = await house.store.job(number)
        assert job is not None
        for name, sees in (("grace", True), ("ada", False)):  # an administrator, and whom the mail merely named
            async with logged_in(house, name) as browser:
                page = told((await browser.get("/printers/coded")).text)
                assert "every job, until its code is typed in at the release page" in page
                assert ("networks prove nobody" in page) is sees
                page = told((await browser.get(f"/jobs/{number}")).text)
                assert (job.release_code in page) is sees
                assert ("Nobody was told the code by mail" in page) is sees


REPORT = PrinterReport(
    printer="office",
    asked_at=NOW,
    answered_at=NOW,
    model="Phaser 740",
    serial="XYZ123",
    console="PAPER OUT TRAY 2",
    pages=123_456,
    supplies=(
        Supply(name="Black Toner", kind="toner", color="black", level=0.42),
        Supply(name="Fuser", kind="fuser", color="", level=None),
    ),
    trays=(Tray(name="Tray 2", media="iso_a4", level=0.0),),
)


async def test_a_printer_says_what_it_has_left(tmp_path: Path) -> None:
    async with web_house(tmp_path, PRINTER) as house, house.browser() as browser:
        assert "It was not asked yet." in told((await browser.get("/printers/office")).text)
        await house.store.set_report(replace(REPORT, answered_at=NOW - 3600))
        page = told((await browser.get("/printers/office")).text)
        for words in (
            *("PAPER OUT TRAY 2", "123,456 pages in its life", "Phaser 740, serial number XYZ123", "As of"),
            *("Black Toner", "42 %", "level unknown", "Tray 2", "empty", "It does not answer SNMP"),
        ):
            assert words in page, words
        for path in ("/api/v1/printers/office", "/api/v1/printers"):
            answer = (await browser.get(path)).json()
            report = (answer[0] if isinstance(answer, list) else answer)["report"]
            assert (report["up"], report["pages"], report["console"]) == (False, 123_456, "PAPER OUT TRAY 2")
            assert report["supplies"][1] == {"name": "Fuser", "kind": "fuser", "color": "", "level": None}
            assert report["trays"] == [{"name": "Tray 2", "media": "iso_a4", "level": 0.0}]


async def test_what_printers_say_stays_text(tmp_path: Path) -> None:
    async with web_house(tmp_path, PRINTER) as house, house.browser() as browser:
        supply = Supply(name=EVIL, kind=EVIL, color=EVIL, level=0.5)
        tray = Tray(name=EVIL, media=EVIL, level=None)
        evil = replace(REPORT, console=EVIL, model=EVIL, serial=EVIL, supplies=(supply,), trays=(tray,))
        await house.store.set_report(evil)
        page = (await browser.get("/printers/office")).text
        assert EVIL not in page
        assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


async def test_who_needs_a_hand_stands_first(tmp_path: Path) -> None:
    async with web_house(tmp_path, OFFICE, OTHER) as house, house.browser() as browser:
        assert await order(house, browser) == ["office", "other"]
        await house.store.set_condition("other", "idle", ["media-empty"], "")
        await house.store.set_condition("office", "idle", ["toner-low-warning"], "")
        assert await order(house, browser) == ["other", "office"]


async def order(house: WebHouse, browser: object) -> list[str]:
    page = (await browser.get("/")).text  # type: ignore[attr-defined]
    return re.findall(r'id="printer-(\w+)"', page)
