"""The process that the kill tests end: one job from its acceptance to its end, told line by line on stdout."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mailstore.job import DeliveryProof, Event
from mailstore.store.contract import Envelope, Recipient, Role, Store
from mailstore.store.outbox import OutgoingMail
from mailstore.store.sql import open_store

FAR = 4_000_000_000.0


async def main(folder: Path, runtime: Path, size: int, way: str) -> None:
    appliance = await open_store(folder, role=Role.APPLIANCE, reserve=0, runtime=runtime)
    bridge = await open_store(folder, role=Role.BRIDGE, reserve=0, runtime=runtime)
    draft = await appliance.draft(size)
    draft.write(b"x" * size)
    print("accepting", flush=True)
    envelope = Envelope(reverse_path="", client_ip="192.0.2.1", helo="h", trust="insider", answerable=True)
    recipient = Recipient(maildrop="phaser", address="phaser@example.com", quota=10**9, fields=b"")
    (job_id,) = await appliance.accept(draft, envelope, [recipient])
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
    assert await bridge.sending(lease, job_id, 0)
    print("sending", flush=True)
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
