"""Charset labels and decoding: only known codecs, never an exception, the beginning decides like the whole."""

from __future__ import annotations

import codecs

from mailstore import charset

WORDS = (b"utf-8", b"iso-8859-15", b"UTF-16", b"idna", b"punycode", b"rot13", b"hz", b"cp1252", b"\xff\xfe", b"~{")


def check(octets: bytes) -> None:
    label_octets, _, content = octets.partition(b"\n")
    label = label_octets.decode("utf-8", "replace")
    name = charset.codec(label)
    assert name == charset.codec(label.upper()) or not label.isascii()
    if name:
        assert codecs.lookup(name)._is_text_encoding
        assert name not in ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined")
    text = charset.decode(content, label)
    assert len(text) <= 2 * len(content) + 1
    for declared in ("", "text/plain"):
        found = charset.detect(content, declared, label)
        if found:
            read = codecs.getincrementaldecoder(found)().decode(content)
            assert not any(ord(letter) < 32 and letter not in "\t\n\f\r\x1b" for letter in read) or found
            assert not any(letter in read for letter in "\x00\x04\x1b\x7f")
