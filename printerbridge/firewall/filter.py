"""The firewall for one document that is not drawn anew.  Pure, in pieces of any size.

What comes out is sections of one form: a UEL, `SET` lines, `ENTER LANGUAGE`, the document; and a UEL at the end.  The
document of a stream without PJL has nothing before it.  The sender's JOB and EOJ are not said again: the bridge says
its own around what comes out, and waits for the end of its own.

Security: PJL is said anew and never copied (`commands`), wherever it stands (`sections`).  Every document in the stream
must be in a language of the printer that may reach it from this sender, and look like what it is said to be: a printer
that guesses, and one that believes, must come to the same.  PCL, PCL XL and raster are looked through by files of their
own; these refuse a UEL within binary data, where printers disagree whether it is one.  Copies are multiplied by nothing
that a sender says in two places.  At most `HEAD` octets wait here.  A refusal may come when octets were given out
already: a document is finished before anybody connects.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final, Protocol

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.sniff import sniff
from mailstore.ticket import MAX_COPIES
from printerbridge.firewall.commands import NAMES, Boundary, Dropped, Entered, Setting
from printerbridge.firewall.pcl import Pcl
from printerbridge.firewall.pclxl import PclXl
from printerbridge.firewall.raster import Raster
from printerbridge.firewall.sections import BLANK, SPELLED, SPELLINGS, UEL, Event, Exit, Sections, begun, refused
from printerbridge.firewall.text import PlainText

HEAD: Final = 2048
MOST_DROPPED: Final = 100_000
_F = DocumentFormat
_FITS: Final = {
    _F.POSTSCRIPT: frozenset({_F.POSTSCRIPT, _F.EPS}),
    _F.PDF: frozenset({_F.PDF}),
    _F.PCL: frozenset({_F.PCL, _F.HPGL}),
    _F.PCLXL: frozenset({_F.PCLXL}),
    _F.PWG: frozenset({_F.PWG}),
}
"""What a document in a printer's language may look like."""
_TOLD_BY_ITSELF: Final = frozenset({_F.PDF, _F.PCLXL, _F.PWG})
"""Each of these has a beginning of its own; PostScript and PCL may begin like text."""
_RESET: Final = b"\x1bE"
_ANOTHER: Final = re.compile(rb"%!PS|%PDF-|HP-PCL XL|@PJL", re.IGNORECASE)
_LOOKS: Final = frozenset({*_FITS, _F.EPS, _F.DOS_EPS, _F.PCLM, _F.HPGL, _F.ESCP, _F.CUPS_RASTER, _F.URF})


class _Look(Protocol):
    """Looks through one document.  Raises `PermanentFailure`; what it takes out, it counts."""

    def feed(self, octets: bytes) -> bytes: ...

    def close(self) -> bytes: ...


class _Whole:
    """A program passes as it is, but for the beginning of a UEL at its end: ours behind it might not be seen."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        data = self._held + octets
        end = len(data) - begun(data)
        self._held = data[end:]
        return data[:end]

    def close(self) -> bytes:
        return b""


class Filter:
    """Feed it the whole stream of a document that was sniffed as `source`; `close` gives the rest.

    `languages` are the printer's, `passes` says of a format whether documents in it may reach it without being drawn
    anew, `copies` is how many one may ask for (0: as many as there can be), `charset` that of plain text, whose letters
    above 127 pass with `letters` as they came (`PlainText`).  Both raise `PermanentFailure` (5.7.1,
    document-security-error).  `dropped` counts what was taken out, by `COMMANDS`.
    """

    def __init__(
        self,
        source: DocumentFormat,
        languages: Collection[Language],
        *,
        passes: Callable[[DocumentFormat], bool],
        copies: int = 0,
        charset: str = "utf-8",
        letters: bool = False,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._source = source
        self._formats = {language.document_format for language in languages}
        self._passes = passes
        self._most = copies if copies > 0 else MAX_COPIES
        self._text = PlainText(charset, as_it_came=letters) if source is _F.TEXT else None
        self._sections = Sections()
        self._settings: dict[str, str] = {}  # to be said before the next document
        self._said: dict[str, int] = {}  # COPIES and QTY that are in force
        self._entered: Entered | None = None
        self._head = bytearray()
        self._bare = False  # the document had no PJL before it
        self._look: _Look | None = None
        self._tail = b""  # of what was given out of the document
        self._documents = 0
        self._last = False  # nothing may follow

    def feed(self, octets: bytes) -> bytes:
        if self._text is not None:
            return self._text.feed(octets)
        made = b"".join([self._take(event) for event in self._sections.feed(octets)])
        if self.dropped.total() > MOST_DROPPED:
            raise refused(f"the document holds more than {MOST_DROPPED} things that may not pass; send it as PDF")
        return made

    def close(self) -> bytes:
        if self._text is not None:
            return self._text.close()
        rest = b"".join([self._take(event) for event in self._sections.close()]) + self._end()
        if not self._sections.wrapped:
            return rest
        if not self._documents:
            raise refused("the document holds commands for the printer and nothing to print; send it as PDF")
        return rest + UEL

    def _take(self, event: Event) -> bytes:
        match event:
            case bytes():
                return self._document(event)
            case Exit():
                return self._end()
            case Setting():
                self._set(event)
            case Entered():
                self._entered = event
            case Boundary():
                self._reset()
            case Dropped():
                self.dropped[event.name] += 1
        return b""

    # -- settings

    def _set(self, setting: Setting) -> None:
        value = setting.value
        if setting.name in ("COPIES", "QTY"):
            # Some printers multiply one by the other.
            other = self._said.get("QTY" if setting.name == "COPIES" else "COPIES", 1)
            number = max(1, min(int(value), self._most // other))
            if number < int(value):
                self.dropped["COPIES"] += 1
            self._said[setting.name] = number
            value = str(number)
        self._settings[setting.name] = value

    def _reset(self) -> None:
        """Copies end with a job, as those of one that we do not say again must."""
        for name, number in self._said.items():
            if number > 1:
                self._settings[name] = "1"
        self._said.clear()

    # -- documents

    def _document(self, octets: bytes) -> bytes:
        if self._look is not None:
            return self._guarded(self._look.feed(octets))
        if not self._head:
            self._bare = not self._sections.wrapped
        self._head += octets
        if len(self._head) < HEAD:
            return b""
        return self._begin()

    def _end(self) -> bytes:
        made = b""
        if self._head and (self._bare or self._head.strip(BLANK)):
            made = self._begin()
        if self._look is not None:
            made += self._guarded(self._look.close())
            if self._bare and isinstance(self._look, Pcl) and not self._tail.endswith(_RESET):
                made += _RESET  # no UEL may follow to end a macro, or HP-GL/2
        self._look, self._entered, self._tail = None, None, b""
        self._head.clear()
        return made

    def _begin(self) -> bytes:
        if self._last:
            raise refused("something follows behind the document's raster; send it as PDF")
        head = bytes(self._head)
        self._head.clear()
        format_ = self._format(sniff(head[:HEAD].lstrip(BLANK)))
        if format_ not in self._formats:
            raise refused(
                f"it holds a document of the format {format_.value}, which this printer does not take; send PDF"
            )
        if not self._passes(format_):
            raise refused(f"{format_.value} may not reach this printer as it came from this sender; send PDF")
        before = self._before(format_)
        if format_ is _F.PCL:
            if not before and _ANOTHER.search(head[:HEAD]):
                raise refused("it is PCL and holds the beginning of another language; send it as PDF")
            # What is taken out may be what a printer would have known the language by.
            before += b"" if head.startswith(_RESET) else _RESET
        self._look = self._looking(format_)
        self._last = format_ is _F.PWG
        self._documents += 1
        return before + self._guarded(self._look.feed(head))

    def _guarded(self, octets: bytes) -> bytes:
        """No UEL may come about where something was taken out, nor stand there in another spelling."""
        if SPELLINGS.search(self._tail + octets[:SPELLED]) or SPELLINGS.search(octets):
            raise refused("it holds a UEL in pieces, or in an odd spelling; send it as PDF")
        self._tail = (self._tail + octets[-SPELLED:])[-SPELLED:]
        return octets

    def _format(self, looks: DocumentFormat) -> DocumentFormat:
        """What the document that begins is.  Raises if that cannot be said for certain."""
        if self._entered is not None and self._entered.format is not None:
            format_ = self._entered.format
        elif self._entered is not None:
            raise refused("its PJL enters a language that is not known here; send it as PDF")
        elif self._bare:
            format_ = self._source
        elif looks is _F.TEXT and self._documents:
            raise refused("text follows behind its document; send it as PDF")
        elif looks is _F.TEXT:
            format_ = _F.PCL  # which prints it
        else:
            format_ = looks
        fits = _FITS.get(format_, frozenset())
        if (looks in _LOOKS or format_ in _TOLD_BY_ITSELF) and looks not in fits:
            raise refused(f"it is said to be {format_.value} and looks like {looks.value}; send it as PDF")
        if looks is _F.EPS and format_ is _F.EPS:
            return _F.POSTSCRIPT
        return format_

    def _before(self, format_: DocumentFormat) -> bytes:
        if self._bare:
            return b""
        lines = [f"SET {name} = {value}" for name, value in self._settings.items()]
        self._settings.clear()
        if format_ is not _F.PWG or self._entered is not None:
            lines.append(f"ENTER LANGUAGE = {NAMES[format_]}")
        return UEL + "".join(f"@PJL {line}\r\n" for line in lines).encode("ascii")

    def _looking(self, format_: DocumentFormat) -> _Look:
        copies = max(1, self._most // self._said.get("QTY", 1))
        match format_:
            case _F.PCL:
                return Pcl(self.dropped, copies)
            case _F.PCLXL:
                return PclXl(self.dropped, copies)
            case _F.PWG:
                return Raster(self.dropped, copies)
        return _Whole()
