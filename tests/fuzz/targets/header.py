"""Header fields: nothing is lost, nothing in our name stays, and what people see has no control characters."""

from __future__ import annotations

import unicodedata

from mailstore import header

OURS = "print.example.com"
WORDS = (
    b"Authentication-Results: ",
    b"print.example.com",
    b"Subject: ",
    b"=?utf-8?q?",
    b"=?utf-8?b?",
    b"?=",
    b"\r\n ",
    b"\r\n",
    b"filename*0*=",
    b"filename*1=",
    b"utf-8''%41",
    b"(",
    b")",
    b"\\",
    b'"',
    b"; ",
    b"Received: ",
    b"Message-ID: <a@b>",
)
_NAMES = ("subject", "received", "message-id", "authentication-results", "content-type")


def check(octets: bytes) -> None:
    _fields(octets)
    _results(octets)
    _people(octets)


def _fields(block: bytes) -> None:
    position = 0
    for field in header.find(block, *_NAMES):
        assert position <= field.start < field.end <= len(block)
        assert block[field.start : field.end].lower().startswith(field.name)
        assert field.name.decode() in _NAMES
        assert b"\r\n" not in field.value
        assert field.start == 0 or block[field.start - 2 : field.start] == b"\r\n"
        position = field.end
    assert header.received(block, 3) == min(3, header.received(block, 1000))
    message_id = header.message_id(block)
    assert message_id == "" or (message_id.isascii() and message_id.isprintable())


def _results(block: bytes) -> None:
    kept = header.without_results_of(block, OURS)
    assert header.without_results_of(kept, OURS) == kept
    before = list(header.find(block, "authentication-results"))
    after = list(header.find(kept, "authentication-results"))
    assert len(after) <= len(before)
    assert len(kept) == len(block) - sum(f.end - f.start for f in before) + sum(f.end - f.start for f in after)
    for field in after:  # read as plainly as a careless reader would
        assert field.value.lower().split(b";")[0].strip() != OURS.encode()
    assert bytes(kept) in block or before


def _people(octets: bytes) -> None:
    for text in (header.subject(octets, 60), header.clean(octets.decode("utf-8", "replace"), 60)):
        assert len(text) <= 60
        assert not any(unicodedata.category(character)[0] == "C" for character in text)
        assert text == text.strip()
    main, parameters = header.parameters(octets)
    assert main == main.strip(" \t\r\n\v\f").lower()
    assert len(parameters) <= 100
    assert all(name == name.lower() for name in parameters)
    header.decode_words(octets)
