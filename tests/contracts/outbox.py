"""What every storage engine must do for notices and for the page (`mailstore.store.outbox`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from mailstore.job import DeliveryProof, Event
from mailstore.store.contract import Lease, Role, Store
from mailstore.store.outbox import Occasion, OutgoingMail, OutgoingStanding, QueuedMail, WebSession
from tests.contracts.engines import Opener
from tests.contracts.store import accept, complete, complete_from_pending, held, recipient, state_of
from tests.contracts.wishes import DOUBT, in_doubt, printed, receive, traced

FAR = 4_000_000_000.0


def mail(recipient: str = "ada@example.com", **changes: object) -> OutgoingMail:
    values: dict[str, object] = {
        "recipient": recipient,
        "octets": b"Subject: x\r\n\r\n",
        "job_id": 0,
        "expires_at": FAR,
    }
    return OutgoingMail(**(values | changes))  # type: ignore[arg-type]


async def happened(store: Store) -> list[tuple[Occasion, str, int]]:
    return [(each.occasion, each.printer, each.job_id) for each in await store.occurrences(1000)]


async def abort(store: Store, lease: Lease, job_id: int) -> bool:
    reasons = ["aborted-by-system", "document-format-error"]
    return await store.end(
        lease, job_id, Event.ABORT, reasons=reasons, proof=DeliveryProof.NONE, detail="the document is damaged"
    )


# -- what is an occurrence


@pytest.mark.parametrize("answerable", [True, False])
async def test_who_may_be_answered_hears_of_his_job(opened: Opener, answerable: bool) -> None:
    store = await opened()
    (job_id,) = await receive(store, recipient("phaser"), answerable=answerable)
    assert await complete_from_pending(store, await held(store), job_id)
    assert await happened(store) == [(Occasion.COMPLETED, "phaser", job_id)][: int(answerable)]


@pytest.mark.parametrize("answerable", [True, False])
async def test_a_job_of_which_not_all_printed_is_an_occurrence(opened: Opener, answerable: bool) -> None:
    store = await opened()
    (job_id,) = await receive(store, recipient("phaser"), answerable=answerable)
    lease, reasons = await held(store), ["job-completed-with-errors"]
    assert await store.sending(lease, job_id, 0)
    assert await store.end(lease, job_id, Event.COMPLETE, reasons=reasons, proof=DeliveryProof.NONE, detail="why")
    (found,) = await store.occurrences(10)
    assert (found.occasion, found.job_id, found.detail) == (Occasion.INCOMPLETE, job_id, "why")
    assert found.reasons == ("job-completed-with-errors",)


async def test_every_abort_is_an_occurrence_and_no_cancel_is(opened: Opener) -> None:
    store = await opened()
    lease = await held(store)
    (first,), (second,) = await accept(store, "phaser"), await accept(store, "phaser")
    assert await abort(store, lease, first)
    assert not await abort(store, lease, first)
    assert await store.end(lease, second, Event.CANCEL, reasons=["job-canceled-by-user"], proof=DeliveryProof.NONE)
    (found,) = await store.occurrences(10)
    assert (found.occasion, found.printer, found.job_id) == (Occasion.ABORTED, "phaser", first)
    assert found.reasons == ("aborted-by-system", "document-format-error")
    assert found.detail == "the document is damaged"
    job = await store.job(first)
    assert job is not None
    assert found.at == job.completed_at


async def test_every_doubt_is_one_occurrence(opened: Opener) -> None:
    store = await opened()
    told = await in_doubt(store)
    assert not await store.move(await held(store), told, Event.DOUBT, reasons=DOUBT)
    (sent,) = await accept(store, "phaser")
    (claimed,) = await accept(store, "phaser")
    old = await held(store, owner="old", resource="device:other", seconds=-1)
    assert await store.sending(old, sent, 0)
    assert await store.claim(old, claimed, ["job-transforming"])
    await held(store, owner="new", resource="device:other")
    assert await happened(store) == [(Occasion.UNCERTAIN, "phaser", told), (Occasion.UNCERTAIN, "phaser", sent)]
    for found in await store.occurrences(10):
        assert found.reasons == DOUBT
        assert found.detail


async def test_a_doubt_of_somebody_who_died_is_an_occurrence(opened: Opener) -> None:
    bridge = await opened(Role.BRIDGE)
    (job_id,) = await accept(bridge, "phaser")
    assert await bridge.sending(await held(bridge), job_id, 0)
    await bridge.close()
    again = await opened(Role.BRIDGE)  # settles what its forerunner left
    assert await happened(again) == [(Occasion.UNCERTAIN, "phaser", job_id)]


async def test_who_decides_that_it_was_printed_tells_the_sender(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await receive(store, recipient("phaser"), answerable=True)
    lease = await held(store)
    assert await store.sending(lease, job_id, 0)
    assert await store.move(lease, job_id, Event.DOUBT, reasons=DOUBT)
    assert await store.decide(job_id, "ada", printed=True)
    assert [occasion for occasion, _, _ in await happened(store)] == [Occasion.UNCERTAIN, Occasion.COMPLETED]


async def test_what_is_fetched_is_an_occurrence_for_who_may_be_answered(opened: Opener) -> None:
    store = await opened()
    first, same = await receive(store, recipient("phaser"), recipient("phaser"), answerable=True)
    assert first == same
    await receive(store, recipient("phaser"), answerable=False)
    (last,) = await receive(store, recipient("phaser"), answerable=True)
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    await maildrop.update(maildrop.entries)
    assert await happened(store) == [(Occasion.COMPLETED, "phaser", job_id) for job_id in (first, last)]


async def test_a_printers_condition_is_an_occurrence_when_its_reasons_change(opened: Opener) -> None:
    store = await opened()

    async def condition(state: str, reasons: Sequence[str], detail: str = "") -> None:
        await store.set_condition("phaser", state, reasons, detail)

    await condition("idle", [])
    await condition("processing", [])
    assert await store.occurrences(10) == []
    await condition("stopped", ["media-empty-error"], "tray 1")
    await condition("stopped", ["media-empty-error"], "tray 2")
    await condition("stopped", ["door-open", "media-empty-error"])
    await condition("stopped", ["media-empty-error", "door-open"])
    await condition("idle", [])
    await condition("idle", [], "still")
    found = [(each.occasion, set(each.reasons), each.detail) for each in await store.occurrences(10)]
    assert found == [
        (Occasion.STOPPED, {"media-empty-error"}, "tray 1"),
        (Occasion.STOPPED, {"door-open", "media-empty-error"}, ""),
        (Occasion.CLEAR, {"door-open", "media-empty-error"}, ""),
    ]
    assert {(each.printer, each.job_id) for each in await store.occurrences(10)} == {("phaser", 0)}


async def test_an_occurrence_rings_the_appliance_and_not_the_bridge_itself(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    (job_id,) = await accept(appliance, "phaser")
    far, near = appliance.rings(), bridge.rings()
    first = asyncio.ensure_future(anext(near))
    await asyncio.sleep(0)
    assert await abort(bridge, await held(bridge), job_id)
    async with asyncio.timeout(5):
        assert await anext(far) == "phaser"
    await bridge.set_condition("stopped", "stopped", ["door-open"], "")
    async with asyncio.timeout(5):
        assert await anext(far) == "stopped"
    await appliance.changed()
    async with asyncio.timeout(5):
        assert await first == "*"  # the first that it heard


async def test_the_appliance_hears_of_what_it_did_itself(opened: Opener) -> None:
    appliance = await opened()
    job_id = await in_doubt(appliance)
    rings = appliance.rings()
    heard = asyncio.ensure_future(anext(rings))
    await asyncio.sleep(0)
    assert await appliance.decide(job_id, "ada", printed=True)
    async with asyncio.timeout(5):
        assert await heard == "phaser"


# -- from occurrences to mails


async def test_what_is_told_is_done_with(opened: Opener) -> None:
    store = await opened()
    lease = await held(store)
    numbers = [(await accept(store, "phaser"))[0] for _ in range(5)]
    for number in numbers:
        assert await abort(store, lease, number)
    first = await store.occurrences(2)
    assert [each.job_id for each in first] == numbers[:2]
    await store.tell([mail(job_id=numbers[0]), mail("bob@example.com", job_id=numbers[0])], first)
    rest = await store.occurrences(1000)
    assert [each.job_id for each in rest] == numbers[2:]
    assert min(each.id for each in rest) > max(each.id for each in first)
    await store.tell([], rest)  # nobody to tell
    assert await store.occurrences(1000) == []
    assert (await store.outgoing()).waiting == 2


async def test_a_queued_mail_is_as_it_was_given(opened: Opener) -> None:
    store = await opened()
    octets = bytes(range(256)) * 200
    before = time.time()
    await store.tell([mail("\u00fcmit@example.com", octets=octets, job_id=7, expires_at=before + 60)], [])
    (found,) = await store.take_outgoing("relay", 10, 60)
    assert (found.recipient, found.octets, found.job_id) == ("\u00fcmit@example.com", octets, 7)
    assert (found.attempts, found.expires_at) == (0, before + 60)
    assert before <= found.created_at <= time.time()


async def test_a_mail_that_is_too_large_is_refused_and_its_occurrence_stays(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    assert await abort(store, await held(store), job_id)
    found = await store.occurrences(10)
    with pytest.raises(ValueError, match="65536"):
        await store.tell([mail(), mail(octets=bytes(65537))], found)
    assert await store.occurrences(10) == found
    await store.tell([mail(octets=bytes(65536))], found)
    assert (await store.outgoing()).waiting == 1


async def test_mails_are_taken_oldest_first_and_by_one_alone(opened: Opener) -> None:
    stores = [await opened(), await opened(Role.TOOL)]
    await stores[0].tell([mail(f"{number}@example.com") for number in range(20)], [])
    first = await stores[0].take_outgoing("one", 3, 60)
    assert [each.recipient for each in first] == ["0@example.com", "1@example.com", "2@example.com"]
    takings = await asyncio.gather(*(stores[turn % 2].take_outgoing(f"relay{turn}", 5, 60) for turn in range(6)))
    taken = [each.id for found in (first, *takings) for each in found]
    assert len(taken) == len(set(taken)) == 20
    assert await stores[0].take_outgoing("one", 3, 60) == []  # its own lease is no exception
    assert (await stores[0].outgoing()).waiting == 20


async def test_a_lapsed_lease_is_taken_over_and_its_holder_fenced_off(opened: Opener) -> None:
    store = await opened()
    await store.tell([mail()], [])
    (old,) = await store.take_outgoing("one", 1, -1)
    (new,) = await store.take_outgoing("two", 1, 60)
    assert new.id == old.id
    assert new.token > old.token
    assert not await store.outgoing_done(old, "delivered")
    assert not await store.outgoing_later(old, 0.0, "refused")
    assert (await store.outgoing()).last_error == ""
    assert await store.outgoing_done(new, "delivered")
    assert not await store.outgoing_done(new, "delivered")
    assert await store.outgoing() == OutgoingStanding(waiting=0, oldest=0.0, last_error="")


async def test_a_lapsed_lease_that_nobody_took_over_still_counts(opened: Opener) -> None:
    store = await opened()
    await store.tell([mail()], [])
    (taken,) = await store.take_outgoing("one", 1, -1)
    assert await store.outgoing_done(taken, "delivered")


async def test_a_mail_that_was_put_off_comes_again(opened: Opener) -> None:
    store = await opened()
    await store.tell([mail("a@example.com"), mail("b@example.com")], [])
    first, second = await store.take_outgoing("one", 2, 60)
    assert await store.outgoing_later(second, time.time() + 60, "452 try later")
    assert not await store.outgoing_later(second, 0.0, "twice")
    assert await store.take_outgoing("one", 2, 60) == []
    assert await store.outgoing_later(first, time.time() - 1, "no route")
    standing = await store.outgoing()
    assert (standing.waiting, standing.oldest, standing.last_error) == (2, first.created_at, "no route")
    await store.tell([mail("c@example.com")], [])
    again, new = await store.take_outgoing("one", 2, 60)
    assert (again.id, again.attempts, again.created_at) == (first.id, 1, first.created_at)
    assert new.recipient == "c@example.com"


async def test_what_was_put_off_can_be_hurried_but_for_what_somebody_holds(opened: Opener) -> None:
    store = await opened()
    await store.hurry_outgoing()  # nothing waits
    await store.tell([mail("ada@example.com"), mail("grace@example.com")], [])
    first, second = await store.take_outgoing("relay", 10, 60)
    assert await store.outgoing_later(first, time.time() + 3600, "nobody listens")
    assert not await store.take_outgoing("relay", 10, 60)
    await store.hurry_outgoing()
    (again,) = await store.take_outgoing("relay", 10, 60)
    assert (again.recipient, again.attempts) == ("ada@example.com", 1)
    assert await store.outgoing_done(second, "delivered")


async def test_a_mail_past_its_time_is_handed_out_all_the_same(opened: Opener) -> None:
    store = await opened()
    await store.tell([mail(expires_at=time.time() - 1)], [])
    assert await store.sweep(time.time() + 100 * 86400) == 0
    (found,) = await store.take_outgoing("one", 1, 60)
    assert found.expires_at < time.time()
    assert await store.outgoing_done(found, "given up")


async def test_the_trace_says_what_became_of_a_mail(opened: Opener) -> None:
    store = await opened()
    job_id = await printed(store)
    await store.tell([mail(job_id=job_id), mail(), mail(job_id=10**9)], [])
    for each in await store.take_outgoing("one", 3, 60):
        assert await store.outgoing_done(each, "told ada@example.com")
    assert (await traced(store, job_id))[-1] == "told ada@example.com"
    assert await store.trace(10**9) == []


async def test_mails_that_a_dead_appliance_held_are_free_at_once(opened: Opener) -> None:
    store = await opened()
    await store.tell([mail()], [])
    (old,) = await store.take_outgoing("one", 1, 3600)
    await store.close()
    bridge = await opened(Role.BRIDGE)  # not its business
    assert await bridge.take_outgoing("bridge", 1, 60) == []
    again = await opened()
    (new,) = await again.take_outgoing("two", 1, 60)
    assert new.token > old.token


async def test_mails_and_occurrences_outlive_the_process(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    assert await abort(store, await held(store), job_id)
    await store.tell([mail()], [])
    await store.close()
    again = await opened()
    assert await happened(again) == [(Occasion.ABORTED, "phaser", job_id)]
    assert (await again.outgoing()).waiting == 1


async def test_ends_and_tellings_at_once_lose_nothing(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    lease = await held(bridge)
    batches = await asyncio.gather(*(receive(appliance, recipient("phaser"), answerable=True) for _ in range(30)))
    numbers = [number for batch in batches for number in batch]
    told: list[int] = []

    async def tell() -> None:
        while len(told) < len(numbers):
            found = await appliance.occurrences(4)
            await appliance.tell([mail(job_id=each.job_id) for each in found], found)
            told.extend(each.job_id for each in found)

    async def end(job_id: int) -> None:
        assert await bridge.sending(lease, job_id, 0)
        assert await complete(bridge, lease, job_id)

    async with asyncio.timeout(20):
        await asyncio.gather(tell(), *(end(number) for number in numbers))
    assert sorted(told) == sorted(numbers)
    queued: list[QueuedMail] = [*await appliance.take_outgoing("relay", 1000, 60)]
    assert sorted(each.job_id for each in queued) == sorted(numbers)
    assert (await state_of(appliance, numbers[0]))[0] == "completed"


# -- who is logged in


def session(key: str, person: str = "ada", seconds: float = 60.0) -> WebSession:
    now = time.time()
    return WebSession(key=key, person=person, created_at=now, expires_at=now + seconds)


async def test_a_session_begins_and_ends(opened: Opener) -> None:
    store = await opened()
    one, two, other = session("one"), session("two"), session("three", "bob")
    for each in (one, two, other):
        await store.begin_session(each)
    assert await store.session("one") == one
    assert await store.session("nothing") is None
    await store.end_session("one")
    await store.end_session("one")
    assert await store.session("one") is None
    assert await store.session("two") == two
    await store.end_sessions("ada")
    assert await store.session("two") is None
    assert await store.session("three") == other
    await store.close()
    assert await (await opened()).session("three") == other


async def test_a_session_past_its_time_is_none_and_is_swept(opened: Opener) -> None:
    store = await opened()
    await store.begin_session(session("old", seconds=-1))
    await store.begin_session(session("new", seconds=60))
    assert await store.session("old") is None
    await store.sweep(time.time())
    assert await store.session("new") is not None
    await store.sweep(time.time() + 61)
    assert await store.session("new") is None
    await store.begin_session(session("old"))  # its row is gone
    assert await store.session("old") is not None
