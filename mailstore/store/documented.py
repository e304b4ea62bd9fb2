"""What became of a job's documents, pictures of their pages, and what the bridge can, as rows.

What needs no sync is not waited for where nothing depends on it: it rides along with the next commit, which is nearly
always that of the same job's next instant.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from mailstore.abilities import UNKNOWN, Abilities, from_json
from mailstore.store import repeated
from mailstore.store.blobs import Place
from mailstore.store.committer import Committer, Rows, Steps, Wanted
from mailstore.store.drafts import Spool
from mailstore.store.listing import of_printer
from mailstore.store.papers import THUMBNAIL_OCTETS, THUMBNAILS, DocumentRecord, Fate
from mailstore.store.reader import Reader
from mailstore.store.schema import DOCUMENT, JOB, MESSAGE, META, THUMBNAIL
from mailstore.store.statement import Statement, given, number, storable, word

AT_ONCE = 100
"""Jobs of a removed printer between which the loop runs."""

_MESSAGE_OF = Statement(
    sa.select(JOB.c.message_id, MESSAGE.c.place)
    .join(MESSAGE, MESSAGE.c.id == JOB.c.message_id)
    .where(JOB.c.id == given("job"), of_printer(JOB.c.printer))
)
_ADD_DOCUMENT = Statement(sa.insert(DOCUMENT), *(column.name for column in DOCUMENT.c))
DROP_DOCUMENTS = Statement(sa.delete(DOCUMENT).where(DOCUMENT.c.job_id == given("job")))
PRINTED = Statement(
    sa.update(DOCUMENT)
    .where(DOCUMENT.c.job_id == given("job"), DOCUMENT.c.fate == word(Fate.READY))
    .values(fate=word(Fate.PRINTED))
)
DOCUMENTS = Statement(
    sa.select(*(column for column in DOCUMENT.c if column.name != "job_id"))
    .where(DOCUMENT.c.job_id == given("job"))
    .order_by(DOCUMENT.c.number)
)

_THIS_PAGE = (
    THUMBNAIL.c.job_id == given("job"),
    THUMBNAIL.c.document == given("of_document"),
    THUMBNAIL.c.page == given("which"),
)
_ADD_THUMBNAIL = Statement(sa.insert(THUMBNAIL), *(column.name for column in THUMBNAIL.c))
_DROP_THUMBNAIL = Statement(sa.delete(THUMBNAIL).where(*_THIS_PAGE))
_THUMBNAIL = Statement(sa.select(THUMBNAIL.c.png).where(*_THIS_PAGE))
THUMBNAILS_OF = Statement(
    sa.select(THUMBNAIL.c.document, THUMBNAIL.c.page)
    .where(THUMBNAIL.c.job_id == given("job"))
    .order_by(THUMBNAIL.c.document, THUMBNAIL.c.page)
)
DROP_THUMBNAILS_OF = Statement(
    sa.delete(THUMBNAIL).where(THUMBNAIL.c.job_id.in_(sa.select(JOB.c.id).where(JOB.c.message_id == given("message"))))
)
_JOBS_SHOWN = Statement(
    sa.select(THUMBNAIL.c.job_id)
    .distinct()
    .join(JOB, JOB.c.id == THUMBNAIL.c.job_id)
    .where(THUMBNAIL.c.job_id > given("after", sa.BigInteger), JOB.c.printer == given("of"))
    .order_by(THUMBNAIL.c.job_id)
    .limit(given("most", sa.Integer))
    .offset(number(0))
)
_DROP_THUMBNAILS = Statement(sa.delete(THUMBNAIL).where(THUMBNAIL.c.job_id == given("job")))

_ABILITIES = "abilities"
_META_VALUE = Statement(sa.select(META.c.value).where(META.c.name == given("which")))
_SET_META = Statement(sa.update(META).where(META.c.name == given("which")).values(value=given("new")))
_ADD_META = Statement(sa.insert(META), "name", "value")


def _record(rows: Rows, job_id: int, documents: Sequence[DocumentRecord]) -> None:
    if rows.one(_MESSAGE_OF, job=job_id) is None:
        return
    rows.change(DROP_DOCUMENTS, job=job_id)
    for document in documents:
        rows.change(
            _ADD_DOCUMENT,
            job_id=job_id,
            number=document.number,
            name=storable(document.name),
            format=storable(document.format),
            pages=document.pages,
            fate=document.fate.value,
            detail=storable(document.detail),
        )


def _keep_thumbnail(rows: Rows, job_id: int, document: int, page: int, png: bytes) -> bool:
    found = rows.one(_MESSAGE_OF, job=job_id)
    if found is None or found[1] == Place.GONE:
        return False
    rows.change(_DROP_THUMBNAIL, job=job_id, of_document=document, which=page)
    if len(rows.all(THUMBNAILS_OF, job=job_id)) >= THUMBNAILS:
        return False
    rows.change(_ADD_THUMBNAIL, job_id=job_id, document=document, page=page, png=png)
    return True


def _seen_before(rows: Rows, job_id: int, sender: str, digests: Collection[bytes], now: float) -> frozenset[bytes]:
    found = rows.one(_MESSAGE_OF, job=job_id)
    return repeated.seen_before(rows, found[0], storable(sender), digests, now) if found else frozenset()


def _set_abilities(rows: Rows, text: str) -> None:
    if not rows.change(_SET_META, which=_ABILITIES, new=text):
        rows.change(_ADD_META, name=_ABILITIES, value=text)


def forget(rows: Rows, printer: str) -> Steps[None]:
    """Whoever gets a removed printer's name later sees no pages of what the old one printed."""
    last = 0
    while found := rows.all(_JOBS_SHOWN, after=last, of=printer, most=AT_ONCE):
        for (last,) in found:
            rows.change(_DROP_THUMBNAILS, job=last)
        yield


class Documented:
    """A part of `sql.SqlStore`."""

    committer: Committer
    _reader: Reader
    _spool: Spool

    async def record_documents(self, job_id: int, documents: Sequence[DocumentRecord]) -> None:
        self._along(lambda rows: _record(rows, job_id, documents))

    async def documents_printed(self, job_id: int) -> None:
        self._along(lambda rows: rows.change(PRINTED, job=job_id))

    def _along(self, work: Callable[[Rows], object]) -> None:
        noted = self.committer.submit(work, Wanted.LATER)
        noted.add_done_callback(lambda future: future.cancelled() or future.exception())

    async def documents(self, job_id: int) -> Sequence[DocumentRecord]:
        await self.committer.caught_up()
        return [
            DocumentRecord(number=which, name=name, format=kind, pages=pages, fate=Fate(fate), detail=detail)
            for which, name, kind, pages, fate, detail in self._reader.all(DOCUMENTS, job=job_id)
        ]

    async def keep_thumbnail(self, job_id: int, document: int, page: int, png: bytes) -> bool:
        if len(png) > THUMBNAIL_OCTETS or self._spool.free() < 0:
            return False
        return await self.committer.submit(lambda rows: _keep_thumbnail(rows, job_id, document, page, png), Wanted.NOW)

    async def thumbnails(self, job_id: int) -> Sequence[tuple[int, int]]:
        await self.committer.caught_up()
        return [(document, page) for document, page in self._reader.all(THUMBNAILS_OF, job=job_id)]

    async def thumbnail(self, job_id: int, document: int, page: int) -> bytes | None:
        row = self._reader.one(_THUMBNAIL, job=job_id, of_document=document, which=page)
        return bytes(row[0]) if row else None

    async def repeated(self, job_id: int, sender: str, digests: Collection[bytes]) -> frozenset[bytes]:
        if not digests:
            return frozenset()
        now = time.time()
        return await self.committer.submit(lambda rows: _seen_before(rows, job_id, sender, digests, now), Wanted.NOW)

    async def set_abilities(self, abilities: Abilities) -> None:
        text = abilities.to_json()
        await self.committer.submit(lambda rows: _set_abilities(rows, text))

    async def abilities(self) -> Abilities:
        row = self._reader.one(_META_VALUE, which=_ABILITIES)
        return from_json(row[0]) if row else UNKNOWN
