"""The attack catalogue against the print firewall."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailstore.directory.records import Language, Printer, Raw
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure
from mailstore.passage import Treatment, treatment
from mailstore.sniff import sniff
from printerbridge.firewall import Filter, Unwrapper
from printerbridge.firewall.sections import SPELLINGS, UEL
from tests.attacks import ATTACKS, FOLDER, MAILS, Attack
from tests.attacks.make import all_files
from tests.printer_view import forbidden

LANGUAGES = (Language.POSTSCRIPT, Language.PCL, Language.PCLXL, Language.PDF, Language.PWG)
PRINTER = Printer(name="phaser", addresses=("phaser@example.com",), languages=LANGUAGES)
FORMATS = {language.document_format for language in LANGUAGES}
REACH = [attack for attack in ATTACKS if attack.format in FORMATS or attack.name == "hidden-without-uel.prn"]


def through(attack: Attack, trust: str, piece: int) -> bytes:
    """What comes out; b"" if the document is refused or would be drawn anew."""
    one = Filter(
        attack.format if attack.format in FORMATS else DocumentFormat.PCL,
        LANGUAGES,
        passes=lambda format_: treatment(PRINTER, trust, format_) is not Treatment.RERENDER,
        copies=9,
    )
    octets = attack.octets
    try:
        return b"".join([one.feed(octets[at : at + piece]) for at in range(0, len(octets), piece)]) + one.close()
    except PermanentFailure as failure:
        if (failure.status, failure.reason) != ("5.7.1", "document-security-error"):
            raise
        return b""


@pytest.mark.parametrize("trust", [Raw.VERIFIED, Raw.INSIDER])
@pytest.mark.parametrize("attack", REACH, ids=lambda attack: attack.name)
def test_nothing_of_an_attack_gets_through(attack: Attack, trust: Raw) -> None:
    for piece in (1 << 16, 1, 7):
        printed = through(attack, trust, piece)
        assert forbidden(printed) == []
        if attack.program and trust is Raw.INSIDER:
            assert printed == attack.octets  # a program passes whole
        elif attack.name != "hidden-second-language.prn" or trust is not Raw.INSIDER:
            assert attack.reached(printed) == []


@pytest.mark.parametrize(
    "name",
    ["pjl-fsdelete.prn", "pjl-messages.prn", "pjl-copies.prn", "hidden-behind-postscript.ps", "pcl-self-test.pcl"],
)
def test_the_page_itself_is_printed(name: str) -> None:
    (attack,) = (one for one in ATTACKS if one.name == name)
    assert b"page" in through(attack, Raw.INSIDER, 100)


def test_a_second_document_in_a_language_that_may_not_pass_is_refused() -> None:
    (attack,) = (one for one in ATTACKS if one.name == "hidden-second-language.prn")
    assert through(attack, Raw.VERIFIED, 100) == b""


@pytest.mark.parametrize(
    "attack",
    [
        one
        for one in ATTACKS
        if one.format is DocumentFormat.POSTSCRIPT and not SPELLINGS.search(one.octets.replace(UEL, b""))
    ],
    ids=lambda attack: attack.name,
)
def test_nothing_of_the_pjl_reaches_a_converter(attack: Attack) -> None:
    one = Unwrapper()
    try:
        alone = one.feed(attack.octets) + one.close()
    except PermanentFailure:
        return
    assert alone.startswith(b"%!PS")
    assert b"@PJL" not in alone


@pytest.mark.parametrize("trusted", [False, True])
def test_texts_bring_no_commands_whatever_their_charset(trusted: bool) -> None:
    for attack in (one for one in ATTACKS if one.format is DocumentFormat.TEXT):
        for charset in ("utf-7", "utf-8", "iso-2022-jp", "iso-8859-1", "cp437", "hz", "utf-16"):
            one = Filter(DocumentFormat.TEXT, [Language.TEXT], passes=lambda _: True, charset=charset, letters=trusted)
            printed = one.feed(attack.octets) + one.close()
            assert attack.reached(printed) == forbidden(printed) == []
            assert b"\x1b" not in printed


def test_the_catalogue_is_its_files() -> None:
    names = [attack.name for attack in (*ATTACKS, *MAILS)]
    assert len(names) == len(set(names))
    assert sorted(names) == sorted(path.name for path in FOLDER.iterdir()) == sorted(all_files())
    assert all(octets == (FOLDER / name).read_bytes() for name, octets in all_files().items() if _by_hand(name))


def _by_hand(name: str) -> bool:
    return Path(name).suffix not in {".zip", ".docx", ".png"}  # whose octets zlib decides


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attacks_are_taken_for_what_they_are(attack: Attack) -> None:
    assert sniff(attack.octets[:8192]) is attack.format
    assert attack.reached(attack.octets) or not attack.never or attack.format is not DocumentFormat.POSTSCRIPT
