"""Our trace fields: whatever a client said of itself, each is one field and brings no line of the client's choosing."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from appliance import trace

WORDS = (b"\r\n", b"\n", b"\r\n\t", b"example.com", b"[192.0.2.1]", b"<", b">", b"(", b";", b"X: y", b"\xc2\x85")


def check(octets: bytes) -> None:
    helo, _, address = octets.decode("utf-8", "replace").partition("\0")
    _written(b"Received: ", partial(_received, helo, address))
    _written(b"Return-Path: ", partial(trace.return_path, address))
    _written(b"Delivered-To: ", partial(trace.delivered_to, address))


def _received(helo: str, recipient: str) -> bytes:
    return trace.received(
        helo=helo,
        client_ip="192.0.2.7",
        hostname="print.example.com",
        protocol="ESMTP",
        queue_id="1",
        recipient=recipient,
        at=0.0,
    )


def _written(name: bytes, field: Callable[[], bytes]) -> None:
    try:
        written = field()
    except ValueError:
        return
    assert written.startswith(name)
    assert written.endswith(b"\r\n")
    assert all(re.match(rb"\t *[^ ]", line) for line in written.split(b"\r\n")[1:-1])
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", written)
