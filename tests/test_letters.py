"""Of the mails that people's programs write: what prints for each setting of a printer, and why the rest does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.directory.records import Body
from mailstore.document_format import DocumentFormat
from mailstore.documents import Selection, Survey, Surveyor, take
from mailstore.failure import PermanentFailure
from tests import letters
from tests.letters import LETTERS
from tests.messages import PDF

FORM, ATTACHED = "another form of the letter was taken", "the letter prints only if nothing is attached"
NEVER = "this printer prints attachments, never the letter"
SHOWN, EMPTY = "the letter's HTML shows it, and that is not printed", "it is empty"
NOTHING, ENCRYPTED = "the message holds nothing that can be printed", "it is encrypted; send it without"
ELSEWHERE, LOGO = "it belongs to a form of the letter that was not taken", "it is as small as a logo, and not attached"


def survey(message: bytes, *cuts: int) -> Survey:
    surveyor = Surveyor()
    start = 0
    for cut in (*sorted(cuts), len(message)):
        surveyor.feed(message[start:cut])
        start = cut
    return surveyor.close()


def anything(_: DocumentFormat) -> bool:
    return True


def text_only(source: DocumentFormat) -> bool:
    return source is DocumentFormat.TEXT


def told(selection: Selection) -> str:
    """Paths of what prints, of a letter in brackets, with what it shows: "(1.2+2.1) 3"."""
    paths = ["+".join([each.path, *(shown.path for shown in each.shown)]) for each in selection.documents]
    return " ".join(f"({path})" if each.letter else path for path, each in zip(paths, selection.documents, strict=True))


def selected(name: str, body: Body, able: Callable[[DocumentFormat], bool] = anything) -> tuple[str, dict[str, str]]:
    selection = survey(LETTERS[name]()).select(body, able)
    assert [each.index for each in selection.documents] == list(range(1, len(selection.documents) + 1))
    return told(selection), {left.path: left.why for left in selection.left_out}


# What prints if the letter does alone, always, never.
PRINTS = {
    "outlook": ("2", "(1.1.2+1.2) 2", "2"),
    "outlook_letter": ("(1.2+2)", "(1.2+2)", "2"),
    "outlook_rich": ("(1) 2", "(1) 2", "2"),
    "outlook_reply": ("(1.2)", "(1.2)", "2"),
    "outlook_web": ("2", "(1.1.2+1.2) 2", "2"),
    "apple_mail": ("2.2", "(2.1) 2.2", "2.2"),
    "apple_photo": ("(2.1+2.2)", "(2.1+2.2)", "2.2"),
    "iphone": ("2", "2 (3)", "2"),
    "iphone_heic": ("2", "2 (3)", "2"),
    "gmail": ("2", "(1.1.2+1.2) 2", "2"),
    "gmail_newsletter": ("(1.3)", "(1.3)", ""),
    "thunderbird_inline": ("2", "(1) 2", "2"),
    "thunderbird_attached": ("2.2", "(1) (2.1) 2.2", "2.2"),
    "thunderbird_attached_letter": ("(2.2)", "(1) (2.2)", ""),
    "mutt": ("2", "(1) 2", "2"),
    "alma": ("(1+2+3)", "(1+2+3)", "2 3"),
    "koha": ("2", "(1) 2", "2"),
    "koha_notice": ("(1)", "(1)", ""),
    "scanner": ("2", "2", "2"),
    "flowed": ("(1)", "(1)", ""),
    "signed": ("1.2", "(1.1) 1.2", "1.2"),
    "smime_letter": ("(1)", "(1)", ""),
    "encrypted": ("", "", ""),
    "invitation": ("(1.2)", "(1.2)", ""),
    "digest": ("(2.1.1) 2.2.2", "(1) (2.1.1) (2.2.1) 2.2.2 (3)", "2.2.2"),
    "logo_beside_a_pdf": ("3", "(1) 3", "3"),
    "pdf_that_is_related": ("2", "(1) 2", "2"),
    "only_a_logo": ("2", "2", "2"),
}
# What is left out, and why, if the letter prints alone.
LEFT_OUT = {
    "outlook": {"1.1.1": FORM, "1.1.2": ATTACHED, "1.2": SHOWN},
    "outlook_letter": {"1.1": FORM},
    "outlook_rich": {},
    "outlook_reply": {"1.1": FORM, "2": "mail programs name pictures of a letter so"},
    "outlook_web": {"1.1.1": FORM, "1.1.2": ATTACHED, "1.2": SHOWN},
    "apple_mail": {"1": FORM, "2.1": ATTACHED, "2.3": EMPTY},
    "apple_photo": {"1": FORM},
    "iphone": {"1": EMPTY, "3": ATTACHED},
    "iphone_heic": {"1": EMPTY, "3": ATTACHED},
    "gmail": {"1.1.1": FORM, "1.1.2": ATTACHED, "1.2": SHOWN},
    "gmail_newsletter": {
        "1.1": FORM,
        "1.2": "it is a form of the letter that is not printed",
        "2": "it is a single dot",
    },
    "thunderbird_inline": {"1": ATTACHED},
    "thunderbird_attached": {"1": ATTACHED, "2.1": ATTACHED},
    "thunderbird_attached_letter": {"1": ATTACHED, "2.1": FORM},
    "mutt": {"1": ATTACHED},
    "alma": {},
    "koha": {"1": ATTACHED},
    "koha_notice": {},
    "scanner": {"1": EMPTY},
    "flowed": {},
    "signed": {"1.1": ATTACHED, "2": "it is a signature"},
    "smime_letter": {"2": "it is a signature"},
    "encrypted": {"1": ENCRYPTED, "2": ENCRYPTED},
    "invitation": {"1.1": FORM, "1.3": "it is a calendar entry", "2": "it is a calendar entry"},
    "digest": {"1": ATTACHED, "2.2.1": ATTACHED, "3": ATTACHED},
    "logo_beside_a_pdf": {"1": ATTACHED, "2": LOGO},
    "pdf_that_is_related": {"1": ATTACHED},
    "only_a_logo": {"1": EMPTY},
}


@pytest.mark.parametrize("name", LETTERS)
def test_what_prints_and_what_is_left_out(name: str) -> None:
    alone, always, never = (selected(name, body) for body in (Body.ALONE, Body.ALWAYS, Body.NEVER))
    assert (alone[0], always[0], never[0]) == PRINTS[name]
    assert alone[1] == LEFT_OUT[name]
    assert ATTACHED not in always[1].values()
    assert "(" not in never[0]
    assert (NEVER in never[1].values()) == ("(" in always[0])


@pytest.mark.parametrize("body", Body)
@pytest.mark.parametrize("name", LETTERS)
def test_every_part_prints_is_shown_or_is_told(name: str, body: Body) -> None:
    found = survey(LETTERS[name]())
    selection = found.select(body, anything)
    printed = {each.path for each in selection.documents}
    shown = {each.path for document in selection.documents for each in document.shown}
    left = {each.path for each in selection.left_out}
    assert printed | shown | left == {each.part.path for each in found.found}
    assert not printed & shown
    assert not left & (printed | shown)
    assert all(each.why for each in selection.left_out)


@pytest.mark.parametrize("name", LETTERS)
def test_one_walk_takes_the_same(name: str) -> None:
    message = LETTERS[name]()
    for body in Body:
        expected = survey(message).select(body, anything)
        if not expected.documents:
            with pytest.raises(PermanentFailure) as failure:
                take(message, body, anything)
            assert failure.value.status == "5.6.1"
            continue
        selection, said, octets = take(message, body, anything)
        assert (selection, said) == (expected, survey(message).said)
        for document in selection.documents:
            if document.format is DocumentFormat.PDF:
                assert octets[document.path] == PDF
            assert all(octets[shown.path][:4] in (b"\x89PNG", b"\xff\xd8\xff\xe1") for shown in document.shown)


@pytest.mark.parametrize("name", LETTERS)
def test_octet_by_octet_it_is_the_same(name: str) -> None:
    message = LETTERS[name]()
    assert survey(message, *range(len(message))) == survey(message)


@given(st.sampled_from(list(LETTERS)), st.lists(st.integers(0, 12_000), max_size=12))
@settings(max_examples=150, deadline=None)
def test_however_it_is_cut_it_is_the_same(name: str, cuts: list[int]) -> None:
    message = LETTERS[name]()
    assert survey(message, *(min(cut, len(message)) for cut in cuts)) == survey(message)


@pytest.mark.parametrize(
    ("name", "prints", "left_out"),
    [
        ("outlook_letter", "(1.1)", {"1.2": FORM, "2": SHOWN}),
        ("apple_photo", "(1)", {"2.1": FORM, "2.2": ELSEWHERE}),
        ("gmail_newsletter", "(1.1)", {"1.3": FORM}),
        ("alma", "(1+2+3)", {}),  # there is no other form: it is refused for what it is
    ],
)
def test_a_printer_of_plain_text_gets_the_plain_form(name: str, prints: str, left_out: dict[str, str]) -> None:
    found, why = selected(name, Body.ALONE, text_only)
    assert found == prints
    assert left_out.items() <= why.items()


def test_the_last_form_that_can_print_is_taken() -> None:
    forms = letters.multipart("alternative", letters.text("one\n"), letters.html("<p>two"), letters.text("three\n"))
    assert told(survey(letters.message(forms)).select(Body.ALONE, anything)) == "(3)"
    forms = letters.multipart("alternative", letters.text("one\n"), letters.html("<p>two"), letters.text("\n"))
    assert told(survey(letters.message(forms)).select(Body.ALONE, anything)) == "(2)"
    assert told(survey(letters.message(forms)).select(Body.ALONE, text_only)) == "(1)"
    forms = letters.multipart("alternative", letters.text("one\n"), letters.attached(PDF, "application/pdf", "a.pdf"))
    assert told(survey(letters.message(forms)).select(Body.ALWAYS, anything)) == "(1) 2"


def test_pictures_that_repeat_may_be_ornaments_unless_they_are_attached() -> None:
    parts = (
        letters.inline(letters.PHOTO, "image/jpeg", "a.jpg"),
        letters.binary(letters.SCREEN, "image/png"),
        letters.attached(letters.LOGO, "image/png", "logo.png"),
        letters.attached(PDF, "application/pdf", "a.pdf"),
    )
    selection = survey(letters.message(letters.multipart("mixed", *parts))).select(Body.ALONE, anything)
    assert [(each.path, each.ornament) for each in selection.documents] == [
        ("1", True),
        ("2", True),
        ("3", False),
        ("4", False),
    ]


@pytest.mark.parametrize(
    ("media_type", "name", "octets", "kept"),
    [
        ("image/png", "image001.png", letters.SCREEN, False),
        ("image/png", "image0.png", letters.SCREEN, True),  # a telephone's photograph
        ("image/png", "graycol.gif", letters.SCREEN, False),
        ("image/png", "scan.png", letters.png(200, 200), False),
        ("image/png", "scan.png", letters.png(201, 200), True),
        ("image/png", "scan.png", letters.png(600, 200), False),
        ("image/png", "scan.png", letters.png(600, 201), True),
        ("image/png", "scan.png", letters.png(60, 900), False),
        ("image/gif", "scan.gif", b"GIF89a", True),  # of unknown size
        ("image/png", "scan.png", PDF, True),  # a document, whatever it says
        ("image/tiff", "fax.tif", b"II*\0" + bytes(60), True),
    ],
)
def test_which_pictures_are_ornaments(media_type: str, name: str, octets: bytes, kept: bool) -> None:
    parts = (letters.text("letter\n"), letters.inline(octets, media_type, name, "a@example.com"))
    found = told(survey(letters.message(letters.multipart("related", *parts))).select(Body.ALONE, anything))
    assert found == ("2" if kept else "(1)")


def test_what_the_mail_says_of_its_printing() -> None:
    fields = (
        "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_=5Bduplex=5D?=\nPrintpost-Options: copies=2\nprintpost-options: sides\n"
    )
    content = letters.multipart(
        "mixed", letters.html("<p>#print no"), letters.text("\n \n  #print   duplex \ncopies=3\n")
    )
    said = survey(fields.replace("\n", "\r\n").encode() + content).said
    assert (said.subject, said.field, said.directive) == ("Grüße [duplex]", "copies=2 sides", "#print duplex")
    long = "x" * 9000
    fields = f"Subject: {long}\r\nPrintpost-Options: {long}\r\n"
    said = survey(fields.encode() + letters.text(long)).said
    assert {len(said.subject), len(said.field), len(said.directive)} == {500}


def test_what_an_attached_letter_says_is_not_said_by_the_mail() -> None:
    inner = letters.message(letters.text("#print copies=9\n"), "[copies=9]")
    content = letters.multipart(
        "mixed", letters.forwarded(inner), letters.attached(b"#print copies=8\n", "text/plain", "a.txt")
    )
    said = survey(b"Subject: x\r\n" + content).said
    assert (said.subject, said.field, said.directive) == ("x", "", "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("koha_notice", "this printer prints what is attached and not the letter; attach what is to be printed"),
        (
            "encrypted",
            f"{NOTHING}: application/pgp-encrypted ({ENCRYPTED}), application/octet-stream ({ENCRYPTED})",
        ),
    ],
)
def test_a_mail_of_which_nothing_prints_is_refused_with_what_to_do(name: str, text: str) -> None:
    found = survey(LETTERS[name]())
    failure = found.refusal(found.select(Body.NEVER, anything))
    assert (failure.status, failure.text, failure.reason) == ("5.6.1", text, "document-unprintable-error")


def test_a_picture_that_is_damaged_does_not_stop_the_letter_that_shows_it() -> None:
    message = LETTERS["outlook_letter"]()
    picture = message.index(b"\r\n\r\n", message.rindex(b"Content-ID")) + 4
    damaged = message[: picture + 41] + message[message.rindex(b"\r\n--") :]
    selection, _, octets = take(damaged, Body.ALONE, anything)
    assert told(selection) == "(1.2+2)"
    assert octets["2"].startswith(b"\x89PNG")


def test_a_mail_of_many_parts_is_judged_in_time() -> None:
    part = b"\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <a%d>\r\n\r\nx"
    many = b"".join(part % number for number in range(990))
    found = survey(b"Content-Type: multipart/alternative; boundary=b\r\n" + many + b"\r\n--b--\r\n")
    assert len(found.found) == 990
    assert found.select(Body.ALONE, anything).documents == ()
