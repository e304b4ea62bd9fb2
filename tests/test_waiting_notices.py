"""Letters on jobs that wait, are in doubt or were given up, and on what runs low: each word, and who gets it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance import notices, printer_notices
from appliance.episodes import Kind, News
from appliance.notices import Audience, Letterhead
from mailstore.directory.records import Hold, Printer, WhenUncertain
from mailstore.job import REPRINTS, Event, JobState
from mailstore.store.contract import Envelope, Recipient
from mailstore.store.following import Progress
from mailstore.store.outbox import Occasion, Occurrence
from tests.test_notices import HEAD, NOW, PAGE, PRINTER, job, occurrence, parsed, text_of
from tests.test_telling import House, house

__all__ = ["house"]  # a fixture

SENDER = Audience.SENDER
STAFF = Audience.STAFF
HELD = ("job-hold-until-specified", "job-queued")
CODED: dict[str, Any] = {"state": JobState.PENDING_HELD, "reasons": HELD, "release_code": "12345678"}


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "moment", lambda at: f"<{at - NOW:+.0f} s>")
    monkeypatch.setattr(printer_notices, "moment", lambda at: f"<{at - NOW:+.0f} s>")


def letter(
    happened: Occurrence,
    *,
    head: Letterhead = HEAD,
    printer: Printer = PRINTER,
    audience: Audience = SENDER,
    progress: Progress | None = None,
    **changes: Any,
) -> tuple[str, str]:
    """Subject and text."""
    about = job(**changes)
    mail = notices.about_job(
        head, happened, about, printer, to="ada@example.com", audience=audience, now=NOW, progress=progress
    )
    message = parsed(mail)
    assert "12345678" not in message["subject"].replace(" ", "")  # a locked telephone shows subjects
    return message["subject"], text_of(message)


# -- to be released


def test_the_code_goes_to_the_sender() -> None:
    subject, text = letter(occurrence(Occasion.TO_RELEASE, *HELD), head=PAGE, **CODED)
    assert subject == "Waits to be released on phaser360: Report"
    assert text == (
        "Job 17 waits at the printer's mailbox until it is released.\n"
        "\n"
        '  Job       17, "Report"\n'
        "  Received  <-60 s> from ada@example.com\n"
        "  Printer   phaser360, 2nd floor, Phaser 360\n"
        "  Code      1234 5678\n"
        "  Until     <+259140 s>\n"
        "\n"
        "Go to the printer, open this page there, on your telephone say, and type the\n"
        "code. It prints then.\n"
        "\n"
        "https://mail.example.com:8025/release\n"
        "\n"
        "Whoever knows the code can let it print, and nobody else but those who run\n"
        "the printer. If nobody has released it by then, it is given up.\n"
    )


def test_without_a_page_somebody_types_it_for_him() -> None:
    _, text = letter(occurrence(Occasion.TO_RELEASE, *HELD), **CODED)
    assert text.endswith(
        "  Until     <+259140 s>\n"
        "\n"
        "Go to the printer, and tell the code to whoever runs it, kim@example.com. It\n"
        "prints then.\n"
        "\n"
        "If nobody has released it by then, it is given up.\n"
    )


def test_without_a_code_he_is_told_whom_to_ask() -> None:
    _, text = letter(occurrence(Occasion.TO_RELEASE, *HELD), head=PAGE, **(CODED | {"release_code": ""}))
    assert "Code" not in text
    assert text.endswith(
        "Whoever runs the printer releases it: ask kim@example.com.\n"
        "\n"
        "If nobody has released it by then, it is given up.\n"
    )


def test_only_the_sender_hears_that_it_waits() -> None:
    told = notices.audience(Occasion.TO_RELEASE, PRINTER, "postmaster@example.com", "sam@example.com")
    assert told == {"sam@example.com": SENDER}
    assert notices.audience(Occasion.TO_RELEASE, PRINTER, "postmaster@example.com", "") == {}


# -- given up


def test_a_job_whose_time_is_over() -> None:
    happened = occurrence(Occasion.ABORTED, "job-canceled-after-timeout", "aborted-by-system")
    subject, text = letter(happened)
    assert subject == "Not printed on phaser360: Report"
    assert text.startswith("Job 17 could not be printed: given up, because its time was over.\n")
    assert text.endswith("\n\nSend it again if it is still wanted.\n")
    assert notices.audience(Occasion.ABORTED, PRINTER, "postmaster@example.com", "ada@example.com") == {
        "sam@example.com": STAFF,
        "ada@example.com": SENDER,
    }


# -- in doubt

PAGES = Progress(document=0, octets=512, octets_total=2048, pages=3, pages_total=12, pages_all=12)
DOUBT = occurrence(Occasion.UNCERTAIN, "job-suspended", "x-delivery-unknown", detail="the connection broke")


def test_what_is_known_of_a_job_in_doubt_and_what_can_be_done() -> None:
    subject, text = letter(DOUBT, audience=STAFF, progress=PAGES)
    assert subject == "Perhaps not printed on phaser360: Report"
    assert text == (
        "Nobody can know whether job 17 was printed: the connection was lost while it\n"
        "was being sent.\n"
        "\n"
        '  Job       17, "Report"\n'
        "  Received  <-60 s> from ada@example.com\n"
        "  Printer   phaser360, 2nd floor, Phaser 360\n"
        "  Reason    job-suspended, x-delivery-unknown\n"
        "  Details   the connection broke\n"
        "  Known     3 of 12 pages are in the tray, by the printer's own word\n"
        "\n"
        "See what lies at the printer. The job is held until somebody decides; jobs\n"
        "behind it go on.\n"
        "\n"
        "It was printed: printpost job printed 17\n"
        "\n"
        "Print all of it again: printpost job retry 17\n"
        "\n"
        "Print only what the printer did not confirm: printpost job retry --resume 17\n"
        "\n"
        "What happened to it: printpost job show 17\n"
    )


@pytest.mark.parametrize(
    ("progress", "known"),
    [
        (None, ""),
        (replace(PAGES, pages=0), "the printer confirmed none of its pages"),
        (replace(PAGES, pages=1, pages_all=1), "1 of 1 page is in the tray, by the printer's own word"),
        (replace(PAGES, pages=2, pages_all=0), "2 pages are in the tray, by the printer's own word"),
        (replace(PAGES, pages_before=4, pages_all=30), "7 of 30 pages are in the tray, by the printer's own word"),
        (replace(PAGES, pages=14), "14 pages are in the tray, by the printer's own word"),  # banners count as well
    ],
)
def test_no_more_is_said_than_is_known(progress: Progress | None, known: str) -> None:
    _, text = letter(DOUBT, audience=STAFF, progress=progress)
    assert (f"  Known     {known}\n" in text) is bool(known)
    assert ("  Known" in text) is bool(known)
    assert ("--resume" in text) is bool(progress and progress.resumable)


def test_what_the_entry_decides_is_told() -> None:
    resumes = replace(PRINTER, when_uncertain=WhenUncertain.RESUME)
    goes_on = "It goes on behind the last page that the printer confirmed"
    assert goes_on in letter(DOUBT, printer=resumes, progress=PAGES)[1]
    for progress, attempts in ((None, 1), (replace(PAGES, pages=0), 1), (PAGES, REPRINTS)):
        _, text = letter(DOUBT, printer=resumes, progress=progress, attempts=attempts)
        assert "The job is held until somebody at the printer decides." in " ".join(text.split())


# -- what runs low

LOW = occurrence(Occasion.STOPPED, "toner-low-warning", "media-low-warning", detail="black toner, tray 2")


def news(**changes: Any) -> News:
    values: dict[str, Any] = {"occurrence": LOW, "reasons": ("toner-low", "media-low"), "began": NOW - 90, "told": {}}
    return News(**(values | {"kind": Kind.WARNING} | changes))


def test_what_only_warns_does_not_say_that_it_stands() -> None:
    message = parsed(printer_notices.about_printer(PAGE, news(), PRINTER, to="kim@example.com", now=NOW))
    assert message["subject"] == "phaser360: the toner is low and paper is low"
    assert text_of(message) == (
        "phaser360 goes on printing, but the toner is low and paper is low.\n"
        "\n"
        "  Since     <-90 s>\n"
        "  Printer   phaser360, 2nd floor, Phaser 360\n"
        "  Reason    toner-low-warning, media-low-warning\n"
        "  Details   black toner, tray 2\n"
        "\n"
        "Have a new cartridge at hand. Load paper soon.\n"
        "\n"
        "https://mail.example.com:8025/printers/phaser360\n"
    )


def test_the_end_of_a_warning_names_what_is_over() -> None:
    first = parsed(printer_notices.about_printer(HEAD, news(), PRINTER, to="kim@example.com", now=NOW))
    over = news(
        occurrence=occurrence(Occasion.CLEAR, "toner-low-warning", at=NOW + 7200),
        reasons=("toner-low",),
        told={"kim@example.com": str(first["message-id"])},
        over=True,
    )
    message = parsed(printer_notices.about_printer(HEAD, over, PRINTER, to="kim@example.com", now=NOW))
    assert message["subject"] == "phaser360: no longer: the toner is low"
    assert text_of(message) == (
        "At phaser360 it is over after 2 hours: the toner is low.\n"
        "\n"
        "  Since     <+7200 s>\n"
        "  Printer   phaser360, 2nd floor, Phaser 360\n"
        "  Reason    toner-low\n"
        "\n"
        "Nothing is to be done.\n"
    )
    assert message["in-reply-to"] == first["message-id"]


def test_warnings_are_the_key_users() -> None:
    def told(printer: Printer) -> list[str]:
        return [*notices.audience(Occasion.STOPPED, printer, "postmaster@example.com", "", Kind.WARNING)]

    assert told(PRINTER) == ["kim@example.com"]
    assert told(replace(PRINTER, key_user=())) == ["sam@example.com"]
    assert told(replace(PRINTER, key_user=(), service_person=())) == ["root@example.com"]
    assert told(replace(PRINTER, key_user=(), service_person=(), sysadmin=())) == ["postmaster@example.com"]


def test_what_is_told_of_one_occurrence_apart_has_ids_of_its_own() -> None:
    ids = {
        printer_notices.of_news(HEAD, news(kind=kind, over=over), "sam@example.com")
        for kind in Kind
        for over in (False, True)
    }
    assert len(ids) == 4
    for one in ids:
        assert notices.is_notice(HEAD, job(header_message_id=one))


# -- the task


async def to_release(house: House, hold: Hold = Hold.CODE, octets: bytes = b"Subject: x\r\n\r\n", **said: Any) -> int:
    draft = await house.store.draft()
    draft.write(octets)
    known: dict[str, Any] = {
        "client_ip": "192.0.2.1",
        "helo": "x",
        "trust": "insider",
        "answerable": True,
        "name": "Report",
    }
    envelope = Envelope(reverse_path="ada@example.com", **(known | said))
    one = Recipient(maildrop="phaser360", address="phaser360@example.com", quota=10**9, fields=b"", hold=hold)
    return int((await house.store.accept(draft, envelope, [one]))[0])


async def test_a_held_job_is_told_with_its_code(house: House) -> None:
    number = await to_release(house)
    known = await house.store.job(number)
    assert known is not None
    await house.teller(web={"listen": "0.0.0.0:8025"}).look()
    (mail,) = await house.queue()
    assert mail.recipient == "ada@example.com"
    text = mail.octets.decode()
    assert f"{known.release_code[:4]} {known.release_code[4:]}" in text
    assert "https://mail.example.com:8025/release" in text


async def test_what_was_released_or_came_from_a_program_is_not_told(house: House) -> None:
    released = await to_release(house)
    assert await house.store.unhold(released, "sam")
    await to_release(house, octets=b"Auto-Submitted: auto-generated\r\nSubject: x\r\n\r\n")
    await house.teller().look()
    assert await house.queue() == []
    assert await house.store.occurrences(10) == []


async def test_an_expired_job_is_told_to_its_sender_and_to_service(house: House) -> None:
    await to_release(house)
    await house.teller().look()
    await house.queue()
    assert await house.store.expire_jobs("phaser360", received=0.0, held=house.clock() + 1) == 1
    await house.teller().look()
    mails = {mail.recipient: mail.octets.decode() for mail in await house.queue()}
    assert sorted(mails) == ["ada@example.com", "sam@example.com"]
    for text in mails.values():
        assert "its time was over" in text
        assert "Send it again if it is still wanted." in text


async def test_a_job_in_doubt_is_told_with_what_the_printer_confirmed(house: House) -> None:
    number = await house.job()
    await house.store.set_progress(number, PAGES)
    await house.end(number, Event.DOUBT, "job-suspended", "x-delivery-unknown")
    await house.teller().look()
    mails = await house.queue()
    assert sorted(mail.recipient for mail in mails) == ["ada@example.com", "sam@example.com"]
    for mail in mails:
        assert "3 of 12 pages are in the tray, by the printer's own word" in mail.octets.decode()


async def test_warnings_and_trouble_have_people_of_their_own(house: House) -> None:
    teller, store = house.teller(), house.store
    await store.set_condition("phaser360", "idle", ["toner-low-warning"], "")
    house.ahead = 100
    await teller.look()
    assert await house.recipients() == ["kim@example.com"]
    await store.set_condition("phaser360", "stopped", ["media-empty", "toner-low-warning"], "")
    house.ahead = 200
    await teller.look()
    assert await house.recipients() == ["kim@example.com", "sam@example.com"]
    await store.set_condition("phaser360", "idle", ["toner-low-warning"], "")
    await teller.look()
    (one, other) = sorted(await house.queue(), key=lambda mail: mail.recipient)
    for mail in (one, other):
        assert b"Subject: phaser360: works again" in mail.octets
    await store.set_condition("phaser360", "idle", ["shutdown-report"], "")
    await teller.look()
    assert await house.recipients() == []
    await store.set_condition("phaser360", "idle", [], "")
    await teller.look()
    (mail,) = await house.queue()
    assert mail.recipient == "kim@example.com"
    assert b"Subject: phaser360: no longer: the toner is low" in mail.octets
    assert await store.occurrences(10) == []
