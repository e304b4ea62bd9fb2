"""What came before: a mail makes one job, and a signature proves one mail.

Security: whoever could make two mails with one digest could have the second taken for the first.  The digests are of
SHA-256, cut to 128 bits: finding a second mail to a given one is out of reach, and two of one's own harm nobody else.
Rows are known by half of that, as a table is fastest by an integer, and the other half must be the same too: of two
mails that share the first half alone, which nobody meets by chance, the later one takes the place of the earlier.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

import sqlalchemy as sa

from mailstore.job import JobState
from mailstore.store.admission import SIGNATURE_SECONDS
from mailstore.store.arriving import Envelope
from mailstore.store.committer import Rows
from mailstore.store.schema import JOB, SEEN
from mailstore.store.statement import Statement, given, number

Digest = tuple[int, int]

_FIND = Statement(
    sa.select(SEEN.c.job_id, SEEN.c.until).where(SEEN.c.digest == given("which"), SEEN.c.rest == given("rest"))
)
_STATE = Statement(sa.select(JOB.c.state).where(JOB.c.id == given("job")))
_ADD = Statement(  # SQLAlchemy has a statement of its own for each database here, and they know these words alike
    sa.text(
        "INSERT INTO seen (digest, rest, job_id, until) VALUES (:digest, :rest, :job_id, :until)"
        " ON CONFLICT (digest) DO UPDATE SET rest = excluded.rest, job_id = excluded.job_id, until = excluded.until"
    )
)
_OVER = sa.or_(SEEN.c.until <= given("now"), SEEN.c.until > given("latest"))
EXPIRED = Statement(sa.select(SEEN.c.digest).where(_OVER).limit(given("most", sa.Integer)).offset(number(0)))
DROP_EXPIRED = Statement(sa.delete(SEEN).where(SEEN.c.digest == given("which"), _OVER))

_UNDONE = (JobState.ABORTED, JobState.CANCELED)


def of_mail(envelope: Envelope, maildrop: str) -> Digest | None:
    """What makes it the same mail for the same printer; None if it cannot be told from others."""
    if not envelope.content or not envelope.header_message_id:
        return None
    # Neither a maildrop's name nor a path can hold NUL (RFC 5321 section 4.1.2), so no two mails look alike.
    text = f"mail\0{maildrop}\0{envelope.reverse_path}\0{envelope.header_message_id}\0"
    return _digest(text, envelope.content)


def of_signatures(signatures: Iterable[bytes], maildrop: str) -> set[Digest]:
    """One for each: a mail to two printers may come in two transactions, and prints once on each of them."""
    return {_digest(f"signature\0{maildrop}\0", signature) for signature in signatures}


def _digest(text: str, octets: bytes) -> Digest:
    first, second, _, _ = struct.unpack(">4q", hashlib.sha256(text.encode("utf-8", "surrogatepass") + octets).digest())
    return first, second


def job_of(rows: Rows, mail: Digest, now: float) -> int:
    """The job that the mail made, 0 if none, too long ago, or it ended aborted or canceled."""
    found = rows.one(_FIND, which=mail[0], rest=mail[1])
    if found is None or found[1] <= now:
        return 0
    state = rows.one(_STATE, job=found[0])
    return 0 if state is None or state[0] in _UNDONE else int(found[0])


def was_seen(rows: Rows, signature: Digest, now: float) -> bool:
    """Whatever became of the job."""
    found = rows.one(_FIND, which=signature[0], rest=signature[1])
    return found is not None and found[1] > now


def remember(rows: Rows, digest: Digest, job_id: int, until: float) -> None:
    rows.change(_ADD, digest=digest[0], rest=digest[1], job_id=job_id, until=until)


def times(now: float) -> dict[str, float]:
    """For `EXPIRED` and `DROP_EXPIRED`: what lasts longer than anything may was written while the clock was wrong."""
    return {"now": now, "latest": now + SIGNATURE_SECONDS}
