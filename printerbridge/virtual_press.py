"""The virtual printer's engine: does what the jobs say, in their order, and puts their pages out one by one.

Security: what it draws are strangers' programs, which only `printerbridge.render` runs; the rest are page numbers.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from printerbridge.render import PJL_LANGUAGES, PREFIX_OCTETS, Rendering, render, sniff_language
from printerbridge.virtual_connection import Reception
from printerbridge.virtual_device import Device
from printerbridge.virtual_job import Session
from printerbridge.virtual_pages import count
from printerbridge.virtual_panel import Panel
from printerbridge.virtual_personality import Personality
from printerbridge.virtual_pjl import Broken, Command, Document, Fares, Found

_OVERLAP_SECONDS: Final = 0.05  # for the next job's beginning, before this one's end is told
_MEMORY_ERROR: Final = (
    b"%%[ Error: VMerror; OffendingCommand: showpage ]%%\r\n"
    b"%%[ Flushing: rest of job (to end-of-file) will be ignored ]%%\r\n"
)


class Press:
    """One for a printer; `render` False: pages are counted where the octets show them, and not drawn.

    `timeout`: seconds for each program that draws; `page_seconds`: for each page to come out.
    """

    def __init__(self, device: Device, kind: Personality, *, render: bool, timeout: float, page_seconds: float) -> None:
        self._device = device
        self._kind = kind
        self._render = render
        self._timeout = timeout
        self._page_seconds = page_seconds
        self._turn = asyncio.Lock()  # fair: jobs are printed in the order they came

    async def run(self, session: Session, reception: Reception) -> None:
        """Print one job, when the jobs before it are done."""
        async with self._turn:
            panel = Panel(self._device, self._kind)
            try:
                while (item := await session.next()) is not None:
                    await self._do(item, panel, session, reception)
            finally:
                if session.clock is not None:
                    session.clock.cancel()

    async def _do(self, item: Found, panel: Panel, session: Session, reception: Reception) -> None:
        match item:
            case Command():
                await reception.say(await self._answer(item, panel, session))
                if panel.timed and (session.clock is None or session.clock.done()):
                    session.clock = asyncio.get_running_loop().create_task(_tell_in_time(panel, reception))
            case Fares():
                self._device.fare(item.condition)
                await reception.say(panel.fares())
            case Broken():
                await reception.say(panel.break_off(item))
                session.broken = item
            case Document():
                await self._print(item, panel, session, reception)

    async def _answer(self, command: Command, panel: Panel, session: Session) -> bytes:
        told = panel.answer(command)
        if self._kind.overlaps and command.verb == "EOJ":
            following = await session.peek(_OVERLAP_SECONDS)
            if isinstance(following, Command) and following.verb == "JOB":
                await session.next()
                return panel.answer(following) + told
        return told

    async def _print(self, document: Document, panel: Panel, session: Session, reception: Reception) -> None:
        self._device.printing = True
        try:
            drawn = await self._draw(document, panel.wanted, session, reception.head)
            out = 0
            try:
                panel.skip(drawn.skipped)
                while out < drawn.pages and await self._feed(panel, reception):
                    out += 1
                    await reception.say(panel.page())
            finally:
                if out or not (drawn.pages or reception.dropped):
                    session.drawn.append(replace(drawn, pages=out))
            await reception.say(drawn.output)
            if drawn.language == "postscript" and session.broken is not None:
                await reception.say(_MEMORY_ERROR if session.broken.result == "RESOURCE_CANCELED" else b"")
        finally:
            self._device.printing = False

    async def _feed(self, panel: Panel, reception: Reception) -> bool:
        """One page comes out, as soon as the printer can; False if it never will."""
        stopped = False
        while self._device.now.stops and not reception.dropped:
            if not stopped:
                await reception.say(panel.fares())
            stopped = True
            await self._device.change()
        if stopped:
            await reception.say(panel.fares())
        if self._page_seconds:
            await asyncio.sleep(self._page_seconds)
        if reception.dropped:
            return False
        self._device.pages += 1
        return True

    async def _draw(self, document: Document, wanted: tuple[int, int], session: Session, head: bytes) -> Rendering:
        if session.stem is None:
            return Rendering(language=PJL_LANGUAGES.get(document.language) or sniff_language(head[document.start :]))
        source = session.stem.with_name(f"{session.stem.name}.prn")
        try:
            drawn = await self._rendered(document, wanted, session) if self._render else _named(document, source)
            if drawn.language == "text" or not self._render:
                place = {"start": document.start, "end": document.end}
                pages = await asyncio.to_thread(count, source, language=drawn.language, **place)
                first, last = wanted
                drawn = replace(drawn, pages=max(0, min(pages, last) - first + 1), skipped=min(pages, first - 1))
        except OSError as error:
            return Rendering(language="", error=f"the output folder cannot be written: {error.strerror}")
        return drawn

    async def _rendered(self, document: Document, wanted: tuple[int, int], session: Session) -> Rendering:
        assert session.stem is not None
        return await render(
            session.stem.with_name(f"{session.stem.name}.prn"),
            start=document.start,
            end=document.end,
            language=document.language,
            stem=session.stem,
            first_page=1 + session.pages,
            timeout=self._timeout,
            wanted=wanted,
        )


def _named(document: Document, source: Path) -> Rendering:
    """The document's language, by the octets if PJL did not say."""
    if known := PJL_LANGUAGES.get(document.language):
        return Rendering(language=known)
    with source.open("rb") as file:
        file.seek(document.start)
        return Rendering(language=sniff_language(file.read(min(PREFIX_OCTETS, document.end - document.start))))


async def _tell_in_time(panel: Panel, reception: Reception) -> None:
    """PJL's USTATUS TIMED."""
    while panel.timed:
        await asyncio.sleep(panel.timed)
        await reception.say(panel.timed_status())
