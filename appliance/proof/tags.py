"""Tag lists: `a=b; c=d`, as signatures, key records and DMARC records have them (RFC 6376 section 3.2).

Security: signatures and records are strangers'.  One pass over them in linear time, bounded in length; a tag twice, or
a word that is no tag, makes the whole list nothing.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping

LIST = 16 * 1024
"""Octets of a list; more is malformed."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*+")
_BLANKS = re.compile(r"[ \t\r\n]++")
_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*+[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]{1,12}")


class Malformed(Exception):
    """A list, or a value in it, that is not as the standard has it; the text says what."""


def tags(octets: bytes) -> Mapping[str, str]:
    """By name, as written; values without blanks around them.  Raises `Malformed`."""
    if len(octets) > LIST:
        raise Malformed("too long")
    try:
        text = octets.decode("utf-8")  # RFC 8616
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    found: dict[str, str] = {}
    *specs, last = text.split(";")
    for spec in [*specs, last] if last.strip(" \t\r\n") else specs:
        name, equals, value = spec.partition("=")
        name = name.strip(" \t\r\n")
        if not equals or not _NAME.fullmatch(name):
            raise Malformed("not a list of tags")
        if name in found:
            raise Malformed(f"{name[:20]}= stands there twice")
        found[name] = value.strip(" \t\r\n")
    return found


def domain(text: str) -> str:
    """In lower case.  Raises `Malformed`."""
    text = text.lower()
    if len(text) > 253 or not _DOMAIN.fullmatch(text):
        raise Malformed("not a domain in ASCII")
    return text


def number(text: str) -> int:
    """Raises `Malformed`."""
    if not _NUMBER.fullmatch(text):
        raise Malformed("not a number")
    return int(text)


def base64(text: str) -> bytes:
    """Blanks may stand anywhere in it.  Raises `Malformed`."""
    try:
        return binascii.a2b_base64(_BLANKS.sub("", text).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Malformed("not base64") from None


def words(text: str) -> list[str]:
    """A list apart by colons, in lower case."""
    return [word.strip(" \t\r\n").lower() for word in text.split(":")]
