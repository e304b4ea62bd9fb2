"""What a subject, a field and a first line say: never refused, written and read again, and said alike to a printer.

What comes out is asked for in every language; a document's first octets are the input itself.
"""

from __future__ import annotations

import re

from mailstore.directory.records import Language
from mailstore.ticket import MAX_COPIES, NO_TICKET
from mailstore.ticket_words import READ_CHARACTERS, media, of_directive, of_field, of_subject, read, to_words
from printerbridge.ticket import plan

WORDS = (
    b"[",
    b"]",
    b"#print ",
    b"copies=",
    b"sides=two-sided-long-edge",
    b"pages=1-3,7;9-",
    b"media=na_letter_8.5x11in",
    b"media=custom_",
    b"tray=2",
    b"print-color-mode=color",
    b"4up",
    b"nup=",
    b"noscale",
    b"landscape",
    b"\x1b%-12345X@PJL ENTER LANGUAGE = PCL\r\n",
    b"%!PS\n",
)
_PJL = re.compile(r"SET [A-Z]+ = [A-Z0-9]+")


def check(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    for place in (of_subject, of_field, of_directive):
        ticket, notes = place(text)
        assert place(text[: READ_CHARACTERS + 8]) == (ticket, notes)
        assert all(note.isascii() and note.isprintable() and len(note) < 300 for note in notes)
        words = to_words(ticket)
        assert words.isascii()
        assert read(words.split()) == ticket
        assert of_field(words) == (ticket, ()) or len(words) > READ_CHARACTERS
        assert 0 <= ticket.copies <= MAX_COPIES
        assert media(ticket.media) == ticket.media
        assert all(1 <= first <= last for first, last in ticket.page_ranges)
        if ticket == NO_TICKET:
            continue
        for language in Language:
            said = plan(ticket, language, octets[:8192], made=False, pjl=len(octets) % 2 == 0)
            assert 0 <= said.at <= len(octets)
            assert said.words.isascii()
            assert len(said.words) < 1000
            assert all(_PJL.fullmatch(line) for line in said.pjl)
