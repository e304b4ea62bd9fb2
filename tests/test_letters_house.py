"""Mails as programs write them, with real documents in them, from the stored octets to what the printer gets."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from mailstore.abilities import UNKNOWN, Abilities
from mailstore.directory.records import Body, Language
from mailstore.documents import Survey, Surveyor
from mailstore.failure import PermanentFailure
from mailstore.passage import CONTAINERS, selected
from mailstore.store.contract import Role, Store
from mailstore.store.papers import Fate
from mailstore.store.sql import open_store
from printerbridge.slots import Slots
from printerbridge.spool import Spool
from tests import documents, letters, outlook, pictures
from tests.directory_server import short_folder
from tests.letters import LETTERS
from tests.printshop import MEDIA
from tests.test_spool import accepted, sent, speaks, yes

PDF = documents.pdf(title="Invoice")
RED, GREEN, BLUE = (200, 30, 30), (30, 190, 30), (30, 30, 200)


def picture(width: int, height: int, color: tuple[int, int, int], kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, kind)
    return file.getvalue()


@pytest.fixture(autouse=True)
def real() -> Iterator[None]:
    """Photographs are red, logos and labels green, pictures of a screen blue."""
    logo = picture(180, 60, GREEN, "PNG")
    patches = {
        "PDF": PDF,
        "PHOTO": picture(1200, 1600, RED, "JPEG"),
        "LOGO": logo,
        "SCREEN": picture(900, 700, BLUE, "PNG"),
        "TNEF": outlook.tnef(outlook.attachment("i.pdf", PDF, "Invoice.pdf")),
        "_OUTLOOK_LOGO": letters.binary(logo, 'image/png; name="image001.png"', f"Content-ID: <{letters._OUTLOOK_ID}>"),
        "jpeg": lambda width, height: picture(width, height, RED, "JPEG"),
        "png": lambda width, height: picture(width, height, GREEN, "PNG"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in patches.items():
            patch.setattr(letters, name, value)
        yield


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


@pytest.fixture
def spool(store: Store, tmp_path: Path) -> Spool:
    made = Spool(store, tmp_path / "spool", media=MEDIA, slots=Slots(2, 4 << 30))
    made.open()
    return made


def survey(mail: bytes) -> Survey:
    surveyor = Surveyor()
    surveyor.feed(mail)
    return surveyor.close()


async def printed(store: Store, spool: Spool, name: str, language: Language, body: Body) -> list[bytes]:
    """The documents as the printer gets them, as many as the sender was promised at the door."""
    printer = replace(speaks(language), body=body, color=True)
    mail = LETTERS[name]()
    promised = selected(survey(mail), printer, "insider").documents
    job = await accepted(store, mail)
    prepared = await spool.prepare(job, printer, yes)
    assert prepared is not None
    found = sent(prepared)
    fates = await store.documents(job.id)
    await spool.discard(prepared)
    assert [one.number for one in fates] == list(range(1, len(fates) + 1))
    containers = sum(each.format in CONTAINERS for each in promised)
    assert len(promised) - containers <= len(found) <= len(promised)
    assert [one.fate for one in fates[: len(found)]] == [Fate.READY] * len(found)
    assert all(one.fate is Fate.LEFT_OUT for one in fates[len(found) :])
    return found


def seen(folder: Path, octets: bytes) -> set[str]:
    """Which colours are on the first page, and whether it is written on."""
    path = folder / "seen"
    path.write_bytes(octets)
    page = pictures.colored(path)[0]
    raw = page.tobytes()
    colors = Counter(zip(raw[::3], raw[1::3], raw[2::3], strict=True))
    found = {
        name
        for name, color in {"red": RED, "green": GREEN, "blue": BLUE}.items()
        if sum(n for at, n in colors.items() if max(abs(a - b) for a, b in zip(at, color, strict=True)) < 25) > 50
    }
    return found | ({"ink"} if sum(n for at, n in colors.items() if max(at) < 160) > 2 else set())


_INK: set[str] = {"ink"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "body", "shows"),
    [
        ("outlook_letter", Body.ALONE, [{"green", "ink"}]),
        ("outlook", Body.ALONE, [PDF]),
        ("outlook_rich", Body.ALONE, [PDF]),
        ("outlook_reply", Body.ALONE, [_INK]),
        ("apple_mail", Body.ALONE, [PDF]),
        ("apple_photo", Body.ALONE, [{"red", "ink"}]),
        ("apple_photo", Body.NEVER, [{"red"}]),
        ("iphone", Body.ALWAYS, [{"red"}, _INK]),
        ("gmail", Body.ALWAYS, [{"blue", "ink"}, PDF]),
        ("thunderbird_attached", Body.ALWAYS, [_INK, _INK, PDF]),
        ("alma", Body.ALONE, [{"red", "green", "ink"}]),
        ("koha", Body.ALONE, [_INK]),
        ("scanner", Body.ALONE, [PDF]),
        ("logo_beside_a_pdf", Body.ALWAYS, [_INK, PDF]),
        ("only_a_logo", Body.ALONE, [{"green"}]),
    ],
)
async def test_a_printer_of_pdf_gets_what_was_promised_in_order(
    store: Store, spool: Spool, tmp_path: Path, name: str, body: Body, shows: list[bytes | set[str]]
) -> None:
    found = await printed(store, spool, name, Language.PDF, body)
    assert [octets if octets == PDF else seen(tmp_path, octets) for octets in found] == shows


@pytest.mark.slow
async def test_a_printer_of_postscript_gets_the_same(store: Store, spool: Spool, tmp_path: Path) -> None:
    letter, attached = await printed(store, spool, "gmail", Language.POSTSCRIPT, Body.ALWAYS)
    paths = [tmp_path / name for name in ("source", "letter", "attached")]
    for path, octets in zip(paths, (PDF, letter, attached), strict=True):
        path.write_bytes(octets)
    source, shown, same = (pictures.drawn(path) for path in paths)
    pictures.same(source, same)
    assert documents.ink(shown[0]) > 0.1  # the picture of the screen


_WORDS = {
    *("Anbei.", "Danke!", "Hello", "Here it is:", "The garden", "See below", "News", "Print please", "Come at ten."),
    *("The paper.", "int main;", "Dear Ada,", "One paragraph,", "Signed.", "At ten"),
}


async def test_a_printer_of_plain_text_gets_what_was_promised_or_the_sender_is_told(store: Store, spool: Spool) -> None:
    refused: set[str] = set()
    for name, body in itertools.product(LETTERS.keys() - {"outlook_rich"}, Body):
        try:
            found = await printed(store, spool, name, Language.TEXT, body)
        except PermanentFailure as failure:
            refused.add(f"{name} {body} {failure.status}")
            continue
        assert found
        for octets in found:
            assert any(each in octets.decode() for each in _WORDS), octets
            assert b"<" not in octets
    assert {one.rpartition(" ")[2] for one in refused} == {"5.6.1"}
    assert {"outlook alone 5.6.1", "alma alone 5.6.1", "mutt always 5.6.1"} & refused == {
        "outlook alone 5.6.1",
        "alma alone 5.6.1",
    }


@pytest.mark.parametrize(
    ("language", "abilities", "trust", "says"),
    [
        (
            Language.TEXT,
            UNKNOWN,
            "insider",
            "cannot be made into anything that this printer understands; send it as text",
        ),
        (Language.PDF, Abilities(office=False), "insider", "no program for Office documents; send it as PDF"),
        (Language.PDF, Abilities(safe=False), "stranger", "not opened here for senders that are not proved"),
    ],
)
async def test_what_was_taken_and_cannot_be_printed_any_more_ends_in_the_words_of_the_door(
    store: Store, spool: Spool, language: Language, abilities: Abilities, trust: str, says: str
) -> None:
    """The printer's entry or the machine was changed while the mail waited."""
    mail = letters.message(letters.multipart("mixed", letters.attached(b"{\\rtf1 x}", "application/rtf", "a.rtf")))
    selected(survey(mail), speaks(Language.PDF), trust)
    with pytest.raises(PermanentFailure, match=says) as door:
        selected(survey(mail), speaks(language), trust, abilities)
    job = await accepted(store, mail, trust)
    spool.can(abilities)
    with pytest.raises(PermanentFailure, match=says) as bridge:
        await spool.prepare(job, speaks(language), yes)
    assert (bridge.value.status, bridge.value.reason) == (door.value.status, door.value.reason)
    (record,) = await store.documents(job.id)
    assert record.fate is Fate.FAILED
    assert says in record.detail
