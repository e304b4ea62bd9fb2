"""A job at the virtual printer: what came, and what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from printerbridge.render import Rendering
from printerbridge.virtual_connection import Ended, Reception
from printerbridge.virtual_faults import Fault
from printerbridge.virtual_pages import COUNTED
from printerbridge.virtual_pjl import Broken, Command, Document, Found, wants_answer, wants_job_status

PENDING: Final = 64
"""Commands and documents that a connection may be read ahead of their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedJob:
    """One connection, when its pages are drawn.  Times are seconds since the epoch, 0.0 if it never came to that.

    `outcome` is what came out: "printed" (a whole job), "nothing", "part: 3 pages" (the job's end was missing or
    broken), or "part" where nobody can count.  `pages` were put out on paper, and no others.
    """

    number: int  # of the files; counts on where an earlier run in the same folder ended
    started: float
    first_octet: float
    ended_at: float
    octets: int
    sha256: str
    language: str  # of the first document
    pages: int
    outcome: str
    fault: str  # as in `--fault`, "" if healthy
    ended: Ended
    path: Path | None = None  # the octets as received
    pdf: Path | None = None
    images: tuple[Path, ...] = ()
    text: Path | None = None
    output: str = ""  # what a PostScript program said
    error: str = ""  # why there are no pages, or not all


class Session:
    """What one connection has brought so far."""

    def __init__(self, number: int, fault: Fault | None, stem: Path | None) -> None:
        self.number = number
        self.fault = fault
        self.stem = stem
        self.found: asyncio.Queue[Found | None] = asyncio.Queue(PENDING)
        self.documents = 0
        self.must_answer = False
        self.broken: Broken | None = None
        self.clock: asyncio.Task[None] | None = None  # of USTATUS TIMED
        self._ahead: list[Found | None] = []
        self.counting = stem is not None
        self.drawn: list[Rendering] = []

    async def next(self) -> Found | None:
        """What comes next; None at the end."""
        return self._ahead.pop() if self._ahead else await self.found.get()

    async def peek(self, seconds: float) -> Found | None:
        """What would come next, if it comes within `seconds`."""
        if not self._ahead:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    self._ahead.append(await self.found.get())
        return self._ahead[0] if self._ahead else None

    async def take(self, item: Found) -> None:
        if isinstance(item, Document):
            self.documents += 1
        elif isinstance(item, Command) and (wants_job_status(item) or (self.documents and wants_answer(item))):
            self.must_answer = True
        await self.found.put(item)

    @property
    def pages(self) -> int:
        return sum(one.pages for one in self.drawn)

    def _outcome(self, reception: Reception) -> str:
        if not self.drawn:
            return "nothing"
        whole = reception.whole and not reception.dropped and not any(one.error for one in self.drawn)
        if not self.pages:
            counted = self.counting and all(one.language in COUNTED for one in self.drawn)
            return "nothing" if counted else "printed" if whole else "part"
        return "printed" if whole else f"part: {self.pages} page{'s' if self.pages != 1 else ''}"

    def printed(self, reception: Reception) -> PrintedJob:
        first = self.drawn[0] if self.drawn else Rendering(language="")
        return PrintedJob(
            number=self.number,
            started=reception.started,
            first_octet=reception.first_octet,
            ended_at=reception.ended_at,
            octets=reception.octets,
            sha256=reception.digest.hexdigest(),
            language=first.language,
            pages=self.pages,
            outcome=self._outcome(reception),
            fault="" if self.fault is None else str(self.fault),
            ended=reception.ended,
            path=self.stem.with_name(f"{self.stem.name}.prn") if self.stem is not None else None,
            pdf=next((one.pdf for one in self.drawn if one.pdf is not None), None),
            images=tuple(itertools.chain.from_iterable(one.images for one in self.drawn)),
            text=next((one.text for one in self.drawn if one.text is not None), None),
            output=b"".join(one.output for one in self.drawn).decode("latin-1"),
            error="; ".join(one.error for one in self.drawn if one.error),
        )


def describe(job: PrintedJob) -> str:
    """One line for people."""
    parts = [
        f"job {job.number}: {job.octets} octets",
        job.language or "no document",
        f"{job.pages} page{'s' if job.pages != 1 else ''}",
        *([job.outcome] * (job.outcome != "printed" and job.octets > 0)),
    ]
    if job.ended is not Ended.EOF:
        parts.append(f"ended by {job.ended}")
    parts += [f"fault {job.fault}"] * bool(job.fault) + [job.error] * bool(job.error)
    result = job.pdf or job.text or job.path
    return ", ".join(parts) + (f" -> {result}" if result is not None and job.octets else "")
