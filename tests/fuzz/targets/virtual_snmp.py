"""The virtual printer's SNMP agent: no datagram raises, and none is answered with more than one frame."""

from __future__ import annotations

from printerbridge.virtual_device import Device
from printerbridge.virtual_personality import PERSONALITIES
from printerbridge.virtual_snmp import ANSWER_OCTETS, Agent

WORDS = (
    b"\x02\x01\x00",
    b"\x02\x01\x01",
    b"\x02\x04\x7f\xff\xff\xff",
    b"\x04\x06public",
    b"\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00",
    b"\x06\x01\x2b\x05\x00",
    b"\x30\x0a",
    b"\x30\x80",
    b"\x00\x00",
    b"\xa0\x19",
    b"\xa1\x19",
    b"\xa3\x19",
    b"\xa5\x19",
    b"\x82\x05\xc0",
)

_AGENT = Agent(Device(), PERSONALITIES["plain"])


def check(octets: bytes) -> None:
    answer = _AGENT.answer(octets)
    assert len(answer) <= ANSWER_OCTETS
    assert answer == b"" or answer[0] == 0x30
