"""What an Authentication-Results or ARC-Authentication-Results field says (RFC 8601 section 2.2).

Security: the field is a stranger's, or a forwarder's whom the site trusts and who wrote strangers' words into it.  One
pass in linear time, bounded; what is not in the grammar makes the whole field say nothing, so that no quoted reason can
pass for a result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_FIELD = 32 * 1024
_RESULTS = 100
_PIECE = re.compile(
    rb"""[ \t\r\n]++|("(?:[^"\\]|\\.)*+")|([^ \t\r\n"();=\\]++)|([;=])""",
    re.DOTALL,
)
_VALUE = re.compile(rb"""()([^ \t\r\n"();=\\][^ \t\r\n"();\\]*+)""")  # a local part may have equals signs
_IN_COMMENT = re.compile(rb"[^()\\]++|\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """One result.  Properties by their names in lower case, "header.from"."""

    method: str
    result: str
    properties: Mapping[str, str]


def said(content: bytes) -> Sequence[Said]:
    """The results behind the first semicolon, in order; none of a field that is not well-formed."""
    pieces = _pieces(content) if len(content) <= _FIELD else None
    if pieces is None:
        return ()
    items: list[list[str]] = [[]]
    for piece in pieces:
        if piece == ";":
            items.append([])
        else:
            items[-1].append(piece)
    found = [_said(item) for item in items[1:] if item and item != ["none"]]
    if len(found) > _RESULTS or None in found:
        return ()
    return [one for one in found if one is not None]


def _said(item: Sequence[str]) -> Said | None:
    """`method=result` and then `name=value`, each three pieces."""
    if len(item) % 3 or any(equals != "=" for equals in item[1::3]) or "=" in (*item[::3], *item[2::3]):
        return None
    if any('"' in word or "=" in word for word in (*item[::3], item[2])):
        return None  # only values of properties may be quoted, or have equals signs
    method = item[0].lower().partition("/")[0]
    properties: dict[str, str] = {}
    for name, value in zip(item[3::3], item[5::3], strict=True):
        if name.lower() in properties:
            return None
        properties[name.lower()] = value.removeprefix('"')
    return Said(method, item[2].lower(), properties)


def _pieces(content: bytes) -> Sequence[str] | None:
    """Words, semicolons and equals signs; a quoted string without its end quote, so that it is none of these."""
    found: list[str] = []
    position = depth = 0
    while position < len(content):
        if depth or content[position : position + 1] == b"(":
            match = _IN_COMMENT.match(content, position)
            depth += {b"(": 1, b")": -1}.get(match[0], 0) if match else 0
        else:
            valued = found[-1:] == ["="] and _VALUE.match(content, position)
            match = valued or _PIECE.match(content, position)
            if match and match[1]:
                found.append('"' + _QUOTED_PAIR.sub(rb"\1", match[1][1:-1]).decode("utf-8", "replace"))
            elif match and match[0].strip():
                found.append(match[0].decode("utf-8", "replace"))
        if match is None:
            return None
        position = match.end()
    return None if depth else found
