"""Archives that were attached: in their place the documents in them, each judged as if it had been attached itself.

Outlook's TNEF is the mail over again, in Outlook's own form: the letter in it is another form of the one beside it.

Security: an archive is opened by a confined child with limits (`printerbridge.unpack`); here only the beginnings of the
files that it left are read, to see what they are.  Archives in archives are opened twice and no deeper, and what comes
out of all archives of a mail is bounded together: many small bombs are no way around the limit on one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailstore import mime
from mailstore.directory.records import Body
from mailstore.document_format import DocumentFormat
from mailstore.documents import Document, LeftOut, Surveyed, survey_file
from mailstore.failure import PermanentFailure
from mailstore.passage import CONTAINERS
from mailstore.selection import ANOTHER_FORM, NEVER, NOT_ALONE, select
from printerbridge.extraction import Able, Extraction
from printerbridge.part import Part
from printerbridge.ready import Prepared
from printerbridge.slots import Slots
from printerbridge.unpack import ENTRIES, OCTETS, Member, unpack

DOCUMENTS = 500  # of a mail, those out of archives included
FILES = 1000  # out of all archives of a mail
_NESTED = 2
_SECONDS = 60.0  # for each
_TNEF = DocumentFormat.TNEF


@dataclass(slots=True, kw_only=True)
class Archives:
    """Of one mail.  `fits`: whether a document of a format can get to the printer; `body`: when its letter prints."""

    extraction: Extraction
    slots: Slots
    fits: Able
    body: Body
    prepared: Prepared
    files: int = FILES  # that may still come out
    octets: int = OCTETS  # likewise

    async def opened(self, parts: Sequence[Part]) -> list[Part]:
        """The documents, those of archives in place of these.  An archive that cannot be opened stays, with why.

        Raises `PermanentFailure` if there are too many, or nothing that prints, `TransientFailure`, `OSError`.
        """
        return self._without_letters(await self._opened(parts, 0), [part for part in parts if part.letter])

    async def _opened(self, parts: Sequence[Part], depth: int) -> list[Part]:
        found: list[Part] = []
        for part in parts:
            if part.format not in CONTAINERS or part.failure is not None:
                found.append(part)
                continue
            try:
                inside = await self._opened(await self._inside(part, depth), depth + 1)
            except PermanentFailure as failure:
                part.failure = failure
                inside = []
            found += inside or [part]
            if len(found) > DOCUMENTS:
                text = f"the archives hold more than {DOCUMENTS} documents; send them in several mails"
                raise PermanentFailure("5.3.4", text, reason="document-unprintable-error")
        return found

    async def _inside(self, part: Part, depth: int) -> list[Part]:
        if depth == _NESTED:
            text = "it is an archive in an archive in an archive; send what is in it"
            raise PermanentFailure("5.6.1", text, reason="document-unprintable-error")
        if self.files <= 0 or self.octets <= 0:
            text = "the archives of this mail hold too much together; send the documents in several mails"
            raise PermanentFailure("5.6.1", text, reason="document-unprintable-error")
        started = time.monotonic()
        path = await self.extraction.whole_file(part, self.prepared)
        folder = await self.extraction.own_folder(self.prepared)
        async with self.slots.take(part.octets) as memory:
            members = await unpack(
                path,
                part.format,
                folder=folder,
                timeout=_SECONDS,
                entries=min(ENTRIES, self.files),
                octets=min(OCTETS, self.octets),
                memory=memory,
            )
        self.prepared.converting += time.monotonic() - started
        self.files -= len(members)
        self.octets -= sum(member.octets for member in members)
        return await self._chosen(part, members)

    async def _chosen(self, archive: Part, members: Sequence[Member]) -> list[Part]:
        """Those that print; their letter also where it may not print in the end."""
        by_path = {str(number): member for number, member in enumerate(members, 1)}
        found = await asyncio.to_thread(lambda: [_surveyed(member, path) for path, member in by_path.items()])
        selection = select(found, Body.ALWAYS, self.fits)
        self.prepared.left_out += [
            replace(one, path="", name=by_path[one.path].name, why=f"in {archive.name or 'an archive'}: {one.why}")
            for one in selection.left_out
        ]
        return [_part(document, by_path, archive) for document in selection.documents]

    # -- letters in TNEF, and beside it

    def _without_letters(self, found: Sequence[Part], sent: Sequence[Part]) -> list[Part]:
        """`sent` are the letters that stood in the mail itself, where they print at all."""
        left: dict[int, str] = {}
        for message in dict.fromkeys(part.message for part in found):
            parts = [part for part in found if part.message == message]
            outer = [part for part in parts if part in sent]
            inner = [part for part in parts if part.letter and part not in sent]
            empty = [part for part in parts if part.format is _TNEF and part.failure is None]
            attached = [part for part in parts if not part.letter and part.failure is None and part not in empty]
            left |= self._letters_left(outer, inner, attached)
            for part in empty:  # nothing came out of it but, if it was a letter, what stands beside it
                if any(id(one) not in left for one in outer) or attached:
                    left[id(part)] = "nothing is in it that prints"
        gone = [part for part in found if id(part) in left]
        self.prepared.left_out += [
            LeftOut(path="", name=part.name, format=part.format, why=left[id(part)]) for part in gone
        ]
        rest = [part for part in found if id(part) not in left]
        if not rest:
            text = "this printer prints what is attached and not the letter; attach what is to be printed"
            raise PermanentFailure("5.6.1", text, reason="document-unprintable-error")
        for part in rest:
            if part.format in CONTAINERS and part.failure is None:
                text = "nothing that can be printed is in the archive"
                part.failure = PermanentFailure("5.6.1", text, reason="document-unprintable-error")
        return rest

    def _letters_left(self, outer: Sequence[Part], inner: Sequence[Part], attached: Sequence[Part]) -> dict[int, str]:
        if self.body is Body.NEVER:
            return {id(part): NEVER for part in inner}
        if self.body is Body.ALONE and attached:
            return {id(part): NOT_ALONE for part in (*outer, *inner)}
        if inner and all(self.fits(part.format) for part in inner):
            return {id(part): ANOTHER_FORM for part in outer}
        return {id(part): ANOTHER_FORM for part in inner} if outer else {}


def _surveyed(member: Member, path: str) -> Surveyed:
    kind = "application/octet-stream"
    if member.letter:
        kind = {"html": "text/html", "rtf": "text/rtf"}.get(member.name.rpartition(".")[2], "text/plain")
    part = mime.Part(
        path=path,
        media_type=kind,
        charset="",
        name="" if member.letter else member.name,
        disposition="" if member.letter or member.content_id else "attachment",
        content_id=member.content_id,
        encoding="",
        within=(),
        around=(),
    )
    with member.path.open("rb") as file:
        return survey_file(file, member.octets, part)


def _part(document: Document, members: dict[str, Member], archive: Part) -> Part:
    member = members[document.path]
    part = Part(replace(document, name=member.name, declared="", message=archive.message))
    part.path, part.octets = member.path, member.octets
    part.shown = [(shown.content_id, members[shown.path].path) for shown in document.shown]
    return part
