"""Which documents can get to which printer, for whom, and what a sender is told to do."""

from __future__ import annotations

import itertools

import pytest

from mailstore.abilities import Abilities
from mailstore.directory.records import Body, Language, Printer, Raw
from mailstore.document_format import DocumentFormat
from mailstore.documents import Survey, Surveyor
from mailstore.failure import PermanentFailure
from mailstore.passage import DRAWN_ANEW, Treatment, able, hindrance, no_way, selected, treatment
from tests import letters
from tests.letters import LETTERS

F = DocumentFormat


def printer(*languages: Language, uri: str = "socket://192.0.2.7:9100", **settings: object) -> Printer:
    return Printer(name="phaser", addresses=("phaser@example.com",), uri=uri, languages=languages, **settings)  # type: ignore[arg-type]


def survey(name: str) -> Survey:
    surveyor = Surveyor()
    surveyor.feed(LETTERS[name]())
    return surveyor.close()


@pytest.mark.parametrize(
    ("settings", "trust", "source", "expected"),
    [
        ({}, "insider", F.POSTSCRIPT, Treatment.FILTERED),
        ({}, "insider", F.PCL, Treatment.FILTERED),
        ({}, "verified", F.POSTSCRIPT, Treatment.RERENDER),
        ({}, "verified", F.PCL, Treatment.FILTERED),
        ({}, "stranger", F.PCL, Treatment.RERENDER),
        ({}, "", F.PCL, Treatment.RERENDER),
        ({"raw": Raw.NOBODY}, "insider", F.PCL, Treatment.RERENDER),
        ({"unfiltered": Raw.INSIDER}, "insider", F.PCL, Treatment.RAW),
        ({"unfiltered": Raw.INSIDER}, "verified", F.PCL, Treatment.FILTERED),
        ({"raw": Raw.STRANGER}, "stranger", F.POSTSCRIPT, Treatment.FILTERED),
        ({}, "stranger", F.TEXT, Treatment.RERENDER),
    ],
)
def test_what_is_done_to_a_document(
    settings: dict[str, object], trust: str, source: DocumentFormat, expected: Treatment
) -> None:
    assert treatment(printer(Language.PCL, Language.TEXT, **settings), trust, source) is expected


def test_text_gets_to_a_printer_of_text_cleaned_whoever_sends_it() -> None:
    for raw, trust in itertools.product(Raw, ("insider", "verified", "stranger", "")):
        plain = printer(Language.TEXT, raw=raw)
        assert treatment(plain, trust, F.TEXT) is Treatment.FILTERED
        assert hindrance(F.TEXT, plain, trust) is None
        assert hindrance(F.HTML, plain, trust) is not None


@pytest.mark.parametrize("trust", ["insider", "verified", "stranger"])
def test_what_is_drawn_anew_gets_to_every_printer_but_those_of_text(trust: str) -> None:
    for language, source in itertools.product(Language, DRAWN_ANEW | {F.ZIP, F.TNEF}):
        if language is not Language.TEXT:
            assert able(printer(language), trust)(source)
    for language in Language:
        assert not able(printer(language), trust)(F.HEIC)
        assert not able(printer(language), trust)(F.OCTETS)


@pytest.mark.parametrize(
    ("source", "languages", "trust", "advice"),
    [
        (F.HEIC, [Language.PCL], "insider", "understands; send it as JPEG"),
        (F.HEIF, [Language.PCL], "stranger", "understands; send it as JPEG"),
        (F.XPS, [Language.PCL], "insider", "understands; send it as PDF"),
        (F.HPGL, [Language.PDF], "insider", "understands; send it as PDF"),
        (F.PCL, [Language.PCL], "stranger", "and from this sender it may not; send it as PDF"),
        (F.PDF, [Language.TEXT], "stranger", "understands; send it as text/plain"),
        (F.PDF, [], "insider", "this printer can get nothing from this sender, ask whoever runs it"),
    ],
)
def test_who_is_refused_is_told_what_to_do(
    source: DocumentFormat, languages: list[Language], trust: str, advice: str
) -> None:
    failure = hindrance(source, printer(*languages), trust)
    assert failure is not None
    assert (failure.status, failure.reason) == ("5.6.1", "unsupported-document-format")
    assert failure.text.endswith(advice)


def test_what_the_bridge_cannot_open_is_refused_at_the_door() -> None:
    laser, bare = printer(Language.PCL, Language.POSTSCRIPT), Abilities(level="rlimits", safe=False, office=False)
    refused = {
        (source, trust): failure.text.rpartition("; ")[2]
        for source, trust in itertools.product(
            (F.DOCX, F.POSTSCRIPT, F.EPS, F.PDF), ("insider", "verified", "stranger")
        )
        if (failure := hindrance(source, laser, trust, bare))
    }
    assert set(refused) == {
        *((F.DOCX, trust) for trust in ("insider", "verified", "stranger")),
        (F.POSTSCRIPT, "stranger"),
        (F.EPS, "stranger"),
    }
    assert set(refused.values()) == {"send it as PDF"}
    # What passes is not opened.
    open_house = printer(Language.POSTSCRIPT, raw=Raw.STRANGER)
    assert hindrance(F.POSTSCRIPT, open_house, "stranger", bare) is None
    assert hindrance(F.DOCX, laser, "insider", Abilities()) is None


def test_a_printer_that_polls_gets_everything() -> None:
    polls = printer(Language.TEXT, uri="", body=Body.NEVER)
    assert [each.path for each in selected(survey("iphone_heic"), polls, "stranger").documents] == ["2", "3"]


def test_what_one_mail_brings_to_different_printers() -> None:
    def paths(name: str, *languages: Language, **settings: object) -> list[str]:
        return [each.path for each in selected(survey(name), printer(*languages, **settings), "insider").documents]

    assert paths("outlook_letter", Language.PCL) == ["1.2"]
    assert paths("outlook_letter", Language.TEXT) == ["1.1"]
    assert paths("gmail", Language.PCL, body=Body.ALWAYS) == ["1.1.2", "2"]
    assert paths("gmail", Language.PCL, body=Body.NEVER) == ["2"]


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("gmail", Body.ALWAYS, "document 2 of 2: a document of the format application/pdf cannot be made into"),
        ("gmail", Body.ALONE, "a document of the format application/pdf cannot be made into"),
        ("koha_notice", Body.NEVER, "this printer prints what is attached and not the letter; attach what is to be"),
        (
            "encrypted",
            Body.ALONE,
            "the message holds nothing that can be printed: application/pgp-encrypted (it is enc",
        ),
    ],
)
def test_a_mail_is_refused_as_a_whole(name: str, body: Body, text: str) -> None:
    with pytest.raises(PermanentFailure) as failure:
        selected(survey(name), printer(Language.TEXT, body=body), "insider")
    assert failure.value.text.startswith(text)


def test_only_who_looks_into_containers_lets_them_in() -> None:
    assert no_way(F.ZIP, [Language.PCL], as_is=True) is not None
    assert no_way(F.ZIP, [Language.PCL], as_is=False, containers=True) is None
    assert no_way(F.TNEF, [], as_is=True, containers=True) is not None
    zipped = letters.message(letters.attached(b"PK\x03\x04" + bytes(60), "application/zip", "a.zip"))
    surveyor = Surveyor()
    surveyor.feed(zipped)
    assert [each.format for each in selected(surveyor.close(), printer(Language.PCL), "stranger").documents] == [F.ZIP]
