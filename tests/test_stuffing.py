"""Dot-stuffing and TOP, held to a reference that sees the whole message at once."""

import random
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.pop3.stuffing import Stuffer, Surrogate, Top

messages = st.lists(
    st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"a", b"Subject: x", b"\x00", b"\r\n\r\n", b"\r\n.\r\n"])
).map(b"".join)
seeds = st.integers(0, 2**32)


def in_blocks(message: bytes, seed: int) -> list[bytes]:
    """Whole, octet by octet, or cut at random, empty blocks included."""
    if seed % 3 == 0:
        return [message]
    if seed % 3 == 1:
        return [message[at : at + 1] for at in range(len(message))]
    dice = random.Random(seed)
    cuts = sorted(dice.randint(0, len(message)) for _ in range(dice.randint(0, 8)))
    return [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]


def stuffed(message: bytes, seed: int = 0) -> bytes:
    stuffer = Stuffer()
    return b"".join([*map(stuffer.feed, in_blocks(message, seed)), stuffer.end()])


def top(message: bytes, lines: int, seed: int = 0) -> bytes:
    cutter, taken = Top(lines), []
    for block in in_blocks(message, seed):
        taken.append(cutter.feed(block))
        if cutter.done:
            break
    return b"".join(taken)


def reference(message: bytes) -> bytes:
    """RFC 1939 section 3, with a bare LF taken as a line's end too."""
    body = re.sub(rb"(?:^|(?<=\n))\.", b"..", message)
    return body + (b"" if not message or message.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def reference_top(message: bytes, lines: int) -> bytes:
    header = re.match(rb"(?:[^\n]*[^\r\n][^\n]*\n|\r[^\n]+\n)*\r?\n", message)
    if not header:
        return message
    return b"".join(re.findall(rb"[^\n]*\n|[^\n]+", message[header.end() :])[:lines]).join([header[0], b""])


def as_read_by(line_end: bytes, wire: bytes) -> tuple[bytes, bytes]:
    """What a client takes for the message that splits lines at `line_end`, and what it takes for the next reply."""
    message = b""
    while wire:
        line, end, wire = wire.partition(line_end)
        if line.rstrip(b"\r") == b".":
            break
        message += line.removeprefix(b".") + end if line.startswith(b"..") else line + end
    return message, wire


@given(messages, seeds)
@example(b".", 0)
@example(b"", 1)
@example(b"a\n.\r\n", 2)
@example(b"a\r\n.", 1)
@example(b"ends in a bare CR\r", 1)
def test_equals_the_reference_however_it_is_cut(message: bytes, seed: int) -> None:
    assert stuffed(message, seed) == reference(message)


@given(messages, seeds)
def test_no_client_reads_a_reply_out_of_a_message(message: bytes, seed: int) -> None:
    wire = stuffed(message, seed)
    for line_end in (b"\r\n", b"\n"):
        assert as_read_by(line_end, wire)[1] == b""


@given(st.lists(st.sampled_from([b"", b".", b"..", b"text", b".x", b"\x00\xff"])), seeds)
def test_a_message_in_crlf_lines_comes_back_octet_for_octet(lines: list[bytes], seed: int) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    assert as_read_by(b"\r\n", stuffed(message, seed)) == (message, b"")


@given(messages, st.integers(0, 4), seeds)
@example(b"\r\nbody", 0, 1)
@example(b"a: b\r\n\r\n", 0, 1)
@example(b"a: b\r\n\r\none\r\ntwo\r\n", 1, 1)
def test_top_equals_the_reference_however_it_is_cut(message: bytes, lines: int, seed: int) -> None:
    assert top(message, lines, seed) == reference_top(message, lines)


@pytest.mark.parametrize("at", range(-5, 6))
def test_top_sees_a_header_end_on_either_side_of_a_block_border(at: int) -> None:
    message = b"A: b\r\n\r\n" + b"body\r\n" * 3
    cut = 8 + at
    cutter = Top(0)
    assert b"".join(map(cutter.feed, (message[:cut], message[cut:]))) == b"A: b\r\n\r\n"


@given(st.lists(st.sampled_from(["\r\n", "\n", "é", "例", "a", ": ", "\r\n\r\n"])).map("".join), seeds)
@example("\r\né", 1)
@example("Subject: é\r\n\r\né", 1)
def test_a_surrogate_is_the_header_in_ascii_and_the_body_as_it_is(text: str, seed: int) -> None:
    message = text.encode()
    surrogate = Surrogate()
    shown = b"".join(map(surrogate.feed, in_blocks(message, seed)))
    assert len(shown) == len(message)
    body = len(reference_top(message, 0))
    assert shown[body:] == message[body:]
    assert shown[:body].isascii()
    assert all(one in (other, ord(".")) for one, other in zip(shown, message, strict=True))


def test_an_address_in_a_surrogate_is_nobodys() -> None:
    """RFC 5321 section 4.1.2: a dot-string has no two dots in a row."""
    shown = Surrogate().feed("From: 用户@example.com\r\n\r\n".encode())
    assert shown == b"From: ......@example.com\r\n\r\n"
