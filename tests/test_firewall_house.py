"""Every attack as a mail, from the stored octets to what a printer gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Language, Printer, Raw
from mailstore.document_format import DocumentFormat as F
from mailstore.failure import PermanentFailure
from mailstore.job import Job
from mailstore.store.contract import Envelope, Recipient, Role, Store
from mailstore.store.sql import open_store
from printerbridge import pjl
from printerbridge.slots import Slots
from printerbridge.spool import Spool
from tests.attacks import ATTACKS, FOLDER, MAILS, Attack
from tests.directory_server import short_folder
from tests.printer_view import UEL, forbidden
from tests.printshop import MEDIA

LANGUAGES = (Language.POSTSCRIPT, Language.PCL, Language.PCLXL, Language.PWG)
TYPES = {F.HTML: ("text", "html"), F.PDF: ("application", "pdf"), F.PNG: ("image", "png"), F.TIFF: ("image", "tiff")}


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


@pytest.fixture
def spool(store: Store, tmp_path: Path) -> Spool:
    made = Spool(store, tmp_path / "spool", media=MEDIA, slots=Slots(2, 2 << 30))
    made.open()
    return made


def mail(attack: Attack) -> bytes:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "ada@example.com", "phaser@example.com", "page"
    main, sub = TYPES.get(attack.format, ("application", "octet-stream"))
    letter.add_attachment(attack.octets, maintype=main, subtype=sub, filename=attack.name)
    return letter.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


async def accepted(store: Store, octets: bytes, trust: Raw) -> Job:
    draft = await store.draft()
    draft.write(octets)
    envelope = Envelope(
        reverse_path="ada@example.com", client_ip="192.0.2.9", helo="client.example.com", trust=trust.value, name="page"
    )
    recipient = Recipient(maildrop="phaser", address="phaser@example.com", quota=1 << 40, fields=b"")
    (job_id,) = await store.accept(draft, envelope, [recipient])
    job = await store.job(job_id)
    assert job is not None
    return job


async def printed(store: Store, spool: Spool, octets: bytes, trust: Raw, *languages: Language) -> bytes:
    """What a printer gets that speaks PJL, b"" if nothing."""
    printer = Printer(
        name="phaser",
        addresses=("phaser@example.com",),
        uri="socket://192.0.2.7:9100",
        languages=languages,
        pjl=True,
        max_copies=9,
    )
    job = await accepted(store, octets, trust)

    async def yes() -> bool:
        return True

    try:
        prepared = await spool.prepare(job, printer, yes)
    except PermanentFailure:
        return b""
    assert prepared is not None
    got = b""
    for number, document in enumerate(prepared.documents, 1):
        name = pjl.job_name(job.id, number, job.name)
        conversation = pjl.Conversation(document.head(), document.language, name, said=pjl.Said(settings=document.pjl))
        got += b"".join(conversation.dress(document.blocks()))
    await spool.discard(prepared)
    return got


OURS = (b"JOB NAME", b"EOJ NAME", b"USTATUS", b"INFO STATUS")
GHOSTSCRIPTS = (b"SET RENDERMODE=GRAYSCALE", b"SET RESOLUTION=600", b"ENTER LANGUAGE=PCLXL")


def foreign(got: bytes) -> list[bytes]:
    """Commands that neither we nor Ghostscript say, whose PCL XL begins with two settings."""
    return [said for said in forbidden(got) if not said.startswith(OURS) and said not in GHOSTSCRIPTS]


# An endless program is stopped by the clock alone: `tests/test_sandbox_hostile.py`.
DRAWN = [attack for attack in ATTACKS if attack.name != "ps-endless.ps"]
CASES = [
    pytest.param(attack, language, id=f"{attack.name}-{language.value}")
    for number, attack in enumerate(DRAWN)
    for language in LANGUAGES[number % 4 : number % 4 + 1]  # each attack on one of them
]


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "language"), CASES)
async def test_nothing_of_a_strangers_attack_reaches_a_printer(
    store: Store, spool: Spool, attack: Attack, language: Language
) -> None:
    got = await printed(store, spool, mail(attack), Raw.STRANGER, language)
    assert attack.reached(got) == []
    assert foreign(got) == []


@pytest.mark.slow
@pytest.mark.parametrize("trust", [Raw.STRANGER, Raw.VERIFIED])
async def test_a_picture_that_is_drawn_anew_brings_no_pjl(store: Store, spool: Spool, trust: Raw) -> None:
    """Ghostscript writes a picture's octets into a PDF as they are, if the program says so."""
    (attack,) = (one for one in ATTACKS if one.name == "ps-picture.ps")
    assert await printed(store, spool, mail(attack), trust, Language.PDF) == b""


@pytest.mark.parametrize("trust", [Raw.VERIFIED, Raw.INSIDER])
async def test_nothing_of_an_attack_is_left_where_it_is_filtered(store: Store, spool: Spool, trust: Raw) -> None:
    reached = {}
    for attack in (one for one in ATTACKS if one.format in (F.PCL, F.PCLXL)):
        got = await printed(store, spool, mail(attack), trust, Language.PCL, Language.PCLXL)
        reached[attack.name] = attack.reached(got) + foreign(got)
    assert len(reached) > 20
    assert {name: found for name, found in reached.items() if found} == {}


async def test_an_insiders_postscript_brings_no_pjl(store: Store, spool: Spool) -> None:
    reached, pages = {}, set()
    for attack in (one for one in ATTACKS if one.name.startswith(("pjl-", "hidden-"))):
        got = await printed(store, spool, mail(attack), Raw.INSIDER, Language.POSTSCRIPT)
        reached[attack.name] = attack.reached(got) + foreign(got)
        if b"showpage" in got:
            pages.add(attack.name)
    assert {name: found for name, found in reached.items() if found} == {}
    assert {name for name in reached if name.startswith("pjl-")} <= pages  # the page itself is printed


@pytest.mark.parametrize("trust", [Raw.STRANGER, Raw.INSIDER])
@pytest.mark.parametrize("attack", MAILS, ids=lambda attack: attack.name)
async def test_names_bring_no_commands(store: Store, spool: Spool, attack: Attack, trust: Raw) -> None:
    octets = (FOLDER / attack.name).read_bytes()
    got = await printed(store, spool, octets, trust, Language.POSTSCRIPT)
    assert got.startswith(UEL)
    assert attack.reached(got) == []
    assert foreign(got) == []
