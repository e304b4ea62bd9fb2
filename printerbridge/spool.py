"""From stored octets to documents that are ready to go: taken out, made fit for the printer, whole.

Everything is finished before anybody connects: a printer cuts a job whose sender pauses, and prints the stump.  Nothing
in the folder outlives the process.  Of several documents those print that can; what becomes of each is recorded.

Security: the octets are a stranger's.  `printerbridge.extraction` takes them out of the mail, `printerbridge.archives`
opens archives, and `printerbridge.fitting` decides what reaches the printer.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mailstore import options
from mailstore.abilities import UNKNOWN, Abilities
from mailstore.directory.records import Language, Printer, Raw
from mailstore.document_format import DocumentFormat
from mailstore.documents import LeftOut
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Job
from mailstore.passage import CONTAINERS, able
from mailstore.store.contract import Store
from mailstore.store.following import Progress
from mailstore.store.papers import DocumentRecord, Fate
from mailstore.ticket import NO_TICKET
from mailstore.ticket_words import asked, of_directive
from printerbridge import banner, firewall, leftovers
from printerbridge.archives import Archives
from printerbridge.extraction import Extraction
from printerbridge.fitting import Fitting, House
from printerbridge.part import Part
from printerbridge.previews import Previews
from printerbridge.ready import BLOCK, Prepared, Ready
from printerbridge.slots import Slots

SENDINGS = 5000  # of the documents of one job, with copies: each is a connection, a sync and a line in the trace

Claim = Callable[[], Awaitable[bool]]
"""Awaited before the first document is opened; False if the job is not to be printed any more."""


class Spool:
    """Prepares jobs.  `media` is the PWG name of the paper of printers that do not name theirs."""

    def __init__(self, store: Store, folder: Path, *, media: str, slots: Slots, abilities: Abilities = UNKNOWN) -> None:
        self.previews = Previews(store, folder, slots)
        self._store = store
        self._folder = folder
        self._house = House(extraction=Extraction(store, folder), slots=slots, media=media, abilities=abilities)

    def open(self) -> None:
        """Make the folder, or empty what an earlier process left.  Raises `OSError`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                leftovers.remove(left)
            else:
                left.unlink()

    def can(self, abilities: Abilities) -> None:
        """What was found out about this machine."""
        self._house = replace(self._house, abilities=abilities)

    async def prepare(
        self, job: Job, printer: Printer, claim: Claim, *, again: bool = False, done: Progress | None = None
    ) -> Prepared | None:
        """The documents of `job`, as `printer` understands them; `again` puts a banner before them, which says of what
        was `done` that the job goes on behind it.

        None if `claim` said no.  Raises `PermanentFailure` with a `job-state-reasons` keyword if none can be printed,
        and `TransientFailure`; then nothing is left behind.
        """
        prepared = Prepared(job=job, limits=printer.limits if _limited(job, printer) else None)
        whole = False
        try:
            if not await _Preparing(self._store, self._house, prepared, printer, claim).go(again=again, done=done):
                return None
            await self._store.record_documents(job.id, prepared.records)
            whole = True
        except OSError as error:
            raise TransientFailure("4.3.1", f"the spool folder cannot be written: {error.strerror}") from None
        except PermanentFailure as failure:
            await self._store.record_documents(job.id, prepared.without(failure.text))
            raise
        finally:
            if not whole:
                await self.discard(prepared)
        return prepared

    async def discard(self, prepared: Prepared) -> None:
        """Free what the job holds.  May be called more than once."""
        self._house.extraction.discard(prepared)
        prepared.documents.clear()
        if prepared.folder is not None:
            folder, prepared.folder = prepared.folder, None
            await asyncio.to_thread(leftovers.discard, folder)


class _Preparing:
    """One job's being made ready."""

    def __init__(self, store: Store, house: House, prepared: Prepared, printer: Printer, claim: Claim) -> None:
        self._store = store
        self._house = house
        self._prepared = prepared
        self._printer = printer
        self._claim = claim

    async def go(self, *, again: bool, done: Progress | None) -> bool:
        """False if the job is not to be printed any more."""
        job, printer, prepared = self._prepared.job, self._printer, self._prepared
        fits = able(printer, job.trust or Raw.STRANGER, self._house.abilities)
        parts, selection, said = await self._house.extraction.parts(job, printer.body, fits, prepared)
        prepared.left_out += selection.left_out
        wanted, notes = asked(
            printer,
            job.trust,
            address=options.of_recipient(job.recipient),
            subject=said.subject,
            directive=said.directive,
            field=said.field,
        )
        prepared.told += notes
        if any(part.format in CONTAINERS for part in parts):
            if not await self._claimed():
                return False
            archives = Archives(
                extraction=self._house.extraction,
                slots=self._house.slots,
                fits=fits,
                body=printer.body,
                prepared=prepared,
            )
            parts = await archives.opened(parts)
        parts = self._without_directive(await self._without_ornaments(parts), said.directive)
        _number(parts)
        fitting = Fitting(self._house, printer, wanted, prepared)
        if again:
            part = _banner(job, printer, done)
            if fitting.draws(part) and not await self._claimed():
                return False
            prepared.documents += await fitting.fit(part)
        return await self._fit(parts, fitting)

    async def _claimed(self) -> bool:
        self._prepared.claimed = self._prepared.claimed or await self._claim()
        return self._prepared.claimed

    async def _fit(self, parts: Sequence[Part], fitting: Fitting) -> bool:
        """Raises the first failure if nothing prints."""
        prepared, failures = self._prepared, []
        for part in parts:
            if part.failure is None and fitting.draws(part) and not await self._claimed():
                return False
            try:
                documents = await fitting.fit(part)
            except PermanentFailure as failure:
                text = f"{part}: {failure.text}"
                failures.append(PermanentFailure(failure.status, text, reason=failure.reason))
                prepared.records.append(part.record(Fate.FAILED, failure.text))
            else:
                _add(prepared, [replace(one, number=part.index) for one in documents])
        prepared.records += _left_out(prepared.left_out, len(parts))
        if len(failures) == len(parts):
            raise failures[0]
        prepared.told += [f"not printed: {failure.text}" for failure in failures]
        return True

    def _without_directive(self, parts: list[Part], directive: str) -> list[Part]:
        """Cut out of the letter; a letter that says nothing else is left out where something else prints."""
        if of_directive(directive)[0] == NO_TICKET:
            return parts
        for part in parts:
            if part.letter:
                part.cut(directive)
        empty = [part for part in parts if part.blank]
        if len(empty) == len(parts):
            return parts
        why = "it says only how to print"
        self._prepared.left_out += [LeftOut(path="", name=part.name, format=part.format, why=why) for part in empty]
        return [part for part in parts if part not in empty]

    # -- ornaments

    async def _without_ornaments(self, parts: list[Part]) -> list[Part]:
        """Pictures that stand in every mail of a sender are left out, where something else prints."""
        job = self._prepared.job
        pictures = [part for part in parts if part.ornament]
        if not pictures or all(part.ornament or part.failure for part in parts):
            return parts
        digests = dict(zip(pictures, await asyncio.to_thread(lambda: [_digest(one) for one in pictures]), strict=True))
        known = await self._store.repeated(job.id, job.proved or job.sender, set(digests.values()))
        for part in pictures:
            if digests[part] in known:
                why = "the same picture stands in other mails of this sender"
                self._prepared.left_out.append(LeftOut(path="", name=part.name, format=part.format, why=why))
        return [part for part in parts if digests.get(part) not in known]


def _digest(part: Part) -> bytes:
    digest = hashlib.sha256()
    if part.path is None:
        for block in part.waiting:
            digest.update(block)
    else:
        with part.path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.digest()


def _number(parts: Sequence[Part]) -> None:
    for number, part in enumerate(parts, 1):
        part.index, part.of = number, len(parts)


def _left_out(left_out: Sequence[LeftOut], before: int) -> list[DocumentRecord]:
    return [
        DocumentRecord(
            number=number, name=one.name, format=one.format.value, pages=0, fate=Fate.LEFT_OUT, detail=one.why
        )
        for number, one in enumerate(left_out, before + 1)
    ]


def _limited(job: Job, printer: Printer) -> bool:
    """Whether pages are counted against anything."""
    limits = printer.limits
    return bool(limits.pages or limits.sender_pages or limits.job_pages or job.capability)


def _add(prepared: Prepared, documents: Sequence[Ready]) -> None:
    if len(prepared.documents) + len(documents) > SENDINGS:
        text = f"the documents, with their copies, are more than {SENDINGS}; ask for fewer copies"
        raise PermanentFailure("5.3.4", text, reason="aborted-by-system")
    prepared.documents += documents


def _banner(job: Job, printer: Printer, done: Progress | None) -> Part:
    plain = Language.TEXT in printer.languages  # whose text may be commands too
    said = banner.going_on(job, done, time.time()) if done else banner.possible_duplicate(job, time.time())
    text = said.encode("utf-8", "replace")
    if plain:
        text = b"".join(firewall.plain_text([text]))
    part = Part.of_octets(text, DocumentFormat.TEXT, "utf-8", "banner")
    part.ours, part.pages = True, 1
    return part
