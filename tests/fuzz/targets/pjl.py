"""What a printer says on the back channel, and what our jobs say to it: cuts change nothing, names bring no command."""

from __future__ import annotations

import re

from mailstore.condition import PRINTER_REASONS
from mailstore.directory.records import Language
from printerbridge import pjl, pjl_messages
from tests.fuzz import pieces

WORDS = (
    b"@PJL USTATUS DEVICE\r\n",
    b"@PJL USTATUS JOB\r\n",
    b"@PJL INFO STATUS\r\n",
    b"CODE=41213\r\n",
    b'DISPLAY="LOAD PAPER"\r\n',
    b"ONLINE=FALSE\r\n",
    b"@PJL USTATUS PAGE\r\n",
    b"@PJL ECHO ours",
    b"START\r\n",
    b"7\r\n",
    b"END\r\n",
    b'NAME="7-1 a"\r\n',
    b"PAGES=3\r\n",
    b"RESULT=OK\r\n",
    b"\x0c",
    b"\x1b%-12345X",
    b"@PJL JOB ",
)


def check(octets: bytes) -> None:
    stream = octets[4:]
    told = _heard(pieces(octets))
    assert told == _heard([stream])
    for message in told:
        if isinstance(message, pjl_messages.Answer):
            message = message.status
        if isinstance(message, pjl_messages.DeviceStatus):
            assert message.display.isprintable()
            assert len(message.display) <= pjl_messages.DISPLAY_OCTETS
            assert message.reason in ("", "other") or message.reason in PRINTER_REASONS
            assert "\n" not in str(message)
        elif isinstance(message, pjl_messages.JobEnd | pjl_messages.PagesOut):
            assert message.pages is None or 0 <= message.pages < 10**7
    _conversation(stream)


def _heard(cut: list[bytes]) -> list[pjl_messages.Message]:
    channel = pjl_messages.BackChannel()
    return [message for piece in cut for message in channel.feed(piece)]


def _conversation(stream: bytes) -> None:
    name = pjl.job_name(7, 1, stream.decode("utf-8", "replace"))
    assert re.fullmatch(r"[A-Za-z0-9 ._-]{3,}", name)
    assert len(name) <= pjl_messages.NAME_OCTETS
    for language in (Language.POSTSCRIPT, None):
        around = pjl.Conversation(stream, language, name)
        sent = b"".join(around.dress([stream[:10], stream[10:]]))
        assert sent == around.prologue + stream + around.epilogue
        for section in (around.prologue, around.epilogue, around.farewell, around.breaking_off):
            lines = section.replace(pjl.UEL, b"").split(b"\r\n")
            assert all(line.startswith(b"@PJL ") for line in lines[:-1])
            assert lines[-1] == b""
        if language and pjl.UEL not in stream:  # text that looks like PJL stays text
            assert around.prologue.endswith(b"ENTER LANGUAGE = POSTSCRIPT\r\n")
        around.hear(stream, whole=False)
        assert around.end is None or around.end.result not in ("", pjl.OK)
        assert around.out == 0 or b"PAGE" in stream.upper()
