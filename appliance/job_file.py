"""A job with all that is known of it, as the page, the API and the commands show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailstore.directory.records import Printer
from mailstore.job import Job
from mailstore.store.contract import JobEvent, Store
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


async def read(store: Store, job: Job, shown: Sequence[Picture], *, own: bool, operated: bool) -> JobFile:
    """`shown`: what pictures of its pages there are for whoever looks.  Raises `TransientFailure`."""
    return JobFile(
        job=job,
        trace=await store.trace(job.id),
        kept_until=await store.kept_until(job.id),
        documents=await store.documents(job.id),
        pictures=shown,
        own=own,
        operated=operated,
    )


async def pictures(store: Store, job: Job, printer: Printer | None) -> Sequence[Picture]:
    """Those that there are; none of a printer that became confidential, or of which nobody knows whether it did."""
    return () if printer is None or printer.confidential else await store.thumbnails(job.id)
