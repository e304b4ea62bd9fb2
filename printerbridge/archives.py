"""Archives that were attached: in their place the documents in them, each judged as if it had been attached itself.

Security: an archive is opened by a confined child with limits (`printerbridge.unpack`); here only the heads of the
files that it left are read, to see what they are.  Archives in archives are opened twice and no deeper.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailstore import charset
from mailstore.document_format import DocumentFormat
from mailstore.documents import LeftOut
from mailstore.failure import PermanentFailure
from mailstore.passage import CONTAINERS
from mailstore.sniff import PREFIX_OCTETS, sniff
from printerbridge.extraction import Able, Extraction
from printerbridge.part import Part
from printerbridge.ready import Prepared
from printerbridge.slots import Slots
from printerbridge.unpack import Member, unpack

DOCUMENTS = 500  # of a mail, those out of archives included
_NESTED = 2
_SECONDS = 60.0  # for each


@dataclass(frozen=True, slots=True, kw_only=True)
class Archives:
    """`fits`: whether a document of a format can get to the printer."""

    extraction: Extraction
    slots: Slots
    fits: Able
    prepared: Prepared

    async def opened(self, parts: Sequence[Part], depth: int = 0) -> list[Part]:
        """The documents, those of archives in place of these.  An archive that cannot be opened stays, with why.

        Raises `PermanentFailure` if there are too many.
        """
        found: list[Part] = []
        for part in parts:
            if part.format not in CONTAINERS:
                found.append(part)
                continue
            try:
                inside = await self._inside(part, depth)
                found += await self.opened(_chosen(inside), depth + 1)
            except PermanentFailure as failure:
                part.failure = failure
                found.append(part)
            if len(found) > DOCUMENTS:
                text = f"the archives hold more than {DOCUMENTS} documents; send them in several mails"
                raise PermanentFailure("5.3.4", text, reason="document-unprintable-error")
        return found

    async def _inside(self, part: Part, depth: int) -> list[Part]:
        if depth == _NESTED:
            text = "it is an archive in an archive in an archive; send what is in it"
            raise PermanentFailure("5.6.1", text, reason="document-unprintable-error")
        started = time.monotonic()
        path = await self.extraction.whole_file(part, self.prepared)
        folder = await self.extraction.own_folder(self.prepared)
        async with self.slots.take(part.octets):
            members = await unpack(path, part.format, folder=folder, timeout=_SECONDS)
        self.prepared.converting += time.monotonic() - started
        heads = await asyncio.to_thread(lambda: [_head(member.path) for member in members])
        inside: list[Part] = []
        for member, head in zip(members, heads, strict=True):
            format_ = sniff(head)
            if format_ in CONTAINERS or self.fits(format_):
                inside.append(_part(member, head, format_))
            else:
                why = f"it is in {part.name or 'the archive'}, and of a kind that does not print here"
                self.prepared.left_out.append(LeftOut(path="", name=member.name, format=format_, why=why))
        shown = [(member.content_id, member.path) for member in members if member.content_id]
        for each in inside:
            each.shown = shown if each.letter else []
        if not inside:
            text = "nothing that can be printed is in the archive"
            raise PermanentFailure("5.6.1", text, reason="document-unprintable-error")
        return inside


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(PREFIX_OCTETS)


def _chosen(inside: Sequence[Part]) -> list[Part]:
    """What is attached; if nothing is but what the letter shows, the letter (TNEF)."""
    attached = [each for each in inside if not each.letter and not each.ornament]
    return attached or [each for each in inside if each.letter] or list(inside)


def _part(member: Member, head: bytes, format_: DocumentFormat) -> Part:
    readable = format_ in (DocumentFormat.TEXT, DocumentFormat.HTML)
    label = charset.detect(head, "text/plain") if readable else ""
    part = Part.of_file(member.path, member.octets, format_, label, member.name)
    part.letter, part.ornament = member.letter, bool(member.content_id)
    return part
