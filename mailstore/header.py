"""Header fields: taken apart, decoded for people, and cleaned of claims in our name.

A header block is what stands before the empty line, each line ended by CRLF.  Nothing here raises, whatever comes.

Security: the block is a stranger's, up to the limit of the walk (`mailstore.mime`).  It is read line by line in linear
time; text made for people has no control or formatting characters left (a Subject reaches terminals, web pages and
printer panels) and is cut; charset labels go through `mailstore.charset`, which knows only harmless codecs.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from urllib.parse import unquote_to_bytes

from mailstore import charset

# Up to a CRLF that no blank follows.
_FOLDED = rb"[^\r]*+(?:\r(?!\n(?![ \t]))[^\r]*+)*+"


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[bytes]:
    return re.compile(rb"\r\n(" + "|".join(names).encode() + rb")[ \t]*+:(" + _FOLDED + rb")", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Field:
    """A field in its block: `block[start:end]` is all of it, its last CRLF included."""

    name: bytes  # in lower case
    value: bytes  # unfolded
    start: int
    end: int


def find(block: bytes, *names: str) -> Iterator[Field]:
    """The fields of these names (constants of the program), in order, without looking closer at any other."""
    length = len(block)
    for found in _pattern(names).finditer(b"\r\n" + block):
        name, value = found.groups()
        start, end = found.span()
        yield Field(name.lower(), value.replace(b"\r\n", b"").strip(), start, min(end, length))


def firsts(lines: bytes, *names: str, most: int) -> dict[bytes, bytes]:
    """The first value of each of these fields by its name in lower case, from the first `most` fields of such names.

    `lines` is a CRLF and a block.
    """
    values: dict[bytes, bytes] = {}
    for found in islice(_pattern(names).finditer(lines), most):
        name, content = found.groups()
        values.setdefault(name.lower(), content.replace(b"\r\n", b"").strip())
    return values


def value(block: bytes, name: str) -> bytes:
    """The first field of that name, unfolded, or b""."""
    found = _pattern((name,)).search(b"\r\n" + block)
    return found[2].replace(b"\r\n", b"").strip() if found else b""


def subject(block: bytes, limit: int = 200) -> str:
    """The Subject for people: decoded (RFC 2047), one line of at most `limit` characters; "" without one."""
    return clean(decode_words(value(block, "subject")[: 16 * limit]), limit)


_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,500}>")


def message_id(block: bytes) -> str:
    """The Message-ID with its angle brackets, "" if there is none that is well-formed."""
    found = _MESSAGE_ID.search(value(block, "message-id"))
    return found[0].decode("ascii") if found else ""


def received(block: bytes, most: int) -> int:
    """How many Received fields there are, counted up to `most`: the hops (RFC 5321 section 6.3)."""
    return sum(1 for _ in islice(_pattern(("received",)).finditer(b"\r\n" + block), most))


_AUTHSERV = re.compile(rb'[ \t\r\n]*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;()"/]++))')


def without_results_of(block: bytes, authserv_id: str) -> bytes:
    """The block less Authentication-Results fields that claim to be ours (RFC 8601 section 5), else octet for octet."""
    ours = authserv_id.lower().encode()
    kept, copied = bytearray(), 0
    for field in find(block, "authentication-results"):
        if _claims(field.value, ours):
            kept += block[copied : field.start]
            copied = field.end
    return bytes(kept) + block[copied:] if copied else block


_CLAIM = 1024  # octets of a field in which its authserv-id must stand


def _claims(content: bytes, ours: bytes) -> bool:
    start = _without_comments(content[:_CLAIM])
    found = _AUTHSERV.match(start)
    if found is None or (found.end() == len(start) and len(content) > _CLAIM):
        return True  # nobody can tell whose it is, so nobody may believe it
    name = re.sub(rb"\\(.)", rb"\1", found[1]) if found[1] is not None else found[2]
    return name.lower().rstrip(b".") == ours


def _without_comments(content: bytes) -> bytes:
    """`content` with its leading comments gone (RFC 5322 section 3.2.2: they nest, a backslash quotes)."""
    position = depth = 0
    while position < len(content):
        octet = content[position : position + 1]
        if octet == b"\\" and depth:
            position += 1
        elif octet == b"(":
            depth += 1
        elif octet == b")" and depth:
            depth -= 1
        elif not depth and octet not in (b" ", b"\t"):
            break
        position += 1
    return content[position:]


_WORD = re.compile(rb"=\?([!->@-~]{1,80})\?([bBqQ])\?([!->@-~ ]*+)\?=")


def decode_words(content: bytes) -> str:
    """Unstructured text with its encoded words decoded (RFC 2047); raw octets read as UTF-8, else windows-1252."""
    if b"=?" not in content:
        return charset.decode(content, "")
    text: list[str] = []
    position = 0
    pending, label = b"", ""  # octets of adjacent words in one charset: some programs cut inside a character
    for word in _WORD.finditer(content):
        between = content[position : word.start()]
        word_label = word[1].decode("ascii").partition("*")[0]  # RFC 2231 section 5: a language may follow
        if pending and (between.strip() or word_label != label):
            text.append(charset.decode(pending, label))
            pending = b""
        # White space between two encoded words is not shown (RFC 2047 section 6.2).
        if between.strip() or not position:
            text.append(charset.decode(between, ""))
        pending, label = pending + _word(word[2], word[3]), word_label
        position = word.end()
    if pending:
        text.append(charset.decode(pending, label))
    text.append(charset.decode(content[position:], ""))
    return "".join(text)


def _word(encoding: bytes, encoded: bytes) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(encoded, header=True)
    try:
        return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4))
    except binascii.Error:
        return encoded


_SPACES = re.compile(r"\s+")


def clean(text: str, limit: int) -> str:
    """One line for people: no control, formatting or unassigned characters, blanks run together, cut to `limit`."""
    if not text:
        return text
    text = _SPACES.sub(" ", text[: 8 * limit])
    if not (text.isascii() and text.isprintable()):
        text = "".join(character for character in text if unicodedata.category(character)[0] != "C")
    return text.strip()[:limit].rstrip()


_PARAMETER = re.compile(rb';[ \t]*+([^\s=;"]++)[ \t]*+=[ \t]*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|([^;]*+))', re.DOTALL)
_PARAMETERS = 100
# A quoted string, or a comment with comments in it (RFC 5322 section 3.2.2) where a token ends.
_COMMENT = re.compile(
    rb"""("(?:[^"\\]|\\.)*+(?:"|\Z))|\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*+\))*+\)(?=[ \t;(]|\Z)""", re.DOTALL
)
_QUOTED_PAIR = re.compile(rb"\\(.)")
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,4}))?(\*)?")


def parameters(content: bytes) -> tuple[str, dict[str, str]]:
    """A Content-Type or Content-Disposition: its first word in lower case, and its parameters by lower-case name.

    RFC 2045 section 5.1 with the charsets and continuations of RFC 2231, and the encoded words that many programs put
    there against RFC 2047.  The first of two parameters of one name counts, and nothing behind the first hundred.  A
    boundary is no text: its characters are the octets themselves (ISO 8859-1).
    """
    if b"(" in content:
        content = _COMMENT.sub(rb"\1", content)
    main, semicolon, _ = content.partition(b";")
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for found in islice(_PARAMETER.finditer(content, len(main)), _PARAMETERS) if semicolon else ():
        label, quoted, token = found.groups()
        octets = token.strip() if quoted is None else _QUOTED_PAIR.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        name = label.decode("ascii", "replace").lower()
        if "*" not in name:
            plain.setdefault(name, octets.decode("latin-1") if name == "boundary" else decode_words(octets))
        elif section := _SECTION.fullmatch(name):
            sections.setdefault(section[1], {}).setdefault(int(section[2] or 0), (octets, bool(section[3])))
    word = next(iter(main.partition(b"(")[0].split(None, 1)), b"").lower().decode("ascii", "replace")
    return word, plain | {name: _joined(name, parts) for name, parts in sections.items()} if sections else plain


def _joined(name: str, parts: dict[int, tuple[bytes, bool]]) -> str:
    """RFC 2231 sections 3 and 4: the pieces in order, up to the first that is missing."""
    octets, label = bytearray(), ""
    for number in range(len(parts)):
        if number not in parts:
            break
        piece, extended = parts[number]
        if extended and number == 0 and piece.count(b"'") >= 2:
            named, _, piece = piece.split(b"'", 2)
            label = named.decode("ascii", "replace")
        octets += unquote_to_bytes(piece) if extended else piece
    if name == "boundary":
        return octets.decode("latin-1")
    return charset.decode(bytes(octets), label)
