from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.smtp.lines import Line, Lines


def taken(pieces: list[bytes], limit: int) -> list[Line]:
    lines, out = Lines(), []
    for piece in pieces:
        lines.add(piece)
        while line := lines.take(limit):
            out.append(line)
        assert len(lines) <= limit
    return out


@given(st.lists(st.sampled_from([b"a", b"bb", b"\r\n", b"\n", b"\r", b"cccccc"])).map(b"".join), st.integers(1, 9))
def test_lines_come_as_they_were_cut_anywhere(stream: bytes, limit: int) -> None:
    whole = stream.split(b"\n")[:-1]
    for pieces in ([stream], [bytes([octet]) for octet in stream]):
        got = taken(pieces, limit)
        assert [line.too_long for line in got] == [len(line) >= limit for line in whole]
        for line, expected in zip(got, whole, strict=True):
            assert line.octets == expected + b"\n" or line.too_long
            assert (expected + b"\n").startswith(line.octets[:limit])  # whose it was is still to be seen


def test_what_stands_behind_a_line_is_taken_as_it_is() -> None:
    lines = Lines()
    lines.add(b"BDAT 3 LAST\r\n\n\n\nNOOP\r\n")
    assert lines.take(100) == Line(b"BDAT 3 LAST\r\n", too_long=False)
    assert lines.take_octets(3) == b"\n\n\n"
    assert lines.take_octets(1 << 60) == b"NOOP\r\n"
    assert not lines
