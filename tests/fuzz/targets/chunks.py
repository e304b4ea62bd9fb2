"""BDAT: chunks end where their counts say, cuts change nothing, and text is judged as DATA would."""

from __future__ import annotations

import re

from appliance.smtp.chunksink import Chunk, ChunkSink, chunk_of
from tests.fuzz import pieces

WORDS = (
    b"BDAT ",
    b"BDAT 0 LAST\r\n",
    b"BDAT 5\r\n",
    b"BDAT 64 LAST\r\n",
    b" LAST",
    b"\r\n",
    b"\r",
    b"\n",
    b"99999999999",
)
_LIMIT = 200
_ARGUMENT = re.compile(r"([0-9]+)(?: +([Ll][Aa][Ss][Tt]))?")


def check(octets: bytes) -> None:
    for binary in (False, True):
        whole = _taken([octets[4:]], binary)
        assert _taken(pieces(octets), binary) == whole
        assert whole == _plainly(octets[4:], binary)


def _taken(cut: list[bytes], binary: bool) -> tuple[bytes, int, bool, bool, bytes]:
    """Commands and chunks in turn: the message, its octets, whether they are faulty and ended, and what is left."""
    written = bytearray()
    sink = ChunkSink(written.extend, limit=_LIMIT, binary=binary)
    waiting, chunk, ended = b"", None, False
    for piece in cut:
        waiting += piece
        while not ended:
            if chunk is None:
                line, end, rest = waiting.partition(b"\r\n")
                chunk = _begun(line) if end else None
                if chunk is None:
                    break
                chunk.sink, waiting = sink, rest
            left = chunk.feed(waiting)
            waiting = bytes(left or b"")
            if left is None:
                break
            ended, chunk = chunk.last, None
    assert len(written) <= _LIMIT
    faulty = sink.fault is not None
    # What is written of a message that is refused depends on the cuts, and so does what a fault comes behind.
    kept = bytes(written) if ended and not faulty and not sink.too_large else b""
    return kept, sink.octets if ended else 0, ended and faulty, ended, waiting if ended else b""


def _begun(line: bytes) -> Chunk | None:
    chunk = chunk_of(line[5:].decode("latin-1")) if line[:5] == b"BDAT " else None
    found = _ARGUMENT.fullmatch(line[5:].decode("latin-1")) if line[:5] == b"BDAT " else None
    assert (chunk is None) == (found is None or len(found[1]) > 20)
    if chunk is not None and found is not None:
        assert (chunk.size, chunk.last) == (int(found[1]), found[2] is not None)
    return chunk


def _plainly(stream: bytes, binary: bool) -> tuple[bytes, int, bool, bool, bytes]:
    """The same by slices of the whole stream."""
    message = b""
    while True:
        line, end, stream = stream.partition(b"\r\n")
        chunk = _begun(line) if end else None
        if chunk is None or len(stream) < chunk.size:
            return b"", 0, False, False, b""
        message, stream = message + stream[: chunk.size], stream[chunk.size :]
        if chunk.last:
            break
    faulty = not binary and re.search(rb"\r(?!\n)|(?<!\r)\n", message) is not None
    if not binary and message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    return message if not faulty and len(message) <= _LIMIT else b"", len(message), faulty, True, stream
