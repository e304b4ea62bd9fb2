"""The embedded engine: SQLite beside a folder of octets, for processes of one host.

See `contract.Store` for what each call promises; here they are only put together.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from mailstore.failure import TransientFailure
from mailstore.job import DeliveryProof, Event, Job
from mailstore.store import accepting, jobs, keeping, leases, listing, looking, maildrop
from mailstore.store.blobs import BLOCK_OCTETS, Blobs, Place, gone
from mailstore.store.committer import Committer, Rows, Wanted
from mailstore.store.connection import connect, open_writer
from mailstore.store.contract import (
    Draft,
    Envelope,
    JobEvent,
    Lease,
    Maildrop,
    PrinterState,
    Recipient,
    Role,
    StoreUnusable,
    Waiting,
)
from mailstore.store.doorbell import Doorbell
from mailstore.store.drafts import Spool, SpooledDraft
from mailstore.store.place import RoleLock, open_file, prepare, sync_folder
from mailstore.store.reader import Reader
from mailstore.store.runtime import runtime_folder

KEEP_SECONDS = 86400.0
_PRINTERS_ON_LOOP = 16
RESERVE_OCTETS = 256 * 1024 * 1024


class SqlStore:
    """A store that is open.  Made by `open_store`."""

    def __init__(
        self,
        role: Role,
        keep: float,
        committer: Committer,
        reader: Reader,
        spool: Spool,
        blobs: Blobs,
        doorbell: Doorbell,
        store_id: str,
    ) -> None:
        self._role = role
        self._keep = keep
        self._resources = ExitStack()  # what to let go of at `close`
        self._reader = reader
        self._spool = spool
        self._blobs = blobs
        self._doorbell = doorbell
        self._store_id = store_id
        self._closed = False
        self._accepting: set[asyncio.Task[list[int]]] = set()
        self.committer = committer

    # -- taking in

    async def draft(self, expected: int = 0) -> SpooledDraft:
        return self._spool.draft(expected)

    async def accept(self, draft: Draft, envelope: Envelope, recipients: Sequence[Recipient]) -> Sequence[int]:
        if not isinstance(draft, SpooledDraft):
            raise TypeError("a draft of another store")
        if not recipients:
            raise ValueError("a message needs a recipient")
        # A task of its own: a caller that is canceled meanwhile must not leave octets without rows.
        draft.take()
        task = asyncio.create_task(self._accept(draft, envelope, recipients))
        self._accepting.add(task)
        task.add_done_callback(self._accepted)
        return await asyncio.shield(task)

    async def _accept(self, draft: SpooledDraft, envelope: Envelope, recipients: Sequence[Recipient]) -> list[int]:
        try:
            # Instant 1: the octets durable, then the rows that name them; whoever called may say "250" after that.
            placed = await self._blobs.keep(draft)
            now = time.time()
            try:
                return await self.committer.submit(
                    lambda rows: accepting.accept(rows, placed, envelope, recipients, self._store_id, now), instant="1"
                )
            except Exception:
                await asyncio.to_thread(self._blobs.remove, placed)
                raise
            finally:
                self._blobs.committed(placed)
        finally:
            await draft.end()

    def _accepted(self, task: asyncio.Task[list[int]]) -> None:
        self._accepting.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if whoever wanted it is gone

    async def standing(self, maildrop: str) -> tuple[bool, int]:
        ((accepting, octets),) = self._reader.all(looking.STANDING, which=maildrop)
        return accepting is None or bool(accepting), int(octets or 0)

    # -- serving by POP3

    async def open_maildrop(self, name: str, owner: str, seconds: float) -> Maildrop | None:
        now = time.time()
        opened = await self.committer.submit(
            lambda rows: maildrop.open_rows(rows, name, owner, self._role, now, seconds), Wanted.NOW
        )
        if opened is None:
            return None
        lease, entries = opened
        return maildrop.HeldMaildrop(self.committer, lease, entries, seconds, self._read_message, self._ended)

    async def polled(self, printer: str, at: float) -> None:
        self._tell(lambda rows: looking.set_poll(rows, printer, at))

    def _tell(self, work: Callable[[Rows], None]) -> None:
        # Not waited for: nobody is told of it, and a poll must not cost a commit of its own.
        noted = self.committer.submit(work, Wanted.LATER)
        noted.add_done_callback(lambda future: future.cancelled() or future.exception())

    # -- draining

    async def acquire(self, resource: str, owner: str, seconds: float) -> Lease | None:
        # Instant 2: what the last holder left is settled with it.  A lease lost with the power held nothing.
        now = time.time()
        return await self.committer.submit(
            lambda rows: leases.acquire(rows, resource, owner, self._role, now, seconds), Wanted.NOW, instant="2"
        )

    async def renew(self, lease: Lease, seconds: float) -> Lease:
        now = time.time()
        return await self.committer.submit(lambda rows: leases.renew(rows, lease, now, seconds), Wanted.LATER)

    async def release(self, lease: Lease) -> None:
        now = time.time()
        await self.committer.submit(lambda rows: leases.release(rows, lease, now), Wanted.NOW)

    async def printers_waiting(self) -> Collection[str]:
        return [printer for (printer,) in await self._reader.scan(looking.PRINTERS_WAITING)]

    async def pending(self, printers: Collection[str], limit: int) -> Sequence[Job]:
        if len(printers) <= _PRINTERS_ON_LOOP:
            found = [row for printer in printers for row in self._reader.all(listing.PENDING, of=printer, most=limit)]
        else:
            far = self._reader.far
            found = await self._reader.run(
                lambda: [row for printer in printers for row in far(listing.PENDING, of=printer, most=limit)]
            )
        return [listing.job_of(row) for row in sorted(found)[:limit]]

    async def claim(self, lease: Lease, job_id: int, reasons: Sequence[str]) -> bool:
        now = time.time()
        return await self.committer.submit(
            lambda rows: jobs.claim(rows, lease, job_id, reasons, now), Wanted.NOW, instant="2"
        )

    async def sending(self, lease: Lease, job_id: int, document: int) -> bool:
        # Instant 3: from here on a loss leaves the job in doubt.
        now = time.time()
        return await self.committer.submit(lambda rows: jobs.sending(rows, lease, job_id, document, now), instant="3")

    async def end(
        self,
        lease: Lease,
        job_id: int,
        event: Event,
        *,
        reasons: Sequence[str],
        proof: DeliveryProof,
        pages: int = 0,
        detail: str = "",
    ) -> bool:
        if event not in jobs.ENDINGS:
            raise ValueError(f"{event} does not end a job")
        # Instant 4: the end state and the going of the maildrop entry are one commit.
        now = time.time()
        message = await self.committer.submit(
            lambda rows: jobs.end(rows, lease, job_id, event, reasons, proof, pages, detail, now), instant="4"
        )
        if message is None:
            return False
        await self._ended([message])
        return True

    async def move(
        self,
        lease: Lease,
        job_id: int,
        event: Event,
        *,
        reasons: Sequence[str],
        next_attempt_at: float = 0.0,
        detail: str = "",
    ) -> bool:
        if event in jobs.ENDINGS:
            raise ValueError(f"{event} ends a job: use end()")
        now = time.time()
        return await self.committer.submit(
            lambda rows: jobs.move(rows, lease, job_id, event, reasons, next_attempt_at, detail, now)
        )

    async def read(self, job_id: int) -> AsyncIterator[bytes]:
        row = self._reader.one(keeping.PLACED_FOR_JOB, job=job_id)
        if row is None:
            raise gone()
        async for block in self._blobs.read(keeping.placed_of(row)):
            yield block

    async def _read_message(self, message_id: int, block: int = BLOCK_OCTETS) -> AsyncIterator[bytes]:
        row = self._reader.one(keeping.PLACED, message=message_id)
        if row is None:
            raise gone()
        async for octets in self._blobs.read(keeping.placed_of(row), block):
            yield octets

    # -- looking, and wishes from outside

    async def job(self, job_id: int) -> Job | None:
        await self.committer.caught_up()
        row = self._reader.one(listing.ONE_JOB, job=job_id)
        return listing.job_of(row) if row else None

    async def jobs(self, *, printer: str = "", states: Collection[str] = (), limit: int = 1000) -> Sequence[Job]:
        await self.committer.caught_up()
        statement = listing.jobs(bool(printer), tuple(sorted(states)))
        values = {"of": printer} if printer else {}
        return [listing.job_of(row) for row in await self._reader.scan(statement, **values, most=limit)]

    async def trace(self, job_id: int) -> Sequence[JobEvent]:
        await self.committer.caught_up()
        row = self._reader.one(listing.ONE_JOB, job=job_id)
        if row is None:
            return []
        job = listing.job_of(row)
        accepted = JobEvent(at=job.received_at, text=f"accepted from <{job.sender}>, {job.octets} octets, and queued")
        return [accepted, *looking.events_of(self._reader.all(looking.TRACE, job=job_id))]

    async def note(self, job_id: int, text: str) -> None:
        now = time.time()
        await self.committer.submit(lambda rows: jobs.note(rows, job_id, text, now), Wanted.NOW)

    async def waiting(self) -> Sequence[Waiting]:
        await self.committer.caught_up()
        return await looking.waiting(self._reader)

    async def printer_state(self, printer: str) -> PrinterState:
        return looking.printer_of(printer, self._reader.one(looking.PRINTER, of=printer))

    async def printer_states(self) -> Sequence[PrinterState]:
        return [looking.printer_of(row[0], row) for row in await self._reader.scan(looking.ALL_PRINTERS)]

    async def set_printer_state(self, state: PrinterState) -> None:
        await self.committer.submit(lambda rows: looking.set_printer(rows, state), Wanted.NOW)

    async def set_condition(self, printer: str, state: str, reasons: Sequence[str], detail: str) -> None:
        condition = PrinterState(printer=printer, state=state, state_reasons=tuple(reasons), detail=detail)
        self._tell(lambda rows: looking.set_condition(rows, condition))

    async def forget_printer(self, printer: str) -> None:
        now = time.time()

        def work(rows: Rows) -> list[int]:
            looking.forget_printer(rows, printer)
            return jobs.forget(rows, printer, now)

        await self._ended(await self.committer.submit(work))

    async def generation(self) -> int:
        ((value,),) = self._reader.all(looking.META_VALUE, which="generation")
        return int(value)

    async def changed(self) -> int:
        return await self.committer.submit(looking.raise_generation)

    async def free_octets(self) -> int:
        return self._spool.free()

    async def used_octets(self) -> int:
        return self._spool.used()

    # -- what goes

    async def sweep(self, now: float) -> int:
        removed = 0
        for place in (Place.INLINE, Place.SEGMENT, Place.FILE):
            while found := self._reader.all(
                keeping.EXPIRED, where=place.value, until=now - self._keep, most=keeping.AT_ONCE
            ):
                removed += await self._drop([message for (message,) in found])
        while await self.committer.submit(
            lambda rows: keeping.drop_records(rows, now - keeping.RECORD_SECONDS), Wanted.LATER
        ):
            pass
        await self._reader.run(lambda: self._blobs.tidy(self._named))
        return removed

    async def _drop(self, messages: list[int]) -> int:
        dropped = await self.committer.submit(lambda rows: keeping.drop_octets(rows, messages), Wanted.NOW)
        for placed in dropped:
            if placed.place is not Place.INLINE:
                await asyncio.to_thread(self._blobs.remove, placed, erase=self._keep == 0)
        return len(dropped)

    async def _ended(self, messages: list[int]) -> None:
        """Jobs of these messages ended: octets that no other job needs go at once if nothing is to be kept."""
        if self._keep == 0 and messages:
            await self._drop(messages)

    def _named(self, reference: str) -> int:
        ((end,),) = self._reader.far(keeping.NAMED, which=reference)
        return -1 if end is None else int(end)

    # -- the doorbell

    def rings(self) -> AsyncIterator[str]:
        return self._doorbell.rings()

    def own(self, resources: ExitStack) -> None:
        """What to let go of at `close`."""
        self._resources = resources

    async def succeed(self) -> None:
        """Settle what an earlier process of the role left.  The role's lock proves that it is dead."""
        now = time.time()
        await self.committer.submit(lambda rows: leases.break_role(rows, self._role, now))
        await self._reader.run(lambda: self._blobs.tidy(self._named))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        while self._accepting:
            await asyncio.wait(self._accepting)
        await self.committer.settled()
        self._resources.close()


async def open_store(
    folder: Path,
    *,
    role: Role,
    keep: float = KEEP_SECONDS,
    reserve: int = RESERVE_OCTETS,
    runtime: Path | None = None,
) -> SqlStore:
    """Open the store in `folder`, making it if need be.

    `keep`: seconds that octets stay after the end; `reserve`: octets of disk that no new message may use; `runtime`:
    where the sockets' folder is made, if not where `runtime_folder` would.  Raises `StoreUnusable`.
    """
    folder = prepare(folder)
    path = folder / "store.sqlite"
    with ExitStack() as resources:
        try:
            role_lock = RoleLock(folder, role)
            resources.callback(role_lock.release)
            lock = open_file(folder / "write.lock", os.O_RDWR | os.O_CREAT, folder)
            resources.callback(os.close, lock)
            doorbell = Doorbell(runtime_folder(folder, runtime), role.value)
            resources.callback(doorbell.close)
            writer = await asyncio.to_thread(open_writer, path, lock, keep, anew=role_lock.held)
            # Closed last of all connections: the last one tidies the log, and only a writing one can.
            committer = Committer(writer, lock, doorbell.ring)
            resources.callback(committer.close)
            reader = Reader(lambda: connect(path, read_only=True))
            resources.callback(reader.close)
            ((store_id,),) = reader.all(looking.META_VALUE, which="store_id")
            spool = Spool(folder / "octets", reserve)
            resources.callback(spool.close)
            blobs = Blobs(spool, appending=role is Role.APPLIANCE)
            resources.callback(blobs.close)
            store = SqlStore(role, keep, committer, reader, spool, blobs, doorbell, store_id)
            if role_lock.held:
                sync_folder(folder)  # part of instant 1: the folder of the octets has a durable name itself
                await store.succeed()
        except (sqlite3.Error, TransientFailure) as error:
            raise StoreUnusable(f"{path} cannot be opened ({error}); check the disk, or restore a backup") from error
        except OSError as error:
            where = error.filename or folder
            raise StoreUnusable(
                f"{where} cannot be used ({error.strerror}); give {folder} and all in it to user {os.geteuid()}"
            ) from error
        store.own(resources.pop_all())
    return store
