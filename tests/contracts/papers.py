"""What every storage engine must keep of a job's documents (`mailstore.store.papers`)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace

import pytest

from mailstore.abilities import UNKNOWN, Abilities
from mailstore.job import DeliveryProof, Event
from mailstore.store.contract import Role, Store
from mailstore.store.papers import (
    ORNAMENT_MAILS,
    REPEATED_DAYS,
    THUMBNAIL_OCTETS,
    THUMBNAILS,
    DocumentRecord,
    Fate,
)
from tests.contracts.engines import Opener
from tests.contracts.store import accept, complete_from_pending, held

ADA, BOB = "ada@example.com", "bob@example.com"
LOGO, SMILE = hashlib.sha256(b"logo").digest(), hashlib.sha256(b"smile").digest()
PNG = b"\x89PNG\r\n\x1a\n\0 and more"
LETTER = DocumentRecord(number=1, name="", format="text/plain", pages=1, fate=Fate.READY, detail="typeset")
REPORT = DocumentRecord(number=2, name="Bericht Ü.pdf", format="application/pdf", pages=12, fate=Fate.READY)
LEFT = DocumentRecord(number=3, name="logo.png", format="image/png", pages=0, fate=Fate.LEFT_OUT, detail="an ornament")
BROKEN = replace(LEFT, number=4, fate=Fate.FAILED, detail="the PDF is encrypted")
RECORDS = (LETTER, REPORT, LEFT, BROKEN)


async def end(store: Store, job_id: int) -> None:
    assert await complete_from_pending(store, await held(store), job_id)


async def message(store: Store) -> int:
    """One job of a message of its own."""
    (job_id,) = await accept(store, "phaser")
    return job_id


# -- documents


async def test_documents_are_as_the_bridge_told_last(opened: Opener) -> None:
    store = await opened()
    job_id, other = await message(store), await message(store)
    assert await store.documents(job_id) == []
    await store.record_documents(job_id, [BROKEN, LEFT])
    await store.record_documents(job_id, RECORDS[::-1])
    assert await store.documents(job_id) == [*RECORDS]  # by number, and nothing of before
    assert await store.documents(other) == []
    await store.record_documents(job_id, [])
    assert await store.documents(job_id) == []


async def test_what_was_ready_is_printed(opened: Opener) -> None:
    store = await opened()
    job_id, other = await message(store), await message(store)
    for which in (job_id, other):
        await store.record_documents(which, RECORDS)
    await store.documents_printed(job_id)
    printed = [replace(LETTER, fate=Fate.PRINTED), replace(REPORT, fate=Fate.PRINTED), LEFT, BROKEN]
    assert await store.documents(job_id) == printed
    assert await store.documents(other) == [*RECORDS]


async def test_what_counts_as_printed_is_printed(opened: Opener) -> None:
    store = await opened()
    job_id, lease = await message(store), await held(store)
    await store.record_documents(job_id, RECORDS)
    assert await store.sending(lease, job_id, 0)
    assert await store.move(lease, job_id, Event.DOUBT, reasons=["job-suspended", "x-delivery-unknown"])
    assert [one.fate for one in await store.documents(job_id)][:2] == [Fate.READY] * 2
    assert await store.decide(job_id, "ada", printed=True)
    assert [one.fate for one in await store.documents(job_id)] == [Fate.PRINTED] * 2 + [Fate.LEFT_OUT, Fate.FAILED]


async def test_documents_are_of_a_job(opened: Opener) -> None:
    store = await opened()
    await store.record_documents(7, RECORDS)
    await store.documents_printed(7)
    assert await store.documents(7) == []


async def test_what_is_no_text_is_kept_as_far_as_it_is(opened: Opener) -> None:
    store = await opened()
    job_id = await message(store)
    await store.record_documents(job_id, [replace(LETTER, name="a\0b\ud800", detail="c\0\udfffd")])
    (found,) = await store.documents(job_id)
    assert (found.name, found.detail) == ("ab?", "c?d")


async def test_documents_outlive_the_process_and_are_seen_by_the_other(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    job_id = await message(appliance)
    lease = await held(bridge)
    await bridge.record_documents(job_id, RECORDS)
    assert await bridge.keep_thumbnail(job_id, 1, 1, PNG)
    assert await bridge.sending(lease, job_id, 0)  # whose sync they share
    assert await appliance.documents(job_id) == [*RECORDS]
    assert await appliance.thumbnail(job_id, 1, 1) == PNG
    await bridge.documents_printed(job_id)
    proof = DeliveryProof.CLOSED
    assert await bridge.end(lease, job_id, Event.COMPLETE, reasons=["job-completed-successfully"], proof=proof)
    assert {document.fate for document in await appliance.documents(job_id)} == {
        Fate.PRINTED,
        Fate.LEFT_OUT,
        Fate.FAILED,
    }
    told = await appliance.documents(job_id)
    for store in (bridge, appliance):
        await store.close()
    again = await opened()
    assert await again.documents(job_id) == told
    assert await again.thumbnails(job_id) == [(1, 1)]


# -- thumbnails


async def test_thumbnails_are_kept_by_document_and_page(opened: Opener) -> None:
    store = await opened()
    job_id, other = await message(store), await message(store)
    for document, page in ((2, 10), (2, 2), (1, 1)):
        assert await store.keep_thumbnail(job_id, document, page, b"%d of %d" % (page, document))
    assert await store.thumbnails(job_id) == [(1, 1), (2, 2), (2, 10)]
    assert await store.thumbnail(job_id, 2, 10) == b"10 of 2"
    assert await store.thumbnail(job_id, 1, 2) is None
    assert await store.thumbnails(other) == []
    assert await store.thumbnail(other, 1, 1) is None


async def test_thumbnails_are_few_and_small(opened: Opener) -> None:
    store = await opened()
    job_id, other = await message(store), await message(store)
    assert not await store.keep_thumbnail(job_id, 1, 1, bytes(THUMBNAIL_OCTETS + 1))
    assert await store.thumbnails(job_id) == []
    assert await store.keep_thumbnail(job_id, 1, 1, bytes(THUMBNAIL_OCTETS))
    kept = await asyncio.gather(*(store.keep_thumbnail(job_id, 1, 2 + page, PNG) for page in range(THUMBNAILS)))
    assert kept == [True] * (THUMBNAILS - 1) + [False]
    assert await store.keep_thumbnail(job_id, 1, 1, b"again")  # made ready once more: in place of the first
    assert await store.thumbnail(job_id, 1, 1) == b"again"
    assert len(await store.thumbnails(job_id)) == THUMBNAILS
    assert await store.keep_thumbnail(other, 1, 1, PNG)
    assert not await store.keep_thumbnail(other + 1, 1, 1, PNG)


async def test_thumbnails_go_with_the_octets_and_records_with_the_jobs(opened: Opener) -> None:
    store = await opened(keep=1000)
    ended, waits = await message(store), await message(store)
    for job_id in (ended, waits):
        await store.record_documents(job_id, RECORDS)
        assert await store.keep_thumbnail(job_id, 1, 1, PNG)
    await end(store, ended)
    now = time.time()
    await store.sweep(now + 900)
    assert await store.thumbnail(ended, 1, 1) == PNG
    await store.sweep(now + 1100)
    assert await store.kept_until(ended) == 0.0
    assert await store.thumbnail(ended, 1, 1) is None
    assert await store.thumbnails(ended) == []
    assert await store.documents(ended) == [*RECORDS]
    assert not await store.keep_thumbnail(ended, 1, 2, PNG)  # one that comes late is not kept after all
    await store.sweep(now + 91 * 86400)
    assert await store.documents(ended) == []
    assert await store.documents(waits) == [*RECORDS]
    assert await store.thumbnail(waits, 1, 1) == PNG


async def test_thumbnails_stay_while_another_job_needs_the_octets(opened: Opener) -> None:
    store = await opened(keep=1000)
    ended, waits = await accept(store, "phaser", "other")
    for job_id in (ended, waits):
        assert await store.keep_thumbnail(job_id, 1, 1, PNG)
    await end(store, ended)
    await store.sweep(time.time() + 2000)
    assert await store.thumbnail(ended, 1, 1) == PNG
    await end(store, waits)
    await store.sweep(time.time() + 2000)
    for job_id in (ended, waits):
        assert await store.thumbnails(job_id) == []


async def test_where_nothing_is_kept_thumbnails_go_with_the_end(opened: Opener) -> None:
    store = await opened(keep=0)
    job_id = await message(store)
    await store.record_documents(job_id, RECORDS)
    assert await store.keep_thumbnail(job_id, 1, 1, PNG)
    await end(store, job_id)
    assert await store.thumbnail(job_id, 1, 1) is None
    assert len(await store.documents(job_id)) == len(RECORDS)


async def test_of_a_forgotten_printer_no_page_is_seen(opened: Opener) -> None:
    store = await opened()
    (waits, elsewhere), ended = await accept(store, "phaser", "other"), await message(store)
    many = [await message(store) for _ in range(120)]
    for job_id in (waits, ended, elsewhere, *many):
        await store.record_documents(job_id, RECORDS)
        assert await store.keep_thumbnail(job_id, 1, 1, PNG)
    await end(store, ended)
    await store.forget_printer("phaser")
    for job_id in (waits, ended, *many):
        assert await store.thumbnails(job_id) == []
        assert await store.documents(job_id) == [*RECORDS]  # as the job's own record
    assert await store.thumbnails(elsewhere) == [(1, 1)]


# -- pictures that come again


async def test_a_picture_of_many_mails_is_an_ornament(opened: Opener) -> None:
    store = await opened()
    jobs = [await message(store) for _ in range(ORNAMENT_MAILS + 2)]
    for job_id in jobs[:ORNAMENT_MAILS]:
        assert await store.repeated(job_id, ADA, [LOGO]) == frozenset()
    assert await store.repeated(jobs[-2], ADA, [LOGO, SMILE]) == {LOGO}
    assert await store.repeated(jobs[-1], BOB, [LOGO]) == frozenset()  # another's
    assert await store.repeated(jobs[-1], ADA, []) == frozenset()
    assert await store.repeated(jobs[-1] + 1, ADA, [LOGO]) == frozenset()  # no such job


async def test_asked_again_of_a_mail_it_answers_the_same(opened: Opener) -> None:
    """A job is made ready again after a fault, another prints it too, or it is printed again; others came meanwhile."""
    store = await opened()
    first, twin = await accept(store, "phaser", "other")
    jobs = [first, *[await message(store) for _ in range(ORNAMENT_MAILS + 2)]]
    before = [await store.repeated(job_id, ADA, [LOGO]) for job_id in jobs]
    assert before == [frozenset()] * ORNAMENT_MAILS + [{LOGO}] * 3
    for _ in range(3):
        assert [await store.repeated(job_id, ADA, [LOGO]) for job_id in reversed(jobs)] == before[::-1]
    assert await store.repeated(twin, ADA, [LOGO]) == frozenset()
    await end(store, first)
    again = await store.print_again(first, "ada")
    assert await store.repeated(again, ADA, [LOGO]) == frozenset()


async def test_one_mail_to_several_printers_is_one_mail(opened: Opener) -> None:
    store = await opened()
    jobs = await accept(store, *(f"phaser{number}" for number in range(ORNAMENT_MAILS + 3)))
    found = await asyncio.gather(*(store.repeated(job_id, ADA, [LOGO, LOGO]) for job_id in jobs))
    assert set(found) == {frozenset()}


async def test_what_was_repeated_is_remembered_by_the_next_process(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    jobs = [await message(appliance) for _ in range(ORNAMENT_MAILS + 1)]
    for job_id in jobs[:-1]:
        assert await bridge.repeated(job_id, ADA, [LOGO]) == frozenset()
    await bridge.close()
    assert await (await opened(Role.BRIDGE)).repeated(jobs[-1], ADA, [LOGO]) == {LOGO}


async def test_pictures_are_forgotten_after_their_days(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened()
    jobs = [await message(store) for _ in range(ORNAMENT_MAILS + 3)]
    for job_id in jobs[:ORNAMENT_MAILS]:
        await store.repeated(job_id, ADA, [LOGO, SMILE])
    now = time.time()
    await store.sweep(now + (REPEATED_DAYS - 1) * 86400)
    monkeypatch.setattr(time, "time", lambda: now + 10 * 86400)
    assert await store.repeated(jobs[-3], ADA, [LOGO]) == {LOGO}  # which came again, and stays for longer
    await store.sweep(now + (REPEATED_DAYS + 5) * 86400)
    assert await store.repeated(jobs[-2], ADA, [LOGO, SMILE]) == {LOGO}
    await store.sweep(now - 2 * 86400)  # the clock was wrong: what is of the future is of no time
    assert await store.repeated(jobs[-1], ADA, [LOGO]) == frozenset()


async def test_only_the_latest_pictures_are_remembered(opened: Opener) -> None:
    store = await opened()
    jobs = [await message(store) for _ in range(ORNAMENT_MAILS + 2)]
    for job_id in jobs[:ORNAMENT_MAILS]:
        await store.repeated(job_id, ADA, [SMILE])
        await store.repeated(job_id, ADA, [LOGO])
    many = [number.to_bytes(32) for number in range(10_000)]
    await store.repeated(jobs[-2], BOB, many[:-1])
    assert await store.repeated(jobs[-2], ADA, [LOGO]) == {LOGO}
    assert await store.repeated(jobs[-1], ADA, [SMILE]) == frozenset()  # it came last the longest ago
    for job_id in jobs[:ORNAMENT_MAILS]:
        await store.repeated(job_id, BOB, many)
    assert await store.repeated(jobs[-1], BOB, [many[0], many[-1]]) == {many[0], many[-1]}
    assert await store.repeated(jobs[-1], ADA, [LOGO]) == frozenset()


# -- what the bridge can


async def test_abilities_are_those_of_the_bridge_that_started_last(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    assert await appliance.abilities() == UNKNOWN
    for told in (Abilities(level="rlimits", safe=False, risky=True, office=False), Abilities(level="landlock")):
        await bridge.set_abilities(told)
        assert await appliance.abilities() == told
    await bridge.close()
    await appliance.close()
    assert await (await opened()).abilities() == Abilities(level="landlock")
