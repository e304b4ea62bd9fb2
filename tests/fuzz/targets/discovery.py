"""What printers say of themselves when they are looked for: whatever it is, text for people comes out, and our words.

The octets are a TXT record, an IEEE 1284 device ID, a list of media types, and a line of the process that looks.
"""

from __future__ import annotations

import shlex

from appliance.discovered import Found, propose, read
from mailstore.directory.entry import checked
from mailstore.directory.records import Language
from printerbridge.discovery import device_id, speech, txt

WORDS = (
    b"MFG:",
    b"MDL:",
    b"CMD:",
    b"COMMAND SET:",
    b";",
    b"POSTSCRIPT",
    b"PCLXL,",
    b"\x07ty=Acme",
    b"\x15pdl=application/pdf,",
    b"usb_CMD=",
    b'{"address": "192.0.2.7", "port": 9100, "model": "',
    b'", "languages": ["pdf"]}',
)


def check(octets: bytes) -> None:
    told, identity = txt.told(octets), device_id.parse(octets)
    said = told.speech | identity.speech | speech.by_formats(octets.decode("latin-1"))
    assert set(said.languages) <= set(Language)
    for text in (told.model, told.location, told.serial, identity.model, identity.serial, *said.others):
        assert len(text) <= 127
        assert text.isprintable()
    try:
        found = read(octets)
    except ValueError:
        return
    if isinstance(found, Found):
        (one,) = propose([found], [], {}, [])
        checked(one.entry(["example.com"]))
        assert shlex.split(shlex.join(one.command())) == one.command()
