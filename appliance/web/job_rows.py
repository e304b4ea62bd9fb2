"""Jobs as the pages show them: a row with what whoever looks may do.

Security: a button that is shown gives no right; the desk asks again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from appliance.described_job import picture
from appliance.job_file import Picture, pictures, progresses
from appliance.rights import Act, may, may_release
from appliance.web import paper
from appliance.web.paper import is_in_doubt, under_way
from appliance.web.site import Site
from mailstore.directory.records import Person, Printer
from mailstore.failure import TransientFailure
from mailstore.job import Job, JobState
from mailstore.store.following import Progress
from mailstore.store.papers import DocumentRecord


class Wish(StrEnum):
    """What can be done with a job, by the last part of the address."""

    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    PRINTED = "printed"
    REPRINT = "reprint"
    RESUME = "resume"
    AGAIN = "again"


LABELS: dict[Wish, str] = {
    Wish.CANCEL: "Cancel",
    Wish.HOLD: "Hold",
    Wish.RELEASE: "Release",
    Wish.PRINTED: "It was printed",
    Wish.REPRINT: "Print it again",
    Wish.RESUME: "Go on behind what it confirmed",
    Wish.AGAIN: "Print again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job in a table, with what whoever looks may do."""

    job: Job
    kept_until: float
    wishes: Sequence[Wish]
    documents: Sequence[DocumentRecord] = ()
    pictures: Sequence[Picture] = ()
    progress: Progress | None = None

    @property
    def taken(self) -> str:
        """How much of it the printer has, while it is being sent."""
        known = self.progress if under_way(self.job) and not is_in_doubt(self.job) else None
        return paper.taken(known) if known else ""

    @property
    def in_doubt(self) -> str:
        """What is known of a job in doubt, a sentence; "" of one that is not."""
        return paper.known_in_doubt(self.progress) if is_in_doubt(self.job) else ""

    def label(self, wish: Wish) -> str:
        """What its button says."""
        return (wish is Wish.RESUME and paper.go_on(self.progress)) or LABELS[wish]

    def source(self, shown: Picture) -> str:
        """Where a picture of a page is."""
        return picture(self.job.id, *shown)

    def alternative(self, shown: Picture) -> str:
        """What a picture of a page shows, for who does not see it."""
        number, page = shown
        name = next((one.name for one in self.documents if one.number == number), "")
        return f"Page {page} of {name or f'document {number}'}"


def wishes(
    job: Job,
    *,
    operated: bool,
    kept_until: float,
    now: float,
    progress: Progress | None = None,
    releases: bool = False,
) -> list[Wish]:
    """What somebody who may see the job can do with it; `operated`: he also operates its printer; `releases`:
    he may release it all the same.
    """
    found = []
    if is_in_doubt(job):
        found += [Wish.PRINTED, Wish.REPRINT]
        found += [Wish.RESUME] if progress is not None and progress.resumable else []
    if operated and job.state is JobState.PENDING:
        found.append(Wish.HOLD)
    if (operated or releases) and job.state is JobState.PENDING_HELD and "job-incoming" not in job.reasons:
        found.append(Wish.RELEASE)
    if not job.state.ended:
        found.append(Wish.CANCEL)
    elif kept_until > now:
        found.append(Wish.AGAIN)
    return found


async def rows(site: Site, person: Person, jobs: Iterable[Job]) -> list[Row]:
    """The jobs as a table shows them.  While the directory is silent nobody's role in a printer is known."""
    now = time.time()
    printers: dict[str, Printer | None] = {}
    made = []
    jobs = list(jobs)
    far = await progresses(site.store, jobs)
    for job in jobs:
        if job.printer not in printers:
            printers[job.printer] = await _known(site, job.printer)
        printer = printers[job.printer]
        kept = await site.store.kept_until(job.id) if job.state.ended else 0.0
        made.append(
            Row(
                job=job,
                kept_until=kept,
                wishes=wishes(
                    job,
                    operated=may(person, Act.OPERATE, printer),
                    kept_until=kept,
                    now=now,
                    progress=far.get(job.id),
                    releases=may_release(person, job, printer),
                ),
                progress=far.get(job.id),
                documents=await site.store.documents(job.id),
                pictures=await pictures(site.store, job, printer),
            )
        )
    return made


async def _known(site: Site, printer: str) -> Printer | None:
    try:
        return await site.directory.printer(printer)
    except TransientFailure:
        return None
