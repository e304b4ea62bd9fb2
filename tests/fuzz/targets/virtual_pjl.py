"""The virtual printer's PJL: documents lie apart and in order wherever the network cuts, replies end where they end."""

from __future__ import annotations

from printerbridge.virtual_device import Device
from printerbridge.virtual_panel import Panel
from printerbridge.virtual_personality import PERSONALITIES
from printerbridge.virtual_pjl import LINE_OCTETS, UEL, Command, Document, JobStream
from tests.fuzz import pieces

WORDS = (
    UEL,
    b"@PJL ",
    b"@PJL ENTER LANGUAGE=PCL\r\n",
    b"@PJL ECHO x\r\n",
    b"\x1bE",
    b"%!PS\n",
    b"\r\n",
    b"\x04",
    b"\x1b",
)


def check(octets: bytes) -> None:
    stream = octets[4:]
    found = _found(pieces(octets))
    assert found == _found([stream])
    assert found == _found([stream[at : at + 1] for at in range(len(stream))])
    at = 0
    panel = Panel(Device(), PERSONALITIES["plain"])
    for one in found:
        if isinstance(one, Document):
            assert at <= one.start <= one.end <= len(stream)
            assert UEL not in stream[one.start : one.end]
            assert stream[one.start : one.end].strip(b" \t\r\n\x04\x0c")
            at = one.end
            continue
        assert len(one.verb) + len(one.rest) <= LINE_OCTETS
        reply = panel.answer(one)
        assert reply.count(b"\x0c") == (1 if reply else 0)
        assert reply == b"" or reply.endswith(b"\r\n\x0c")
    if UEL not in stream:
        documents = [one for one in found if isinstance(one, Document)]
        assert len(documents) == bool(stream.strip(b" \t\r\n\x04\x0c"))


def _found(cut: list[bytes]) -> list[Command | Document]:
    jobs = JobStream()
    return [one for piece in cut for one in jobs.feed(piece)] + jobs.end()
