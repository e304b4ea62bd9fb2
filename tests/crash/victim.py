"""The process that the kill tests end: one job from its acceptance to its end, told line by line on stdout."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from mailstore.directory.records import Hold
from mailstore.job import DeliveryProof, Event
from mailstore.store.contract import Draft, Envelope, Recipient, Role, Store
from mailstore.store.outbox import OutgoingMail
from mailstore.store.papers import DocumentRecord, Fate
from mailstore.store.splitting import Part, SplitLimits, SplitMail
from mailstore.store.sql import open_store

FAR = 4_000_000_000.0
DOCUMENT = DocumentRecord(number=1, name="report.pdf", format="application/pdf", pages=1, fate=Fate.READY)
RECIPIENT = Recipient(maildrop="phaser", address="phaser@example.com", quota=10**9, fields=b"")


async def main(folder: Path, runtime: Path, size: int, way: str) -> None:
    appliance = await open_store(folder, role=Role.APPLIANCE, reserve=0, runtime=runtime)
    bridge = await open_store(folder, role=Role.BRIDGE, reserve=0, runtime=runtime)
    if way == "split":
        await split(appliance, size)
        return
    draft = await appliance.draft(size)
    draft.write(b"x" * size)
    print("accepting", flush=True)
    envelope = Envelope(reverse_path="", client_ip="192.0.2.1", helo="h", trust="insider", answerable=True)
    if way == "waits":
        await waits(appliance, draft, envelope)
        return
    (job_id,) = await appliance.accept(draft, envelope, [RECIPIENT])
    print("accepted", flush=True)
    if way == "pop3":
        maildrop = await appliance.open_maildrop("phaser", "session", 3600)
        assert maildrop is not None
        await maildrop.retrieving(maildrop.entries[0])
        print("updating", flush=True)
        await maildrop.update(maildrop.entries)
        print("updated", flush=True)
        return
    lease = await bridge.acquire("device:test", "victim", 3600)
    assert lease is not None
    assert await bridge.claim(lease, job_id, ["job-transforming"])
    print("claimed", flush=True)
    if way == "papers":
        await bridge.record_documents(job_id, [DOCUMENT])
        assert await bridge.keep_thumbnail(job_id, 1, 1, b"PNG")
    assert await bridge.sending(lease, job_id, 0)
    print("sending", flush=True)
    if way == "papers":
        await bridge.documents_printed(job_id)
    event, reason = Event.COMPLETE, "job-completed-successfully"
    if way == "abort":
        event, reason = Event.ABORT, "aborted-by-system"
    assert await bridge.end(lease, job_id, event, reasons=[reason], proof=DeliveryProof.NONE)
    print("ended", flush=True)
    if way == "notices":
        await notices(appliance, job_id)
    elif way == "wishes":
        print("wishing", flush=True)
        await appliance.print_again(job_id, "ada")
        print("granted", flush=True)


async def waits(appliance: Store, draft: Draft, envelope: Envelope) -> None:
    """A job that is held when it comes, goes to another printer, and is given up there."""
    (job_id,) = await appliance.accept(draft, envelope, [replace(RECIPIENT, hold=Hold.CODE)])
    print("held", flush=True)
    assert await appliance.move_job(job_id, replace(RECIPIENT, maildrop="other", hold=Hold.CODE), "ada")
    print("moved", flush=True)
    assert await appliance.expire_jobs("other", received=0.0, held=FAR) == 1
    print("expired", flush=True)


async def split(appliance: Store, size: int) -> None:
    for number in (1, 2):
        print(f"part-{number}", flush=True)
        await bring_part(appliance, number, size)
        print(f"part-{number}-came", flush=True)
    (found,) = await appliance.split_mails()
    print("joining", flush=True)
    await join(appliance, found.job_id, size)
    print("joined", flush=True)


async def bring_part(store: Store, number: int, size: int) -> SplitMail:
    draft = await store.draft(size)
    draft.write(b"%d" % number * size)
    said = Envelope(
        reverse_path="ada@example.com",
        client_ip="192.0.2.1",
        helo="h",
        trust="verified",
        proved="ada@example.com",
        header_message_id=f"<{number}@example.com>",
        content=b"%d" % number,
    )
    limits = SplitLimits(parts=10, octets=10**9, seconds=3600)
    return await store.accept_part(draft, said, RECIPIENT, Part(id="id", number=number, total=2), limits)


async def join(store: Store, job_id: int, size: int) -> bool:
    draft = await store.draft(2 * size)
    draft.write(b"1" * size + b"2" * size)
    said = Envelope(reverse_path="ada@example.com", client_ip="192.0.2.1", helo="h", trust="verified")
    return await store.put_together(job_id, draft, said, RECIPIENT)


async def notices(appliance: Store, job_id: int) -> None:
    mail = OutgoingMail(recipient="ada@example.com", octets=b"printed", job_id=job_id, expires_at=FAR)
    print("telling", flush=True)
    await appliance.tell([mail], await appliance.occurrences(10))
    print("told", flush=True)
    (taken,) = await appliance.take_outgoing("victim", 10, 3600)
    assert await appliance.outgoing_done(taken, "ada was told")
    print("delivered", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
