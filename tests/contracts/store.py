"""What every storage engine must do (`mailstore.store.contract`)."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, Event, JobState
from mailstore.store.contract import Envelope, Lease, LeaseLost, PrinterState, Recipient, Role, Store
from tests.contracts.engines import ENGINES, Opener

DEVICE = "device:socket://192.0.2.7:9100"
PRINTED = ("job-completed-successfully",)
SIZES = [0, 1, 5_000, 33_000, 524_288, 524_289, 5_000_000]


@pytest.fixture(params=sorted(ENGINES))
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    async with aclosing(ENGINES[request.param](tmp_path)) as engine:  # type: ignore[type-var]
        async for opener in engine:
            yield opener


def envelope(**changes: object) -> Envelope:
    values: dict[str, object] = {
        "reverse_path": "ada@example.com",
        "client_ip": "192.0.2.1",
        "helo": "mail.example.com",
        "trust": "insider",
        "name": "Report",
        "documents": 1,
    }
    return Envelope(**(values | changes))  # type: ignore[arg-type]


def recipient(maildrop: str, *, quota: int = 10**9, fields: bytes = b"Return-Path: <ada@example.com>\r\n") -> Recipient:
    return Recipient(maildrop=maildrop, address=f"{maildrop}@example.com", quota=quota, fields=fields)


def pattern(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


async def accept(store: Store, *maildrops: str, octets: bytes = b"hello\r\n", quota: int = 10**9) -> list[int]:
    draft = await store.draft(len(octets))
    for start in range(0, len(octets), 100_000):
        draft.write(octets[start : start + 100_000])
        if draft.congested:
            await draft.drained()
    return list(await store.accept(draft, envelope(), [recipient(name, quota=quota) for name in maildrops]))


async def octets_of(store: Store, job_id: int) -> bytes:
    return b"".join([block async for block in store.read(job_id)])


async def accept_as(store: Store, said: Envelope) -> None:
    draft = await store.draft(2)
    draft.write(b"\r\n")
    await store.accept(draft, said, [recipient("phaser360")])


async def held(store: Store, resource: str = DEVICE, owner: str = "bridge-1", seconds: float = 60.0) -> Lease:
    lease = await store.acquire(resource, owner, seconds)
    assert lease is not None
    return lease


async def state_of(store: Store, job_id: int) -> tuple[str, tuple[str, ...]]:
    job = await store.job(job_id)
    assert job is not None
    return job.state.value, job.reasons


async def complete(store: Store, lease: Lease, job_id: int) -> bool:
    return await store.end(lease, job_id, Event.COMPLETE, reasons=PRINTED, proof=DeliveryProof.CLOSED, pages=2)


# -- taking in


@pytest.mark.parametrize("size", SIZES)
async def test_octets_come_back_as_they_came(opened: Opener, size: int) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser", octets=pattern(size))
    assert await octets_of(store, job_id) == pattern(size)
    job = await store.job(job_id)
    assert job is not None
    assert (job.octets, job.sender, job.name, job.trust) == (size, "ada@example.com", "Report", "insider")
    assert (job.state, job.reasons, job.attempts) == (JobState.PENDING, ("job-queued",), 0)


@pytest.mark.parametrize("size", SIZES)
async def test_octets_outlive_the_process(opened: Opener, size: int) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser", octets=pattern(size))
    await store.close()
    again = await opened()
    assert await octets_of(again, job_id) == pattern(size)


async def test_a_buffer_may_be_reused_at_once(opened: Opener) -> None:
    store = await opened()
    draft, buffer = await store.draft(), bytearray(64 * 1024)
    for turn in range(40):
        buffer[:] = bytes([turn]) * len(buffer)
        draft.write(memoryview(buffer))
        if draft.congested:
            await draft.drained()
    (job_id,) = await store.accept(draft, envelope(), [recipient("phaser")])
    assert await octets_of(store, job_id) == b"".join(bytes([turn]) * len(buffer) for turn in range(40))
    assert draft.octets == 40 * len(buffer)


async def test_numbers_rise_and_follow_the_recipients(opened: Opener) -> None:
    store = await opened()
    first = await accept(store, "b", "a", "c")
    second = await accept(store, "a")
    assert first == sorted(first)
    assert second[0] > first[-1]
    jobs = [await store.job(number) for number in first]
    assert [job.printer for job in jobs if job] == ["b", "a", "c"]


async def test_many_at_once_are_all_kept(opened: Opener) -> None:
    store = await opened()
    sizes = [10, 40_000, 2_000_000]
    batches = await asyncio.gather(*(accept(store, "phaser", octets=pattern(sizes[n % 3])) for n in range(30)))
    numbers = [number for batch in batches for number in batch]
    assert len(set(numbers)) == 30
    for turn, number in enumerate(numbers):
        assert await octets_of(store, number) == pattern(sizes[turn % 3])


async def test_quota_refuses_all_recipients_and_keeps_nothing(opened: Opener) -> None:
    store = await opened()
    await accept(store, "full", octets=pattern(500))
    before = (await store.standing("full"))[1]
    assert before == 500 + len(recipient("full").fields)
    draft = await store.draft(500)
    draft.write(pattern(500))
    with pytest.raises(TransientFailure) as caught:
        await store.accept(draft, envelope(), [recipient("other"), recipient("full", quota=before + 500)])
    assert caught.value.status == "4.2.2"
    assert (await store.standing("full"))[1] == before
    assert (await store.standing("other"))[1] == 0
    assert [job.printer for job in await store.jobs()] == ["full"]


async def test_what_never_fits_is_refused_for_good(opened: Opener) -> None:
    """Of BINARYMIME the octets that POP3 would send count, a third more than came: waiting makes no room for them."""
    store = await opened()
    for octets, pop3_octets in ((1000, 0), (700, 1000)):
        draft = await store.draft(octets)
        draft.write(pattern(octets))
        small = recipient("small", quota=999 + len(recipient("small").fields))
        with pytest.raises(PermanentFailure, match="larger than the mailbox") as caught:
            await store.accept(draft, envelope(pop3_octets=pop3_octets), [recipient("other"), small])
        assert caught.value.status == "5.2.3"
        await draft.discard()
    assert [(await store.standing(name))[1] for name in ("small", "other")] == [0, 0]
    assert await store.jobs() == []


async def test_one_refused_for_quota_does_not_take_others_down(opened: Opener) -> None:
    store = await opened()
    results = await asyncio.gather(
        *(accept(store, f"drop{n % 2}", octets=pattern(100), quota=400 if n % 2 else 10**9) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, list) for result in results) == 10 + 3
    assert sum(isinstance(result, TransientFailure) for result in results) == 7
    assert (await store.standing("drop1"))[1] <= 400


async def test_quota_is_free_again_after_the_end(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser", quota=50)
    lease = await held(store)
    assert await store.sending(lease, job_id, 0)
    assert await complete(store, lease, job_id)
    assert (await store.standing("phaser"))[1] == 0
    assert await accept(store, "phaser", quota=50)


async def test_a_discarded_draft_leaves_nothing(opened: Opener) -> None:
    store = await opened()
    for size in (10, 3_000_000):
        draft = await store.draft(size)
        draft.write(pattern(size))
        await draft.discard()
        await draft.discard()
    assert await store.jobs() == []
    (job_id,) = await accept(store, "phaser")
    assert await octets_of(store, job_id) == b"hello\r\n"


async def test_discard_after_accept_does_nothing(opened: Opener) -> None:
    store = await opened()
    draft = await store.draft()
    draft.write(pattern(2_000_000))
    (job_id,) = await store.accept(draft, envelope(), [recipient("phaser")])
    await draft.discard()
    assert await octets_of(store, job_id) == pattern(2_000_000)


async def test_a_draft_is_accepted_once(opened: Opener) -> None:
    store = await opened()
    draft = await store.draft()
    await store.accept(draft, envelope(), [recipient("phaser")])
    with pytest.raises(ValueError, match="already"):
        await store.accept(draft, envelope(), [recipient("phaser")])


# -- draining


async def test_pending_is_oldest_first_over_several_printers(opened: Opener) -> None:
    store = await opened()
    numbers = [(await accept(store, name))[0] for name in ("a", "b", "c", "a", "b")]
    assert [job.id for job in await store.pending(["a", "b"], 10)] == [numbers[0], numbers[1], numbers[3], numbers[4]]
    assert [job.id for job in await store.pending(["b", "a"], 2)] == numbers[:2]
    assert sorted(await store.printers_waiting()) == ["a", "b", "c"]
    await store.set_paused("b", paused=True)
    assert sorted(await store.printers_waiting()) == ["a", "c"]
    await store.set_paused("b", paused=False)
    assert sorted(await store.printers_waiting()) == ["a", "b", "c"]


async def test_one_job_from_claim_to_end(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    (job_id,) = await accept(appliance, "phaser")
    lease = await held(bridge)
    assert await bridge.claim(lease, job_id, ["job-transforming"])
    assert await state_of(bridge, job_id) == ("processing", ("job-transforming",))
    assert not await bridge.claim(lease, job_id, [])
    assert await bridge.sending(lease, job_id, 0)
    assert await bridge.sending(lease, job_id, 1)
    assert await complete(bridge, lease, job_id)
    job = await appliance.job(job_id)
    assert job is not None
    assert (job.state, job.reasons, job.attempts, job.pages) == (JobState.COMPLETED, PRINTED, 1, 2)
    assert job.delivery_proof is DeliveryProof.CLOSED
    assert job.received_at <= job.processing_at <= job.sending_at <= job.completed_at
    assert await bridge.pending(["phaser"], 10) == []
    assert await bridge.printers_waiting() == []
    trace = [event.text for event in await appliance.trace(job_id)]
    assert len(trace) == 4
    assert "attempt 1, document 2" in trace[2]


async def test_nothing_leaves_an_end_state(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    lease = await held(store)
    assert await store.end(lease, job_id, Event.CANCEL, reasons=["job-canceled-by-user"], proof=DeliveryProof.NONE)
    assert not await store.claim(lease, job_id, [])
    assert not await store.sending(lease, job_id, 0)
    assert not await complete(store, lease, job_id)
    assert not await store.move(lease, job_id, Event.RELEASE, reasons=["job-queued"])
    assert await state_of(store, job_id) == ("canceled", ("job-canceled-by-user",))


async def test_a_held_job_is_not_sent(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    lease = await held(store)
    assert await store.move(lease, job_id, Event.HOLD, reasons=["job-hold-until-specified"])
    assert not await store.sending(lease, job_id, 0)
    assert await store.pending(["phaser"], 10) == []
    assert await store.move(lease, job_id, Event.UNHOLD, reasons=["job-queued"])
    assert await store.sending(lease, job_id, 0)


async def test_back_off_keeps_the_job_in_its_place(opened: Opener) -> None:
    store = await opened()
    first, second = (await accept(store, "phaser"))[0], (await accept(store, "phaser"))[0]
    lease = await held(store)
    assert await store.claim(lease, first, ["job-transforming"])
    later = time.time() + 30
    assert await store.move(
        lease, first, Event.RELEASE, reasons=["resources-are-not-ready"], next_attempt_at=later, detail="refused"
    )
    jobs = await store.pending(["phaser"], 10)
    assert [job.id for job in jobs] == [first, second]
    assert (jobs[0].next_attempt_at, jobs[0].detail, jobs[0].attempts) == (later, "refused", 0)


async def test_paper_out_and_back(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    lease = await held(store)
    assert await store.sending(lease, job_id, 0)
    assert await store.move(lease, job_id, Event.STOP, reasons=["printer-stopped"])
    assert await state_of(store, job_id) == ("processing-stopped", ("printer-stopped",))
    assert await store.move(lease, job_id, Event.RESUME, reasons=["job-printing"])
    assert await complete(store, lease, job_id)


async def test_the_octets_stay_until_the_last_job_of_the_message_ended(opened: Opener) -> None:
    store = await opened(keep=0)
    for size in (10, 50_000, 2_000_000):
        first, second = await accept(store, "a", "b", octets=pattern(size))
        lease = await held(store)
        assert await complete_from_pending(store, lease, first)
        assert await octets_of(store, second) == pattern(size)
        assert await complete_from_pending(store, lease, second)
        with pytest.raises(PermanentFailure):
            await octets_of(store, second)


async def complete_from_pending(store: Store, lease: Lease, job_id: int) -> bool:
    return await store.sending(lease, job_id, 0) and await complete(store, lease, job_id)


# -- leases


async def test_a_lease_has_one_owner_and_a_rising_token(opened: Opener) -> None:
    store = await opened()
    first = await held(store, owner="one")
    assert await store.acquire(DEVICE, "two", 60) is None
    await store.release(first)
    second = await held(store, owner="two")
    assert second.token > first.token
    with pytest.raises(LeaseLost):
        await store.renew(first, 60)
    renewed = await store.renew(second, 120)
    assert (renewed.token, renewed.resource) == (second.token, DEVICE)
    assert renewed.expires > second.expires
    await store.release(first)  # a late release takes nothing from the next owner
    assert await store.acquire(DEVICE, "one", 60) is None
    assert await store.acquire("device:other", "one", 60) is not None


async def test_a_lapsed_lease_is_taken_over_and_its_holder_can_write_nothing(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    old = await held(store, owner="one", seconds=-1)
    assert await store.claim(old, job_id, ["job-transforming"])
    new = await held(store, owner="two")
    assert await state_of(store, job_id) == ("pending", ("job-queued",))
    with pytest.raises(LeaseLost):
        await store.claim(old, job_id, [])
    with pytest.raises(LeaseLost):
        await store.sending(old, job_id, 0)
    with pytest.raises(LeaseLost):
        await complete(store, old, job_id)
    with pytest.raises(LeaseLost):
        await store.move(old, job_id, Event.RELEASE, reasons=[])
    assert await complete_from_pending(store, new, job_id)


async def test_a_job_taken_over_after_instant_3_is_in_doubt(opened: Opener) -> None:
    store = await opened()
    sent, claimed = (await accept(store, "phaser"))[0], (await accept(store, "phaser"))[0]
    old = await held(store, owner="one", seconds=-1)
    assert await store.sending(old, sent, 0)
    assert await store.claim(old, claimed, ["job-transforming"])
    new = await held(store, owner="two")
    assert await state_of(store, sent) == ("processing-stopped", ("job-suspended", "x-delivery-unknown"))
    assert await state_of(store, claimed) == ("pending", ("job-queued",))
    # It holds no line, and nobody sends it again unasked.
    assert [job.id for job in await store.pending(["phaser"], 10)] == [claimed]
    assert not await store.sending(new, sent, 0)
    assert await store.move(new, sent, Event.REPRINT, reasons=["x-printed-again"])
    assert await store.sending(new, sent, 0)
    job = await store.job(sent)
    assert job is not None
    assert job.attempts == 2


async def test_a_stopped_job_taken_over_is_in_doubt(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    old = await held(store, owner="one", seconds=-1)
    assert await store.sending(old, job_id, 0)
    assert await store.move(old, job_id, Event.STOP, reasons=["printer-stopped"])
    await held(store, owner="two")
    assert await state_of(store, job_id) == ("processing-stopped", ("job-suspended", "x-delivery-unknown"))


async def test_a_new_process_of_the_role_settles_at_once(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    sent, claimed, _ = await accept(appliance, "a", "b", "c")
    lease = await held(bridge, seconds=3600)
    assert await bridge.sending(lease, sent, 0)
    assert await bridge.claim(lease, claimed, ["job-transforming"])
    session = await appliance.open_maildrop("c", "session-1", 3600)
    assert session is not None
    await bridge.close()
    again = await opened(Role.BRIDGE)
    assert (await state_of(again, sent))[1] == ("job-suspended", "x-delivery-unknown")
    assert await state_of(again, claimed) == ("pending", ("job-queued",))
    assert (await held(again, owner="bridge-2")).token > lease.token
    assert await again.open_maildrop("c", "session-2", 60) is None  # another role's lease stands
    await session.close()


async def test_one_holders_job_is_not_anothers(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    one, two = await held(store, "device:one"), await held(store, "device:two")
    assert await store.sending(one, job_id, 0)
    assert not await store.sending(two, job_id, 0)
    assert not await complete(store, two, job_id)
    assert not await store.move(two, job_id, Event.RELEASE, reasons=[])
    assert await complete(store, one, job_id)


# -- serving by POP3


async def test_all_that_is_retrieved_at_once_is_processing(opened: Opener) -> None:
    store = await opened()
    numbers = [(await accept(store, "phaser", octets=b"x"))[0] for _ in range(105)]
    maildrop = await store.open_maildrop("phaser", "session-1", 60)
    assert maildrop is not None
    first, *others, last = maildrop.entries
    for entry in (first, *others):
        await maildrop.retrieving(entry)
    states = [(await state_of(store, number))[0] for number in numbers]
    assert states == ["processing"] * 104 + ["pending"]
    await maildrop.retrieving(last)
    assert (await state_of(store, last.job_id))[0] == "processing"
    await maildrop.close()
    states = [(await state_of(store, number))[0] for number in numbers]
    assert states == ["pending"] * 105


async def test_a_maildrop_is_listed_read_and_emptied(opened: Opener) -> None:
    store = await opened()
    sizes = [10, 200_000, 1_500_000]
    numbers = [(await accept(store, "phaser", octets=pattern(size)))[0] for size in sizes]
    maildrop = await store.open_maildrop("phaser", "session-1", 60)
    assert maildrop is not None
    fields = recipient("phaser").fields
    assert [entry.job_id for entry in maildrop.entries] == numbers
    assert [entry.size for entry in maildrop.entries] == [size + len(fields) for size in sizes]
    for entry, size in zip(maildrop.entries, sizes, strict=True):
        await maildrop.retrieving(entry)
        blocks = [block async for block in maildrop.read(entry)]
        assert max(map(len, blocks)) <= 64 * 1024
        assert b"".join(blocks) == fields + pattern(size)
    assert (await state_of(store, numbers[0]))[0] == "processing"
    await maildrop.renew()
    await maildrop.update(maildrop.entries[:2])
    await maildrop.close()
    jobs = [await store.job(number) for number in numbers]
    assert [job.state.value for job in jobs if job] == ["completed", "completed", "pending"]
    assert [job.delivery_proof.value for job in jobs if job] == ["fetched", "fetched", "none"]
    again = await store.open_maildrop("phaser", "session-2", 60)
    assert again is not None
    assert [entry.job_id for entry in again.entries] == numbers[2:]
    await again.close()


def binary(size: int) -> tuple[bytes, bytes]:
    """A BINARYMIME message with a binary part of that size, and what POP3 sends of it."""
    label = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: "
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    return (
        label + b"binary\r\n\r\n" + content,
        label + b"base64\r\n\r\n" + base64.encodebytes(content).replace(b"\n", b"\r\n"),
    )


async def accept_binary(store: Store, size: int) -> int:
    kept, by_pop3 = binary(size)
    draft = await store.draft(len(kept))
    for start in range(0, len(kept), 100_000):
        draft.write(kept[start : start + 100_000])
        if draft.congested:
            await draft.drained()
    (job_id,) = await store.accept(draft, envelope(body="BINARYMIME", pop3_octets=len(by_pop3)), [recipient("phaser")])
    return job_id


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_binary_leaves_by_pop3_as_base64(opened: Opener, size: int) -> None:
    """RFC 6856 section 2.1; what is kept stays binary, and the sizes are those of POP3."""
    store = await opened()
    kept, by_pop3 = binary(size)
    job_id = await accept_binary(store, size)
    lines = (await accept(store, "phaser", octets=by_pop3))[0]
    assert await octets_of(store, job_id) == kept
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    assert [entry.job_id for entry in maildrop.entries] == [job_id, lines]
    for entry in maildrop.entries:
        blocks = [block async for block in maildrop.read(entry)]
        assert b"".join(blocks) == recipient("phaser").fields + by_pop3
        assert sum(map(len, blocks)) == entry.size
        assert max(map(len, blocks)) <= 64 * 1024
    assert (await store.standing("phaser"))[1] == sum(entry.size for entry in maildrop.entries)
    await maildrop.update(maildrop.entries)
    assert (await store.standing("phaser"))[1] == 0


async def test_unique_ids_stay_and_are_never_used_again(opened: Opener) -> None:
    store = await opened()
    seen: list[str] = []
    for _ in range(3):
        await accept(store, "phaser")
        maildrop = await store.open_maildrop("phaser", "session", 60)
        assert maildrop is not None
        seen.append(maildrop.entries[0].uid)
        await maildrop.close()
        maildrop = await store.open_maildrop("phaser", "session", 60)
        assert maildrop is not None
        assert maildrop.entries[0].uid == seen[-1]
        await maildrop.update(maildrop.entries)
        await store.sweep(time.time() + 200 * 86400)  # not even the record is left
        await store.close()
        store = await opened()
    assert len(set(seen)) == 3
    assert all(1 <= len(uid) <= 70 and all("!" <= octet <= "~" for octet in uid) for uid in seen)


async def test_a_maildrop_is_held_by_one_session(opened: Opener) -> None:
    store = await opened()
    maildrop = await store.open_maildrop("phaser", "session-1", 60)
    assert maildrop is not None
    assert await store.open_maildrop("phaser", "session-2", 60) is None
    await maildrop.close()
    await maildrop.close()
    again = await store.open_maildrop("phaser", "session-2", 60)
    assert again is not None
    await again.close()


async def test_a_session_lost_deletes_nothing(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    maildrop = await store.open_maildrop("phaser", "session-1", 60)
    assert maildrop is not None
    await maildrop.retrieving(maildrop.entries[0])
    await maildrop.close()
    assert (await state_of(store, job_id))[0] == "pending"
    assert (await store.standing("phaser"))[1] > 0


async def test_a_session_that_lost_its_lease_deletes_nothing(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    old = await store.open_maildrop("phaser", "session-1", -1)
    assert old is not None
    await old.retrieving(old.entries[0])
    new = await store.open_maildrop("phaser", "session-2", 60)
    assert new is not None
    with pytest.raises(LeaseLost):
        await old.renew()
    with pytest.raises(LeaseLost):
        await old.update(old.entries)
    await old.close()
    assert await store.open_maildrop("phaser", "session-3", 60) is None  # closing the lost one freed nothing
    assert (await state_of(store, job_id))[0] == "pending"
    await new.update(new.entries)
    assert (await state_of(store, job_id))[0] == "completed"


async def test_hundreds_are_fetched_in_one_transaction(opened: Opener) -> None:
    store = await opened()
    await asyncio.gather(*(accept(store, "phaser") for _ in range(120)))
    twice = await accept(store, "phaser", "phaser", "other")  # one message, two entries here
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    kept, *deleted = maildrop.entries
    await maildrop.update(deleted)
    completed = await store.jobs(printer="phaser", states=["completed"])
    assert sorted(job.id for job in completed) == [entry.job_id for entry in deleted]
    assert all(job.delivery_proof is DeliveryProof.FETCHED and job.completed_at for job in completed)
    assert [event.text for event in await store.trace(twice[1])][1:] == [
        "completed: job-completed-successfully (fetched)"
    ]
    assert (await store.standing("phaser"))[1] == kept.size
    assert (await state_of(store, twice[2]))[0] == "pending"
    lease = await held(store)
    assert await complete_from_pending(store, lease, twice[2])
    assert await store.sweep(time.time() + 2 * 86400) == 120  # each message's octets, also of the one with three jobs


async def test_mail_that_comes_during_a_session_is_not_in_it(opened: Opener) -> None:
    store = await opened()
    (first,) = await accept(store, "phaser")
    maildrop = await store.open_maildrop("phaser", "session-1", 60)
    assert maildrop is not None
    (second,) = await accept(store, "phaser")
    assert [entry.job_id for entry in maildrop.entries] == [first]
    await maildrop.update(maildrop.entries)
    assert (await state_of(store, second))[0] == "pending"


# -- looking


async def test_jobs_are_listed_newest_first(opened: Opener) -> None:
    store = await opened()
    numbers = [(await accept(store, name))[0] for name in ("a", "b", "a")]
    lease = await held(store)
    assert await complete_from_pending(store, lease, numbers[0])
    assert [job.id for job in await store.jobs()] == numbers[::-1]
    assert [job.id for job in await store.jobs(printer="a")] == [numbers[2], numbers[0]]
    assert [job.id for job in await store.jobs(states=["pending"])] == [numbers[2], numbers[1]]
    assert [job.id for job in await store.jobs(printer="a", states=["completed", "pending"], limit=1)] == [numbers[2]]
    assert [job.id for job in await store.jobs(before=numbers[2])] == numbers[1::-1]
    assert [job.id for job in await store.jobs(printer="a", states=["pending"], before=numbers[0])] == []
    assert await store.job(10**9) is None


async def test_notes_stand_in_the_trace(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    await store.note(job_id, "converted in 12 ms")
    assert [event.text for event in await store.trace(job_id)][1:] == ["converted in 12 ms"]
    assert await store.trace(10**9) == []


async def test_a_refusal_repeated_for_months_is_one_line_of_the_trace(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    lease = await held(store)
    for _ in range(5):
        assert await store.move(lease, job_id, Event.RELEASE, reasons=["resources-are-not-ready"], detail="refused")
    assert len(await store.trace(job_id)) == 2


async def test_text_that_is_no_text_is_kept_as_far_as_it_is(opened: Opener) -> None:
    store = await opened()
    draft = await store.draft()
    broken = "r\udce9sum\u00e9\0\ud800"
    named = envelope(name=broken, helo=broken, reverse_path=broken, header_message_id=broken)
    (job_id,) = await store.accept(draft, named, [recipient("phaser")])
    await store.note(job_id, broken)
    lease = await held(store)
    assert await store.move(lease, job_id, Event.RELEASE, reasons=["job-queued"], detail=broken)
    job = await store.job(job_id)
    assert job is not None
    assert job.name == job.sender == job.detail == "r?sum\u00e9?"


async def test_what_waits_is_counted(opened: Opener) -> None:
    store = await opened()
    first = (await accept(store, "a"))[0]
    await accept(store, "a")
    (third,) = await accept(store, "b")
    lease = await held(store)
    assert await store.sending(lease, first, 0)
    assert await complete_from_pending(store, lease, third)
    a, b = await store.waiting()
    first_job, third_job = await store.job(first), await store.job(third)
    assert first_job is not None
    assert third_job is not None
    assert (a.printer, a.states, a.messages, a.octets) == (
        "a",
        {"pending": 1, "processing": 1},
        2,
        (await store.standing("a"))[1],
    )
    assert (a.oldest, a.last_completed) == (first_job.received_at, 0.0)
    assert (b.states, b.messages, b.octets, b.oldest, b.last_completed) == ({}, 0, 0, 0.0, third_job.completed_at)


async def test_what_is_asked_at_rcpt(opened: Opener) -> None:
    store = await opened()
    assert await store.standing("phaser") == (True, 0)
    await accept(store, "phaser")
    octets = (await store.standing("phaser"))[1]
    assert octets > 0
    assert await store.standing("phaser") == (True, octets)
    await store.set_printer_state(PrinterState(printer="phaser", accepting=False))
    assert await store.standing("phaser") == (False, octets)
    await store.set_printer_state(PrinterState(printer="phaser", paused=True))
    assert await store.standing("phaser") == (True, octets)


async def test_a_printers_state_is_kept(opened: Opener) -> None:
    store = await opened()
    assert await store.printer_state("phaser") == PrinterState(printer="phaser")
    state = PrinterState(
        printer="phaser",
        paused=True,
        accepting=False,
        last_poll=12.5,
        state="stopped",
        state_reasons=("media-empty-error", "door-open"),
        detail="tray 2",
    )
    await store.set_printer_state(state)
    assert await (await opened(Role.BRIDGE)).printer_state("phaser") == state
    await store.forget_printer("phaser")
    assert await store.printer_state("phaser") == PrinterState(printer="phaser")


async def test_a_poll_is_kept_and_leaves_the_rest_alone(opened: Opener) -> None:
    store = await opened()
    state = PrinterState(printer="phaser", paused=True, accepting=False, state="stopped", detail="tray 2")
    await store.set_printer_state(state)
    await store.polled("phaser", 7.0)
    await store.polled("new", 8.0)
    await store.set_printer_state(PrinterState(printer="third"))  # committed after what was told before
    assert await store.printer_state("phaser") == replace(state, last_poll=7.0)
    assert await store.printer_state("new") == PrinterState(printer="new", last_poll=8.0)


async def test_a_printers_condition_leaves_the_rest_of_it_alone(opened: Opener) -> None:
    store = await opened()
    await store.set_condition("new", "stopped", ["connecting-to-device"], "nobody listens")
    state = PrinterState(printer="phaser", paused=True, accepting=False, last_poll=7.0)
    await store.set_printer_state(state)
    await store.set_condition("phaser", "stopped", ["timed-out"], "takes nothing")
    await store.set_printer_state(PrinterState(printer="third"))  # committed after what was told before
    changed = replace(state, state="stopped", state_reasons=("timed-out",), detail="takes nothing")
    assert await store.printer_state("phaser") == changed
    assert [one.printer for one in await store.printer_states()] == ["new", "phaser", "third"]


async def test_a_forgotten_printer_has_no_jobs_left(opened: Opener) -> None:
    store = await opened()
    waiting, other = await accept(store, "phaser", "other")
    (sent,) = await accept(store, "phaser")
    lease = await held(store)
    assert await store.sending(lease, sent, 0)
    await store.forget_printer("phaser")
    assert (await state_of(store, waiting))[0] == "canceled"
    assert (await state_of(store, other))[0] == "pending"
    assert not await complete(store, lease, sent)
    assert (await store.standing("phaser"))[1] == 0
    assert await octets_of(store, other) == b"hello\r\n"


async def test_the_generation_rises(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    before = await appliance.generation()
    after = await appliance.changed()
    assert after > before
    assert await bridge.generation() == after


# -- what goes


async def test_octets_go_after_their_keep_and_records_after_theirs(opened: Opener) -> None:
    store = await opened(keep=1000)
    lease = await held(store)
    ended = [(await accept(store, "phaser", octets=pattern(size)))[0] for size in (10, 50_000, 2_000_000)]
    (waits,) = await accept(store, "phaser", octets=pattern(60_000))
    for job_id in ended:
        assert await complete_from_pending(store, lease, job_id)
    now = time.time()
    assert await store.sweep(now + 900) == 0
    assert await octets_of(store, ended[2]) == pattern(2_000_000)
    assert await store.sweep(now + 1100) == 3
    for job_id in ended:
        with pytest.raises(PermanentFailure):
            await octets_of(store, job_id)
        assert (await state_of(store, job_id))[0] == "completed"
    assert await octets_of(store, waits) == pattern(60_000)
    assert await store.sweep(now + 91 * 86400) == 0
    assert [job.id for job in await store.jobs()] == [waits]
    assert [await store.trace(job_id) for job_id in ended] == [[], [], []]
    assert await octets_of(store, waits) == pattern(60_000)


async def test_records_stay_for_ninety_days_and_longer_while_octets_are_kept(opened: Opener) -> None:
    store = await opened(keep=100 * 86400)
    (job_id,) = await accept(store, "phaser")
    assert await complete_from_pending(store, await held(store), job_id)
    now = time.time()
    assert await store.sweep(now + 99 * 86400) == 0
    assert await octets_of(store, job_id) == b"hello\r\n"
    assert await store.sweep(now + 101 * 86400) == 1
    assert await store.jobs() == []


# -- the doorbell


async def test_new_work_and_changes_ring_the_other_process(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    rings = bridge.rings()
    await accept(appliance, "phaser")
    assert await asyncio.wait_for(anext(rings), 5) == "phaser"
    await appliance.changed()
    assert await asyncio.wait_for(anext(rings), 5) == "*"
    await accept(appliance, "a", "b")
    assert {await asyncio.wait_for(anext(rings), 5), await asyncio.wait_for(anext(rings), 5)} == {"a", "b"}
    await bridge.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(rings), 5)


async def test_who_sends_as_an_insider_by_his_address(opened: Opener) -> None:
    store = await opened(Role.APPLIANCE)
    assert await store.origins(10) == []
    await accept_as(store, envelope(reverse_path="old@example.com"))
    for said in (
        {},
        {},
        {"helo": "pc.example.com"},
        {"trust": "stranger"},
        {"login": "ada"},
        {"reverse_path": ""},
        {"client_ip": "2001:db8::1"},
    ):
        await accept_as(store, envelope(**said))
    found = {(one.client_ip, one.helo, one.reverse_path): one.messages for one in await store.origins(7)}
    assert found == {
        ("192.0.2.1", "mail.example.com", "ada@example.com"): 2,
        ("192.0.2.1", "pc.example.com", "ada@example.com"): 1,
        ("192.0.2.1", "mail.example.com", ""): 1,
        ("2001:db8::1", "mail.example.com", "ada@example.com"): 1,
    }
    assert len(await store.origins(8)) == 5
