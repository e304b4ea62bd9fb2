"""Who is told what, in which words, and that nobody's text can become a header field."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance import letter, notices, printer_notices
from appliance.episodes import News
from appliance.notices import Audience, Letterhead
from mailstore import header
from mailstore.directory.records import Printer, WhenUncertain
from mailstore.job import REASONS, REPRINTS, DeliveryProof, Job, JobState
from mailstore.store.outbox import Occasion, Occurrence, OutgoingMail
from mailstore.store.papers import DocumentRecord, Fate

HEAD = Letterhead(hostname="mail.example.com", sender="postmaster@example.com", postmaster="postmaster@example.com")
PAGE = replace(HEAD, page="https://mail.example.com:8025")
PRINTER = Printer(
    name="phaser360",
    addresses=("phaser360@example.com",),
    service_person=("sam@example.com",),
    key_user=("kim@example.com",),
    sysadmin=("root@example.com",),
    location="2nd floor",
    model="Phaser 360",
)
NOW = 1_800_000_000.0
FAULTS = ("aborted-by-system", "document-format-error")


def job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": 17,
        "printer": "phaser360",
        "state": JobState.ABORTED,
        "reasons": FAULTS,
        "sender": "ada@example.com",
        "name": "Report",
        "message_id": 3,
        "octets": 1000,
        "documents": 1,
        "pages": 0,
        "attempts": 0,
        "delivery_proof": DeliveryProof.NONE,
        "trust": "insider",
        "detail": "",
        "received_at": NOW - 60,
        "processing_at": 0.0,
        "sending_at": 0.0,
        "completed_at": NOW,
        "next_attempt_at": 0.0,
        "recipient": "phaser360@example.com",
        "header_message_id": "<1@client.example.com>",
        "answerable": True,
    }
    return Job(**(values | changes))


def occurrence(occasion: Occasion, *reasons: str, **changes: Any) -> Occurrence:
    values: dict[str, Any] = {
        "id": 5,
        "at": NOW,
        "occasion": occasion,
        "printer": "phaser360",
        "job_id": 0 if occasion in (Occasion.STOPPED, Occasion.CLEAR) else 17,
        "reasons": reasons,
        "detail": "",
    }
    return Occurrence(**(values | changes))


def parsed(mail: OutgoingMail) -> EmailMessage:
    message = email.message_from_bytes(mail.octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def told(
    happened: Occurrence, about: Job | None = None, printer: Printer = PRINTER, **more: Any
) -> tuple[EmailMessage, str]:
    values: dict[str, Any] = {"to": "sam@example.com", "audience": Audience.STAFF, "now": NOW}
    mail = notices.about_job(HEAD, happened, about or job(), printer, **(values | more))
    message = parsed(mail)
    return message, text_of(message)


def text_of(message: EmailMessage) -> str:
    content: str = message.get_content()
    return content.replace("\r\n", "\n")


# -- who


@pytest.mark.parametrize(
    ("occasion", "expected"),
    [
        (Occasion.ABORTED, {"sam@example.com": "staff", "ada@example.com": "sender"}),
        (Occasion.INCOMPLETE, {"sam@example.com": "staff", "ada@example.com": "sender"}),
        (Occasion.UNCERTAIN, {"sam@example.com": "staff", "ada@example.com": "sender"}),
        (Occasion.HELD, {"kim@example.com": "staff", "ada@example.com": "sender"}),
        (Occasion.COMPLETED, {}),
        (Occasion.STOPPED, {"sam@example.com": "staff", "kim@example.com": "staff"}),
        (Occasion.CLEAR, {"sam@example.com": "staff", "kim@example.com": "staff"}),
    ],
)
def test_who_hears_of_what(occasion: Occasion, expected: dict[str, str]) -> None:
    assert notices.audience(occasion, PRINTER, "postmaster@example.com", "ada@example.com") == expected


def test_job_printed_is_for_the_sender_alone_and_only_where_the_entry_says_so() -> None:
    entry = replace(PRINTER, tell_printed=True)
    assert notices.audience(Occasion.COMPLETED, entry, "", "ada@example.com") == {"ada@example.com": "sender"}
    assert notices.audience(Occasion.COMPLETED, entry, "", "") == {}


@pytest.mark.parametrize("occasion", [Occasion.ABORTED, Occasion.INCOMPLETE, Occasion.STOPPED, Occasion.HELD])
def test_sysadmin_stands_in_for_service_and_postmaster_for_nobody(occasion: Occasion) -> None:
    without = replace(PRINTER, service_person=(), key_user=())
    assert [*notices.audience(occasion, without, "postmaster@example.com", "")] == ["root@example.com"]
    nobody = replace(without, sysadmin=())
    assert [*notices.audience(occasion, nobody, "postmaster@example.com", "")] == ["postmaster@example.com"]


def test_nobody_gets_two_mails_of_one_occurrence() -> None:
    entry = replace(PRINTER, service_person=("sam@example.com", "Sam@Example.com"), key_user=("sam@example.com",))
    assert len(notices.audience(Occasion.STOPPED, entry, "", "")) == 1
    assert notices.audience(Occasion.ABORTED, entry, "", "SAM@example.com") == {"sam@example.com": "staff"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"answerable": False}, False),
        ({"sender": ""}, False),
        ({"sender": "ä@example.com"}, False),
        ({"sender": "owner-printers@example.com"}, False),
        ({"sender": "printers-request@example.com"}, False),
        ({"sender": "MAILER-DAEMON@example.com"}, False),
        ({"sender": "no-reply@example.com"}, False),
    ],
)
def test_who_may_be_answered(changes: dict[str, Any], expected: bool) -> None:
    assert notices.answerable(job(**changes)) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"Subject: x\r\n", False),
        (b"Auto-Submitted: no\r\n", False),
        (b"Auto-Submitted: No (a person)\r\n", False),
        (b"Auto-Submitted: auto-replied\r\n", True),
        (b"auto-submitted:\r\n auto-generated; x=y\r\n", True),
        (b"Precedence: bulk\r\n", True),
        (b"Precedence: first-class\r\n", False),
        (b"List-Id: <printers.example.com>\r\n", True),
    ],
)
def test_mail_of_machines(fields: bytes, expected: bool) -> None:
    assert notices.machine_made(b"From: ada@example.com\r\n" + fields) is expected


# -- what


def test_an_aborted_job_in_words() -> None:
    happened = occurrence(Occasion.ABORTED, *FAULTS, detail="the trailer is missing")
    message, text = told(happened, kept_until=NOW + 3600)
    assert message["subject"] == "Not printed on phaser360: Report"
    assert parseaddr(message["from"]) == ("Printpost on mail.example.com", "postmaster@example.com")
    assert (message["to"], message["auto-submitted"]) == ("sam@example.com", "auto-generated")
    assert (message["in-reply-to"], message["references"]) == ("<1@client.example.com>", "<1@client.example.com>")
    assert text.startswith("Job 17 could not be printed: the document is damaged.\n")
    for said in ('17, "Report"', "ada@example.com", "phaser360, 2nd floor, Phaser 360", "the trailer is missing"):
        assert said in text
    assert "best as PDF" in text
    assert "printpost job show 17" in text
    assert re.search(r"It can be printed again until 20\d\d-\d\d-\d\d \d\d:\d\d \w+: printpost job retry 17", text)


def test_a_sender_is_answered_without_a_word_of_anybody_else() -> None:
    happened = occurrence(Occasion.ABORTED, *FAULTS)
    mail = notices.about_job(PAGE, happened, job(), PRINTER, to="ada@example.com", audience=Audience.SENDER, now=NOW)
    assert parsed(mail)["auto-submitted"] == "auto-replied"
    for private in (b"sam@", b"kim@", b"root@", b"printpost job", b"https://"):
        assert private not in mail.octets
    assert mail.expires_at == NOW + 3 * 86400
    assert mail.job_id == 17


def test_the_page_is_linked_for_staff_where_it_can_be_opened() -> None:
    happened = occurrence(Occasion.ABORTED, *FAULTS)
    mail = notices.about_job(PAGE, happened, job(), PRINTER, to="s@example.com", audience=Audience.STAFF, now=NOW)
    assert "https://mail.example.com:8025/jobs/17" in parsed(mail).get_content()
    assert "https://" not in told(happened)[1]


@pytest.mark.parametrize(
    ("when", "to", "expected"),
    [
        (WhenUncertain.HOLD, Audience.STAFF, "printpost job printed 17"),
        (WhenUncertain.HOLD, Audience.SENDER, "held until somebody"),
        (WhenUncertain.REPRINT, Audience.SENDER, "POSSIBLE DUPLICATE"),
        (WhenUncertain.PRINTED, Audience.SENDER, "counts as printed"),
    ],
)
def test_an_uncertain_job_in_words(when: WhenUncertain, to: Audience, expected: str) -> None:
    happened = occurrence(Occasion.UNCERTAIN, "job-suspended", "x-delivery-unknown")
    _, text = told(happened, printer=replace(PRINTER, when_uncertain=when), audience=to)
    assert text.startswith("Nobody can know whether job 17 was printed")
    assert expected in text


def test_a_job_that_broke_too_often_is_not_said_to_be_printed_again() -> None:
    happened = occurrence(Occasion.UNCERTAIN, "job-suspended", "x-delivery-unknown")
    broken = job(attempts=REPRINTS)
    _, text = told(happened, broken, printer=replace(PRINTER, when_uncertain=WhenUncertain.REPRINT))
    assert "printed again under" not in text
    assert "printpost job retry 17" in text


LIMIT = "with 12 pages it would pass the printer's limit of 10 pages a day"


def test_a_held_job_names_the_limit_and_whom_to_ask() -> None:
    happened = occurrence(Occasion.HELD, "account-limit-reached", detail=LIMIT)
    message, text = told(happened, audience=Audience.SENDER, to="ada@example.com")
    assert message["subject"] == "Held on phaser360: Report"
    assert text.startswith("Job 17 is held: it would pass a limit of pages.\n")
    plain = " ".join(text.split())
    assert LIMIT in plain
    assert "Ask kim@example.com" in plain
    assert "printpost job" not in text
    assert "Until" not in text  # of one that waits no longer
    waits = job(state=JobState.PENDING_HELD, received_at=NOW)
    assert (
        f"  Until     {letter.moment(NOW + PRINTER.hold_expiry)}\n"
        in told(happened, waits, audience=Audience.SENDER)[1]
    )
    nobody = replace(PRINTER, key_user=(), service_person=(), sysadmin=())
    assert "Ask postmaster@example.com" in told(happened, printer=nobody, audience=Audience.SENDER)[1]


def test_staff_can_release_a_held_job() -> None:
    happened = occurrence(Occasion.HELD, "account-limit-reached", detail=LIMIT)
    _, text = told(happened, more=2)
    for said in ("printpost job release 17", "printpost job cancel 17", "2 other jobs were held there"):
        assert said in text
    assert "--state pending-held" in text
    assert "Another job was held there" in told(happened, more=1)[1]
    assert "Another job failed there" in told(occurrence(Occasion.ABORTED, *FAULTS), more=1)[1]


def test_split_mail_that_was_given_up_names_its_id() -> None:
    detail = "the split mail with the id big.1@client.example.com was not printed: part 2 did not come in time"
    _, text = told(occurrence(Occasion.ABORTED, "aborted-by-system", detail=detail))
    assert text.startswith("Job 17 could not be printed: it was given up.\n")
    assert detail in " ".join(text.split())


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_of_an_aborted_job_reads_well(reason: str) -> None:
    _, text = told(occurrence(Occasion.ABORTED, "aborted-by-system", reason, detail="because of this"))
    first = text.partition("\n\n")[0]
    assert first.startswith("Job 17 could not be printed: ")
    assert first.endswith(".")
    assert "because of this" in text


def test_a_printed_job_in_words() -> None:
    happened = occurrence(Occasion.COMPLETED, "job-completed-successfully")
    message, text = told(happened, job(pages=3), audience=Audience.SENDER, to="ada@example.com")
    assert message["subject"] == "Printed on phaser360: Report"
    assert text.startswith("Job 17 was printed, 3 pages.\n")
    warned = occurrence(Occasion.COMPLETED, "job-completed-with-warnings", "x-printed-again")
    assert told(warned, job(name=""))[1].startswith("Job 17 was printed, with a warning.\n")
    assert told(warned, job(name=""))[0]["subject"] == "Printed on phaser360: job 17"


def lost(number: int, name: str, detail: str, fate: Fate = Fate.FAILED) -> DocumentRecord:
    return DocumentRecord(number=number, name=name, format="application/pdf", pages=0, fate=fate, detail=detail)


def test_a_job_of_which_not_all_printed_names_what_did_not() -> None:
    happened = occurrence(Occasion.INCOMPLETE, "job-completed-with-errors", detail="document 2: the PDF is encrypted")
    documents = [
        lost(1, "good.pdf", "cairo-postscript", Fate.PRINTED),
        lost(2, "secret.pdf", "the PDF is encrypted"),
        lost(3, "logo.png", "an ornament", Fate.LEFT_OUT),
        lost(4, "", "the document is damaged and cannot be printed"),
    ]
    message, text = told(
        happened, job(pages=3), documents=documents, audience=Audience.SENDER, to="ada@example.com", kept_until=NOW + 99
    )
    assert message["subject"] == "Not all printed on phaser360: Report"
    assert message["auto-submitted"] == "auto-replied"
    assert text.startswith("Job 17 was printed, but not all of its documents.\n")
    plain = " ".join(text.split())
    assert 'Document 2, "secret.pdf": the PDF is encrypted Document 4: the document is damaged' in plain
    assert "Put right what is named here, and send only that again. It can be printed again until" in plain
    for other in ("good.pdf", "logo.png", "Details"):
        assert other not in text
    staff = told(happened, job(), documents=documents)[1]
    assert "printpost job show 17" in staff
    assert "document 2: the PDF is encrypted" in " ".join(told(happened, job())[1].split())  # no record of them


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("document-password-error", "Save the document without a password and send it again."),
        ("document-security-error", "Send it again as PDF, and not packed into an archive."),
    ],
)
def test_what_fails_in_any_case_is_not_offered_to_the_sender_again(fault: str, advice: str) -> None:
    happened = occurrence(Occasion.ABORTED, "aborted-by-system", fault)
    text = told(happened, job(), audience=Audience.SENDER, to="ada@example.com", kept_until=NOW + 99)[1]
    assert text.rstrip().endswith(advice)
    assert "printpost job retry 17" in " ".join(told(happened, job(), kept_until=NOW + 99)[1].split())


def test_of_many_lost_documents_a_few_are_named_and_none_outgrows_the_mail() -> None:
    happened = occurrence(Occasion.INCOMPLETE, "job-completed-with-errors")
    documents = [
        lost(number, "\N{PRINTER}" * 5000, "ü\r\nX-Evil: y" + "\N{WASTEBASKET} " * 5000) for number in range(1, 101)
    ]
    mail = notices.about_job(
        HEAD, happened, job(), PRINTER, to="sam@example.com", audience=Audience.STAFF, now=NOW, documents=documents
    )
    assert len(mail.octets) < 16 << 10
    message = parsed(mail)
    assert message["x-evil"] is None
    text = text_of(message)
    assert text.count("Document ") == 5
    assert "and 95 more\n" in text


def test_trouble_and_its_all_clear_are_one_thread() -> None:
    stopped = occurrence(Occasion.STOPPED, "media-empty-error", detail="tray 1")
    news = News(occurrence=stopped, reasons=("media-empty",), began=NOW - 5, told={})
    first = parsed(printer_notices.about_printer(PAGE, news, PRINTER, to="sam@example.com", now=NOW))
    assert first["subject"] == "phaser360: the paper is used up"
    text = text_of(first)
    assert text.startswith("phaser360 needs a hand: the paper is used up.\n")
    for said in ("Load paper.", "2nd floor", "tray 1", "https://mail.example.com:8025/printers/phaser360"):
        assert said in text
    assert first["in-reply-to"] is None
    clear = occurrence(Occasion.CLEAR, "media-empty-error", id=6, at=NOW + 755)
    known = {"sam@example.com": str(first["message-id"])}
    news = News(occurrence=clear, reasons=("media-empty",), began=NOW - 5, told=known, over=True)
    second = parsed(printer_notices.about_printer(HEAD, news, PRINTER, to="sam@example.com", now=NOW))
    assert second["subject"] == "phaser360: works again"
    assert text_of(second).startswith("phaser360 works again after 13 minutes.\n")
    assert second["in-reply-to"] == second["references"] == first["message-id"]
    assert second["message-id"] != first["message-id"]
    assert second["auto-submitted"] == "auto-generated"


def test_an_unknown_reason_speaks_for_itself() -> None:
    stopped = occurrence(Occasion.STOPPED, "x-gnomes-asleep")
    news = News(occurrence=stopped, reasons=("x-gnomes-asleep",), began=NOW, told={})
    message = parsed(printer_notices.about_printer(HEAD, news, PRINTER, to="sam@example.com", now=NOW))
    assert message["subject"] == "phaser360: gnomes asleep"


def test_message_ids_differ_by_recipient_and_occurrence() -> None:
    happened = occurrence(Occasion.ABORTED)
    ids = {
        notices.message_id(HEAD, one, to)
        for one in (happened, replace(happened, id=6))
        for to in ("sam@example.com", "kim@example.com")
    }
    assert len(ids) == 4
    assert notices.message_id(HEAD, happened, "sam@example.com") in ids


FIELDS = [
    *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted"),
    *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
]


@given(name=st.text(max_size=300), detail=st.text(max_size=2000), place=st.text(max_size=300))
@example(name="x\r\nBcc: eve@example.com\r\n\r\nbody", detail="\r\n.\r\nMAIL FROM:<>", place="\n\nBcc: x")
@example(name="=?utf-8?q?=0D=0ABcc:_eve@example.com?=", detail="\x1b[2J", place="\u2028Bcc: eve")
@example(name="\U00020000" * 300, detail="\U00020000" * 2000, place="\U00020000" * 300)
@example(name="a" * 300, detail="b" * 2000, place="\ud800")
def test_no_text_of_strangers_gets_out_of_its_place(name: str, detail: str, place: str) -> None:
    happened = occurrence(Occasion.ABORTED, *FAULTS, detail=detail)
    mail = notices.about_job(
        HEAD,
        happened,
        job(name=name, detail=detail, sender=f'"{place[:20]}"@example.com'),
        replace(PRINTER, location=place, model=place),
        to="sam@example.com",
        audience=Audience.STAFF,
        now=NOW,
    )
    block, _, body = mail.octets.partition(b"\r\n\r\n")
    assert [line.partition(b":")[0].decode() for line in re.split(rb"\r\n(?![ \t])", block)] == FIELDS
    assert len(mail.octets) < 8192
    assert mail.octets.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f]", mail.octets)
    assert max(map(len, mail.octets.split(b"\r\n"))) <= 998
    shown = parsed(mail)
    assert shown["to"] == "sam@example.com"
    assert "\n" not in shown["subject"]
    assert "Job 17 could not be printed" in shown.get_content()
    assert not body.startswith(b"\r\n")


@given(text=st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=100))
@example("Größenänderung der Übersicht für das nächste Quartal, und noch etwas mehr Text dazu")
def test_a_subject_comes_back_as_it_was(text: str) -> None:
    made = letter.Letter(
        name="x", sender="a@example.com", to="b@example.com", subject=text, text="t\n", at=NOW, message_id="<1@x>"
    )
    block = letter.octets(made).partition(b"\r\n\r\n")[0] + b"\r\n"
    assert header.subject(block) == header.clean(text, 120)
    assert max(map(len, block.split(b"\r\n"))) <= 120


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "ada@example.com\r\nBcc: eve@example.com"),
        ("to", "ada@example.com>, <eve@example.com"),
        ("to", "ada@example.com, eve@example.com"),
        ("to", "ä@example.com"),
        ("sender", ""),
        ("message_id", "<1@x>\r\nBcc: eve@example.com"),
        ("thread", ("<1@x> <2@x>\n",)),
    ],
)
def test_what_cannot_stand_in_a_header_is_refused(field: str, value: Any) -> None:
    fit = letter.Letter(
        name="x", sender="a@example.com", to="b@example.com", subject="s", text="t\n", at=NOW, message_id="<1@x>"
    )
    assert letter.octets(fit)
    with pytest.raises(ValueError):
        letter.octets(replace(fit, **{field: value}))
