"""Lines and commands: everything is a command or an answer, nothing else can come out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.pop3.commands import (
    LINE_OCTETS,
    VERBS,
    BadCommand,
    Command,
    LineBuffer,
    LineTooLong,
    NotPop3,
    State,
    parse,
)

BEFORE, AFTER = State.AUTHORIZATION, State.TRANSACTION


@pytest.mark.parametrize(
    ("line", "state", "command"),
    [
        (b"USER phaser360", BEFORE, Command("USER", ("phaser360",))),
        (b"user Phaser360@print.example.com", BEFORE, Command("USER", ("Phaser360@print.example.com",))),
        (b"PASS two words ", BEFORE, Command("PASS", ("two words ",))),
        ("PASS schön".encode(), BEFORE, Command("PASS", ("schön",))),
        (b"AUTH", BEFORE, Command("AUTH")),
        (b"auth plain", BEFORE, Command("AUTH", ("plain",))),
        (b"AUTH PLAIN AGEAYg==", BEFORE, Command("AUTH", ("PLAIN", "AGEAYg=="))),
        (b"UTF8", BEFORE, Command("UTF8")),
        (b"LANG", AFTER, Command("LANG")),
        (b"LANG *", BEFORE, Command("LANG", ("*",))),
        (b"capa", BEFORE, Command("CAPA")),
        (b"CAPA", AFTER, Command("CAPA")),
        (b"QUIT ", AFTER, Command("QUIT")),
        (b"STAT", AFTER, Command("STAT")),
        (b"LIST", AFTER, Command("LIST")),
        (b"LIST 2", AFTER, Command("LIST", (2,))),
        (b"UIDL 0", AFTER, Command("UIDL", (0,))),
        (b"Retr 007", AFTER, Command("RETR", (7,))),
        (b"TOP 1 0", AFTER, Command("TOP", (1, 0))),
        (b"DELE 4294967296", AFTER, Command("DELE", (4294967296,))),
    ],
)
def test_commands(line: bytes, state: State, command: Command) -> None:
    assert parse(line, state) == command


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b" ", b"STAT 1", b"LIST foo", b"LIST 1 2", b"RETR", b"RETR -1", b"RETR +1", b"RETR 1.0"),
        *(b"DELE", b"DELE foo", b"DELE 1 2", b"TOP 1", b"TOP 1 -1", b"NOOP x", b"BOGUS", b"USER x", b"PASS x", b"LAST"),
        *(b"RETR 99999999999", b"RETR \xd9\xa1", b"RETR \xb2", b"\xff\xfe", b"ST\x00AT", b"STAT\r"),
        *(b"\xc5\xbftat", b"do_CAPA", b"__init__"),
    ],
)
def test_senseless_lines_after_login(line: bytes) -> None:
    with pytest.raises(BadCommand) as caught:
        parse(line, AFTER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", sorted(VERBS - {"CAPA", "QUIT", "STLS", "USER", "PASS", "AUTH", "UTF8", "LANG"}))
def test_nothing_of_a_maildrop_before_login(verb: str) -> None:
    with pytest.raises(BadCommand, match="log in first"):
        parse(f"{verb} 1".encode(), BEFORE)


@pytest.mark.parametrize("line", [b"USER", b"USER a b", b"USER ", b"PASS", b"PASS ", b"APOP a b", b"AUTH PLAIN a b"])
def test_logins_that_are_none(line: bytes) -> None:
    with pytest.raises(BadCommand):
        parse(line, BEFORE)


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"GET / HTTP/1.1",
            b"POST /print HTTP/1.0",
            b"get http://x HTTP/2",
            b"Host: printer:1110",
            b"OPTIONS * HTTP/1.1",
        ),
        *(b"Content-Type: text/plain", b"CONNECT x:1110 HTTP/1.1", b"GET /", b"x-any: thing"),
    ],
)
def test_what_browsers_say(line: bytes) -> None:
    for state in State:
        with pytest.raises(NotPop3):
            parse(line, state)


@given(st.binary(max_size=300), st.sampled_from(State))
def test_any_line_is_a_command_or_an_answer(line: bytes, state: State) -> None:
    try:
        command = parse(line, state)
    except (BadCommand, NotPop3):
        return
    assert command.verb in VERBS


def lines_of(blocks: list[bytes]) -> list[bytes | None]:
    buffer = LineBuffer()
    found: list[bytes | None] = []
    for block in blocks:
        buffer.feed(block)
        while True:
            try:
                if (line := buffer.next()) is None:
                    break
                found.append(line)
            except LineTooLong:
                found.append(None)
        assert len(buffer) < LINE_OCTETS
    return found


@given(
    st.lists(st.binary(max_size=300).map(lambda line: line.replace(b"\n", b"")), max_size=5),
    st.lists(st.integers(0, 1500)),
)
def test_lines_however_they_come_in(lines: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(line + b"\r\n" for line in lines)
    cuts = sorted(min(cut, len(octets)) for cut in cuts)
    blocks = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert lines_of(blocks) == [line if len(line) + 2 <= LINE_OCTETS else None for line in lines]


def test_a_line_without_end_takes_no_memory() -> None:
    buffer = LineBuffer()
    buffer.feed(b"x" * 1000)
    with pytest.raises(LineTooLong):
        buffer.next()
    for _ in range(1000):
        buffer.feed(b"x" * 1000)
        assert buffer.next() is None
        assert len(buffer) == 0
    buffer.feed(b"x\r\nNOOP\r\n")
    assert buffer.next() == b"NOOP"


def test_line_ends() -> None:
    assert lines_of([b"a\nb\r\nc\r\r\n\r\n"]) == [b"a", b"b", b"c\r", b""]
