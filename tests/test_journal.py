"""When a job prints under a banner, and what must not be forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mailstore.job import DeliveryProof, Job, JobState
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.sql import open_store
from printerbridge.journal import Journal, Outcome, again
from tests.directory_server import short_folder
from tests.printshop import POSTSCRIPT, message


@pytest.mark.parametrize(
    ("reasons", "attempts", "expected"),
    [
        ("job-queued", 0, False),
        ("resources-are-not-ready", 0, False),
        ("resources-are-not-ready", 3, False),  # reset before any octet was taken, each time
        ("x-printed-again job-queued", 1, True),
        ("x-printed-again resources-are-not-ready", 2, True),
        ("job-queued", 1, True),  # the process died while it converted what was to be printed again
    ],
)
def test_a_job_that_may_be_on_paper_gets_a_banner(reasons: str, attempts: int, expected: bool) -> None:
    job = Job(
        id=7,
        printer="phaser",
        state=JobState.PENDING,
        reasons=tuple(reasons.split()),
        sender="ada@example.com",
        name="a job",
        message_id=1,
        octets=100,
        documents=1,
        pages=0,
        attempts=attempts,
        delivery_proof=DeliveryProof.NONE,
        trust="insider",
        detail="",
        received_at=1.0,
        processing_at=0.0,
        sending_at=0.0,
        completed_at=0.0,
        next_attempt_at=0.0,
    )
    assert again(job) is expected


async def test_breaking_a_job_off_does_not_forget_that_the_one_before_was_printed(tmp_path: Path) -> None:
    envelope = Envelope(reverse_path="ada@example.com", client_ip="192.0.2.9", helo="client", trust="insider")
    to = Recipient(maildrop="phaser", address="phaser@example.com", quota=1 << 40, fields=b"")
    with short_folder() as runtime:
        store = await open_store(tmp_path, role=Role.APPLIANCE, reserve=0, runtime=runtime)
        for _ in range(2):
            draft = await store.draft()
            draft.write(message(POSTSCRIPT))
            await store.accept(draft, envelope, [to])
        first, second = await store.pending(["phaser"], 2)
        journal = Journal(store)
        journal.lease = lease = await store.acquire("device:socket://192.0.2.7:9100", "this bridge", 30)
        assert lease is not None
        assert await journal.begin(first, 0, lambda: None)
        journal.complete(first, Outcome(pages=1, proof=DeliveryProof.CLOSED, detail="sent"))
        beginning = asyncio.create_task(journal.begin(second, 0, lambda: None))
        await asyncio.sleep(0)
        beginning.cancel()
        await asyncio.wait([beginning])
        assert beginning.cancelled()
        async with asyncio.timeout(5):
            await journal.settled()
        await store.release(lease)
        printed = await store.job(first.id)
        await store.close()
    assert printed is not None
    assert printed.state is JobState.COMPLETED
