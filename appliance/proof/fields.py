"""A mail's header as those who sign it see it, and the mailboxes that From, To and Cc name (RFC 5322 section 3.4).

Security: the block is a stranger's.  It is read once, by patterns without backtracking.  What two programs could read
in two ways (a line that is no field, a lone CR or LF, an address beside an address, a group as author) is no header to
be signed and no author at all, so that nobody's proof is given to somebody else's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from mailstore import address, header
from mailstore.failure import PermanentFailure

_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)\r\n")
_BLANKS = re.compile(rb"[ \t]++")
_FIELDS = 5000
_AUTHOR = 16 * 1024
"""Octets of a From field."""
_LIST = 32 * 1024
"""Octets of a To or Cc field."""
_NAMED = 1000
"""Mailboxes of each that are looked at."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `name` in lower case, `content` behind the colon and `octets` as they came, without the last CRLF."""

    name: bytes
    content: bytes
    octets: bytes

    @property
    def unfolded(self) -> bytes:
        return self.content.replace(b"\r\n", b"")

    def relaxed(self, content: bytes) -> bytes:
        """With `content` in its place, in the canonicalization of RFC 6376 section 3.4.2, without a CRLF."""
        return self.name + b":" + _BLANKS.sub(b" ", content.replace(b"\r\n", b"")).strip(b" ")


def fields(block: bytes) -> Sequence[Field] | None:
    """All fields in order, None where the block is not made of fields only, or of more than a sane mail has."""
    found: list[Field] = []
    position = 0
    while position < len(block):
        match = _FIELD.match(block, position)
        if match is None or len(found) == _FIELDS:
            return None
        found.append(Field(match[1].lower(), match[2], match[0][:-2]))
        position = match.end()
    return found


def author(block: bytes) -> str:
    """The one From author, canonical; "" where there is none, or more than one."""
    found = list(islice(header.find(block, "from"), 2))
    if len(found) != 1 or len(found[0].value) > _AUTHOR:
        return ""
    named = list(islice(_mailboxes(found[0].value, groups=False), 2))
    return named[0] or "" if len(named) == 1 else ""


def named(contents: Sequence[bytes]) -> frozenset[str]:
    """The canonical addresses that unfolded To and Cc fields name; what cannot be read names nobody."""
    return frozenset().union(*(_named(content) for content in contents if len(content) <= _LIST))


@lru_cache(maxsize=8)  # all signatures of a mail sign the same two
def _named(content: bytes) -> frozenset[str]:
    return frozenset(box for box in islice(_mailboxes(content, groups=True), _NAMED) if box)


_TOKEN = re.compile(
    r"""[ \t]++|"(?:[^"\\]|\\.)*+"|\[[^\[\]\\]*+\]|[^ \t"()<>\[\]:;@\\,]++|[<>@,:;]""",
    re.DOTALL,
)
_IN_COMMENT = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)


def _tokens(text: str) -> Iterator[str]:
    """Without comments; a blank stands for white space and comments; the empty token for what is none."""
    position = depth = 0
    while position < len(text):
        if depth or text[position] == "(":
            found = _IN_COMMENT.match(text, position)
            depth += {"(": 1, ")": -1}.get(found[0], 0) if found else 0
        else:
            found = _TOKEN.match(text, position)
        if found is None:
            yield ""
            return
        position = found.end()
        if not depth:
            yield " " if found[0] == ")" or found[0][0] in " \t" else found[0]
    if depth:
        yield ""


def _mailboxes(content: bytes, *, groups: bool) -> Iterator[str | None]:
    """The canonical address of each element of an address list, None for one that is not well-formed."""
    element: list[str] = []
    grouped = False
    for word in _tokens(content.decode("utf-8", "replace")):
        if word == ":" and groups and not grouped and "<" not in element:
            element, grouped = [], True
        elif word == "," or (word == ";" and grouped):
            yield from _mailbox(element)
            element = []
            grouped = grouped and word == ","
        else:
            element.append(word)
    yield from _mailbox(element)


def _mailbox(words: list[str]) -> Iterator[str | None]:
    while words and words[-1] == " ":
        words.pop()
    if not any(word != " " for word in words):
        return  # RFC 5322 section 4.4: an element may be empty
    if "" in words or ":" in words or ";" in words:
        yield None
    elif "<" in words:
        start = words.index("<")
        outside, inside = words[:start], words[start + 1 : -1]
        strange = words[-1] != ">" or {"<", ">"} & set(inside) or {"@", ">"} & set(outside)
        yield None if strange else _addr_spec(inside)
    else:
        yield _addr_spec(words)


def _addr_spec(words: list[str]) -> str | None:
    """White space may stand around the whole, and around the @; elsewhere it parts two words, which are no address."""
    parts = "".join(words).strip().split("@")
    text = "@".join([*("@".join(parts[:-1]).rstrip(),), parts[-1].lstrip()]) if len(parts) > 1 else ""
    try:
        return address.canonical(address.parse_path(f"<{text}>", utf8=True, null_allowed=False).address)
    except PermanentFailure:
        return None
