"""One job's documents made into what one printer may get: passed, filtered or drawn anew.

Which of the three is decided by `mailstore.passage`; `printerbridge.firewall` filters, `printerbridge.convert` draws,
`printerbridge.ticket` says to the printer what was asked for.

Security: documents are strangers' octets.  Only confined children open them; the firewall reads them as they stream by.
What may not pass and cannot be drawn is not sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import prometheus_client

from mailstore.abilities import Abilities
from mailstore.directory.records import Language, Printer, Raw
from mailstore.document_format import DocumentFormat
from mailstore.passage import Treatment, treatment
from mailstore.sniff import PREFIX_OCTETS
from mailstore.store.papers import Fate
from mailstore.ticket import NO_TICKET, ColorMode, Ticket
from printerbridge import convert, firewall, ticket
from printerbridge.extraction import Extraction
from printerbridge.part import Part
from printerbridge.pjl import UEL, brings_pjl
from printerbridge.ready import BLOCK, Prepared, Ready, Shown
from printerbridge.route import route, spoken
from printerbridge.slots import Slots

DROPPED = prometheus_client.Counter(
    "printpost_firewall_dropped_total", "Printer commands that the print firewall kept from printers.", ["command"]
)
PASSES_AS_PDF = "looked at, goes as it came"
_INLINE = 1 << 18  # octets that are filtered without a thread


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all jobs of a bridge are fitted with."""

    extraction: Extraction
    slots: Slots
    media: str  # of printers that do not name theirs
    abilities: Abilities


class Fitting:
    """One job for one printer, with the ticket that holds for all its documents."""

    def __init__(self, house: House, printer: Printer, asked: Ticket, prepared: Prepared) -> None:
        self._house = house
        self._printer = printer
        self._prepared = prepared
        self._asked = asked
        self._trust = prepared.job.trust or Raw.STRANGER

    def draws(self, part: Part) -> bool:
        """Whether it has to be opened, so that the job must be claimed first."""
        return not self._passes(part) or part.format is DocumentFormat.PDF or self._counts(part)

    async def fit(self, part: Part) -> list[Ready]:
        """The document as often as it is to be sent.  Raises `PermanentFailure`, `TransientFailure`, `OSError`."""
        if part.failure is not None:
            raise part.failure
        if _mislabelled(part):
            self._prepared.told.append(f"{part} is called {part.declared}, and is {part.format.value}")
        started = time.monotonic()
        drawn = self.draws(part)
        try:
            ready = await self._ready(part)
        finally:
            if drawn:
                self._prepared.converting += time.monotonic() - started
        return self._dressed(part, ready)

    # -- what is done to it

    def _treatment(self, part: Part) -> Treatment:
        if part.ours:
            return Treatment.RAW
        return treatment(self._printer, self._trust, part.format)

    def _wishes(self, part: Part) -> Ticket:
        return NO_TICKET if part.ours else self._asked

    def _passes(self, part: Part) -> bool:
        """As it came, or filtered."""
        known = spoken(part.format, self._printer.languages) is not None
        if not known or self._treatment(part) is Treatment.RERENDER:
            return False
        return not (self._has_no_words(part) and self._drawable(part))

    def _has_no_words(self, part: Part) -> bool:
        """Whether something is asked for that cannot be said to a printer, but drawn."""
        wishes, printer = self._wishes(part), self._printer
        grey = printer.color and wishes.color is ColorMode.MONOCHROME
        mute = part.format is DocumentFormat.PDF and not printer.pjl
        return wishes.rearranges or (mute and (grey or wishes.media != ""))

    def _drawable(self, part: Part) -> bool:
        return route(part.format, self._printer.languages, as_is=False) is not None

    def _counts(self, part: Part) -> bool:
        """Whether its pages have to be known before it prints."""
        return part.format is DocumentFormat.POSTSCRIPT and self._prepared.limits is not None and not part.ours

    async def _ready(self, part: Part) -> Ready:
        if not self._passes(part):
            return await self._drawn(part)
        language = spoken(part.format, self._printer.languages)
        if self._treatment(part) is Treatment.FILTERED:
            await self._filter(part)
        if part.format is DocumentFormat.PDF:
            # Looked into even where it passes: an encrypted or damaged one prints as garbage.
            return await self._converted(part, as_is=True)
        if self._counts(part):
            await self._count(part)
        ready = part.as_it_came(language)
        if not part.ours:
            self._record(part, ready.pages, "went as it came")
        return ready

    async def _count(self, part: Part) -> None:
        if refused := self._house.abilities.refusal(part.format, self._trust):  # it passes, and is not opened
            self._prepared.told.append(f"the pages of {part} are not counted: {refused.text}")
            return
        path = await self._house.extraction.whole_file(part, self._prepared)
        part.pages = await convert.count(path, folder=path.parent, slots=self._house.slots)

    async def _drawn(self, part: Part) -> Ready:
        if not part.ours and (refused := self._house.abilities.refusal(part.format, self._trust)):
            raise refused
        if brings_pjl(await self._head(part)):
            unwrapper = firewall.Unwrapper()
            await self._through(part, unwrapper)
            self._count_dropped(part, unwrapper.dropped)
        return await self._converted(part, as_is=False)

    async def _converted(self, part: Part, *, as_is: bool) -> Ready:
        prepared, wishes = self._prepared, self._wishes(part)
        path = await self._house.extraction.whole_file(part, prepared)
        keep = not (self._printer.confidential or part.ours)
        made = await convert.convert(
            path,
            part.format,
            self._printer.languages,
            folder=await self._house.extraction.own_folder(prepared),
            media=wishes.media or (self._printer.media or (self._house.media,))[0],
            charset=part.charset or "utf-8",
            color=self._printer.color,
            as_is=as_is,
            ticket=wishes,
            shown=part.shown,
            counted=prepared.limits is not None,
            keep_pdf=keep,
            slots=self._house.slots,
        )
        if made.route and made.language in _WITHOUT_UEL:
            await asyncio.to_thread(_refuse_uel, made.path)
        if made.route and made.language is Language.PCLXL:
            made = await self._bared(made)
        if made.route:
            prepared.routes.append(f"{part}: {' '.join(made.route)}")
        if made.pdf is not None:
            prepared.shown.append(Shown(document=part.index, pdf=made.pdf, pages=made.pages))
        if not part.ours:
            self._record(part, made.pages, "drawn anew" if made.route else PASSES_AS_PDF)
        return Ready(
            octets=(await asyncio.to_thread(made.path.stat)).st_size,
            pages=made.pages,
            language=made.language,
            path=made.path,
            made=bool(made.route),
            ours=part.ours,
        )

    async def _bared(self, made: convert.Converted) -> convert.Converted:
        """Without the PJL that Ghostscript puts around its PCL XL: ours says more, and says it once.

        A printer that is not known to speak PJL would take PCL XL for text: it is told the language and no more.
        """
        bare = made.path.with_name(f"{made.path.name}-bare")
        around = (b"", b"") if self._printer.pjl else (_ENTER_PCLXL, UEL)
        await asyncio.to_thread(_pass_file, made.path, bare, firewall.Unwrapper(), *around)
        return replace(made, path=bare)

    def _record(self, part: Part, pages: int, detail: str) -> None:
        self._prepared.records.append(part.record(Fate.READY, detail, pages))

    # -- the firewall

    async def _filter(self, part: Part) -> None:
        printer = self._printer

        def may_pass(source: DocumentFormat) -> bool:
            known = spoken(source, printer.languages) is not None
            return known and treatment(printer, self._trust, source) is not Treatment.RERENDER

        copies = 1 if self._asked.copies else printer.max_copies  # what is asked for is not multiplied
        firewalled = firewall.Filter(
            part.format,
            printer.languages,
            passes=may_pass,
            copies=copies,
            charset=part.charset,
            letters=printer.takes_raw(self._trust),
        )
        await self._through(part, firewalled)
        self._count_dropped(part, firewalled.dropped)

    def _count_dropped(self, part: Part, dropped: Counter[str]) -> None:
        for command, times in dropped.items():
            DROPPED.labels(command).inc(times)
        if dropped:
            self._prepared.told.append(f"{part}: {firewall.tell(dropped)}")

    async def _through(self, part: Part, passing: firewall.Filter | firewall.Unwrapper) -> None:
        """The document becomes what comes out of `passing`."""
        if part.path is None:
            await self._through_memory(part, passing)
            return
        target = part.path.with_name(f"{part.path.name}-passed")
        part.octets = await asyncio.to_thread(_pass_file, part.path, target, passing)
        part.path = target

    async def _through_memory(self, part: Part, passing: firewall.Filter | firewall.Unwrapper) -> None:
        """Text may become longer, and then find no room in memory."""
        house, prepared, large = self._house.extraction, self._prepared, part.octets > _INLINE
        try:
            for block in house.emptied(part, prepared):
                passed = await asyncio.to_thread(passing.feed, block) if large else passing.feed(block)
                if passed:
                    await house.keep(part, passed, prepared)
            if rest := passing.close():
                await house.keep(part, rest, prepared)
            await part.flush()
        finally:
            part.shut()

    async def _head(self, part: Part) -> bytes:
        if part.path is None:
            return _beginning(part.waiting)
        return await asyncio.to_thread(_read_head, part.path)

    # -- what was asked for

    def _dressed(self, part: Part, ready: Ready) -> list[Ready]:
        asked = self._wishes(part)
        if asked == NO_TICKET:
            return [ready]
        plan = ticket.plan(asked, ready.language, ready.head(), made=ready.made, pjl=self._printer.pjl)
        if plan.missing:
            self._prepared.told.append(f"{part}: {plan.missing}")
        octets, pages = ready.octets + len(plan.words), ready.pages * plan.copies
        dressed = replace(
            ready, octets=octets, pages=pages, at=plan.at, words=plan.words, pjl=plan.pjl, copies=plan.copies
        )
        return [dressed] * plan.times


_FORMATS = frozenset(each.value for each in DocumentFormat if each is not DocumentFormat.OCTETS)
_ENTER_PCLXL = UEL + b"@PJL ENTER LANGUAGE = PCLXL\r\n"
_WITHOUT_UEL = frozenset(Language) - {Language.PCLXL}  # which Ghostscript puts between UELs
_KINDS = ("image", "text", "audio", "video")


def _mislabelled(part: Part) -> bool:
    """Whether the mail calls it what it is not; some formats have more names than one."""
    kind = part.declared.partition("/")[0]
    other_kind = kind in _KINDS and kind != part.format.value.partition("/")[0]
    return part.declared != part.format.value and (part.declared in _FORMATS or other_kind)


def _pass_file(
    source: Path, target: Path, passing: firewall.Filter | firewall.Unwrapper, before: bytes = b"", behind: bytes = b""
) -> int:
    """Octets of `target`, which has ours `before` and `behind` what came through.

    Of `source` nothing is left: the disk need not hold both while the printer prints.
    """
    with source.open("rb") as reader, target.open("xb") as writer:
        octets = writer.write(before)
        while block := reader.read(BLOCK):
            octets += writer.write(passing.feed(block))
        octets += writer.write(passing.close() + behind)
    source.unlink()
    return octets


def _refuse_uel(path: Path) -> None:
    with path.open("rb") as reader:
        firewall.refuse_uel(iter(lambda: reader.read(BLOCK), b""))


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(PREFIX_OCTETS)


def _beginning(blocks: Sequence[bytes]) -> bytes:
    head = b""
    for block in blocks:
        head += block[: PREFIX_OCTETS - len(head)]
        if len(head) == PREFIX_OCTETS:
            break
    return head
