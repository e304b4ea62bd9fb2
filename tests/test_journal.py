"""When a job prints under a banner."""

from __future__ import annotations

import pytest

from mailstore.job import DeliveryProof, Job, JobState
from printerbridge.journal import again


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
