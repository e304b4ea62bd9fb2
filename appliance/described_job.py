"""Jobs as scripts see them, in the shapes of `described`."""

from __future__ import annotations

from datetime import UTC, datetime

from typing_extensions import TypedDict

from appliance.job_file import JobFile
from mailstore.job import Job
from mailstore.store.following import Progress
from mailstore.store.papers import DocumentRecord


class DescribedProgress(TypedDict):
    """How far the present or last sending of a job came, as far as the printer confirmed it."""

    document: int  # that is being sent, from 1, copy by copy
    octets: int  # of it that the printer acknowledged
    octets_total: int
    pages: int  # of the whole job that it reported as printed
    pages_total: int  # 0 where nobody can tell


class DescribedJob(TypedDict):
    """A job in a list."""

    id: int
    printer: str
    state: str  # job-state
    reasons: list[str]  # job-state-reasons
    detail: str
    sender: str  # reverse-path, "" for the null one
    recipient: str  # the address to which it came, a group's too, without a token
    name: str
    octets: int
    documents: int
    pages: int
    attempts: int
    delivery_proof: str
    progress: DescribedProgress | None  # while a printer has some of it, and of one in doubt
    trust: str
    proof: str  # what proved the sender, "" for nothing
    proved: str  # the address that it proved
    login: str
    received_at: str | None
    completed_at: str | None


class DescribedEvent(TypedDict):
    """A line of a job's trace."""

    at: str | None
    text: str


class DescribedPicture(TypedDict):
    """A picture of a page, as PNG."""

    page: int  # from 1
    href: str  # where the API gives it


class DescribedPart(TypedDict):
    """A document of a job, or a part of its mail that was left out."""

    number: int  # from 1, in the order of the mail
    name: str  # file name, "" for none
    format: str  # document-format
    pages: int  # of one copy, 0 where nobody can tell
    fate: str  # ready, printed, left-out or failed
    detail: str  # how it was made ready, or why it was left out or failed
    pictures: list[DescribedPicture]


class DescribedJobFile(DescribedJob):
    """A job with all that is known of it."""

    kept_until: str | None  # until when it can be printed again
    expires_at: str | None  # when it is given up if it still waits then
    release_code: str  # that releases it, for those who may know it, else ""
    parts: list[DescribedPart]  # none before it was made ready
    trace: list[DescribedEvent]


def moment(seconds: float) -> str | None:
    """RFC 3339 in UTC, None where it is not reached."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None


def job(one: Job, progress: Progress | None = None) -> DescribedJob:
    return DescribedJob(
        id=one.id,
        printer=one.printer,
        state=one.state.value,
        reasons=list(one.reasons),
        detail=one.detail,
        sender=one.sender,
        recipient=one.recipient,
        name=one.name,
        octets=one.octets,
        documents=one.documents,
        pages=one.pages,
        attempts=one.attempts,
        delivery_proof=one.delivery_proof.value,
        progress=None if progress is None or one.state.ended else _progress(progress),
        trust=one.trust,
        proof=one.proof.value,
        proved=one.proved,
        login=one.login,
        received_at=moment(one.received_at),
        completed_at=moment(one.completed_at),
    )


def job_file(file: JobFile) -> DescribedJobFile:
    return DescribedJobFile(
        **job(file.job, file.progress),
        kept_until=moment(file.kept_until),
        expires_at=moment(file.expires_at),
        release_code=file.code,
        parts=[_part(file, record) for record in file.documents],
        trace=[DescribedEvent(at=moment(event.at), text=event.text) for event in file.trace],
    )


def _progress(one: Progress) -> DescribedProgress:
    return DescribedProgress(
        document=one.document + 1,
        octets=one.octets,
        octets_total=one.octets_total,
        pages=one.confirmed,
        pages_total=one.pages_all,
    )


def _part(file: JobFile, record: DocumentRecord) -> DescribedPart:
    return DescribedPart(
        number=record.number,
        name=record.name,
        format=record.format,
        pages=record.pages,
        fate=record.fate.value,
        detail=record.detail,
        pictures=[
            DescribedPicture(page=page, href=picture(file.job.id, document, page))
            for document, page in file.pictures
            if document == record.number
        ],
    )


def picture(job_id: int, document: int, page: int) -> str:
    """Where a picture of a page is, within the page's address."""
    return f"/api/v1/jobs/{job_id}/pictures/{document}/{page}"
