"""The embedded engine: SQLite beside a folder of octets, for processes of one host.

See `contract.Store` for what each call promises; here they are only put together.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mailstore.failure import TransientFailure
from mailstore.job import DeliveryProof, Event, Job
from mailstore.store import (
    capabilities,
    counting,
    documented,
    followed,
    jobs,
    leases,
    listing,
    looking,
    outgoing,
    parts,
    printers,
)
from mailstore.store.blobs import Blobs, Placed
from mailstore.store.capabilities import Capabilities
from mailstore.store.committer import Committer, Rows, Steps, Wanted
from mailstore.store.connection import connect, open_writer
from mailstore.store.contract import (
    JobEvent,
    Lease,
    Maildrop,
    Origin,
    Role,
    StoreUnusable,
    Waiting,
)
from mailstore.store.documented import Documented
from mailstore.store.doorbell import Doorbell
from mailstore.store.drafts import Spool
from mailstore.store.followed import Followed
from mailstore.store.holding import Counting
from mailstore.store.maildrop import Maildrops
from mailstore.store.outgoing import Telling
from mailstore.store.place import RoleLock, open_file, prepare, sync_folder
from mailstore.store.reader import Reader
from mailstore.store.runtime import runtime_folder
from mailstore.store.sessions import LoggedIn
from mailstore.store.splits import Splits
from mailstore.store.taking import Taking
from mailstore.store.waited import Waited

KEEP_SECONDS = 86400.0
_PRINTERS_ON_LOOP = 16
RESERVE_OCTETS = 256 * 1024 * 1024


class SqlStore(Taking, Waited, Splits, Counting, Capabilities, Documented, Followed, Telling, LoggedIn):
    """A store that is open.  Made by `open_store`.

    Draining and looking are here; each other part of the contract has a class and a file of its own.
    """

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
        self._accepting: set[asyncio.Task[Any]] = set()
        self._maildrops = Maildrops(committer, reader, role, self._read_for_pop3, self._ended)
        self.committer = committer

    async def standing(self, maildrop: str) -> tuple[bool, int]:
        ((accepting, octets),) = self._reader.all(looking.STANDING, which=maildrop)
        return accepting is None or bool(accepting), int(octets or 0)

    # -- serving by POP3

    async def open_maildrop(self, name: str, owner: str, seconds: float) -> Maildrop | None:
        return await self._maildrops.open(name, owner, seconds)

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
            return listing.oldest_pending(self._reader.all, printers, limit)
        return await self._reader.run(lambda: listing.oldest_pending(self._reader.far, printers, limit))

    async def claim(self, lease: Lease, job_id: int, reasons: Sequence[str], *, printer: str = "") -> bool:
        now = time.time()
        return await self.committer.submit(
            lambda rows: jobs.claim(rows, lease, job_id, reasons, printer, now), Wanted.NOW, instant="2"
        )

    async def sending(self, lease: Lease, job_id: int, document: int, *, printer: str = "", told: str = "") -> bool:
        # Instant 3: from here on a loss leaves the job in doubt.
        now = time.time()
        return await self.committer.submit(
            lambda rows: jobs.sending(rows, lease, job_id, document, printer, told, now), instant="3"
        )

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
        printer: str = "",
    ) -> bool:
        if event not in jobs.ENDINGS:
            raise ValueError(f"{event} does not end a job")
        # Instant 4: the end state and the going of the maildrop entry are one commit.
        now = time.time()
        message = await self.committer.submit(
            lambda rows: jobs.end(rows, lease, job_id, event, reasons, proof, pages, detail, printer, now), instant="4"
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
        printer: str = "",
    ) -> bool:
        if event in jobs.ENDINGS:
            raise ValueError(f"{event} ends a job: use end()")
        now = time.time()
        return await self.committer.submit(
            lambda rows: jobs.move(rows, lease, job_id, event, reasons, next_attempt_at, detail, printer, now)
        )

    # -- looking

    async def job(self, job_id: int) -> Job | None:
        await self.committer.caught_up()
        row = self._reader.one(listing.ONE_JOB, job=job_id)
        return listing.job_of(row) if row else None

    async def jobs(
        self, *, printer: str = "", states: Collection[str] = (), limit: int = 1000, before: int = 0
    ) -> Sequence[Job]:
        await self.committer.caught_up()
        statement = listing.jobs(bool(printer), tuple(sorted(states)), bool(before))
        values: dict[str, str | int] = {"of": printer} if printer else {}
        if before:
            values["before"] = before
        far = self._reader.far
        return await self._reader.run(lambda: [listing.job_of(row) for row in far(statement, **values, most=limit)])

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

    async def origins(self, limit: int) -> Sequence[Origin]:
        await self.committer.caught_up()
        return await looking.origins(self._reader, limit)

    async def forget_printer(self, printer: str) -> None:
        now = time.time()

        def steps(rows: Rows) -> Steps[tuple[list[Placed], list[int]]]:
            printers.forget_printer(rows, printer)
            followed.forget(rows, printer)
            capabilities.revoke_all(rows, printer, now)
            counting.forget(rows, printer)
            yield from documented.forget(rows, printer)
            dropped = yield from parts.forget(rows, printer)
            return dropped, (yield from jobs.forget(rows, printer, now))

        dropped, messages = await self.committer.submit_long(steps)
        await self._remove(dropped)
        await self._ended(messages)

    async def generation(self) -> int:
        ((value,),) = self._reader.all(looking.META_VALUE, which="generation")
        return int(value)

    async def changed(self) -> int:
        return await self.committer.submit(looking.raise_generation)

    # -- the doorbell

    def rings(self) -> AsyncIterator[str]:
        return self._doorbell.rings()

    def own(self, resources: ExitStack) -> None:
        """What to let go of at `close`."""
        self._resources = resources

    async def succeed(self) -> None:
        """Settle what an earlier process of the role left.  The role's lock proves that it is dead."""
        now = time.time()

        def work(rows: Rows) -> None:
            leases.break_role(rows, self._role, now)
            if self._role is Role.APPLIANCE:
                outgoing.let_go(rows)

        await self.committer.submit(work)
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
            doorbell = Doorbell(runtime_folder(folder, runtime), role.value, heard_here=role is not Role.BRIDGE)
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
