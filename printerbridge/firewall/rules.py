"""PCL 5's escape sequences: which ones pass, and what the others are counted as.  Pure.

By HP's PCL 5 Technical Reference Manual and PCL 5 Color Technical Reference Manual.

Security: an allow list of groups, since printers know more sequences than their manuals.  Fonts, macros and patterns
may be made and used, and end with the job: nothing may make them permanent, nor delete those of others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

OTHER: Final = "PCL other"
HPGL: Final = "HP-GL/2 other"
_MACRO, _FONT, _PATTERN = "PCL MACRO", "PCL FONT", "PCL PATTERN"
_CONFIGURATION, _STATUS = "PCL CONFIGURATION", "PCL STATUS"

TWO: Final[Mapping[bytes, str]] = {b"z": "PCL SELF TEST"}
"""Sequences of two characters that have a name; only ESC E, ESC 9 and ESC = pass."""

_VALUE: Final = rb"[+-]?[0-9]*+(?:\.[0-9]*+)?"


def _safe(introducers: bytes, but: bytes = b"") -> bytes:
    """Sequences of these groups, without parameters of the letters in `but`, nor W, which counts data."""
    no = but + but.upper() + b"wW"
    ends = bytes(code for code in range(0x40, 0x5F) if code not in no)
    goes_on = bytes(code for code in range(0x60, 0x7F) if code not in no)
    value = _VALUE
    return b"%b(?:%b[%b])*+%b[%b]" % (introducers, value, re.escape(goes_on), value, re.escape(ends))


SAFE: Final = re.compile(
    rb"(?:[^\x1b]++|\x1b(?:[E9=]|"
    + b"|".join(
        (
            _safe(rb"(?:&[acdkru]|\*[prt]|[()]s)"),
            _safe(rb"&l", b"x"),
            _safe(rb"\*b", b"v"),
            _safe(rb"\*c", b"fqs"),
            _safe(rb"[()]"),
        )
    )
    + rb"))*+"
)
"""Text, and sequences that pass without a closer look."""

DATA: Final[Mapping[bytes, bytes]] = {b"*b": b"VW", b"&p": b"XW", b"&k": b"", b"&l": b""}
"""Letters behind which data stand; W in all groups that are not named."""
_NO_DATA: Final = frozenset({b"&kW", b"&lW"})  # but somebody might take it for such
LIVE: Final = frozenset({b"*bV", b"*bW", b"&pX", b"(sW", b")sW"})
"""Data that every printer of the language knows as such."""
DROPPED: Final[Mapping[bytes, str]] = {b"&b": _CONFIGURATION, b"*o": _CONFIGURATION, b"&n": _MACRO, b"*s": _STATUS}

_CHECKED: Final = frozenset({b"*c", b"*d", b"*g", b"*i", b"*l", b"*m", b"*v", b"(f"})
_SEQUENCE: Final = re.compile(rb"\x1b[!-/0-~]")
_MEDIA_TYPE: Final = re.compile(rb"d[A-Za-z0-9 -]{1,40}")
_KNOWN: Final = frozenset(
    {
        *(b"&a", b"&c", b"&d", b"&f", b"&k", b"&l", b"&p", b"&r", b"&s", b"&t", b"&u"),
        *(b"*b", b"*c", b"*d", b"*g", b"*i", b"*l", b"*m", b"*o", b"*p", b"*r", b"*t", b"*v"),
        *(b"(", b")", b"(f", b"(s", b")s"),
    }
)
_KEPT: Final[Mapping[bytes, tuple[str, frozenset[int]]]] = {
    b"&fX": (_MACRO, frozenset({0, 1, 2, 3, 4, 5, 7, 9})),  # not delete all, delete, make permanent
    b"*cF": (_FONT, frozenset({1, 3, 4, 6})),
    b"*cQ": (_PATTERN, frozenset({1, 4})),
    b"*cS": (_FONT, frozenset({1, 4})),  # symbol sets
}
"""Controls of which only some numbers pass."""


def name_of(group: bytes, letter: bytes, value: bytes) -> str:
    """What a parameter is counted as that may not pass; "" if it may."""
    if kept := _KEPT.get(group + letter):
        name, numbers = kept
        digits = value.lstrip(b"+").partition(b".")[0]
        if digits and (not digits.isdigit() or len(digits) > 5):
            return name
        return "" if int(digits or b"0") in numbers else name
    if group in _KNOWN:
        return OTHER if group + letter in _NO_DATA else ""
    return DROPPED.get(group, OTHER)


def harmless(group: bytes, data: bytes) -> bool:
    """Whether data that not every printer knows would be harmless where they are taken for PCL."""
    if group == b"&n":
        return _MEDIA_TYPE.fullmatch(data) is not None
    return group in _CHECKED and _SEQUENCE.search(data) is None
