"""What came before: a mail makes one job, and a signature proves one mail.

Security: whoever could make two mails with one digest could have the second taken for the first.  The digests are of
SHA-256, cut to 128 bits: finding a second mail to a given one is out of reach, and two of one's own harm nobody else.
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from mailstore.job import JobState
from mailstore.store.arriving import Envelope
from mailstore.store.committer import Rows
from mailstore.store.schema import JOB, SEEN
from mailstore.store.statement import Statement, given, number

_FIND = Statement(
    sa.select(SEEN.c.job_id, SEEN.c.until, JOB.c.state)
    .join(JOB, JOB.c.id == SEEN.c.job_id, isouter=True)
    .where(SEEN.c.digest == given("which"))
)
_ADD = Statement(sa.insert(SEEN), *(column.name for column in SEEN.c))
_DROP = Statement(sa.delete(SEEN).where(SEEN.c.digest == given("which")))
EXPIRED = Statement(
    sa.select(SEEN.c.digest).where(SEEN.c.until <= given("now")).limit(given("most", sa.Integer)).offset(number(0))
)
DROP_EXPIRED = Statement(sa.delete(SEEN).where(SEEN.c.digest == given("which"), SEEN.c.until <= given("now")))

_UNDONE = (None, JobState.ABORTED, JobState.CANCELED)
_OCTETS = 16


def of_mail(envelope: Envelope, maildrop: str) -> bytes:
    """What makes it the same mail for the same printer; b"" if it cannot be told from others."""
    if not envelope.content or not envelope.header_message_id:
        return b""
    # Neither a maildrop's name nor a path can hold NUL (RFC 5321 section 4.1.2), so no two mails look alike.
    text = f"mail\0{maildrop}\0{envelope.reverse_path}\0{envelope.header_message_id}\0"
    return _digest(text, envelope.content)


def of_signatures(envelope: Envelope, maildrop: str) -> set[bytes]:
    """One for each: a mail to two printers may come in two transactions, and prints once on each of them."""
    return {_digest(f"signature\0{maildrop}\0", signature) for signature in envelope.signatures}


def _digest(text: str, octets: bytes) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass") + octets).digest()[:_OCTETS]


def job_of(rows: Rows, mail: bytes, now: float) -> int:
    """The job that the mail made, 0 if none, too long ago, or it ended aborted or canceled."""
    if (found := rows.one(_FIND, which=mail)) is None:
        return 0
    job_id, until, state = found
    if until > now and state not in _UNDONE:
        return int(job_id)
    rows.change(_DROP, which=mail)
    return 0


def was_seen(rows: Rows, signature: bytes, now: float) -> bool:
    """Whatever became of the job."""
    found = rows.one(_FIND, which=signature)
    if found is not None and found[1] <= now:
        rows.change(_DROP, which=signature)
        return False
    return found is not None


def remember(rows: Rows, digest: bytes, job_id: int, until: float) -> None:
    """Of one that is not there: `job_of` or `was_seen` said so."""
    rows.change(_ADD, digest=digest, job_id=job_id, until=until)
