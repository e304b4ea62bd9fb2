"""What every storage engine must count and remember of who prints what (`mailstore.store.admission`)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace
from typing import Any

import pytest

from mailstore.directory.records import MAILDROP_OF_PERSON, NO_LIMITS, PrintLimits
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, Event, JobState, Proof
from mailstore.store.admission import DUPLICATE_SECONDS, SIGNATURE_SECONDS, Accepted, Capability, Usage
from mailstore.store.contract import Recipient, Role, Store
from mailstore.store.outbox import Occasion
from tests.contracts.engines import Opener
from tests.contracts.store import complete_from_pending, envelope, held, octets_of, pattern, recipient, state_of
from tests.contracts.wishes import traced

ADA = "ada@example.com"
SIZES = [10, 50_000, 2_000_000]
TOKEN = hashlib.sha256(b"token").digest()


async def bring(
    store: Store,
    *recipients: Recipient,
    octets: bytes = b"hello\r\n",
    number: int = 1,
    content: bytes = b"content",
    **changes: object,
) -> list[Accepted]:
    said = envelope(header_message_id=f"<{number}@example.com>", content=content, **changes)
    draft = await store.draft(len(octets))
    draft.write(octets)
    try:
        return list(await store.accept(draft, said, recipients))
    finally:
        await draft.discard()


async def refused(store: Store, *recipients: Recipient, number: int = 99, **changes: object) -> tuple[str, str]:
    before = await standing(store)
    with pytest.raises((TransientFailure, PermanentFailure)) as caught:
        await bring(store, *recipients, number=number, **changes)  # type: ignore[arg-type]
    assert await standing(store) == before  # nothing is kept
    return caught.value.status, caught.value.text


async def standing(store: Store) -> tuple[list[int], list[int]]:
    jobs = [job.id for job in await store.jobs()]
    return jobs, [(await store.standing(name))[1] for name in ("phaser", "other", f"{MAILDROP_OF_PERSON}ada")]


def limited(limits: PrintLimits, maildrop: str = "phaser") -> Recipient:
    return replace(recipient(maildrop), limits=limits)


async def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


# -- what a job tells


async def test_a_job_tells_what_proved_its_sender(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await bring(store, recipient("phaser"), proof="dkim", proved=ADA)
    (plain,) = await bring(store, recipient("phaser"), number=2)
    found, other = await store.job(job_id), await store.job(plain)
    assert found is not None
    assert other is not None
    assert (found.proof, found.proved, found.capability, found.waived) == (Proof.DKIM, ADA, 0, False)
    assert (other.proof, other.proved) == (Proof.NONE, "")


# -- duplicates


@pytest.mark.parametrize("size", SIZES)
async def test_the_same_mail_makes_one_job(opened: Opener, size: int) -> None:
    store = await opened()
    (first,) = await bring(store, recipient("phaser"), octets=pattern(size))
    before = (await store.standing("phaser"))[1]
    for _ in range(2):
        (again,) = await bring(store, recipient("phaser"), octets=pattern(size))
        assert (again, again.earlier) == (first, True)
    assert not first.earlier
    assert [job.id for job in await store.jobs()] == [first]
    assert (await store.standing("phaser"))[1] == before
    assert await octets_of(store, first) == pattern(size)
    trace = await traced(store, first)
    assert len([line for line in trace if "came again, from 192.0.2.1" in line]) == 1  # however often


async def test_a_duplicate_is_one_of_printer_sender_id_and_content(opened: Opener) -> None:
    store = await opened()
    made = [
        *await bring(store, recipient("phaser")),
        *await bring(store, recipient("other")),
        *await bring(store, recipient("phaser"), number=2),
        *await bring(store, recipient("phaser"), content=b"another"),
        *await bring(store, recipient("phaser"), reverse_path="bob@example.com"),
    ]
    assert len(set(made)) == 5
    for content, said in ((b"", "<1@example.com>"), (b"content", "")):  # it cannot be told from others
        for _ in range(2):
            draft = await store.draft(1)
            (job,) = await store.accept(draft, envelope(content=content, header_message_id=said), [recipient("phaser")])
            assert not job.earlier
    assert len(await store.jobs()) == 9


async def test_who_has_not_had_it_gets_it(opened: Opener) -> None:
    """The second recipient of a mail that came again is new; a person gets it as often as it comes."""
    store = await opened()
    person = recipient(f"{MAILDROP_OF_PERSON}ada")
    (first, mail) = await bring(store, recipient("phaser"), person)
    again = await bring(store, recipient("other"), recipient("phaser"), person)
    assert [job.earlier for job in again] == [False, True, False]
    assert again[1] == first
    assert len({first, mail, *again}) == 4


async def test_a_printer_named_twice_prints_once(opened: Opener) -> None:
    store = await opened()
    group = replace(recipient("phaser"), address="all@example.com")
    jobs = await bring(store, recipient("phaser"), recipient("other"), group)
    assert jobs[0] == jobs[2] != jobs[1]
    assert [job.earlier for job in jobs] == [False] * 3
    assert len(await store.jobs()) == 2


@pytest.mark.parametrize("event", [Event.ABORT, Event.CANCEL, Event.COMPLETE])
async def test_what_ended_without_paper_may_come_again(opened: Opener, event: Event) -> None:
    store = await opened()
    (first,) = await bring(store, recipient("phaser"))
    lease = await held(store)
    assert await store.claim(lease, first, ["job-transforming"])
    assert await store.end(lease, first, event, reasons=["aborted-by-system"], proof=DeliveryProof.NONE)
    (again,) = await bring(store, recipient("phaser"))
    assert again.earlier == (event is Event.COMPLETE)
    (third,) = await bring(store, recipient("phaser"))
    assert (third, third.earlier) == (again, True)


async def test_after_an_hour_it_is_another_mail(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened()
    (first,) = await bring(store, recipient("phaser"))
    await later(monkeypatch, DUPLICATE_SECONDS + 1)
    (again,) = await bring(store, recipient("phaser"))
    assert again != first
    assert not again.earlier


async def test_the_memory_outlives_the_process(opened: Opener) -> None:
    store = await opened()
    (first,) = await bring(store, recipient("phaser"))
    await store.close()
    (again,) = await bring(await opened(), recipient("phaser"))
    assert (again, again.earlier) == (first, True)


async def test_many_at_once_make_one_job(opened: Opener) -> None:
    store = await opened()
    found = await asyncio.gather(*(bring(store, recipient("phaser")) for _ in range(20)))
    assert len({job for jobs in found for job in jobs}) == 1
    assert sum(not jobs[0].earlier for jobs in found) == 1


# -- signatures


async def test_what_another_proof_let_in_is_known_by_its_signature(opened: Opener) -> None:
    store = await opened()
    for number in (1, 2):  # it may come again by the other proof
        (accepted,) = await bring(store, recipient("phaser"), number=number, proved=ADA, also_signed=(b"one",))
        assert not accepted.earlier
    assert (await refused(store, recipient("phaser"), signatures=(b"one",)))[0] == "5.7.1"
    assert await bring(store, recipient("other"), number=3, signatures=(b"one",))


async def test_a_signature_counts_once(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened()
    signed: dict[str, Any] = {"signatures": (b"one", b"two"), "proved": ADA}
    (first,) = await bring(store, recipient("phaser"), **signed)
    (again,) = await bring(store, recipient("phaser"), **signed)  # the very mail: the client heard no answer
    assert (again, again.earlier) == (first, True)
    status, text = await refused(store, recipient("phaser"), signatures=(b"two",))
    assert status == "5.7.1"
    assert "DKIM signature came before" in text
    assert await store.cancel(first, "ada")
    assert (await refused(store, recipient("phaser"), signatures=(b"one",)))[0] == "5.7.1"
    await bring(store, recipient("other"), number=3, **signed)  # each recipient in a transaction of his own
    await bring(store, recipient(f"{MAILDROP_OF_PERSON}ada"), number=4, **signed)
    await later(monkeypatch, SIGNATURE_SECONDS + 1)
    assert await bring(store, recipient("phaser"), number=5, **signed)


# -- limits of jobs and octets


async def test_a_printer_takes_so_many_jobs_an_hour(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened()
    phaser = limited(PrintLimits(jobs=2))
    for number in (1, 2, 2):  # a duplicate uses up nothing
        await bring(store, phaser, number=number, proved=ADA)
    status, text = await refused(store, phaser, recipient("other"), proved="bob@example.com")
    assert (status, text) == (
        "4.7.1",
        "the printer takes no more jobs from everybody together within this hour, try again later",
    )
    (again,) = await bring(store, phaser, number=2, proved=ADA)
    assert again.earlier
    await later(monkeypatch, 3600 + 300)
    assert await bring(store, phaser, number=4)


async def test_a_proved_sender_has_a_limit_of_his_own(opened: Opener) -> None:
    store = await opened()
    phaser = limited(PrintLimits(sender_jobs=1))
    for number in (1, 2, 3):
        await bring(store, phaser, number=number)  # nobody is proved, so nobody's limit is used up
    await bring(store, phaser, number=4, proved=ADA)
    status, text = await refused(store, phaser, proved=ADA)
    assert (status, text) == (
        "4.7.1",
        "the printer takes no more jobs from one sender within this hour, try again later",
    )
    await bring(store, phaser, number=5, proved="bob@example.com")
    await bring(store, limited(PrintLimits(sender_jobs=1), "other"), number=6, proved=ADA)
    assert await store.usage("phaser", ADA) == Usage(jobs=1, octets=7)
    assert await store.usage("phaser") == Usage(jobs=5, octets=35)


async def test_a_group_has_limits_of_its_own_and_a_mail_counts_there_once(opened: Opener) -> None:
    store = await opened()
    members = [
        replace(recipient(name), limits=limits, group="all", group_limits=PrintLimits(jobs=2, octets=100))
        for name, limits in (("phaser", NO_LIMITS), ("other", PrintLimits(jobs=3)))
    ]
    for number in (1, 1, 2):
        assert len(set(await bring(store, *members, number=number, proved=ADA))) == 2
    assert await store.usage("all") == await store.usage("all", ADA) == Usage(jobs=2, octets=14)
    assert await store.usage("phaser") == Usage()
    assert await store.usage("other") == Usage(jobs=2, octets=14)
    assert (await refused(store, *members, proved="bob@example.com"))[0] == "4.7.1"
    assert (await refused(store, members[0], octets=pattern(101)))[0] == "5.3.4"
    await bring(store, limited(PrintLimits(jobs=3), "other"), number=3)  # not by the group
    assert (await refused(store, limited(PrintLimits(jobs=3), "other")))[0] == "4.7.1"


async def test_what_a_wrong_clock_counted_refuses_nobody(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened()
    phaser = limited(PrintLimits(jobs=1, pages=5))
    real, year = time.time, 365 * 86400
    monkeypatch.setattr(time, "time", lambda: real() + year)
    (early,) = await bring(store, phaser, proved=ADA, signatures=(b"one",))
    assert await store.count_pages(early, 5, phaser.limits) == ""
    monkeypatch.setattr(time, "time", real)
    assert await store.usage("phaser") == await store.usage("phaser", ADA) == Usage()
    (job_id,) = await bring(store, phaser, number=2, proved=ADA)
    assert await store.count_pages(job_id, 5, phaser.limits) == ""
    monkeypatch.setattr(time, "time", lambda: real() - 10)  # a little, and what was counted stands
    assert (await refused(store, phaser))[0] == "4.7.1"
    monkeypatch.setattr(time, "time", real)
    await store.sweep(real())
    assert await store.usage("phaser") == Usage(jobs=1, octets=7, pages=5)
    monkeypatch.setattr(time, "time", lambda: real() + year)
    assert await store.usage("phaser") == Usage()  # nothing of it waits for its year


async def test_octets_an_hour(opened: Opener) -> None:
    store = await opened()
    for limits, whom in (
        (PrintLimits(octets=100), "everybody together"),
        (PrintLimits(sender_octets=100), "one sender"),
    ):
        phaser = limited(limits, whom.replace(" ", "-"))
        await bring(store, phaser, octets=pattern(60), proved=ADA)
        status, text = await refused(store, phaser, octets=pattern(41), proved=ADA)
        assert (status, f"no more octets from {whom}" in text) == ("4.7.1", True)
        status, text = await refused(store, phaser, octets=pattern(101), proved=ADA)
        assert (status, text) == ("5.3.4", f"larger than all that the printer takes from {whom} in an hour")
        assert await bring(store, phaser, octets=pattern(40), number=7, proved=ADA)


async def test_nothing_is_counted_where_there_is_no_limit(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await bring(store, recipient("phaser"), proved=ADA)
    assert await store.count_pages(job_id, 5, NO_LIMITS) == ""
    assert await store.usage("phaser") == await store.usage("phaser", ADA) == Usage()


# -- capabilities


async def test_a_capability_is_made_found_and_revoked(opened: Opener) -> None:
    store = await opened()
    made = await store.add_capability("phaser", TOKEN, made_by="ada", note="for the fair", max_jobs=3)
    assert (made.printer, made.note, made.made_by, made.max_jobs, made.jobs) == ("phaser", "for the fair", "ada", 3, 0)
    assert abs(made.created_at - time.time()) < 60
    second = await store.add_capability("other", b"x" * 32, made_by="ada")
    assert await store.capability(TOKEN) == made
    assert await store.capability(b"y" * 32) is None
    assert list(await store.capabilities()) == [second, made]
    assert list(await store.capabilities("phaser")) == [made]
    assert await store.revoke_capability(made.id, "bob")
    assert not await store.revoke_capability(made.id, "bob")
    assert not await store.revoke_capability(999, "bob")
    found = await store.capability(TOKEN)
    assert found is not None
    assert found.revoked_by == "bob"
    assert found.why_not(time.time()) == "it was revoked"
    await store.close()
    assert await (await opened()).capability(TOKEN) == found


@pytest.mark.parametrize(
    ("more", "before", "why"),
    [
        ({"max_jobs": 1}, 1, "it has had all its jobs"),
        ({"expires_at": 1.0}, 0, "its time is over"),
        ({"max_jobs": 2, "expires_at": 4e9}, 2, "it has had all its jobs"),
    ],
)
async def test_a_capability_lets_so_much_in(opened: Opener, more: dict[str, float], before: int, why: str) -> None:
    store = await opened()
    made = await store.add_capability("phaser", TOKEN, made_by="ada", **more)  # type: ignore[arg-type]
    by_it = replace(recipient("phaser"), capability=made.id)
    for number in range(before):
        (job_id,) = await bring(store, by_it, number=number)
        (again,) = await bring(store, by_it, number=number)  # a duplicate uses up nothing
        assert again.earlier
        job = await store.job(job_id)
        assert job is not None
        assert job.capability == made.id
    assert await refused(store, by_it, recipient("other")) == ("5.7.1", f"this address lets nobody print: {why}")
    assert (await one(store)).jobs == before


async def one(store: Store) -> Capability:
    found = await store.capability(TOKEN)
    assert found is not None
    return found


async def test_a_capability_that_is_revoked_or_unknown_lets_nobody_in(opened: Opener) -> None:
    store = await opened()
    made = await store.add_capability("phaser", TOKEN, made_by="ada")
    assert await store.revoke_capability(made.id, "ada")
    for number, why in ((made.id, "it was revoked"), (77, "it is not known any more")):
        status, text = await refused(store, replace(recipient("phaser"), capability=number))
        assert (status, text) == ("5.7.1", f"this address lets nobody print: {why}")


async def test_many_at_once_do_not_get_more_than_it_has(opened: Opener) -> None:
    store = await opened()
    made = await store.add_capability("phaser", TOKEN, made_by="ada", max_jobs=3)
    by_it = replace(recipient("phaser"), capability=made.id)
    results = await asyncio.gather(
        *(bring(store, by_it, number=number) for number in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, list) for result in results) == 3
    assert (await one(store)).jobs == 3


async def test_a_mail_to_a_group_is_one_job_of_its_capability(opened: Opener) -> None:
    store = await opened()
    made = await store.add_capability("all", TOKEN, made_by="ada", max_jobs=1)
    members = [replace(recipient(name), capability=made.id) for name in ("phaser", "other")]
    assert len(set(await bring(store, *members))) == 2
    assert (await one(store)).jobs == 1


async def test_who_gets_the_name_of_a_printer_later_is_not_open_by_its_tokens(opened: Opener) -> None:
    store = await opened()
    await store.add_capability("phaser", TOKEN, made_by="ada")
    await store.forget_printer("phaser")
    assert (await one(store)).why_not(time.time()) == "it was revoked"


async def test_who_gets_the_name_of_a_printer_later_begins_with_no_usage(opened: Opener) -> None:
    store = await opened()
    await bring(store, replace(recipient("phaser"), limits=PrintLimits(jobs=1)))
    assert (await store.usage("phaser")).jobs == 1
    await store.forget_printer("phaser")
    assert await store.usage("phaser") == Usage()


# -- pages


async def test_pages_are_counted_once_and_limited(opened: Opener) -> None:
    store = await opened()
    limits = PrintLimits(pages=10, sender_pages=6, job_pages=5)
    (first,) = await bring(store, limited(limits), proved=ADA)
    (second,) = await bring(store, limited(limits), number=2, proved=ADA)
    for _ in range(2):
        assert await store.count_pages(first, 5, limits) == ""
    assert await store.usage("phaser", ADA) == Usage(jobs=2, octets=14, pages=5)
    assert "limit of 5 pages for one job" in await store.count_pages(second, 6, limits)
    assert "the sender's limit of 6 pages a day" in await store.count_pages(second, 2, limits)
    (third,) = await bring(store, limited(limits), number=3)
    assert await store.count_pages(third, 4, limits) == ""
    assert await store.count_pages(third, 5, limits) == ""  # one more than was counted
    assert "the printer's limit of 10 pages a day" in await store.count_pages(second, 1, limits)
    assert (await store.usage("phaser")).pages == 10
    assert await store.count_pages(999, 5, limits) == ""


async def test_what_is_printed_counts_whatever_the_limits(opened: Opener) -> None:
    store = await opened()
    made = await store.add_capability("phaser", TOKEN, made_by="ada", max_pages=5)
    limits = PrintLimits(pages=5, sender_pages=5, job_pages=5)
    by_it = replace(limited(limits), capability=made.id)
    (first,) = await bring(store, by_it, proof="spf", proved=ADA)
    (second,) = await bring(store, by_it, number=2)
    assert await store.count_pages(first, 9, limits, printed=True) == ""
    assert (await store.usage("phaser", ADA)).pages == (await one(store)).pages == 9
    assert "limit of 5 pages a day" in await store.count_pages(second, 1, limits)
    assert "all its pages" in (await refused(store, by_it, number=3))[1]


async def test_a_job_that_is_let_pass_from_the_first_is_counted_and_not_held(opened: Opener) -> None:
    store = await opened()
    limits = PrintLimits(job_pages=1, pages=1)
    (job_id,) = await bring(store, replace(limited(limits), waived=True))
    assert await store.count_pages(job_id, 2, limits) == ""
    assert (await store.usage("phaser")).pages == 2


async def test_a_job_over_its_limit_is_held_until_somebody_lets_it_pass(opened: Opener) -> None:
    store = await opened()
    limits = PrintLimits(job_pages=5, pages=100)
    (job_id,) = await bring(store, limited(limits))
    lease = await held(store)
    assert await store.claim(lease, job_id, ["job-transforming"])
    sentence = await store.count_pages(job_id, 9, limits)
    assert sentence
    assert await store.hold_for_limit(job_id, sentence)
    assert not await store.hold_for_limit(job_id, sentence)
    assert await state_of(store, job_id) == ("pending-held", ("account-limit-reached",))
    (found,) = await store.occurrences(10)
    assert (found.occasion, found.job_id, found.detail) == (Occasion.HELD, job_id, sentence)
    assert not await store.sending(lease, job_id, 0)
    assert await store.unhold(job_id, "ada")
    assert await state_of(store, job_id) == ("pending", ("job-queued",))
    job = await store.job(job_id)
    assert job is not None
    assert job.waived
    assert await store.count_pages(job_id, 9, limits) == ""
    assert (await store.usage("phaser")).pages == 9


async def test_what_may_be_on_paper_is_not_held_for_a_limit(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await bring(store, recipient("phaser"))
    lease = await held(store)
    assert await store.sending(lease, job_id, 0)
    assert not await store.hold_for_limit(job_id, "too long")
    assert await store.move(lease, job_id, Event.DOUBT, reasons=["job-suspended", "x-delivery-unknown"])
    assert not await store.hold_for_limit(job_id, "too long")
    assert await store.decide(job_id, "ada", printed=False)
    assert await store.hold_for_limit(job_id, "too long")
    assert await state_of(store, job_id) == ("pending-held", ("account-limit-reached", "x-printed-again"))
    assert await store.unhold(job_id, "ada")  # and it still prints under its banner
    assert await state_of(store, job_id) == ("pending", ("x-printed-again", "job-queued"))


async def test_a_hold_by_hand_waives_nothing(opened: Opener) -> None:
    store = await opened()
    (job_id,) = await bring(store, recipient("phaser"))
    assert await store.hold(job_id, "ada")
    assert await store.unhold(job_id, "ada")
    job = await store.job(job_id)
    assert job is not None
    assert not job.waived


async def test_pages_of_a_capability(opened: Opener) -> None:
    store = await opened()
    made = await store.add_capability("phaser", TOKEN, made_by="ada", max_pages=5)
    by_it = replace(recipient("phaser"), capability=made.id)
    (first,) = await bring(store, by_it)
    (second,) = await bring(store, by_it, number=2)
    assert await store.count_pages(first, 4, NO_LIMITS) == ""
    sentence = await store.count_pages(second, 2, NO_LIMITS)
    assert "limit of 5 pages of the address" in sentence
    assert await store.hold_for_limit(second, sentence)
    assert await store.unhold(second, "ada")
    assert await store.count_pages(second, 2, NO_LIMITS) == ""
    assert (await one(store)).pages == 6
    assert "all its pages" in (await refused(store, by_it))[1]


async def test_what_prints_again_is_its_senders_and_no_new_job_of_a_capability(opened: Opener) -> None:
    store = await opened()
    limits = PrintLimits(sender_pages=5)
    made = await store.add_capability("phaser", TOKEN, made_by="ada", max_jobs=1)
    by_it = replace(limited(limits), capability=made.id)
    (first,) = await bring(store, by_it, proof="spf", proved=ADA, trust="verified")
    assert await store.count_pages(first, 4, limits) == ""
    assert await complete_from_pending(store, await held(store), first)
    again = await store.print_again(first, "bob")
    job = await store.job(again)
    assert job is not None
    assert (job.state, job.proof, job.proved, job.trust) == (JobState.PENDING, Proof.SPF, ADA, "verified")
    assert (await one(store)).jobs == 1
    assert "the sender's limit" in await store.count_pages(again, 2, limits)
    assert await store.count_pages(again, 1, limits) == ""
    assert (await store.usage("phaser", ADA)).pages == (await one(store)).pages == 5
    (same,) = await bring(store, by_it, proof="spf", proved=ADA, trust="verified")
    assert (same, same.earlier) == (first, True)


# -- the sweep


async def test_what_is_over_is_forgotten(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store, bridge = await opened(), await opened(Role.BRIDGE)
    (job_id,) = await bring(store, limited(PrintLimits(jobs=9)), proved=ADA, signatures=(b"one",))
    made = await store.add_capability("phaser", TOKEN, made_by="ada")
    lasting = await store.add_capability("phaser", b"y" * 32, made_by="ada")
    assert await store.count_pages(job_id, 3, PrintLimits(pages=9)) == ""
    assert await store.revoke_capability(made.id, "ada")
    now = time.time()
    await store.sweep(now + 23 * 3600)
    assert (await bridge.usage("phaser")).pages == 3
    assert (await refused(store, recipient("phaser"), signatures=(b"one",)))[0] == "5.7.1"
    await store.sweep(now + 27 * 3600)
    assert await bridge.usage("phaser") == await bridge.usage("phaser", ADA) == Usage()
    await store.sweep(now + 31 * 86400)
    assert await bring(store, recipient("phaser"), number=8, signatures=(b"one",))
    assert len(await store.capabilities()) == 2
    await store.sweep(now + 91 * 86400)
    assert list(await store.capabilities()) == [lasting]
