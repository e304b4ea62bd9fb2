"""What every storage engine must do with jobs that wait for somebody (`mailstore.store.waits`)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from mailstore.directory.records import Hold, PrintLimits
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, Event, Job
from mailstore.store.admission import Accepted
from mailstore.store.contract import LeaseLost, Recipient, Role, Store
from mailstore.store.following import Progress
from mailstore.store.outbox import Occasion
from mailstore.store.waits import CODE_DIGITS
from tests.contracts.engines import Opener
from tests.contracts.splitting import ADA, bring_part, whole
from tests.contracts.store import accept, complete, held, octets_of, pattern, recipient, state_of
from tests.contracts.wishes import DOUBT, PERSON, in_doubt, receive, traced

LATER = 4_000_000_000.0
WAITS = ("pending", ("job-queued",))
HELD = ("pending-held", ("job-hold-until-specified", "job-queued"))
TIME_OVER = "job-canceled-after-timeout"


def that_holds(maildrop: str = "phaser", hold: Hold = Hold.CODE, **changes: object) -> Recipient:
    return replace(recipient(maildrop), hold=hold, **changes)  # type: ignore[arg-type]


async def held_job(store: Store, hold: Hold = Hold.CODE, **said: Any) -> Job:
    (job_id,) = await receive(store, that_holds(hold=hold), **said)
    return await known(store, job_id)


async def known(store: Store, job_id: int) -> Job:
    job = await store.job(job_id)
    assert job is not None
    return job


async def occasions(store: Store) -> list[tuple[Occasion, int, str]]:
    return [(each.occasion, each.job_id, each.printer) for each in await store.occurrences(100)]


# -- held when they come


@pytest.mark.parametrize("answerable", [False, True])
@pytest.mark.parametrize("hold", [Hold.ALL, Hold.CODE])
async def test_a_job_waits_at_a_printer_that_holds(opened: Opener, hold: Hold, answerable: bool) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    job = await held_job(appliance, hold, answerable=answerable)
    assert (job.state.value, job.reasons) == HELD
    assert len(job.release_code) == (CODE_DIGITS if hold is Hold.CODE else 0)
    assert await occasions(appliance) == ([(Occasion.TO_RELEASE, job.id, "phaser")] if answerable else [])
    assert (await traced(appliance, job.id))[1:] == [
        "pending-held: job-hold-until-specified job-queued (its printer holds jobs)"
    ]
    assert list(await bridge.printers_waiting()) == []
    assert await bridge.pending(["phaser"], 10) == []
    assert not await bridge.sending(await held(bridge), job.id, 0)
    assert (await appliance.standing("phaser"))[1] > 0
    assert await appliance.unhold(job.id, "ada")
    released = await known(bridge, job.id)
    assert (released.state.value, released.reasons) == WAITS
    assert (released.release_code, released.waived) == ("", False)
    assert await bridge.pending(["phaser"], 10) == [released]
    assert await complete(bridge, lease := await held(bridge), job.id) is False  # nobody took it up
    assert await bridge.sending(lease, job.id, 0)
    assert await complete(bridge, lease, job.id)


async def test_a_held_job_of_a_polling_printer_is_served_once_it_is_released(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await receive(store, that_holds(reason="job-fetchable"))
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    assert list(maildrop.entries) == []
    await maildrop.close()
    assert await store.unhold(job_id, "ada")
    assert await state_of(store, job_id) == ("pending", ("job-fetchable",))
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    assert [entry.job_id for entry in maildrop.entries] == [job_id]
    await maildrop.update(maildrop.entries)
    assert (await known(store, job_id)).delivery_proof is DeliveryProof.FETCHED


async def test_each_recipient_is_held_for_itself(opened: Opener) -> None:
    store = await opened()
    to = [recipient("plain"), that_holds("all", Hold.ALL), that_holds("code"), that_holds("more"), recipient(PERSON)]
    *job_ids, _ = await receive(store, *to, answerable=True)
    jobs = [await known(store, job_id) for job_id in job_ids]
    assert [job.state.value for job in jobs] == ["pending", *["pending-held"] * 3]
    assert [bool(job.release_code) for job in jobs] == [False, False, True, True]
    assert jobs[2].release_code != jobs[3].release_code
    assert await occasions(store) == [(Occasion.TO_RELEASE, job.id, job.printer) for job in jobs[1:]]


async def test_a_mail_that_comes_again_has_the_code_it_had(opened: Opener) -> None:
    store = await opened()
    said: dict[str, Any] = {"content": b"same", "header_message_id": "<1@example.com>", "answerable": True}
    first = await held_job(store, **said)
    (again,) = await receive(store, that_holds(), **said)
    assert isinstance(again, Accepted)
    assert (again, again.earlier) == (first.id, True)
    assert await store.jobs() == [first]
    assert len(await store.occurrences(10)) == 1


async def test_what_is_printed_again_is_not_held(opened: Opener) -> None:
    store = await opened()
    job = await held_job(store)
    assert await store.unhold(job.id, "ada")
    lease = await held(store)
    assert await store.sending(lease, job.id, 0)
    assert await complete(store, lease, job.id)
    again = await known(store, await store.print_again(job.id, "ada"))
    assert (again.state.value, again.reasons, again.release_code) == (*WAITS, "")


@pytest.mark.parametrize("first", list(Hold))
@pytest.mark.parametrize("last", list(Hold))
async def test_a_split_mail_is_held_when_it_is_whole(opened: Opener, first: Hold, last: Hold) -> None:
    """As its printer held when its first part came, or by now if that is stricter."""
    store = await opened()
    await bring_part(store, 1, 2, to=that_holds(hold=first))
    split = await bring_part(store, 2, 2, to=recipient("phaser"))
    assert (await known(store, split.job_id)).release_code == ""
    assert not await store.move_job(split.job_id, recipient("other"), "ada")
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 0  # its parts have a time of their own
    assert await whole(store, split.job_id, to=that_holds(hold=last), answerable=True)
    job = await known(store, split.job_id)
    kinds = {first, last}
    if kinds == {Hold.NONE}:
        assert ((job.state.value, job.reasons), await occasions(store)) == (WAITS, [])
        return
    assert (job.state.value, job.reasons) == HELD
    assert bool(job.release_code) == (Hold.CODE in kinds)
    assert await occasions(store) == [(Occasion.TO_RELEASE, job.id, "phaser")]
    assert await store.unhold(job.id, "ada")
    assert await state_of(store, job.id) == WAITS


# -- codes


async def test_a_code_finds_its_job(opened: Opener) -> None:
    appliance, other = await opened(), await opened(Role.TOOL)
    jobs = [await held_job(appliance) for _ in range(20)]
    await held_job(appliance, Hold.ALL)
    codes = [job.release_code for job in jobs]
    assert len(set(codes)) == 20
    assert all(len(code) == CODE_DIGITS and set(code) <= set("0123456789") for code in codes)
    assert [await other.job_by_code(code) for code in codes] == jobs


async def test_only_a_code_finds_a_job(opened: Opener) -> None:
    store = await opened()
    job = await held_job(store)
    await held_job(store, Hold.ALL)
    wrong = f"{(int(job.release_code) + 1) % 10**CODE_DIGITS:0{CODE_DIGITS}}"
    arabic = job.release_code.translate({ord(str(digit)): chr(0x660 + digit) for digit in range(10)})
    for code in ("", wrong, f" {job.release_code}", f"{job.release_code}0", job.release_code[:-1], arabic, "%" * 8):
        assert await store.job_by_code(code) is None


@pytest.mark.parametrize("way", ["release", "cancel", "expire", "forget"])
async def test_a_code_is_good_for_as_long_as_the_job_is_held(opened: Opener, way: str) -> None:
    store = await opened()
    job = await held_job(store)
    if way == "release":
        assert await store.unhold(job.id, "ada")
        assert await store.hold(job.id, "ada")  # by hand: it is another wish, and has no code
    elif way == "cancel":
        assert await store.cancel(job.id, "ada")
    elif way == "expire":
        assert await store.expire_jobs("phaser", received=0.0, held=LATER) == 1
    else:
        await store.forget_printer("phaser")
    assert await store.job_by_code(job.release_code) is None
    assert (await known(store, job.id)).release_code == ""


async def test_nothing_that_is_told_of_a_job_has_its_code(opened: Opener) -> None:
    store = await opened()
    job = await held_job(store, answerable=True)
    assert await store.move_job(job.id, that_holds("other"), "ada")
    for text in [*await traced(store, job.id), *(repr(each) for each in await store.occurrences(10))]:
        assert job.release_code not in text


# -- to another printer


@pytest.mark.parametrize("size", [10, 50_000, 2_000_000])
async def test_a_waiting_job_goes_to_another_printer(opened: Opener, size: int) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    (job_id,) = await accept(appliance, "phaser", octets=pattern(size))
    (other,) = await accept(appliance, "other")
    assert await appliance.move_job(job_id, recipient("other", fields=b"Delivered-To: other\r\n"), "ada")
    moved = await known(bridge, job_id)
    assert (moved.id, moved.printer, moved.recipient) == (job_id, "other", "other@example.com")
    assert (moved.state.value, moved.reasons, moved.detail) == (*WAITS, "")
    assert (await traced(bridge, job_id))[-1] == "pending: job-queued (moved from phaser to other by ada)"
    assert await bridge.pending(["phaser"], 10) == []
    assert [job.id for job in await bridge.pending(["other"], 10)] == [job_id, other]
    assert await octets_of(bridge, job_id) == pattern(size)
    assert (await appliance.standing("phaser"))[1] == 0
    assert (await appliance.standing("other"))[1] == size + 21 + 7 + len(recipient("other").fields)
    assert [waiting.messages for waiting in await appliance.waiting()] == [2, 0]
    lease = await held(bridge)
    assert await bridge.sending(lease, job_id, 0, printer="other")
    assert await complete(bridge, lease, job_id)


async def test_the_address_it_came_to_may_stay(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await receive(store, replace(recipient("phaser"), address="phaser+duplex@example.com"))
    assert await store.move_job(job_id, replace(recipient("other"), address=""), "ada")
    assert (await known(store, job_id)).recipient == "phaser+duplex@example.com"


async def test_both_printers_are_rung(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    (job_id,) = await accept(appliance, "phaser")
    rings = bridge.rings()

    async def hear(expected: set[str]) -> None:
        async for ring in rings:
            expected.discard(ring)
            if not expected:
                return

    hearing = asyncio.create_task(hear({"phaser", "other"}))
    await asyncio.sleep(0)
    assert await appliance.move_job(job_id, recipient("other"), "ada")
    await asyncio.wait_for(hearing, 5)


async def test_where_it_does_not_go(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    assert not await store.move_job(job_id, recipient("phaser"), "ada")
    assert not await store.move_job(job_id + 1, recipient("other"), "ada")
    with pytest.raises(ValueError, match="printer"):
        await store.move_job(job_id, recipient(PERSON), "ada")
    (mail,) = await receive(store, recipient(PERSON))
    assert not await store.move_job(mail, recipient("other"), "ada")
    lease = await held(store)
    assert await store.claim(lease, job_id, ["job-transforming"])
    assert not await store.move_job(job_id, recipient("other"), "ada")
    assert await store.sending(lease, job_id, 0)
    assert not await store.move_job(job_id, recipient("other"), "ada")
    assert await store.move(lease, job_id, Event.STOP, reasons=["printer-stopped"])
    assert not await store.move_job(job_id, recipient("other"), "ada")
    assert await complete(store, lease, job_id)
    assert not await store.move_job(job_id, recipient("other"), "ada")
    assert (await store.standing("other"))[1] == 0


async def test_a_full_maildrop_takes_none(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser", octets=b"x" * 1000)
    await accept(store, "other", octets=b"x" * 1000)
    before = (await store.standing("phaser"), await store.standing("other"))
    with pytest.raises(TransientFailure) as full:
        await store.move_job(job_id, recipient("other", quota=2000), "ada")
    assert full.value.status == "4.2.2"
    with pytest.raises(PermanentFailure) as small:
        await store.move_job(job_id, recipient("other", quota=999), "ada")
    assert small.value.status == "5.2.3"
    assert (await store.standing("phaser"), await store.standing("other")) == before
    assert (await known(store, job_id)).printer == "phaser"
    assert len(await traced(store, job_id)) == 1


async def test_a_job_in_doubt_prints_there_under_a_banner(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    job_id = await in_doubt(store)
    await store.set_progress(job_id, Progress(document=0, octets=1, octets_total=2, pages=3))
    assert await store.move_job(job_id, recipient("other"), "ada")
    job = await known(store, job_id)
    assert (job.state, job.reasons, job.detail) == ("pending", ("x-printed-again", "job-queued"), "")
    assert job.attempts == 1
    assert await store.progress(job_id) is None
    assert await store.sending(await held(store), job_id, 0, printer="other")


async def test_what_may_be_on_paper_stays_so_wherever_it_goes(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    job_id = await in_doubt(store)
    await store.set_progress(job_id, Progress(document=0, octets=1, octets_total=2, pages=3))
    assert await store.decide(job_id, "ada", printed=False, resume=True)
    assert await store.move_job(job_id, recipient("other"), "ada")  # whose paper does not go on where that one's ended
    assert await state_of(store, job_id) == ("pending", ("x-printed-again", "job-queued"))
    assert await store.hold(job_id, "ada")
    assert await store.move_job(job_id, recipient("third"), "ada")
    reasons = ("job-hold-until-specified", "x-printed-again", "job-queued")
    assert await state_of(store, job_id) == ("pending-held", reasons)


async def test_a_job_that_could_not_be_sent_begins_anew(opened: Opener) -> None:
    store = await opened(Role.BRIDGE)
    (job_id,) = await accept(store, "phaser")
    lease = await held(store)
    assert await store.sending(lease, job_id, 0)
    not_ready = ["resources-are-not-ready"]
    assert await store.move(lease, job_id, Event.RELEASE, reasons=not_ready, next_attempt_at=LATER, detail="refused")
    assert await store.move_job(job_id, recipient("other"), "ada")
    job = await known(store, job_id)
    assert (job.state.value, job.reasons) == WAITS
    assert (job.attempts, job.next_attempt_at, job.detail) == (0, 0.0, "")


@pytest.mark.parametrize("before", list(Hold))
@pytest.mark.parametrize("after", list(Hold))
async def test_a_held_job_stays_held(opened: Opener, before: Hold, after: Hold) -> None:
    store = await opened()
    job = await held_job(store, before, answerable=True)
    if before is Hold.NONE:
        assert await store.hold(job.id, "ada")
    assert await store.move_job(job.id, that_holds("other", after), "ada")
    moved = await known(store, job.id)
    assert (moved.state.value, moved.reasons) == HELD
    if before is Hold.CODE and after is not Hold.NONE:
        assert moved.release_code == job.release_code
    else:
        assert bool(moved.release_code) == (after is Hold.CODE)
    drawn = after is Hold.CODE and before is not Hold.CODE
    told = [(Occasion.TO_RELEASE, job.id, "phaser")] * (before is not Hold.NONE)
    assert await occasions(store) == [*told, *[(Occasion.TO_RELEASE, job.id, "other")] * drawn]
    if before is Hold.CODE and after is Hold.NONE:
        assert await store.job_by_code(job.release_code) is None


async def test_a_waiting_job_is_not_held_where_it_goes(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    assert await store.move_job(job_id, that_holds("other"), "ada")
    assert await state_of(store, job_id) == WAITS
    assert (await known(store, job_id)).release_code == ""


async def test_limits_of_pages_are_those_of_the_printer_that_prints(opened: Opener) -> None:
    store = await opened()
    capability = await store.add_capability("phaser", b"t" * 32, made_by="ada", max_pages=4)
    by_it = replace(recipient("phaser"), capability=capability.id)
    (job_id,) = await receive(store, by_it, proof="spf", proved=ADA)
    few, many = PrintLimits(pages=2), PrintLimits(pages=10)
    assert await store.count_pages(job_id, 3, few) == "with 3 pages it would pass the printer's limit of 2 pages a day"
    assert await store.hold_for_limit(job_id, "too many")
    assert await store.move_job(job_id, recipient("other"), "ada")
    assert await state_of(store, job_id) == HELD  # the other printer has limits of its own
    assert await store.unhold(job_id, "ada")
    assert not (await known(store, job_id)).waived
    assert await store.count_pages(job_id, 3, many) == ""
    assert (await store.usage("other")).pages == 3
    assert await store.move_job(job_id, recipient("third"), "ada")
    assert await store.count_pages(job_id, 3, many) == ""
    assert (await store.usage("third")).pages == 3
    (found,) = await store.capabilities()
    assert found.pages == 3  # once for a job


async def test_a_printer_never_sees_a_unique_id_twice(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")

    async def uid_at(name: str) -> str:
        maildrop = await store.open_maildrop(name, "session", 60)
        assert maildrop is not None
        (entry,) = maildrop.entries
        await maildrop.close()
        return entry.uid

    uids = [await uid_at("phaser")]
    for there in ("other", "phaser", "other"):
        assert await store.move_job(job_id, recipient(there), "ada")
        uids.append(await uid_at(there))
    assert len(set(uids)) == 4
    assert all(1 <= len(uid) <= 70 and uid.isascii() and uid.isprintable() and " " not in uid for uid in uids)


@pytest.mark.parametrize("there", ["job-queued", "job-fetchable"])
async def test_it_waits_for_what_its_new_printer_does(opened: Opener, there: str) -> None:
    store = await opened()
    (job_id,) = await receive(store, replace(recipient("phaser"), reason="job-fetchable"))
    assert await store.move_job(job_id, replace(recipient("other"), reason=there), "ada")
    assert await state_of(store, job_id) == ("pending", (there,))


# -- races


async def test_a_job_that_was_moved_is_not_printed_where_it_was(opened: Opener) -> None:
    """Between a look at the line and taking the job up, it was moved: the device's lease alone would not tell."""
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    (job_id,) = await accept(appliance, "phaser")
    lease = await held(bridge)
    (seen,) = await bridge.pending(["phaser"], 10)
    assert await appliance.move_job(job_id, recipient("other"), "ada")
    before = await known(bridge, job_id)
    here, failed = seen.printer, ["aborted-by-system"]
    assert not await bridge.claim(lease, job_id, ["job-transforming"], printer=here)
    assert not await bridge.sending(lease, job_id, 0, printer=here)
    not_ready = ["resources-are-not-ready"]
    assert not await bridge.move(lease, job_id, Event.RELEASE, reasons=not_ready, printer=here, next_attempt_at=LATER)
    assert not await bridge.move(lease, job_id, Event.HOLD, reasons=["job-hold-until-specified"], printer=here)
    assert not await bridge.end(
        lease, job_id, Event.ABORT, reasons=failed, proof=DeliveryProof.NONE, printer=here, detail="not my language"
    )
    assert await known(bridge, job_id) == before
    assert await bridge.claim(lease, job_id, ["job-transforming"], printer="other")
    assert await bridge.sending(lease, job_id, 0, printer="other")


async def test_a_decision_about_one_printer_is_none_about_another(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    job_id = await in_doubt(bridge)
    assert await appliance.move_job(job_id, recipient("other"), "ada")
    other = await held(bridge, "device:other")
    assert await bridge.sending(other, job_id, 0, printer="other")
    assert await bridge.move(other, job_id, Event.DOUBT, reasons=DOUBT)
    lease = await held(bridge)
    assert not await bridge.move(lease, job_id, Event.REPRINT, reasons=["job-queued"], printer="phaser")
    assert not await bridge.end(
        lease, job_id, Event.COMPLETE, reasons=["printed"], proof=DeliveryProof.NONE, printer="phaser"
    )
    assert await bridge.move(other, job_id, Event.REPRINT, reasons=["x-printed-again", "job-queued"], printer="other")


async def test_taking_up_and_moving_at_once_is_one_of_them(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    lease = await held(bridge)
    for _ in range(20):
        (job_id,) = await accept(appliance, "phaser")
        taken, moved = await asyncio.gather(
            bridge.sending(lease, job_id, 0, printer="phaser"), appliance.move_job(job_id, recipient("other"), "ada")
        )
        assert taken != moved
        assert (await known(bridge, job_id)).printer == ("other" if moved else "phaser")
        assert await appliance.cancel(job_id, "ada")


async def test_that_the_bridge_drains_a_maildrop_keeps_nothing_in_it(opened: Opener) -> None:
    appliance, bridge = await opened(), await opened(Role.BRIDGE)
    assert await bridge.acquire("maildrop:phaser", "bridge", 60) is not None
    (job_id,) = await accept(appliance, "phaser")
    assert await appliance.move_job(job_id, recipient("other"), "ada")


async def test_nothing_is_moved_out_of_an_open_session(opened: Opener) -> None:
    """What its client was sent it prints, and nobody knows what it was sent."""
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    with pytest.raises(TransientFailure) as busy:
        await store.move_job(job_id, recipient("other"), "ada")
    assert busy.value.status == "4.2.0"
    await maildrop.retrieving(maildrop.entries[0])
    assert not await store.move_job(job_id, recipient("other"), "ada")
    await maildrop.close()
    assert await store.move_job(job_id, recipient("other"), "ada")


async def test_a_session_that_lapsed_takes_nothing_that_was_moved(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await accept(store, "phaser")
    (stays,) = await accept(store, "phaser")
    maildrop = await store.open_maildrop("phaser", "session", -1)
    assert maildrop is not None
    assert await store.move_job(job_id, recipient("other"), "ada")
    first, second = maildrop.entries
    await maildrop.retrieving(first)
    try:
        await maildrop.update([first, second])
    except LeaseLost:  # an engine may end it
        return
    assert await state_of(store, job_id) == WAITS
    assert (await state_of(store, stays))[0] == "completed"


# -- the end of their time


async def test_what_nobody_printed_in_time_is_given_up(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await receive(store, recipient("phaser"), answerable=True)
    held_one = await held_job(store, Hold.ALL)
    (others,) = await accept(store, "other")
    assert await store.expire_jobs("phaser", received=0.0, held=0.0) == 0
    assert await store.expire_jobs("phaser", received=LATER, held=0.0) == 1
    assert await state_of(store, job_id) == ("aborted", (TIME_OVER,))
    assert (await known(store, job_id)).completed_at > 0
    assert await occasions(store) == [(Occasion.ABORTED, job_id, "phaser")]
    (told,) = await store.occurrences(10)
    assert (told.reasons, told.detail) == ((TIME_OVER,), "it could not be printed within its time")
    assert (await traced(store, job_id))[-1] == f"aborted: {TIME_OVER} (it could not be printed within its time)"
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 1
    assert await state_of(store, held_one.id) == ("aborted", (TIME_OVER,))
    assert (await known(store, held_one.id)).detail == "nobody released it within its time"
    assert (await store.standing("phaser"))[1] == 0
    assert await state_of(store, others) == WAITS
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 0
    assert await store.sweep(time.time() + 2 * 86400) == 2


async def test_what_somebody_let_go_on_has_its_time_anew(opened: Opener) -> None:
    store = await opened()
    released, holding, moved = (
        await held_job(store, Hold.ALL),
        (await accept(store, "phaser"))[0],
        (await accept(store, "old"))[0],
    )
    again, left = await in_doubt(store), (await accept(store, "phaser"))[0]
    await asyncio.sleep(0.01)
    later = time.time()
    assert await store.unhold(released.id, "bob")
    assert await store.hold(holding, "bob")
    assert await store.move_job(moved, recipient("phaser"), "bob")
    assert await store.decide(again, "bob", printed=False)
    await store.note(left, "the printer said: pending-held: (released by nobody)")
    assert await store.expire_jobs("phaser", received=later, held=later) == 1
    assert (await state_of(store, left))[0] == "aborted"
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 4


async def test_what_nobody_decided_in_time_is_given_up(opened: Opener) -> None:
    store = await opened()
    job_id = await in_doubt(store)
    assert await store.expire_jobs("phaser", received=0.0, held=LATER) == 0
    assert await store.expire_jobs("phaser", received=LATER, held=0.0) == 1
    assert await state_of(store, job_id) == ("aborted", (TIME_OVER, "x-delivery-unknown"))


async def test_what_is_being_printed_or_fetched_has_time(opened: Opener) -> None:
    store = await opened()
    jobs = [(await accept(store, "phaser"))[0] for _ in range(5)]
    lease = await held(store)
    assert await store.claim(lease, jobs[0], ["job-transforming"])
    for job_id in jobs[1:3]:
        assert await store.sending(lease, job_id, 0)
    assert await store.move(lease, jobs[2], Event.STOP, reasons=["media-empty"])
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    await maildrop.retrieving(maildrop.entries[0])
    before = [await known(store, job_id) for job_id in jobs]
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 0
    assert [await known(store, job_id) for job_id in jobs] == before  # the last one is in the session's list
    await maildrop.close()
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 2


async def test_a_hundred_go_at_a_time(opened: Opener) -> None:
    store = await opened()
    await asyncio.gather(*(accept(store, "phaser") for _ in range(130)))
    last = max(job.id for job in await store.jobs())
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 100
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 30
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 0
    assert (await state_of(store, last))[0] == "aborted"
    assert len(await store.occurrences(1000)) == 130


async def test_with_nothing_kept_an_expired_jobs_octets_go_at_once(opened: Opener) -> None:
    store = await opened(keep=0.0)
    (job_id,) = await accept(store, "phaser", octets=pattern(2_000_000))
    assert await store.expire_jobs("phaser", received=LATER, held=LATER) == 1
    with pytest.raises(PermanentFailure):
        await octets_of(store, job_id)
