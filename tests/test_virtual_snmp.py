from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from printerbridge import mib
from printerbridge.virtual_device import Device
from printerbridge.virtual_personality import PERSONALITIES, personality
from printerbridge.virtual_snmp import ANSWER_OCTETS, Agent

GET, NEXT, SET, BULK = 0xA0, 0xA1, 0xA3, 0xA5
V1, V2C = 0, 1
SYSTEM = "1.3.6.1.2.1.1"
STATUS = (
    "1.3.6.1.2.1.25.3.2.1.5.1",  # hrDeviceStatus
    "1.3.6.1.2.1.25.3.5.1.1.1",  # hrPrinterStatus
    "1.3.6.1.2.1.25.3.5.1.2.1",  # hrPrinterDetectedErrorState
    "1.3.6.1.2.1.43.10.2.1.4.1.1",  # prtMarkerLifeCount
    "1.3.6.1.2.1.43.16.5.1.2.1.1",  # prtConsoleDisplayBufferText
)


def tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    head = bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")
    return bytes([tag]) + head + content


def number(value: int) -> bytes:
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def name(oid: str) -> bytes:
    first, second, *rest = map(int, oid.split("."))
    octets = bytes([40 * first + second])
    for part in rest:
        groups = [part & 0x7F]
        while part := part >> 7:
            groups.append(0x80 | part & 0x7F)
        octets += bytes(reversed(groups))
    return tlv(6, octets)


def question(pdu: int, *oids: str, version: int = V2C, community: bytes = b"public", a: int = 0, b: int = 0) -> bytes:
    """A message by hand (RFC 3416 section 3): what the agent reads is not written by what it reads with."""
    bindings = tlv(0x30, b"".join(tlv(0x30, name(oid) + b"\x05\x00") for oid in oids))
    body = tlv(pdu, number(77) + number(a) + number(b) + bindings)
    return tlv(0x30, number(version) + tlv(4, community) + body)


def parts(octets: bytes) -> list[tuple[int, bytes]]:
    found = []
    while octets:
        tag, length, at = octets[0], octets[1], 2
        if length & 0x80:
            at += length & 0x7F
            length = int.from_bytes(octets[2:at], "big")
        found.append((tag, octets[at : at + length]))
        octets = octets[at + length :]
    return found


def read(answer: bytes) -> tuple[int, int, list[tuple[bytes, int, bytes]]]:
    """Error-status, error-index, and the variables: name, tag and content."""
    ((_, message),) = parts(answer)
    _, _, (tag, body) = parts(message)
    assert tag == 0xA2
    (_, request), (_, status), (_, index), (_, bindings) = parts(body)
    assert request == b"\x4d"
    variables = [(tlv(6, oid), kind, value) for (_, one) in parts(bindings) for (_, oid), (kind, value) in [parts(one)]]
    return int.from_bytes(status, "big"), int.from_bytes(index, "big"), variables


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def agent(device: Device) -> Agent:
    return Agent(device, personality("plain"))


@pytest.mark.parametrize("version", [V1, V2C])
def test_the_five_objects_of_a_look(device: Device, agent: Agent, version: int) -> None:
    device.pages = 300
    status, _, variables = read(agent.answer(question(GET, *STATUS, version=version)))
    assert status == 0
    assert [one[0] for one in variables] == [name(oid) for oid in STATUS]
    assert [one[1:] for one in variables] == [
        (0x02, b"\x02"),  # running
        (0x02, b"\x03"),  # idle
        (0x04, b"\x00\x00"),
        (0x41, b"\x01\x2c"),  # Counter32
        (0x04, b"READY"),
    ]


def state(agent: Agent) -> mib.Look:
    _, _, variables = read(agent.answer(question(GET, *STATUS)))
    values = {
        oid: content if tag == 4 else int.from_bytes(content, "big")
        for oid, (_, tag, content) in zip(STATUS, variables, strict=True)
    }
    return mib.look(values)


def test_the_state_is_the_devices_own(device: Device, agent: Agent) -> None:
    assert (state(agent).state, state(agent).pages) == ("idle", 0)
    device.printing, device.pages = True, 3
    assert (state(agent).state, state(agent).pages) == ("processing", 3)
    device.fare("media-empty")
    assert (state(agent).state, state(agent).reasons, state(agent).console) == (
        "stopped",
        ("media-empty",),
        "LOAD PAPER",
    )
    device.fare("marker-supply-low-warning")
    assert state(agent).state == "processing"
    device.printing = False
    device.fare("sleep")
    assert (state(agent).state, state(agent).reasons) == ("idle", ())


@pytest.mark.parametrize(("kind", "errors"), [("plain", b"\x40\x04"), ("no-result", b"\x40"), ("silent", b"")])
def test_errors_in_two_octets_one_or_none(device: Device, kind: str, errors: bytes) -> None:
    device.fare("media-empty")
    _, _, variables = read(Agent(device, personality(kind)).answer(question(GET, STATUS[2])))
    assert variables[0][1:] == (4, errors)


def test_a_counter_that_is_an_integer(device: Device) -> None:
    agent = Agent(device, personality("bare-count"))
    assert read(agent.answer(question(GET, STATUS[3])))[2][0][1] == 2


def walked(agent: Agent, version: int, start: str) -> list[bytes]:
    found: list[bytes] = []
    at = name(start)
    for _ in range(500):
        body = tlv(NEXT, number(77) + number(0) + number(0) + tlv(0x30, tlv(0x30, at + b"\x05\x00")))
        status, _, variables = read(agent.answer(tlv(0x30, number(version) + tlv(4, b"public") + body)))
        if status or variables[0][1] == 0x82:
            return found
        at = variables[0][0]
        found.append(at)
    raise AssertionError("the walk has no end")


def test_a_walk_sees_everything_once_and_ends(agent: Agent) -> None:
    first = walked(agent, V1, "1.3")
    assert first == walked(agent, V2C, "1.3")
    assert len(first) == len(set(first)) > 40
    status, _, variables = read(agent.answer(question(BULK, "1.3", b=1000)))
    assert status == 0
    names = [one[0] for one in variables]
    assert names == first[: len(names)]
    assert len(names) > 10


def test_bulk_gives_what_was_asked_and_no_more(agent: Agent) -> None:
    asked = question(BULK, f"{SYSTEM}.5", f"{SYSTEM}.1", f"{SYSTEM}.4", a=1, b=2)
    _, _, variables = read(agent.answer(asked))
    wanted = [f"{SYSTEM}.5.0", f"{SYSTEM}.1.0", f"{SYSTEM}.4.0", f"{SYSTEM}.2.0", f"{SYSTEM}.5.0"]
    assert [one[0] for one in variables] == [name(oid) for oid in wanted]
    assert read(agent.answer(question(BULK, SYSTEM, a=-5, b=-5)))[2] == []


def test_what_is_not_there(agent: Agent) -> None:
    assert read(agent.answer(question(GET, f"{SYSTEM}.1.0", "1.3.9", version=V1)))[:2] == (2, 2)
    status, _, variables = read(agent.answer(question(GET, f"{SYSTEM}.5.0", "1.3.9")))
    assert (status, variables[0][2], variables[1][1]) == (0, b"virtual", 0x80)
    assert read(agent.answer(question(NEXT, "2.5")))[2][0][1] == 0x82
    assert read(agent.answer(question(NEXT, "2.5", version=V1)))[:2] == (2, 1)


def test_nothing_can_be_set(agent: Agent) -> None:
    assert read(agent.answer(question(SET, f"{SYSTEM}.5.0")))[:2] == (17, 1)
    assert read(agent.answer(question(SET, f"{SYSTEM}.5.0", version=V1)))[:2] == (2, 1)
    assert read(agent.answer(question(GET, f"{SYSTEM}.5.0")))[2][0][2] == b"virtual"


@pytest.mark.parametrize(
    "datagram",
    [
        question(GET, f"{SYSTEM}.1.0", community=b"private"),
        question(GET, f"{SYSTEM}.1.0", version=3),
        question(BULK, f"{SYSTEM}.1.0", version=V1, b=5),
        question(0xA2, f"{SYSTEM}.1.0"),
        question(GET, f"{SYSTEM}.1.0") + b"\x00",
        question(GET, f"{SYSTEM}.1.0")[:-1],
        b"",
        b"\x30\x80",
        b"\x30\x82\x05\xc0" * 300,
    ],
)
def test_what_gets_no_answer(agent: Agent, datagram: bytes) -> None:
    assert agent.answer(datagram) == b""


def test_too_many_questions(agent: Agent) -> None:
    assert read(agent.answer(question(GET, *["1.3.6.1.2.1.1.1.0"] * 65))) == (1, 0, [])
    # Sixty-four long answers do not fit into a frame.
    assert read(agent.answer(question(GET, *["1.3.6.1.4.1.2699.1.2.1.2.1.1.3.1"] * 40)))[0] == 1


def test_the_device_id_names_the_languages() -> None:
    for one in PERSONALITIES.values():
        answer = Agent(Device(), one).answer(question(GET, "1.3.6.1.4.1.2699.1.2.1.2.1.1.3.1"))
        assert f"CMD:{','.join(one.commands)};".encode() in answer


OIDS = st.sampled_from(["1.3", SYSTEM, f"{SYSTEM}.1.0", *STATUS, "1.3.6.1.4.1.2699", "2.5", "1.3.6.1.2.1.43.11"])


@settings(max_examples=150)
@given(
    pdu=st.sampled_from([GET, NEXT, SET, BULK, 0xA2, 0xA4, 0xA6]),
    oids=st.lists(OIDS, max_size=12),
    a=st.integers(-3, 2**31 - 1),
    b=st.integers(-3, 2**31 - 1),
    version=st.integers(-1, 3),
    at=st.integers(0, 400),
    octets=st.binary(max_size=6),
)
@example(pdu=BULK, oids=["1.3"] * 12, a=0, b=2**31 - 1, version=1, at=400, octets=b"")
def test_no_datagram_is_answered_with_more_than_it_asked(
    pdu: int, oids: list[str], a: int, b: int, version: int, at: int, octets: bytes
) -> None:
    agent = Agent(Device(), personality("plain"))
    datagram = question(pdu, *oids, version=version, a=a, b=b)
    answer = agent.answer(datagram)
    assert len(answer) <= ANSWER_OCTETS
    if answer:
        variables = read(answer)[2]
        once = min(max(0, a), len(oids))
        most = once + max(0, b) * (len(oids) - once) if pdu == BULK else len(oids)
        assert len(variables) <= most
    # Broken anywhere, it is dropped or answered within the same bound.
    assert len(agent.answer(datagram[:at] + octets + datagram[at + len(octets) :])) <= ANSWER_OCTETS


@given(octets=st.binary(max_size=300))
def test_no_octets_raise(octets: bytes) -> None:
    assert len(Agent(Device(), personality("plain")).answer(octets)) <= ANSWER_OCTETS
