"""PCL 5: a page description is looked through for what outlives it.  Pure, in pieces of any size.

An escape sequence is ESC, a character of `!` to `/`, one of "`" to `~` for the group, and parameters: a value and a
letter, in lower case if another one of the group follows, in capitals at the end; some say how many octets of data
stand behind them (HP PCL 5 Technical Reference Manual, chapter 2).  Between ESC % 0 B and ESC % 0 A stands HP-GL/2.

Security: what a printer would run must be seen here, so both must agree where data begins and ends.  Only groups that
are known pass (`rules`); data behind a parameter in lower case is set apart, since some printers take it as data and
some do not; values are written anew where they count octets; any spelling of the UEL is dropped (ESC % 0 a -12345 X).
"Display functions" and texts of several octets a letter make an ESC part of a text: a document with them is refused,
and one that ends within data, where a printer would swallow what follows.  At most one sequence with its data waits
here, unless the data are raster, a glyph or transparent text, which all printers know and which pass as they come.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from printerbridge.firewall.rules import DATA, DROPPED, HPGL, LIVE, OTHER, SAFE, TWO, harmless, name_of
from printerbridge.firewall.sections import refused

MOST_DATA: Final = 32767
SEQUENCE: Final = 512  # octets of one, without data
STEPS: Final = 5_000_000  # sequences that are looked at one by one: half a minute at most
_RASTER: Final = re.compile(rb"\x1b\*b(?:[0-9]{1,3}[my])*+([0-9]{1,5})[VW]")
_INTRO: Final = re.compile(rb"\x1b([!-/])([`-~]?)")
_PARAMETER: Final = re.compile(rb"([+-]?[0-9]*+(?:\.[0-9]*+)?)([@-~])")
_SWITCH: Final = re.compile(rb"\x1b(?:%[+-]?[0-9]{1,3}([AB])|(E))")
_SWITCH_BEGUN: Final = re.compile(rb"\x1b(?:%(?:[+-]?[0-9]{0,3})?)?\Z")
_ESCAPES: Final = re.compile(rb"\x1b++")
_NUMBER: Final = re.compile(rb"\+?0*([0-9]{1,5})(?:\.[0-9]*)?|")


class _Incomplete(Exception):
    """More octets are needed."""


class Pcl:
    """Looks through one document: what is taken out counts in `dropped`, copies beyond `copies` as "COPIES"."""

    def __init__(self, dropped: Counter[str], copies: int) -> None:
        self._dropped = dropped
        self._copies = copies
        self._held = b""
        self._left = 0  # octets of data that pass
        self._group = b""  # that goes on behind the data
        self._hpgl = False
        self._steps = 0
        self._final = False

    def feed(self, octets: bytes) -> bytes:
        data = self._held + octets if self._held else octets
        made: list[bytes] = []
        at = kept = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            if not self._group and (at := self._pass(data, at)) == len(data):
                break
            try:
                words, after = self._step(data, at)
            except _Incomplete:
                break
            if words != data[at:after]:
                made += (data[kept:at], words)
                kept = after
            at = after
        self._held = data[at:]
        made.append(data[kept:at])
        return b"".join(made)

    def close(self) -> bytes:
        """Raises `PermanentFailure` if the document ends within data."""
        self._final = True
        held, self._held = self._held, b""
        rest = self.feed(held)
        if self._left:
            raise refused("its PCL ends, or has a UEL, in the middle of binary data; send it as PDF")
        return rest

    def _pass(self, data: bytes, at: int) -> int:
        """Past everything that is harmless."""
        if self._hpgl:
            escape = data.find(b"\x1b", at)
            return len(data) if escape < 0 else escape
        while True:
            found = SAFE.match(data, at)
            assert found is not None
            at = found.end()
            row = _RASTER.match(data, at)
            if row is None:
                return at
            octets = int(row[1])
            if octets > MOST_DATA:
                return at
            at = row.end() + octets
            if at > len(data):
                self._left = at - len(data)
                return len(data)

    def _step(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What becomes of what begins at `at`, and where that ends."""
        self._steps += 1
        if self._steps > STEPS:
            raise refused(f"its PCL holds more than {STEPS} commands of rare kinds; send it as PDF")
        if self._group:
            group, self._group = self._group, b""
            try:
                return self._parameters(data, at, at, group)
            except _Incomplete:
                self._group = group
                raise
        if found := _SWITCH.match(data, at):
            self._hpgl = found[1] == b"B"
            return found[0], found.end()
        if not self._final and _SWITCH_BEGUN.match(data, at):
            raise _Incomplete
        if self._hpgl:
            self._dropped[HPGL] += 1
            return b"", at + 1
        intro = _INTRO.match(data, at)
        if intro is None:
            return self._two(data, at)
        if not intro[2] and intro.end() == len(data) and not self._final:
            raise _Incomplete
        return self._parameters(data, at, intro.end(), intro[1] + intro[2])

    def _two(self, data: bytes, at: int) -> tuple[bytes, int]:
        second = data[at + 1 : at + 2]
        if not second and not self._final:
            raise _Incomplete
        if second == b"Y":
            raise refused("its PCL shows commands instead of obeying them; send it as PDF")
        self._dropped[TWO.get(second, OTHER)] += 1
        if second == b"\x1b":
            run = _ESCAPES.match(data, at)
            assert run is not None
            return b"", run.end() - 1
        return b"", at + (2 if b"0" <= second <= b"~" else 1)

    def _parameters(self, data: bytes, start: int, at: int, group: bytes) -> tuple[bytes, int]:
        kept: list[bytes] = []
        counted: list[str] = []
        while True:
            found = _PARAMETER.match(data, at, start + SEQUENCE)
            if found is None:
                if not self._final and len(data) < start + SEQUENCE and _PARAMETER.fullmatch(data[at:] + b"A"):
                    raise _Incomplete
                counted.append(OTHER)
                break
            value, letter = found.groups()
            at = found.end()
            last = letter <= b"^"
            if letter.upper() in DATA.get(group, b"W"):
                words, at, left = self._data(data, at, group, value, letter.upper(), counted)
                kept = [_sequence(group, kept), words]
                self._left = left
                self._group = b"" if last else group
                self._dropped.update(counted)
                return b"".join(kept), at
            if group + letter.upper() == b"&tP" and value.strip(b"+0") not in (b"", b"1"):
                raise refused("the letters of its PCL have several octets, in which commands can hide; send it as PDF")
            if name := name_of(group, letter.upper(), value):
                counted.append(name)
            else:
                kept.append(self._capped(group, letter, value, counted) + letter)
            if last:
                break
        self._dropped.update(counted)
        return _sequence(group, kept), at

    def _capped(self, group: bytes, letter: bytes, value: bytes, counted: list[str]) -> bytes:
        if group != b"&l" or letter not in b"xX":
            return value
        number = value.lstrip(b"+").partition(b".")[0].lstrip(b"0")
        if len(number) < 6 and int(number or b"0") <= self._copies:
            return value
        counted.append("COPIES")
        return b"%d" % self._copies

    def _data(
        self, data: bytes, at: int, group: bytes, value: bytes, letter: bytes, counted: list[str]
    ) -> tuple[bytes, int, int]:
        """The parameter in capitals with what may pass of its data, where it ends, and how many octets more pass."""
        number = _NUMBER.fullmatch(value)
        octets = int(number[1] or b"0") if number is not None else MOST_DATA + 1
        if octets > MOST_DATA:
            raise refused("its PCL counts binary data in a way that printers understand differently; send it as PDF")
        words = b"\x1b" + group + b"%d" % octets + letter
        if group + letter in LIVE:
            return words, at, octets
        if len(data) - at < octets:
            if not self._final:
                raise _Incomplete
            raise refused("its PCL ends, or has a UEL, in the middle of binary data; send it as PDF")
        body = data[at : at + octets]
        if harmless(group, body):
            return words + body, at + octets, 0
        counted.append(DROPPED.get(group, OTHER))
        return b"", at + octets, 0


def _sequence(group: bytes, parameters: list[bytes]) -> bytes:
    """One escape sequence, its last letter in capitals."""
    if not parameters:
        return b""
    return b"\x1b" + group + b"".join(parameters[:-1]) + parameters[-1].upper()
