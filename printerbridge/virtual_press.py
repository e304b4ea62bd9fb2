"""The virtual printer's engine: does what the jobs say, in their order, and counts the pages that come out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from printerbridge.render import PJL_LANGUAGES, PREFIX_OCTETS, Rendering, render, sniff_language
from printerbridge.virtual_connection import Reception
from printerbridge.virtual_job import Session
from printerbridge.virtual_pages import count
from printerbridge.virtual_pjl import Broken, Command, Display, Document, Panel


class Press:
    """One for a printer; `render` False: pages are counted where the octets show them, and not drawn.

    `timeout`: seconds for each program that draws.  Attribute: `pages`, the printer's page counter.
    """

    def __init__(self, *, render: bool, timeout: float) -> None:
        self.pages = 0
        self._render = render
        self._timeout = timeout
        self._drawing = asyncio.Lock()  # fair: jobs are drawn in the order they came

    async def run(self, session: Session, reception: Reception) -> None:
        """Print one job, when the jobs before it are done."""
        async with self._drawing:
            panel = Panel(pages=self.pages)
            while (item := await session.found.get()) is not None:
                match item:
                    case Command():
                        await reception.say(panel.answer(item))
                    case Display():
                        await reception.say(panel.show(item))
                    case Broken():
                        await reception.say(panel.break_off(item))
                    case Document():
                        await self._print(item, session, reception)
                        panel.pages = self.pages

    async def _print(self, document: Document, session: Session, reception: Reception) -> None:
        drawn = await self._draw(document, session, reception.head)
        if reception.dropped:  # meanwhile, and no page is out yet
            return
        session.drawn.append(drawn)
        self.pages += drawn.pages
        await reception.say(drawn.output)

    async def _draw(self, document: Document, session: Session, head: bytes) -> Rendering:
        if session.stem is None:
            return Rendering(language=PJL_LANGUAGES.get(document.language) or sniff_language(head[document.start :]))
        source = session.stem.with_name(f"{session.stem.name}.prn")
        try:
            drawn = await self._rendered(document, session) if self._render else _named(document, source)
            if drawn.language == "text" or not self._render:
                place = {"start": document.start, "end": document.end}
                drawn = replace(drawn, pages=await asyncio.to_thread(count, source, language=drawn.language, **place))
        except OSError as error:
            return Rendering(language="", error=f"the output folder cannot be written: {error.strerror}")
        return drawn

    async def _rendered(self, document: Document, session: Session) -> Rendering:
        assert session.stem is not None
        return await render(
            session.stem.with_name(f"{session.stem.name}.prn"),
            start=document.start,
            end=document.end,
            language=document.language,
            stem=session.stem,
            first_page=1 + session.pages,
            timeout=self._timeout,
        )


def _named(document: Document, source: Path) -> Rendering:
    """The document's language, by the octets if PJL did not say."""
    if known := PJL_LANGUAGES.get(document.language):
        return Rendering(language=known)
    with source.open("rb") as file:
        file.seek(document.start)
        return Rendering(language=sniff_language(file.read(min(PREFIX_OCTETS, document.end - document.start))))
