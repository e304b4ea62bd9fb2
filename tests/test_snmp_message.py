"""Questions that agents understand, and answers read beside an independent reader's; nonsense is unreadable."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from printerbridge import snmp_message as message
from printerbridge.mib import STATUS
from printerbridge.snmp_message import Answer, Unreadable
from printerbridge.virtual_device import Device
from printerbridge.virtual_personality import PERSONALITIES
from printerbridge.virtual_snmp import Agent
from tests.fuzz.targets import snmp_message as target
from tests.snmp_agent import COUNTER, GET, IDENTIFIER, Request, identifier, integer, octets, read, tlv

OID = "1.3.6.1.4.1"


def request(*oids: str, number: bytes = b"\1") -> Request:
    return Request(version=0, community=b"public", kind=GET, number=number, oids=oids)


def value(ber: bytes) -> message.Value | None:
    return message.answer(request().answer({OID: ber}), 0).variables[0][1]


@pytest.mark.parametrize("version", [0, 1])
def test_questions_are_what_agents_read(version: int) -> None:
    oids = (*STATUS, "0.0", "1.39", "2.999.4294967295", "1.3.128.16384")
    made = message.question(message.GET_NEXT, version, "geheim-ß", (1 << 31) - 1, oids)
    told = read(made)
    assert (told.version, told.community, told.kind) == (version, "geheim-ß".encode(), message.GET_NEXT)
    assert told.number == b"\x7f\xff\xff\xff"
    assert len(told.oids) == len(oids)
    assert told.oids[: len(STATUS)] == STATUS


@pytest.mark.parametrize("version", [0, 1])
def test_answers_of_another_writer_are_read(version: int) -> None:
    """The virtual printer's agent speaks by a library of its own."""
    agent = Agent(Device(), PERSONALITIES["plain"])
    told = message.answer(agent.answer(message.question(message.GET, version, "public", 7, STATUS)), version)
    assert (told.number, told.status, [oid for oid, _ in told.variables]) == (7, 0, list(STATUS))
    assert told.variables[0][1] == 2  # hrDeviceStatus: running
    oid, walked = "1.3.6.1.2.1.25", 0
    while True:
        next_one = agent.answer(message.question(message.GET_NEXT, version, "public", 8, [oid]))
        told = message.answer(next_one, version)
        if told.status or told.variables[0][0] == oid:
            break
        ((oid, _),) = told.variables
        walked += 1
    assert walked > 10
    assert (told.status == 2) is (version == 0)  # noSuchName


def test_values() -> None:
    for ber, meant in (
        (integer(-3), -3),
        (integer((1 << 32) - 1, COUNTER), (1 << 32) - 1),
        (tlv(COUNTER, b"\xff\xff\xff\xfe"), (1 << 32) - 2),  # its zero was forgotten
        (tlv(0x46, b"\0" + b"\xff" * 8), (1 << 64) - 1),
        (tlv(2, b""), None),
        (tlv(2, b"\1" * 10), None),
        (tlv(1, b"\xff"), 255),
        (octets(b"\0x"), b"\0x"),
        (tlv(3, b"\0\x40"), b"\x40"),
        (tlv(0x40, b"\xc0\0\2\1"), "192.0.2.1"),
        (tlv(0x40, b"\xc0"), None),
        (identifier("2.5.4294967295"), "2.5.4294967295"),
        (tlv(IDENTIFIER, b"\xff"), None),
        (tlv(IDENTIFIER, b""), None),
        (tlv(5, b""), None),
        (tlv(0x80, b""), None),
        (tlv(0x44, b"\x9f\x78\4\0\0\0\0"), None),  # Opaque
        (tlv(0x30, octets(b"a")), None),
        (b"\x04\x84\0\0\0\1a", b"a"),  # a length longer than it needs to be
    ):
        assert value(ber) == meant, ber.hex()


def test_nonsense_is_unreadable() -> None:
    right = request().answer({OID: integer(1)})
    long = "1.3" + ".1" * 127
    assert message.answer(right, 0) == Answer(1, 0, [(OID, 1)])
    for wrong in (
        b"",
        b"\x30",
        right + b"z",
        right[:-1],
        b"\x30\x80" + right[2:] + b"\0\0",  # a length that is told at the end
        b"\x30\x85\0\0\0\0" + right[1:],
        request(number=b"").answer({OID: integer(1)}),
        request(number=b"\1" * 10).answer({OID: integer(1)}),
        request().answer({long: integer(1)}),
        request().answer({f"1.3.{number}": integer(1) for number in range(65)}),
        request().answer({OID: integer(1) + integer(2)}),
        request().answer({OID: b""}),
        request().answer({"1.3.4294967296": integer(1)}),
        right.replace(b"\xa2", b"\xa0"),
        b"\x30\x03\x02\x01\x00",
    ):
        with pytest.raises(Unreadable):
            message.answer(wrong, 0)
    with pytest.raises(Unreadable):
        message.answer(right, 1)


@given(st.binary(max_size=200))
@example(b"0" * 4096)
@example(b"\x30\x84\xff\xff\xff\xff")
def test_any_octets(datagram: bytes) -> None:
    target.check(datagram)


@given(st.data())
def test_any_harm_to_an_answer(data: st.DataObject) -> None:
    made = bytearray(request().answer(dict.fromkeys(STATUS, data.draw(st.sampled_from([integer(5), octets(b"abc")])))))
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    target.check(bytes(made))
