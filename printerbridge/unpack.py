"""Archives taken apart: a zip, or the TNEF that Outlook sends as winmail.dat, into plain files.

Security: the archive is opened by a confined child (`programs/unpack.py`), which is taken for hostile as soon as it has
begun.  So its listing is read in bounded form and strictly, its files must be plain files of the sizes that it says,
all limits are held here again, and names are labels that lead nowhere.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import unquote

from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure, TransientFailure
from printerbridge import sandbox
from printerbridge.converters import python

ENTRIES = 200
OCTETS = 256 << 20

_LINE = re.compile(r"(\d{1,4}) (\d{1,12}) (file|letter) ([\w.~%-]{1,2000}) ([\w.~%-]{1,2000})", re.ASCII)
_LINE_OCTETS = 5_000
_NAME = 120  # characters
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff/\\]")

_Words = tuple[str, str]
_DAMAGED: _Words = ("the archive is damaged; send the documents as they are", "document-format-error")
_REFUSED: dict[bytes, _Words] = {
    b"encrypted": ("the zip is encrypted; send it without a password", "document-password-error"),
    b"method": (
        "the zip is compressed in a way that is not known here; send the documents as they are",
        "document-format-error",
    ),
    b"entries": ("the archive holds more than {entries} files; send those to print", "document-unprintable-error"),
    b"octets": (
        "the archive holds more than {megabytes} MB when it is unpacked; send the documents in several mails",
        "document-unprintable-error",
    ),
    b"bomb": ("the archive grows beyond all measure when it is unpacked", "document-security-error"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file out of an archive.  `letter`: it is what the message in a TNEF says; `name` may be ""."""

    name: str
    path: Path
    octets: int
    letter: bool
    content_id: str = ""


async def unpack(
    path: Path,
    format: DocumentFormat,  # noqa: A002
    *,
    folder: Path,
    timeout: float,
    entries: int = ENTRIES,
    octets: int = OCTETS,
    memory: int = sandbox.Limits().memory,
) -> list[Member]:
    """The files in the archive at `path`, a zip or a TNEF by `format`, in natural order; the letter of a TNEF first.

    They lie in a new folder in `folder`, which is the caller's to delete.  Archives in the archive are files.  At most
    `entries` files with `octets` together; the child that opens it may take `memory` octets.  Raises
    `PermanentFailure` with a sentence for the sender, and `TransientFailure` if this machine lacks the room.
    """
    work = Path(await asyncio.to_thread(mkdtemp, prefix="unpack-", dir=folder))
    kind = "zip" if format is DocumentFormat.ZIP else "tnef"
    source = path.absolute()  # noqa: ASYNC240 - asks the disk nothing
    program = python.readable("unpack")
    finished = await sandbox.run(
        python.command("unpack", kind, str(source), str(entries), str(octets)),
        folder=work,
        timeout=timeout,
        readable=(*program, *(script.with_name("tnef.py") for script in program if script.suffix == ".py"), source),
        limits=sandbox.Limits(
            memory=min(memory, sandbox.Limits().memory), file=octets + (1 << 20), folder=octets + (16 << 20)
        ),
    )
    if finished.returncode and finished.stderr.strip() == b"empty":
        return []
    if finished.returncode:
        raise _failure(finished, entries, octets)
    return await asyncio.to_thread(_members, work, entries, octets)


def _failure(finished: sandbox.Finished, entries: int, octets: int) -> PermanentFailure | TransientFailure:
    if b"No space left" in finished.stderr:
        return TransientFailure("4.3.1", "there is no room to unpack the archive")
    text, reason = _REFUSED.get(finished.stderr.strip(), _DAMAGED)
    return PermanentFailure("5.6.1", text.format(entries=entries, megabytes=octets >> 20), reason=reason)


def _members(work: Path, entries: int, octets: int) -> list[Member]:
    listing = work / "listing"
    if not 0 < sandbox.regular_file(listing) <= entries * _LINE_OCTETS:
        raise _untrue()
    members: list[Member] = []
    for number, line in enumerate(listing.read_bytes().decode("ascii", "replace").splitlines(), 1):
        said = _LINE.fullmatch(line)
        if said is None or int(said[1]) != number or number > entries:
            raise _untrue()
        path = work / str(number)
        size = sandbox.regular_file(path)
        octets -= size
        if size != int(said[2]) or octets < 0:
            raise _untrue()
        name, content_id = (_label(quoted) for quoted in said.groups()[3:])
        members.append(Member(name=name, path=path, octets=size, letter=said[3] == "letter", content_id=content_id))
    return members


def _label(quoted: str) -> str:
    return "" if quoted == "-" else _UNSEEN.sub("", unquote(quoted))[:_NAME]


def _untrue() -> PermanentFailure:
    return PermanentFailure("5.6.5", _DAMAGED[0], reason=_DAMAGED[1])
