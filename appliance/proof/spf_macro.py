"""Macros of SPF (RFC 7208 section 7): read into a template, and filled in.

Security: the text is a stranger's record, and what is filled in is the same stranger's address and greeting.  Reading
is one pass of one expression without backtracking; what comes out is at most as many times the longest value as the
text has macros, both of which are bounded (`spf_record.OCTETS`, and the command line of SMTP), and is cut to a name's
length for a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final
from urllib.parse import quote

from appliance.peer import Address

LETTERS: Final = "slodiphv"
EXPLAINING: Final = "crt"
"""Letters that only an explanation may have."""
UNKNOWN: Final = "unknown"
_NAME: Final = 253
_LONGEST: Final = 512  # of a domain-spec

# One macro-expand, or literals up to the next; section 7.1.
_PART = re.compile(r"%(?:\{([a-zA-Z])(\d*)([rR]?)([.\-+,/_=]*)\}|([%_-]))|([!-$&-~]+)")
_PART_OR_SPACE = re.compile(r"%(?:\{([a-zA-Z])(\d*)([rR]?)([.\-+,/_=]*)\}|([%_-]))|([ !-$&-~]+)")
_LITERAL = {"%": "%", "_": " ", "-": "%20"}
# Section 7.1: domain-end, where it is no macro-expand.
_TOPLABEL = re.compile(r"\.(?=[A-Za-z0-9-]*[A-Za-z-])[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?\Z")


class MacroError(ValueError):
    """The text is no macro-string, or no domain-spec where one is wanted."""


@dataclass(frozen=True, slots=True)
class Macro:
    """`%{l2r-}`: the letter in lower case; `labels` 0 for all."""

    letter: str
    labels: int
    reverse: bool
    delimiters: str
    escaped: bool  # the letter is in upper case

    def expand(self, value: str) -> str:
        """Section 7.3."""
        if self.delimiters or self.reverse or self.labels:
            for delimiter in self.delimiters[1:]:
                value = value.replace(delimiter, self.delimiters[0])
            parts = value.split(self.delimiters[0] if self.delimiters else ".")
            if self.reverse:
                parts.reverse()
            value = ".".join(parts[-self.labels :] if self.labels else parts)
        return quote(value, safe="~") if self.escaped else value


@dataclass(frozen=True, slots=True)
class Template:
    """A text with macros in it."""

    parts: tuple[str | Macro, ...]
    letters: frozenset[str]  # of its macros
    open_end: bool  # it ends in a macro-expand

    def expand(self, values: Mapping[str, str]) -> str:
        return "".join(part if isinstance(part, str) else part.expand(values[part.letter]) for part in self.parts)

    def name(self, values: Mapping[str, str]) -> str:
        """Of a domain-spec: without the final dot, and as many labels from the right as a name may have."""
        name = self.expand(values).removesuffix(".")
        while len(name) > _NAME:
            _, dot, rest = name[-_NAME - 64 :].partition(".")
            if not dot:
                return ""
            name = rest
        return name


def parse(text: str, *, explanation: bool = False) -> Template:
    """A macro-string, or an explain-string (section 6.2), which may have blanks and more letters.

    Raises `MacroError`.
    """
    letters = LETTERS + EXPLAINING if explanation else LETTERS
    pattern = _PART_OR_SPACE if explanation else _PART
    parts: list[str | Macro] = []
    at, escape = 0, None
    while at < len(text):
        found = pattern.match(text, at)
        if found is None:
            raise MacroError("a macro that does not exist, or a character that may not stand there")
        at = found.end()
        letter, labels, reverse, delimiters, escape, literal = found.groups()
        if letter is None:
            parts.append(literal or _LITERAL[escape])
            continue
        if letter.lower() not in letters or labels.strip("0") == "" != labels:
            raise MacroError(f"the macro {found[0]} does not exist here")
        number = int(labels[-9:]) if labels else 0
        parts.append(Macro(letter.lower(), number, bool(reverse), delimiters, letter.isupper()))
    macros = frozenset(part.letter for part in parts if isinstance(part, Macro))
    return Template(tuple(parts), macros, bool(parts) and (escape is not None or isinstance(parts[-1], Macro)))


def parse_domain(text: str) -> Template:
    """A domain-spec.  Raises `MacroError`."""
    if len(text) > _LONGEST:
        raise MacroError("it is too long for a domain")
    template = parse(text)
    if not template.open_end and not _TOPLABEL.search(text):
        raise MacroError(f'"{text[:60]}" is no domain')
    return template


def dotted(ip: Address) -> str:
    """As the macro `i`: section 7.3."""
    return str(ip) if isinstance(ip, IPv4Address) else ".".join(f"{int(ip):032x}")


def version(ip: Address) -> str:
    """As the macro `v`."""
    return "in-addr" if isinstance(ip, IPv4Address) else "ip6"
