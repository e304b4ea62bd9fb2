"""A store, a directory and a bridge in one process, for the bridge's tests: all of them the real ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from mailstore.directory.contract import Directory
from mailstore.directory.records import NO_LIMITS, Language, Printer, PrintLimits, Raw, WhenUncertain
from mailstore.job import Job, JobState
from mailstore.store.contract import Envelope, PrinterState, Recipient, Role, Store
from mailstore.store.sql import open_store
from printerbridge.appsocket import Patience
from printerbridge.bridge import Bridge
from printerbridge.guard import Guard
from printerbridge.line import Timing
from printerbridge.retry import SCHEDULES, Schedule
from tests.directory_server import running_directory

MEDIA = "iso_a4_210x297mm"
POSTSCRIPT = b"%!PS-Adobe-3.0\n(Printpost) show showpage\n"

SOON = Timing(
    patience=Patience(connect=5.0, stall=0.1, give_up=30.0, end=5.0),
    schedules=dict.fromkeys(SCHEDULES, Schedule(first=0.05, factor=1.0, longest=0.05)),
    look=0.5,
)


def message(*documents: bytes, subject: str = "a job") -> bytes:
    """A mail with attachments, as bytes with CRLF."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = "ada@example.com", "phaser@example.com", subject
    mail.set_content("see attachments\n")
    for number, document in enumerate(documents, 1):
        mail.add_attachment(document, maintype="application", subtype="octet-stream", filename=f"document-{number}")
    return mail.as_bytes()


class Printshop:
    """`store` is the appliance's side."""

    def __init__(self, store: Store, drains: Store, directory: Directory, bridges: Directory, folder: Path) -> None:
        self.store = store
        self.drains = drains
        self.folder = folder
        self._directory = directory
        self._bridges = bridges

    async def printer(
        self,
        name: str,
        uri: str,
        *languages: Language,
        when_uncertain: WhenUncertain = WhenUncertain.HOLD,
        pjl: bool = False,
        limits: PrintLimits = NO_LIMITS,
        raw: Raw = Raw.INSIDER,
        **more: Any,
    ) -> Printer:
        """Add a printer's entry, or replace it; `more` are other settings of it."""
        entry = Printer(
            name=name,
            addresses=(f"{name}@example.com",),
            uri=uri,
            languages=languages or (Language.POSTSCRIPT,),
            when_uncertain=when_uncertain,
            pjl=pjl,
            limits=limits,
            raw=raw,
            **more,
        )
        if await self._directory.printer(name) is None:
            await self._directory.add(entry, None)
        else:
            await self._directory.replace(entry)
        await self.store.changed()
        return entry

    async def submit(
        self, printer: str, mail: bytes, trust: str = "insider", *, options: str = "", proved: str = "", **more: Any
    ) -> int:
        """Accept a message for a printer, at its address with `options` ("+copies=2"); returns the job's number.

        `more` is of the `Recipient`.
        """
        return (await self.submit_blocks(printer, [mail], trust, options=options, proved=proved, **more))[0]

    async def submit_blocks(
        self,
        printer: str,
        blocks: Sequence[bytes],
        trust: str = "insider",
        *,
        options: str = "",
        proved: str = "",
        **more: Any,
    ) -> Sequence[int]:
        draft = await self.store.draft()
        for block in blocks:
            draft.write(block)
            if draft.congested:
                await draft.drained()
        envelope = Envelope(
            reverse_path="ada@example.com",
            client_ip="192.0.2.9",
            helo="client.example.com",
            trust=trust,
            name="a job",
            proof="spf" if proved else "",
            proved=proved,
        )
        address = f"{printer}{options}@example.com"
        recipient = Recipient(maildrop=printer, address=address, quota=1 << 40, fields=b"", **more)
        return await self.store.accept(draft, envelope, [recipient])

    @contextlib.asynccontextmanager
    async def bridge(
        self, timing: Timing = SOON, grace: float = 5.0, guard: Guard | None = None
    ) -> AsyncIterator[Bridge]:
        bridge = Bridge(
            self.drains,
            self._bridges,
            spool=self.folder / "spool",
            media=MEDIA,
            converters=2,
            timing=timing,
            guard=guard,
        )
        await bridge.start()
        try:
            yield bridge
        finally:
            await bridge.stop(grace)

    async def until(self, job_id: int, *states: JobState, seconds: float = 20.0) -> Job:
        """The job, once it is in one of these states."""
        async with asyncio.timeout(seconds):
            while True:
                job = await self.store.job(job_id)
                assert job is not None
                if job.state in states:
                    return job
                await asyncio.sleep(0.01)

    async def ended(self, *job_ids: int, seconds: float = 20.0) -> list[Job]:
        states = (JobState.COMPLETED, JobState.ABORTED, JobState.CANCELED)
        return [await self.until(job_id, *states, seconds=seconds) for job_id in job_ids]

    async def trace(self, job_id: int) -> str:
        return "\n".join(event.text for event in await self.store.trace(job_id))

    async def told(self, job_id: int, text: str, seconds: float = 20.0) -> None:
        """Return when the job's trace says `text`."""
        async with asyncio.timeout(seconds):
            while True:
                if text in await self.trace(job_id):
                    return
                await asyncio.sleep(0.01)

    async def pause(self, printer: str, paused: bool) -> None:
        await self.store.set_paused(printer, paused)

    async def fares(self, printer: str, *reasons: str, seconds: float = 20.0) -> PrinterState:
        """The printer's state, once its printer-state-reasons are these."""
        async with asyncio.timeout(seconds):
            while True:
                state = await self.store.printer_state(printer)
                if state.state_reasons == reasons:
                    return state
                await asyncio.sleep(0.01)

    async def states(self, job_ids: Collection[int]) -> list[JobState]:
        return [job.state for job_id in job_ids if (job := await self.store.job(job_id))]


@contextlib.asynccontextmanager
async def printshop(tmp_path: Path) -> AsyncIterator[Printshop]:
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(running_directory(tmp_path))
        folder = tmp_path / "data"
        store = await open_store(folder, role=Role.APPLIANCE, reserve=0, runtime=running.runtime)
        stack.push_async_callback(store.close)
        drains = await open_store(folder, role=Role.BRIDGE, reserve=0, runtime=running.runtime)
        stack.push_async_callback(drains.close)
        yield Printshop(store, drains, running.appliance, running.bridge, tmp_path)
