"""What every storage engine must do with split mail (`mailstore.store.splitting`)."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace
from typing import Any

import pytest

from mailstore.directory.records import PrintLimits
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, Event
from mailstore.store.admission import Usage
from mailstore.store.contract import Envelope, Recipient, Role, Store
from mailstore.store.outbox import Occasion
from mailstore.store.splitting import Part, SplitLimits, SplitMail
from tests.contracts.engines import Opener
from tests.contracts.store import envelope, held, octets_of, pattern, recipient, state_of
from tests.contracts.wishes import traced

ADA = "ada@example.com"
LIMITS = SplitLimits(parts=5, octets=10_000_000, seconds=3600)
SIZES = [10, 50_000, 2_000_000]
INCOMING = ("pending-held", ("job-incoming",))


def said_by(sender: str, number: int, **changes: object) -> Envelope:
    said: dict[str, object] = {
        "reverse_path": sender,
        "header_message_id": f"<{number}@example.com>",
        "content": b"content %d" % number,
        "proof": "spf",
        "proved": sender,
    }
    return envelope(**said | changes)


async def bring_part(
    store: Store,
    number: int,
    total: int = 0,
    *,
    octets: bytes = b"",
    sender: str = ADA,
    to: Recipient | None = None,
    part_id: str = "id",
    limits: SplitLimits = LIMITS,
    **changes: object,
) -> SplitMail:
    octets = octets or b"part %d\r\n" % number
    draft = await store.draft(len(octets))
    draft.write(octets)
    part = Part(id=part_id, number=number, total=total)
    try:
        return await store.accept_part(
            draft, said_by(sender, number, **changes), to or recipient("phaser"), part, limits
        )
    finally:
        await draft.discard()


async def whole(
    store: Store, job_id: int, octets: bytes = b"the whole\r\n", to: Recipient | None = None, **changes: object
) -> bool:
    draft = await store.draft(len(octets))
    draft.write(octets)
    said = envelope(name="The whole", proof="spf", proved=ADA, **changes)
    try:
        return await store.put_together(job_id, draft, said, to or recipient("phaser"))
    finally:
        await draft.discard()


async def part_of(store: Store, job_id: int, number: int) -> bytes:
    return b"".join([block async for block in store.read_part(job_id, number)])


async def waiting(store: Store, printer: str = "phaser") -> int:
    return (await store.standing(printer))[1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
async def test_parts_in_any_order_make_one_job(opened: Opener, size: int, order: tuple[int, ...]) -> None:
    store = await opened()
    for count, number in enumerate(order, start=1):
        split = await bring_part(store, number, 3 if number == 3 else 0, octets=pattern(size + number))
        assert split.parts == tuple(sorted(order[:count]))
        assert split.complete == (count == 3)
        assert await state_of(store, split.job_id) == INCOMING
        waits = await store.job(split.job_id)
        assert waits is not None
        of = " of 3" if 3 in order[:count] else ""
        assert waits.detail == f"{count}{of} part{'s' if of or count > 1 else ''} came"
    assert (split.printer, split.id, split.sender, split.total) == ("phaser", "id", ADA, 3)
    assert split.octets == await waiting(store) == 3 * size + 6
    assert abs(split.until - time.time() - 3600) < 60
    assert list(await store.split_mails()) == [split]
    for number in order:
        assert await part_of(store, split.job_id, number) == pattern(size + number)
    assert [said.header_message_id for said in await store.part_envelopes(split.job_id)] == [
        f"<{number}@example.com>" for number in (1, 2, 3)
    ]
    assert await whole(store, split.job_id, pattern(3 * size))
    assert await state_of(store, split.job_id) == ("pending", ("job-queued",))
    assert await octets_of(store, split.job_id) == pattern(3 * size)
    (job,) = await store.jobs()
    assert (job.id, job.name, job.octets, job.proved) == (split.job_id, "The whole", 3 * size, ADA)
    assert await waiting(store) == 3 * size + len(recipient("phaser").fields)
    assert await store.split_mails() == []
    assert list(await store.part_envelopes(split.job_id)) == []
    with pytest.raises(PermanentFailure):
        await part_of(store, split.job_id, 1)
    assert job.detail == ""
    assert not await whole(store, split.job_id)
    assert (await traced(store, split.job_id))[-1] == "pending: job-queued (put together of 3 parts)"


async def test_what_was_said_of_a_part_comes_back(opened: Opener) -> None:
    store = await opened()
    said: dict[str, Any] = {
        "login": "ada",
        "answerable": True,
        "smtputf8": True,
        "trust": "verified",
        "ret": "HDRS",
        "envid": "e",
    }
    split = await bring_part(store, 1, **said)
    (found,) = await store.part_envelopes(split.job_id)
    assert found == replace(said_by(ADA, 1, **said), content=b"")  # of which only a digest is kept


async def test_a_whole_is_a_job_like_any_other(opened: Opener) -> None:
    store, bridge = await opened(), await opened(Role.BRIDGE)
    split = await bring_part(store, 1, 1)
    polls = replace(recipient("phaser"), reason="job-fetchable", notify="NEVER", orcpt="rfc822;x")
    assert await whole(bridge, split.job_id, to=polls)
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    (entry,) = maildrop.entries
    assert b"".join([block async for block in maildrop.read(entry)]) == polls.fields + b"the whole\r\n"
    assert entry.size == len(polls.fields) + 11 == await waiting(store)
    await maildrop.update([entry])
    job = await store.job(split.job_id)
    assert job is not None
    assert (job.state, job.notify, job.orcpt) == ("completed", "NEVER", "rfc822;x")
    assert await waiting(store) == 0
    assert await store.print_again(split.job_id, "ada")


async def test_nobody_gets_parts(opened: Opener) -> None:
    """Neither the bridge nor a POP3 session, and no wish releases them."""
    store, bridge = await opened(), await opened(Role.BRIDGE)
    split = await bring_part(store, 1, 2)
    number = split.job_id
    lease = await held(bridge)
    assert await bridge.pending(["phaser"], 10) == []
    assert list(await bridge.printers_waiting()) == []
    assert not await bridge.claim(lease, number, ["job-transforming"])
    assert not await bridge.sending(lease, number, 0)
    assert not await bridge.hold_for_limit(number, "too long")
    for event in (Event.ABORT, Event.CANCEL):
        assert not await bridge.end(lease, number, event, reasons=["aborted-by-system"], proof=DeliveryProof.NONE)
    for event in (Event.RELEASE, Event.HOLD, Event.REPRINT, Event.UNHOLD):
        assert not await bridge.move(lease, number, event, reasons=["job-queued"])
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    assert not maildrop.entries
    await maildrop.close()
    with pytest.raises(PermanentFailure, match="parts are still to come"):
        await store.unhold(number, "ada")
    assert not await store.hold(number, "ada")
    assert not await store.decide(number, "ada", printed=True)
    with pytest.raises(PermanentFailure):
        await store.print_again(number, "ada")
    with pytest.raises(PermanentFailure):
        await octets_of(store, number)
    assert await state_of(store, number) == INCOMING
    assert [found.states for found in await store.waiting()] == [{"pending-held": 1}]


async def test_parts_are_known_by_sender_printer_and_id(opened: Opener) -> None:
    store = await opened()
    found = [
        await bring_part(store, 1, 2),
        await bring_part(store, 1, 2, sender="bob@example.com"),
        await bring_part(store, 1, 2, to=recipient("other")),
        await bring_part(store, 1, 2, part_id="another", content=b"other"),
    ]
    assert len({split.job_id for split in found}) == 4
    assert (await bring_part(store, 2, sender="bob@example.com")).job_id == found[1].job_id
    assert [split.job_id for split in await store.split_mails()] == sorted(split.job_id for split in found)
    with pytest.raises(ValueError, match="proved"):
        await bring_part(store, 2, proved="")


@pytest.mark.parametrize("size", SIZES)
async def test_a_part_is_taken_once(opened: Opener, size: int) -> None:
    store = await opened()
    first = await bring_part(store, 1, octets=pattern(size))
    assert await bring_part(store, 1, octets=pattern(size + 1), content=b"another") == first
    assert await part_of(store, first.job_id, 1) == pattern(size)
    second = await bring_part(store, 2, 2)
    assert await whole(store, first.job_id)
    late = await bring_part(store, 2, 2)  # the client has not heard the answer
    assert (late.job_id, late.complete) == (second.job_id, False)
    assert not await whole(store, late.job_id)
    assert len(await store.jobs()) == 1
    assert await store.split_mails() == []


async def test_parts_may_be_alike(opened: Opener) -> None:
    store = await opened()
    for number in (1, 2, 3):
        split = await bring_part(store, number, 3, octets=b"x", content=b"same", header_message_id="<1@example.com>")
    assert split.complete


@pytest.mark.parametrize(
    ("before", "part"),
    [
        ([], Part(id="id", number=0)),
        ([], Part(id="id", number=3, total=2)),
        ([Part(id="id", number=1, total=2)], Part(id="id", number=3)),
        ([Part(id="id", number=1, total=2)], Part(id="id", number=2, total=3)),
        ([Part(id="id", number=1, total=2)], Part(id="id", number=1, total=3)),
        ([Part(id="id", number=3)], Part(id="id", number=1, total=2)),
    ],
)
async def test_a_part_that_contradicts_the_others_is_refused(opened: Opener, before: list[Part], part: Part) -> None:
    store = await opened()
    for earlier in before:
        await bring_part(store, earlier.number, earlier.total)
    splits, octets = await store.split_mails(), await waiting(store)
    with pytest.raises(PermanentFailure) as caught:
        await bring_part(store, part.number, part.total, content=b"contradicts")
    assert caught.value.status == "5.6.0"
    assert (await store.split_mails(), await waiting(store)) == (splits, octets)


async def test_limits_of_split_mail(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened()
    first = await bring_part(store, 1, octets=pattern(60))
    for number, total, octets, limits in (
        (6, 0, 1, LIMITS),
        (2, 6, 1, LIMITS),
        (2, 2, 41, replace(LIMITS, octets=100)),
        (2, 10**30, 1, LIMITS),
    ):
        with pytest.raises(PermanentFailure) as caught:
            await bring_part(store, number, total, octets=pattern(octets), limits=limits)
        assert caught.value.status == "5.3.4"
    assert list(await store.split_mails()) == [first]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3601)
    with pytest.raises(PermanentFailure, match="time for the parts"):
        await bring_part(store, 2, 2)


async def test_quota_counts_parts(opened: Opener) -> None:
    store = await opened()
    small = recipient("phaser", quota=100)
    split = await bring_part(store, 1, 2, octets=pattern(60), to=small)
    with pytest.raises(TransientFailure) as caught:
        await bring_part(store, 2, 2, octets=pattern(41), to=small)
    assert caught.value.status == "4.2.2"
    await bring_part(store, 2, 2, octets=pattern(40), to=small)
    with pytest.raises(PermanentFailure) as full:
        await whole(store, split.job_id, pattern(101), small)
    assert full.value.status == "5.2.3"
    assert (await waiting(store), await state_of(store, split.job_id)) == (100, INCOMING)
    assert await whole(store, split.job_id, pattern(60), small)


async def test_limits_of_the_printer_and_capabilities_hold_for_split_mail(opened: Opener) -> None:
    store = await opened()
    made = await store.add_capability("phaser", b"x" * 32, made_by="ada", max_jobs=1)
    to = replace(recipient("phaser"), limits=PrintLimits(jobs=1, octets=20), capability=made.id)
    split = await bring_part(store, 1, 3, octets=pattern(10), to=to)
    split = await bring_part(store, 2, octets=pattern(10), to=to)  # the same job
    assert await store.usage("phaser", ADA) == Usage(jobs=1, octets=20)
    with pytest.raises(TransientFailure) as caught:
        await bring_part(store, 3, octets=pattern(1), to=to)
    assert caught.value.status == "4.7.1"
    with pytest.raises(PermanentFailure, match="had all its jobs"):
        await bring_part(store, 1, part_id="other", to=replace(to, limits=PrintLimits()), content=b"other")
    job = await store.job(split.job_id)
    assert job is not None
    assert job.capability == made.id
    assert await store.revoke_capability(made.id, "ada")
    with pytest.raises(PermanentFailure, match="revoked"):
        await bring_part(store, 3, to=replace(to, limits=PrintLimits()))


async def test_a_signature_proves_one_part(opened: Opener) -> None:
    store = await opened()
    await bring_part(store, 1, signatures=(b"one",))
    with pytest.raises(PermanentFailure) as caught:
        await bring_part(store, 2, signatures=(b"one",))
    assert caught.value.status == "5.7.1"
    split = await bring_part(store, 2, 2, signatures=(b"two",))
    with pytest.raises(PermanentFailure):
        await whole(store, split.job_id, signatures=(b"two",))
    assert await whole(store, split.job_id, signatures=(b"three",))


async def test_all_parts_come_to_one_address(opened: Opener) -> None:
    """Its options and the rules behind it hold for the whole, whichever part came first."""
    store = await opened()
    said = {number: replace(recipient("phaser"), address=f"phaser+copies={number}@example.com") for number in (2, 5)}
    split = await bring_part(store, 1, 3, to=said[2])
    with pytest.raises(PermanentFailure, match="another address") as caught:
        await bring_part(store, 2, to=said[5])
    assert caught.value.status == "5.6.0"
    assert await bring_part(store, 1, to=said[5]) == split  # nothing comes of it
    assert (await bring_part(store, 2, to=replace(said[2], address="Phaser+Copies=2@EXAMPLE.com"))).parts == (1, 2)


async def test_few_split_mails_of_one_sender_wait(opened: Opener) -> None:
    store = await opened()
    for number in range(100):
        await bring_part(store, 1, 2, part_id=str(number), content=b"%d" % number)
    with pytest.raises(TransientFailure) as caught:
        await bring_part(store, 1, 2, part_id="more", content=b"more")
    assert caught.value.status == "4.2.2"
    await bring_part(store, 1, 2, part_id="more", content=b"more", sender="bob@example.com")
    split = await bring_part(store, 2, part_id="0", content=b"0")
    assert await whole(store, split.job_id)
    await bring_part(store, 1, 2, part_id="more", content=b"more")


async def test_the_same_mail_in_parts_prints_once(opened: Opener) -> None:
    store = await opened()
    mail: dict[str, Any] = {"header_message_id": "<whole@example.com>", "content": b"content"}
    first, second, third = [await bring_part(store, 1, 1, part_id=each, content=each.encode()) for each in "abc"]
    assert await whole(store, first.job_id, **mail)
    with pytest.raises(PermanentFailure, match=f"is job {first.job_id};") as caught:
        await whole(store, second.job_id, **mail)
    assert caught.value.status == "5.6.0"
    assert await state_of(store, second.job_id) == INCOMING
    draft = await store.draft()
    (again,) = await store.accept(draft, envelope(proof="spf", proved=ADA, **mail), [recipient("phaser")])
    assert (again, again.earlier) == (first.job_id, True)
    assert await store.cancel(first.job_id, "ada")
    assert await whole(store, third.job_id, **mail)


@pytest.mark.parametrize("way", ["cancel", "give up", "forget"])
async def test_parts_go_with_their_job(opened: Opener, way: str) -> None:
    store = await opened()
    for number, size in enumerate(SIZES, start=1):
        split = await bring_part(store, number, 4, octets=pattern(size))
    if way == "cancel":
        assert await store.cancel(split.job_id, "ada")
    elif way == "give up":
        assert await store.give_up_split(split.job_id, ["aborted-by-system"], "part 4 of 4 did not come")
        assert not await store.give_up_split(split.job_id, ["aborted-by-system"], "again")
        (found,) = await store.occurrences(10)
        assert (found.occasion, found.detail) == (Occasion.ABORTED, "part 4 of 4 did not come")
    else:
        await store.forget_printer("phaser")
    state, reasons = await state_of(store, split.job_id)
    assert state == ("aborted" if way == "give up" else "canceled")
    assert "job-incoming" not in reasons
    assert await waiting(store) == 0
    assert await store.split_mails() == []
    assert not await whole(store, split.job_id)
    assert not await store.give_up_split(split.job_id, ["aborted-by-system"], "again")
    assert await store.kept_until(split.job_id) == 0.0
    with pytest.raises(PermanentFailure):
        await store.print_again(split.job_id, "ada")
    anew = await bring_part(store, 1, 4)  # it ended without paper, so it may come again
    assert anew.job_id != split.job_id


async def test_the_sweep_takes_no_parts_that_wait(opened: Opener) -> None:
    store = await opened(keep=0.0)
    for number, size in enumerate(SIZES, start=1):
        split = await bring_part(store, number, 3, octets=pattern(size))
    assert await store.sweep(time.time() + 200 * 86400) == 0
    for number, size in enumerate(SIZES, start=1):
        assert await part_of(store, split.job_id, number) == pattern(size)
    assert await whole(store, split.job_id)
    await store.sweep(time.time() + 200 * 86400)
    assert await octets_of(store, split.job_id) == b"the whole\r\n"


async def test_parts_outlive_the_process(opened: Opener) -> None:
    store = await opened()
    for number, size in enumerate(SIZES, start=1):
        split = await bring_part(store, number, 3, octets=pattern(size))
    await store.close()
    store = await opened()
    assert list(await store.split_mails()) == [split]
    for number, size in enumerate(SIZES, start=1):
        assert await part_of(store, split.job_id, number) == pattern(size)
    assert await whole(store, split.job_id)


async def test_what_is_not_whole_is_not_put_together(opened: Opener) -> None:
    store = await opened()
    split = await bring_part(store, 1, 2)
    for to in (recipient("phaser"), recipient("other")):
        with pytest.raises(ValueError, match="split mail for phaser"):
            await whole(store, split.job_id, to=to)
    assert list(await store.split_mails()) == [split]
    assert not await whole(store, 999)


async def test_all_parts_at_once(opened: Opener) -> None:
    store = await opened()
    sizes = itertools.cycle(SIZES)
    found = await asyncio.gather(*(bring_part(store, n, 5, octets=pattern(next(sizes))) for n in (1, 2, 3, 4, 5, 1, 3)))
    assert len({split.job_id for split in found}) == 1
    (split,) = await store.split_mails()
    assert split.complete
    assert await whole(store, split.job_id)
