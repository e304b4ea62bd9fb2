"""What every storage engine must grant people (`mailstore.store.contract`, wishes), and people's own maildrops."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from mailstore.directory.records import MAILDROP_OF_PERSON
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, Event, JobState
from mailstore.store.contract import PrinterState, Recipient, Role, Store
from tests.contracts.engines import Opener
from tests.contracts.store import (
    accept,
    accept_binary,
    binary,
    complete,
    complete_from_pending,
    envelope,
    held,
    octets_of,
    pattern,
    recipient,
    state_of,
)

PERSON = f"{MAILDROP_OF_PERSON}ada"
DOUBT = ("job-suspended", "x-delivery-unknown")
SIZES = [10, 50_000, 2_000_000]


async def receive(store: Store, *recipients: Recipient, octets: bytes = b"hello\r\n", **changes: object) -> list[int]:
    draft = await store.draft(len(octets))
    draft.write(octets)
    return list(await store.accept(draft, envelope(**changes), recipients))


async def traced(store: Store, job_id: int) -> list[str]:
    return [event.text for event in await store.trace(job_id)]


async def in_doubt(store: Store, printer: str = "phaser") -> int:
    (job_id,) = await accept(store, printer)
    lease = await held(store)
    assert await store.sending(lease, job_id, 0)
    assert await store.move(lease, job_id, Event.DOUBT, reasons=DOUBT, detail="the connection was lost")
    return job_id


async def printed(store: Store, octets: bytes = b"hello\r\n") -> int:
    (job_id,) = await accept(store, "phaser", octets=octets)
    assert await complete_from_pending(store, await held(store), job_id)
    return job_id


# -- what a job tells


async def test_a_job_tells_what_notices_need(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await receive(
        store, recipient("phaser"), login="ada", answerable=True, header_message_id="<1@example.com>"
    )
    job = await store.job(job_id)
    assert job is not None
    assert (job.recipient, job.header_message_id) == ("phaser@example.com", "<1@example.com>")
    assert (job.login, job.answerable) == ("ada", True)
    assert await store.jobs() == [job]
    assert await store.pending(["phaser"], 1) == [job]
    (other,) = await accept(store, "phaser")
    plain = await store.job(other)
    assert plain is not None
    assert (plain.login, plain.answerable) == ("", False)


# -- cancel


async def unended(store: Store, state: JobState) -> int:
    """A job in this state, held by the bridge where somebody holds such a job."""
    (job_id,) = await accept(store, "phaser")
    lease = await held(store)
    if state is JobState.PENDING_HELD:
        assert await store.hold(job_id, "bob")
    elif state is not JobState.PENDING:
        assert await store.sending(lease, job_id, 0)
        if state is JobState.PROCESSING_STOPPED:
            assert await store.move(lease, job_id, Event.STOP, reasons=["printer-stopped"])
    assert (await state_of(store, job_id))[0] == state
    return job_id


@pytest.mark.parametrize("state", [state for state in JobState if not state.ended])
async def test_whatever_has_not_ended_can_be_canceled(opened: Opener, state: JobState) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    job_id = await unended(bridge, state)
    assert await appliance.cancel(job_id, "ada")
    job = await bridge.job(job_id)
    assert job is not None
    assert (job.state, job.reasons) == (JobState.CANCELED, ("job-canceled-by-user",))
    assert job.detail == "canceled by ada"
    assert job.completed_at > 0
    assert (await bridge.standing("phaser"))[1] == 0
    assert (await traced(appliance, job_id))[-1] == "canceled: job-canceled-by-user (canceled by ada)"
    assert not await appliance.cancel(job_id, "ada")
    assert await appliance.occurrences(10) == []
    assert await appliance.sweep(time.time() + 2 * 86400) == 1


async def test_whoever_sends_a_canceled_job_finds_it_out(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    (job_id,) = await accept(appliance, "phaser")
    lease = await held(bridge)
    assert await bridge.sending(lease, job_id, 0)
    assert await appliance.cancel(job_id, "ada")
    assert not await bridge.sending(lease, job_id, 1)
    assert not await bridge.move(lease, job_id, Event.STOP, reasons=["printer-stopped"])
    assert not await complete(bridge, lease, job_id)
    await bridge.release(lease)
    await held(bridge, owner="next")  # nothing of it is left to settle
    assert (await state_of(bridge, job_id))[0] == "canceled"


async def test_a_canceled_job_does_not_break_the_session_that_holds_it(opened: Opener) -> None:
    store = await opened()
    first, second = (await accept(store, "phaser"))[0], (await accept(store, "phaser"))[0]
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    await maildrop.retrieving(maildrop.entries[0])
    assert await store.cancel(first, "ada")
    assert b"".join([block async for block in maildrop.read(maildrop.entries[0])]).endswith(b"hello\r\n")
    await maildrop.update(maildrop.entries)
    assert (await state_of(store, first))[0] == "canceled"
    assert (await state_of(store, second))[0] == "completed"


async def test_what_a_session_deletes_is_gone_though_it_was_held_meanwhile(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    assert await store.hold(job_id, "ada")
    await maildrop.retrieving(maildrop.entries[0])
    await maildrop.update(maildrop.entries)
    job = await store.job(job_id)
    assert job is not None
    assert (job.state, job.delivery_proof) == (JobState.COMPLETED, DeliveryProof.FETCHED)
    assert 0 < job.processing_at <= job.completed_at


async def test_a_paused_printer_that_polls_finds_nothing(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    for paused, found in ((True, []), (False, [job_id])):
        await store.set_paused("phaser", paused)
        maildrop = await store.open_maildrop("phaser", "session", 60)
        assert maildrop is not None
        assert [entry.job_id for entry in maildrop.entries] == found
        await maildrop.close()


async def test_octets_of_a_canceled_job_go_at_once_where_nothing_is_kept(opened: Opener) -> None:
    store = await opened(keep=0)
    for size in SIZES:
        first, second = await accept(store, "a", "b", octets=pattern(size))
        assert await store.cancel(first, "ada")
        assert await octets_of(store, second) == pattern(size)
        assert await store.hold(second, "ada")
        assert await store.cancel(second, "ada")
        assert await store.kept_until(second) == 0.0
        with pytest.raises(PermanentFailure):
            await octets_of(store, second)


async def test_of_a_cancel_and_an_end_one_comes_first(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    lease = await held(bridge)
    for turn in range(20):
        (job_id,) = await accept(appliance, "phaser")
        claimed = await bridge.claim(lease, job_id, ["job-transforming"]) if turn % 2 else True
        assert claimed
        wishes = [appliance.cancel(job_id, "ada"), appliance.cancel(job_id, "bob")]
        *canceled, began = await asyncio.gather(*wishes, bridge.sending(lease, job_id, 0))
        assert sorted(canceled) == [False, True]
        assert (await state_of(appliance, job_id))[0] == "canceled"
        (sent,) = await accept(appliance, "phaser")
        assert await bridge.sending(lease, sent, 0)
        gone, ended = await asyncio.gather(appliance.cancel(sent, "ada"), complete(bridge, lease, sent))
        assert gone is not ended
        assert (await state_of(appliance, sent))[0] == ("canceled" if gone else "completed")
        assert len([text for text in await traced(appliance, sent) if text.startswith(("canceled", "completed"))]) == 1
        assert isinstance(began, bool)


# -- hold and release


async def test_a_job_is_held_until_it_is_released(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    (job_id,) = await accept(appliance, "phaser")
    assert not await appliance.unhold(job_id, "ada")
    assert await appliance.hold(job_id, "ada")
    assert not await appliance.hold(job_id, "ada")
    held_job = await appliance.job(job_id)
    assert held_job is not None
    assert (held_job.state, held_job.reasons[0]) == (JobState.PENDING_HELD, "job-hold-until-specified")
    assert held_job.detail == "held by ada"
    lease = await held(bridge)
    assert not await bridge.sending(lease, job_id, 0)
    assert await bridge.pending(["phaser"], 10) == []
    assert await bridge.printers_waiting() == []
    maildrop = await appliance.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    assert maildrop.entries == ()
    await maildrop.close()
    assert await appliance.unhold(job_id, "bob")
    assert await state_of(bridge, job_id) == ("pending", ("job-queued",))
    assert (await traced(bridge, job_id))[1:] == [
        "pending-held: job-hold-until-specified job-queued (held by ada)",
        "pending: job-queued (released by bob)",
    ]
    assert await complete_from_pending(bridge, lease, job_id)


async def test_a_released_job_still_says_that_it_was_printed_before(opened: Opener) -> None:
    store = await opened()
    job_id = await in_doubt(store)
    assert await store.decide(job_id, "ada", printed=False)
    assert await store.hold(job_id, "ada")
    assert await store.unhold(job_id, "ada")
    assert await state_of(store, job_id) == ("pending", ("x-printed-again", "job-queued"))


async def test_what_is_being_sent_cannot_be_held(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    assert await store.sending(await held(store), job_id, 0)
    assert not await store.hold(job_id, "ada")
    assert (await state_of(store, job_id))[0] == "processing"


# -- a job in doubt


async def test_a_job_in_doubt_is_counted_as_printed(opened: Opener) -> None:
    store = await opened()
    job_id = await in_doubt(store)
    assert await store.decide(job_id, "ada", printed=True)
    job = await store.job(job_id)
    assert job is not None
    assert (job.state, job.delivery_proof) == (JobState.COMPLETED, DeliveryProof.NONE)
    assert job.reasons == ("job-completed-with-warnings", "x-delivery-unknown")
    assert job.detail == "counted as printed by ada"
    assert (await store.standing("phaser"))[1] == 0
    assert not await store.decide(job_id, "ada", printed=True)
    assert not await store.decide(job_id, "ada", printed=False)


async def test_a_job_in_doubt_is_printed_again(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    job_id = await in_doubt(bridge)
    assert await appliance.decide(job_id, "ada", printed=False)
    assert await state_of(bridge, job_id) == ("pending", ("x-printed-again", "job-queued"))
    assert "ada" in (await traced(appliance, job_id))[-1]
    assert await complete_from_pending(bridge, await held(bridge), job_id)


async def test_only_what_is_in_doubt_is_decided(opened: Opener) -> None:
    store = await opened()
    for state in JobState:
        if not state.ended:
            job_id = await unended(store, state)
            for decision in (True, False):
                assert not await store.decide(job_id, "ada", printed=decision)
            assert (await state_of(store, job_id))[0] == state
    assert not await store.decide(10**9, "ada", printed=True)


# -- print again


@pytest.mark.parametrize("size", SIZES)
async def test_an_ended_job_is_printed_again(opened: Opener, size: int) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    old = await printed(bridge, pattern(size))
    new = await appliance.print_again(old, "ada")
    assert new > old
    job = await bridge.job(new)
    before = await bridge.job(old)
    assert job is not None
    assert before is not None
    assert (job.state, job.reasons, job.attempts) == (JobState.PENDING, ("job-queued",), 0)
    assert (job.printer, job.recipient, job.message_id) == (before.printer, before.recipient, before.message_id)
    assert (await traced(appliance, old))[-1] == f"printed again as job {new}, by ada"
    assert (await traced(appliance, new))[1:] == [f"again job {old}, by ada"]
    assert await appliance.sweep(time.time() + 2 * 86400) == 0
    assert await octets_of(bridge, new) == pattern(size)
    assert (await bridge.standing("phaser"))[1] > 0
    assert await complete_from_pending(bridge, await held(bridge), new)
    assert (await bridge.standing("phaser"))[1] == 0
    assert await appliance.sweep(time.time() + 2 * 86400) == 1


async def test_what_is_printed_again_has_an_entry_that_pop3_can_open(opened: Opener) -> None:
    store = await opened()
    (old,) = await accept(store, "phaser")
    maildrop = await store.open_maildrop("phaser", "one", 60)
    assert maildrop is not None
    (first,) = maildrop.entries
    await maildrop.update(maildrop.entries)
    new = await store.print_again(old, "ada")
    assert await state_of(store, new) == ("pending", ("job-fetchable",))
    maildrop = await store.open_maildrop("phaser", "two", 60)
    assert maildrop is not None
    (entry,) = maildrop.entries
    assert entry.uid != first.uid
    octets = b"".join([block async for block in maildrop.read(entry)])
    assert len(octets) == entry.size
    assert octets == b"Return-Path: <ada@example.com>\r\nDelivered-To: phaser@example.com\r\nhello\r\n"
    await maildrop.close()


async def test_what_is_binary_is_printed_again_with_the_size_of_pop3(opened: Opener) -> None:
    store = await opened()
    kept, by_pop3 = binary(50_000)
    old = await accept_binary(store, 50_000)
    await store.polled("phaser", time.time())
    assert await store.cancel(old, "ada")
    new = await store.print_again(old, "ada")
    assert await octets_of(store, new) == kept
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    (entry,) = maildrop.entries
    octets = b"".join([block async for block in maildrop.read(entry)])
    assert octets.endswith(by_pop3)
    assert len(octets) == entry.size == (await store.standing("phaser"))[1]
    await maildrop.update(maildrop.entries)
    assert (await store.standing("phaser"))[1] == 0


async def test_a_canceled_job_of_a_printer_that_polls_waits_for_its_poll(opened: Opener) -> None:
    store = await opened()
    (old,) = await accept(store, "phaser")
    await store.polled("phaser", time.time())
    assert await store.cancel(old, "ada")
    assert await state_of(store, await store.print_again(old, "ada")) == ("pending", ("job-fetchable",))


async def test_quota_is_not_asked_of_who_prints_again(opened: Opener) -> None:
    store = await opened()
    old = await printed(store)
    await accept(store, "phaser", octets=pattern(500))
    new = await store.print_again(old, "ada")
    with pytest.raises(TransientFailure, match=r"4\.2\.2"):
        await accept(store, "phaser", quota=1000, octets=pattern(500))
    assert (await state_of(store, new))[0] == "pending"


async def test_what_cannot_be_printed_again(opened: Opener) -> None:
    store = await opened(keep=1000)
    old = await printed(store)
    (waits,) = await accept(store, "phaser")
    assert await store.sweep(time.time() + 1100) == 1
    for job_id in (old, waits, 10**9):
        with pytest.raises(PermanentFailure) as caught:
            await store.print_again(job_id, "ada")
        assert caught.value.status == "5.3.0"
    assert [job.id for job in await store.jobs()] == [waits, old]


async def test_a_confidential_job_is_not_printed_again(opened: Opener) -> None:
    store = await opened(keep=0)
    waits, old = await accept(store, "b", "phaser")
    assert await store.cancel(old, "ada")
    new = await store.print_again(old, "ada")  # its octets are there for another recipient
    for job_id in (waits, new):
        assert await store.cancel(job_id, "ada")
    with pytest.raises(PermanentFailure):
        await store.print_again(old, "ada")


async def test_printing_again_and_sweeping_at_once(opened: Opener) -> None:
    appliance, tool = await opened(keep=1000), await opened(Role.TOOL, keep=1000)
    for turn in range(6):
        size = SIZES[turn % 3]
        old = await printed(appliance, pattern(size))
        swept, new = await asyncio.gather(
            appliance.sweep(time.time() + 1100), tool.print_again(old, "ada"), return_exceptions=True
        )
        if isinstance(new, BaseException):
            assert isinstance(new, PermanentFailure)
            assert swept == 1
        else:
            assert swept == 0
            assert await octets_of(tool, new) == pattern(size)
            assert await appliance.cancel(new, "ada")
            assert await appliance.sweep(time.time() + 1100) == 1


async def test_octets_that_were_needed_again_have_their_whole_keep(opened: Opener) -> None:
    store = await opened(keep=1000)
    old = await printed(store)
    until = await store.kept_until(old)
    assert 900 < until - time.time() <= 1000
    new = await store.print_again(old, "ada")
    assert await store.kept_until(new) == 0.0
    assert await store.kept_until(old) >= until
    assert await complete_from_pending(store, await held(store), new)
    later = await store.kept_until(old)
    assert later > until
    assert await store.kept_until(new) == later
    assert await store.sweep(until) == 0
    assert await store.sweep(later) == 1
    assert await store.kept_until(old) == 0.0
    assert await store.kept_until(10**9) == 0.0


async def test_wishes_ring_the_bridge(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    job_id, other = await accept(appliance, "phaser", "other")
    doubtful = await in_doubt(bridge, "doubtful")
    rings = bridge.rings()

    async def heard(name: str) -> None:
        async with asyncio.timeout(5):
            assert await anext(rings) == name

    await appliance.set_paused("probe", True)
    await heard("probe")
    assert await appliance.hold(job_id, "ada")
    await heard("phaser")
    assert await appliance.unhold(job_id, "ada")
    await heard("phaser")
    assert await appliance.cancel(other, "ada")
    await heard("other")
    assert await appliance.decide(doubtful, "ada", printed=False)
    await heard("doubtful")
    await appliance.print_again(other, "ada")
    await heard("other")
    await appliance.set_accepting("phaser", False)
    await heard("phaser")


# -- a printer's state


async def test_pausing_and_accepting_leave_the_rest_alone(opened: Opener) -> None:
    store = await opened()
    state = PrinterState(printer="phaser", last_poll=7.0, poll_gap=3.0, state="stopped", state_reasons=("door-open",))
    await store.set_printer_state(state)
    await store.set_paused("phaser", True)
    assert await store.printer_state("phaser") == replace(state, paused=True)
    await store.set_accepting("phaser", False)
    await store.set_paused("phaser", False)
    assert await store.printer_state("phaser") == replace(state, accepting=False)
    assert await store.standing("phaser") == (False, 0)
    await store.set_accepting("new", False)
    await store.set_paused("newer", True)
    assert await store.printer_state("new") == PrinterState(printer="new", accepting=False)
    assert await store.printer_state("newer") == PrinterState(printer="newer", paused=True)
    await store.set_accepting("new", True)
    assert await store.standing("new") == (True, 0)


async def test_how_often_a_printer_polls_is_averaged(opened: Opener) -> None:
    store = await opened()

    async def gap(at: float) -> float:
        await store.polled("phaser", at)
        await store.set_printer_state(PrinterState(printer="other"))  # committed after what was told before
        state = await store.printer_state("phaser")
        assert state.last_poll == at
        return state.poll_gap

    assert await gap(1000.0) == 0.0
    assert await gap(1100.0) == 100.0
    assert await gap(1140.0) == pytest.approx(85.0)
    assert await gap(1140.0) == pytest.approx(85.0)  # twice in one moment
    assert await gap(1140.0 + 86401) == pytest.approx(85.0)  # it was off
    assert await gap(1140.0) == pytest.approx(85.0)  # the clock was set back
    assert await gap(1225.0) == pytest.approx(85.0)


# -- people's maildrops


async def test_mail_to_a_person_is_no_job(opened: Opener) -> None:
    store, bridge = await opened(), await opened(Role.BRIDGE)
    rings = bridge.rings()
    mail, job_id = await receive(store, recipient(PERSON), recipient("phaser"))
    async with asyncio.timeout(5):
        assert await anext(rings) == "phaser"
    assert [job.id for job in await store.jobs()] == [job_id]
    assert await store.jobs(printer=PERSON) == []
    assert await store.jobs(states=["pending"], limit=1) == [await store.job(job_id)]
    assert await store.job(mail) is None
    assert await store.trace(mail) == []
    assert list(await store.printers_waiting()) == ["phaser"]
    assert [waiting.printer for waiting in await store.waiting()] == ["phaser"]
    with pytest.raises(PermanentFailure):
        await octets_of(store, mail)
    for wish in (store.cancel, store.hold):
        assert not await wish(mail, "bob")
    assert await store.kept_until(mail) == 0.0


async def test_a_person_reads_his_mail_by_pop3(opened: Opener) -> None:
    store = await opened()
    first = (await receive(store, recipient(PERSON), answerable=True))[0]
    await receive(store, recipient(PERSON))
    maildrop = await store.open_maildrop(PERSON, "session", 60)
    assert maildrop is not None
    read, kept = maildrop.entries
    assert read.uid != kept.uid
    await maildrop.retrieving(read)
    assert b"".join([block async for block in maildrop.read(read)]).endswith(b"hello\r\n")
    await store.polled(PERSON, time.time())
    await maildrop.update([read])
    assert (await store.standing(PERSON))[1] == kept.size
    assert await store.occurrences(10) == []
    assert await store.printer_states() == []
    with pytest.raises(PermanentFailure):
        await store.print_again(first, "bob")
    assert await store.sweep(time.time() + 2 * 86400) == 1
    assert await store.sweep(time.time() + 100 * 86400) == 0
    again = await store.open_maildrop(PERSON, "session", 60)
    assert again is not None
    assert again.entries == (kept,)
    assert b"".join([block async for block in again.read(kept)]).endswith(b"hello\r\n")
    await again.close()


async def test_a_persons_quota_counts(opened: Opener) -> None:
    store = await opened()
    await receive(store, recipient(PERSON, quota=600), octets=pattern(500))
    with pytest.raises(TransientFailure) as caught:
        await receive(store, recipient(PERSON, quota=600), octets=pattern(500))
    assert caught.value.status == "4.2.2"


async def test_mail_of_somebody_who_was_removed_goes(opened: Opener) -> None:
    store = await opened()
    (mail, job_id) = await receive(store, recipient(PERSON), recipient("phaser"))
    await store.forget_printer(PERSON)
    assert await store.standing(PERSON) == (True, 0)
    maildrop = await store.open_maildrop(PERSON, "session", 60)
    assert maildrop is not None
    assert maildrop.entries == ()
    assert (await state_of(store, job_id))[0] == "pending"
    assert await store.job(mail) is None
