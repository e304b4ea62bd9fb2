"""How far a job came on its way to paper, what proves that it got there, and what to do in doubt: in words.  No I/O.

What a printer confirmed is told, and no more: octets that its TCP acknowledged it has, whether or not they print; pages
are those that it reported as lying in the tray.

Security: all that is read here are numbers, which a printer may make up; what it says of itself proves no more than
that it said so, and more pages than there are is not taken for a place to go on from.
"""

from __future__ import annotations

from typing import NamedTuple

from appliance.web.words import octets
from mailstore.job import DeliveryProof, Job, JobState
from mailstore.store.following import Progress

UNKNOWN = "x-delivery-unknown"


class Evidence(NamedTuple):
    """What is known of the paper, two sentences."""

    shown: str
    open: str  # what nobody knows all the same


EVIDENCE: dict[DeliveryProof, Evidence] = {
    DeliveryProof.NONE: Evidence(
        "Nothing but that it was sent off.",
        "The printer did not confirm that it got it.",
    ),
    DeliveryProof.ACKED: Evidence(
        "The printer received every octet.",
        "Whether it worked through them, and whether paper came out, it does not say.",
    ),
    DeliveryProof.CLOSED: Evidence(
        "The printer took all of it and closed the connection in order.",
        "Many printers close when the page is out, some when they have only stored the job.",
    ),
    DeliveryProof.INTERPRETED: Evidence(
        "The printer answered a question that stood behind the job: it has worked through it.",
        "The last pages may still have been on their way through the printer.",
    ),
    DeliveryProof.IDLE_PAGES: Evidence(
        "The printer's page counter rose, and it was ready again.",
        "The counter counts whatever prints: if others print there too, some of it may have been theirs.",
    ),
    DeliveryProof.JOB_END: Evidence(
        "The printer itself reported that the job is printed.",
        "Who took the paper away.",
    ),
    DeliveryProof.FETCHED: Evidence(
        "The printer fetched the mail from its mailbox and deleted it there.",
        "Whether it printed it: a printer that polls reports nothing more.",
    ),
}
"""Of jobs that are completed."""

REPRINT_MEANS = "All of it prints again from the first page, behind a page that says POSSIBLE DUPLICATE."
PRINTED_MEANS = "Nothing more prints, and the job counts as printed. Choose it if all of the paper lies there."
CANCEL_MEANS = "Nothing more prints, and the job ends as canceled."
RESUME_MEANS = (
    "Only what the printer did not confirm prints, behind a page that says GOES ON; a page may be there twice."
)


def is_in_doubt(job: Job) -> bool:
    """Whether nobody knows what of it was printed, and somebody has to decide."""
    return job.state is JobState.PROCESSING_STOPPED and UNKNOWN in job.reasons


def under_way(job: Job) -> bool:
    """Whether a printer has some of it, or had."""
    return job.state in (JobState.PROCESSING, JobState.PROCESSING_STOPPED)


def taken(progress: Progress) -> str:
    """How much the printer has: "64 kB of 300 kB taken by the printer, 3 of 12 pages printed"."""
    which = f"document {progress.document + 1}: " if progress.document else ""
    had, total = min(progress.octets, progress.octets_total), progress.octets_total
    if had >= total:
        words = f"all {octets(total)} taken by the printer"
    else:
        words = f"{octets(had)} of {octets(total)} taken by the printer"
    return f"{which}{words}{f', {pages(progress)} printed' if progress.confirmed else ''}"


def pages(progress: Progress) -> str:
    """What the printer confirmed of the whole job: "3 of 12 pages", "1 page"."""
    known, total = progress.confirmed, progress.pages_all
    if total >= known:
        return f"{known} of {total} page{'s' * (total != 1)}"
    return f"{known} page{'s' * (known != 1)}"


def known_in_doubt(progress: Progress | None) -> str:
    """A sentence on what is known of a job in doubt."""
    if progress is None:
        return "How far it came is not known."
    if progress.confirmed:
        return f"The printer confirmed {pages(progress)}; {taken(progress).split(', ')[0]}."
    return f"The printer confirmed no page; {taken(progress)}."


def go_on(progress: Progress | None) -> str:
    """What the button says that goes on behind what the printer confirmed; "" where that cannot be."""
    if progress is None or not progress.resumable:
        return ""
    return f"Go on from {progress.behind}"
