"""The test page: what a printer's entry says, a frame, a ruler and patches of colour.  No I/O.

Level 2 PostScript for whoever speaks it, or is served by the bridge and speaks what that makes of it; plain text for
all others.  It goes the way of every job, so that a page on paper proves all of it.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from mailstore.config import Settings
from mailstore.directory.records import Language, Printer, Raw
from mailstore.document_format import DocumentFormat
from mailstore.passage import hindrance

SUBJECT = "Printpost test page"

_A4 = (595.0, 842.0)
_SIZE = re.compile(r"_(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)(mm|in)$")  # the dimensions of a PWG 5101.1 media name
_POINTS = {"mm": 72 / 25.4, "in": 72.0}


def message(printer: Printer, settings: Settings, *, asked_by: str, at: float) -> bytes:
    """The whole message, CRLF; `at` is seconds since the epoch."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = f"Printpost <postmaster@{settings.domains[0]}>"
    mail["To"] = printer.addresses[0]
    mail["Subject"] = SUBJECT
    mail["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
    mail["Message-ID"] = make_msgid("test-page", domain=settings.site.hostname)
    mail["Auto-Submitted"] = "auto-generated"
    facts = _facts(printer, settings, asked_by, at)
    if _gets_postscript(printer):
        page = _postscript(printer.name, facts, _size(settings.site.media))
        mail.set_content(page, "application", "postscript", filename="test-page.ps")
    else:
        width = max(len(name) for name, _ in facts)
        lines = [SUBJECT, "", *(f"{name:<{width}}  {value}" for name, value in facts)]
        mail.set_content("\r\n".join(lines) + "\r\n")
    return mail.as_bytes()


def _gets_postscript(printer: Printer) -> bool:
    if printer.polls:
        return not {Language.POSTSCRIPT, Language.POSTSCRIPT2}.isdisjoint(printer.languages)
    return hindrance(DocumentFormat.POSTSCRIPT, printer, Raw.INSIDER) is None


def _facts(printer: Printer, settings: Settings, asked_by: str, at: float) -> list[tuple[str, str]]:
    way = f"sent to {printer.uri}" if printer.drained_by_bridge else f"polls by POP3 every {printer.poll_interval} s"
    facts = [
        ("Printer", printer.name),
        ("Address", ", ".join(printer.addresses[:3])),
        ("Place", printer.location),
        ("Model", printer.model),
        ("Way", way),
        ("Languages", ", ".join(language.value for language in printer.languages)),
        ("Paper", settings.site.media),
        ("Who may print", f"{len(printer.allow)} rules allow, {len(printer.deny)} refuse"),
        ("Responsible", ", ".join((*printer.service_person, *printer.sysadmin)[:3]) or "nobody is named"),
        ("Server", settings.site.hostname),
        ("Asked for by", asked_by),
        ("At", time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))),
    ]
    return [(name, value) for name, value in facts if value]


def _size(media: str) -> tuple[float, float]:
    """Width and height in points; A4 for a name without dimensions."""
    found = _SIZE.search(media)
    if found is None:
        return _A4
    return float(found[1]) * _POINTS[found[3]], float(found[2]) * _POINTS[found[3]]


def _string(text: str) -> str:
    """A PostScript string: ISO 8859-1, everything but plain letters as octal."""
    octets = text.encode("latin-1", "replace")
    return "(" + "".join(chr(o) if 32 <= o < 127 and o not in b"()\\" else f"\\{o:03o}" for o in octets) + ")"


def _postscript(name: str, facts: list[tuple[str, str]], size: tuple[float, float]) -> bytes:
    width, height = size
    top = height - 110
    rows = [
        f"/Bold 10 at 54 {top - 18 * row:.0f} moveto {_string(key)} show "
        f"/Text 10 at 160 {top - 18 * row:.0f} moveto {_string(value[:78])} show"
        for row, (key, value) in enumerate(facts)
    ]
    below = top - 18 * len(facts) - 20
    program = _PROGRAM.format(
        title=_string(SUBJECT),
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        inner_width=f"{width - 36:.0f}",
        inner_height=f"{height - 36:.0f}",
        name=_string(name[:30]),
        head=f"{height - 72:.0f}",
        rows="\n".join(rows),
        ramp=f"{below - 40:.0f}",
        colours=f"{below - 90:.0f}",
        centimetres=int((width - 108) / _POINTS["mm"] / 10),
        ruler=f"{below - 130:.0f}",
    )
    return program.encode("ascii")


_PROGRAM = """%!PS-Adobe-3.0
%%Title: {title}
%%Pages: 1
%%BoundingBox: 0 0 {width} {height}
%%LanguageLevel: 2
%%EndComments
%%BeginProlog
% The names that a reader in western Europe writes need ISO 8859-1.
/latin {{ findfont dup length dict begin {{ 1 index /FID ne {{ def }} {{ pop pop }} ifelse }} forall
  /Encoding ISOLatin1Encoding def currentdict end definefont pop }} bind def
/Text /Helvetica latin
/Bold /Helvetica-Bold latin
/at {{ exch findfont exch scalefont setfont }} bind def
/box {{ 40 28 rectfill }} bind def
%%EndProlog
%%Page: 1 1
0.5 setlinewidth
18 18 {inner_width} {inner_height} rectstroke
/Bold 28 at 54 {head} moveto {name} show
{rows}
% Greys from white to black, then the four inks and their mixtures.
0 1 10 {{ dup 10 div 1 exch sub setgray 40 mul 54 add {ramp} box }} for
54 {ramp} 440 28 0 setgray rectstroke
1 0 0 0 setcmykcolor 54 {colours} box
0 1 0 0 setcmykcolor 94 {colours} box
0 0 1 0 setcmykcolor 134 {colours} box
0 0 0 1 setcmykcolor 174 {colours} box
0 1 1 0 setcmykcolor 214 {colours} box
1 0 1 0 setcmykcolor 254 {colours} box
1 1 0 0 setcmykcolor 294 {colours} box
0 setgray
% A ruler in centimetres: what is measured here says whether the page was scaled.
/Text 7 at
0 1 {centimetres} {{
  dup 72 2.54 div mul 54 add dup {ruler} moveto 0 8 rlineto stroke
  {ruler} 10 sub moveto 4 string cvs show
}} for
54 {ruler} moveto {centimetres} 72 2.54 div mul 0 rlineto stroke
showpage
%%EOF
"""
