"""A job with all that is known of it, as the page, the API and the commands show it.

Security: a release code prints what it belongs to, so it is shown to whoever may release the job anyway, and to a
sender who was proved at receipt; somebody whose address was merely claimed learns nothing by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mailstore.directory.records import Printer
from mailstore.job import Job, JobState
from mailstore.store.contract import JobEvent, Store
from mailstore.store.following import Progress
from mailstore.store.papers import DocumentRecord

Picture = tuple[int, int]
"""A picture of a page: document and page, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """A job, its trace, its documents."""

    job: Job
    trace: Sequence[JobEvent]
    kept_until: float  # until when it can be printed again, 0.0 if it cannot
    documents: Sequence[DocumentRecord]  # and parts that were left out; none before the bridge made it ready
    pictures: Sequence[Picture]
    own: bool  # of whoever looks
    operated: bool  # who looks may also hold and release it
    progress: Progress | None = None  # how far it came
    code: str = ""  # that releases it, where whoever looks may know it
    expires_at: float = 0.0  # when it is given up if it waits so long, 0.0 where it does not or nobody knows


async def read(
    store: Store, job: Job, shown: Sequence[Picture], printer: Printer | None, *, own: bool, operated: bool
) -> JobFile:
    """`shown`: what pictures of its pages there are for whoever looks.  Raises `TransientFailure`."""
    entitled = operated or (own and (bool(job.login) or job.answerable))
    trace = await store.trace(job.id)
    return JobFile(
        job=job,
        trace=trace,
        kept_until=await store.kept_until(job.id),
        documents=await store.documents(job.id),
        pictures=shown,
        own=own,
        operated=operated,
        progress=await store.progress(job.id),
        code=job.release_code if entitled and job.state is JobState.PENDING_HELD else "",
        expires_at=expires_at(job, printer),
    )


def expires_at(job: Job, printer: Printer | None) -> float:
    """When a job that waits is given up; 0.0 for one that is being printed or has ended."""
    if printer is None:
        return 0.0
    since = max(job.received_at, job.waits_from)
    if job.state is JobState.PENDING_HELD:
        return since + printer.hold_expiry
    in_doubt = job.state is JobState.PROCESSING_STOPPED and "x-delivery-unknown" in job.reasons
    return since + printer.expiry if job.state is JobState.PENDING or in_doubt else 0.0


async def progresses(store: Store, jobs: Iterable[Job]) -> Mapping[int, Progress]:
    """Of those that a printer has some of, by number.  Raises `TransientFailure`."""
    begun = (JobState.PROCESSING, JobState.PROCESSING_STOPPED)
    asked = [(job.id, await store.progress(job.id)) for job in jobs if job.state in begun]
    return {number: progress for number, progress in asked if progress is not None}


async def pictures(store: Store, job: Job, printer: Printer | None) -> Sequence[Picture]:
    """Those that there are; none of a printer that became confidential, or of which nobody knows whether it did."""
    return () if printer is None or printer.confidential else await store.thumbnails(job.id)
