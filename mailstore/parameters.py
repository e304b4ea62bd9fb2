"""What MAIL and RCPT say behind the address: the parameters of RFC 1870, 3030, 3461, 4954, 6152, 6531 and 6533.

Security: reads strangers' command lines.  A keyword is looked up in a table and a value is matched by a pattern that
does not backtrack or found in a set, so a line costs microseconds whatever it is; nothing else gets in.  xtext hides
octets: what it stands for is looked at here, so that no control character can come out of it into a header or a report
later.  What an address in a parameter names is kept and steers nothing: mail goes where the path of RCPT says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

from mailstore.address import Path, leading_path, parse_path
from mailstore.failure import PermanentFailure

_BAD_PARAMETER = "5.5.4"
_ENVID_CHARACTERS, _ORCPT_CHARACTERS = 100, 500  # RFC 3461 sections 4.4 and 4.2


class UnknownParameter(PermanentFailure):
    """A parameter that was never offered: 555 instead of 501 (RFC 5321 section 4.1.1.11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailParameters:
    """What MAIL said.  Values of a closed set are in capitals; the others are as sent, "" if not said."""

    size: int = 0  # octets, RFC 1870; 0 if not said
    body: str = "7BIT"  # RFC 6152, RFC 3030: 7BIT, 8BITMIME or BINARYMIME
    smtputf8: bool = False  # RFC 6531
    submitter: str = ""  # AUTH of RFC 4954 section 5: xtext of an address, "<>" for nobody's
    ret: str = ""  # RFC 3461 section 4.3: FULL or HDRS
    envid: str = ""  # section 4.4, xtext


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptParameters:
    """What RCPT said, "" if not."""

    notify: str = ""  # RFC 3461 section 4.1: NEVER, or some of SUCCESS,FAILURE,DELAY in the order of the sender
    orcpt: str = ""  # section 4.2: the type of an address, ";" and the address in xtext


NO_MAIL_PARAMETERS: Final = MailParameters()
NO_RCPT_PARAMETERS: Final = RcptParameters()


def parse_mail_from(argument: str, *, extended: bool = True) -> tuple[Path, MailParameters]:
    """What stands behind "MAIL FROM:"; `extended` if the client said EHLO, else there are no parameters.

    Raises `PermanentFailure` "5.1.7" for the path, "5.5.4" for the parameters; `UnknownParameter` of them.
    """
    path, words = leading_path(argument, utf8=extended, null_allowed=True)
    said = MailParameters(**_parameters(words, _MAIL, extended)) if words else NO_MAIL_PARAMETERS
    if not (said.smtputf8 or path.address.isascii()):
        raise PermanentFailure("5.1.7", "the address has characters outside ASCII, which want SMTPUTF8")
    return path, said


def parse_rcpt_to(argument: str, *, extended: bool = True, utf8: bool = False) -> tuple[Path, RcptParameters]:
    """What stands behind "RCPT TO:"; `utf8` if MAIL said SMTPUTF8.  Raises likewise, "5.1.3" for the path."""
    path, words = leading_path(argument, utf8=utf8, null_allowed=False)
    said = RcptParameters(**_parameters(words, _RCPT, extended)) if words else NO_RCPT_PARAMETERS
    if not (utf8 or said.orcpt.isascii()):
        raise PermanentFailure(_BAD_PARAMETER, "ORCPT has characters outside ASCII, which want SMTPUTF8")
    return path, said


def decode_xtext(xtext: str) -> str | None:
    """What `xtext` stands for (RFC 3461 section 4), or None if it is none, or nothing that can be read as UTF-8.

    >>> decode_xtext("a+2Bb+3D")
    'a+b='
    """
    if not _XTEXT.fullmatch(xtext):
        return None
    if "+" not in xtext:
        return xtext
    try:
        return _HEXCHAR.sub(lambda found: bytes.fromhex(found[1]).decode("latin-1"), xtext).encode("latin-1").decode()
    except UnicodeDecodeError:
        return None


_WORD = re.compile("[A-Za-z0-9][A-Za-z0-9-]*+(?:=[!-<>-~\u00a0-\ud7ff\ue000-\U0010ffff]++)?+")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})++")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_SIZE = re.compile("[0-9]{1,20}")
_ADDR_TYPE = re.compile("[A-Za-z0-9!#$%&'*+/?^_`{|}~-]++")
_UNITEXT = re.compile(r"(?:[!-*,-<>-\[\]-~\u00a0-\ud7ff\ue000-\U0010ffff]|\\x\{[1-9A-F][0-9A-F]{1,5}\})++")
_HEXPOINT = re.compile(r"\\x\{([0-9A-F]++)\}")

_Value = str | int | bool
_Reader = Callable[[str], "_Value | None"]  # of a value as sent, "" if there is none; None where it cannot be


def _parameters(text: str, known: Mapping[str, tuple[str, _Reader]], extended: bool) -> dict[str, Any]:
    """The fields of the record that `text` says."""
    if not extended:
        raise UnknownParameter(_BAD_PARAMETER, "parameters want EHLO")
    said: dict[str, Any] = {}
    for word in text.split(" "):
        if not word:
            continue
        keyword, equals, value = word.partition("=")
        # Outside ASCII there are letters whose capital is an ASCII one.
        field = known.get(keyword.upper()) if keyword.isascii() else None
        if field is None or (equals and not value):
            raise _unreadable(word)
        name, read = field
        if name in said:
            raise PermanentFailure(_BAD_PARAMETER, f"the parameter {keyword.upper()} is given twice")
        said[name] = meant = read(value)
        if meant is None:
            raise PermanentFailure(_BAD_PARAMETER, f"{keyword.upper()} has a value it cannot have")
    return said


def _unreadable(word: str) -> PermanentFailure:
    if _WORD.fullmatch(word):
        return UnknownParameter(_BAD_PARAMETER, f"unknown parameter {word.partition('=')[0].upper()[:40]}")
    return PermanentFailure(_BAD_PARAMETER, "a parameter is not of the form KEYWORD or KEYWORD=VALUE")


def _one_of(*values: str) -> _Reader:
    known = frozenset(values)

    def read(value: str) -> str | None:
        return capitals if value.isascii() and (capitals := value.upper()) in known else None

    return read


def _flag(value: str) -> bool | None:
    return None if value else True


def _size(value: str) -> int | None:
    return int(value) if _SIZE.fullmatch(value) else None


def _envid(value: str) -> str | None:
    return value if len(value) <= _ENVID_CHARACTERS and _tells_text(value) else None


def _tells_text(xtext: str) -> bool:
    """Whether it stands for what a report may say: ASCII that can be printed (RFC 3461 sections 4.2 and 4.4)."""
    text = decode_xtext(xtext)
    return text is not None and text.isascii() and text.isprintable()


def _submitter(value: str) -> str | None:
    if value == "<>":
        return value
    address = decode_xtext(value)
    if not address or address.startswith("@"):  # RFC 4954 section 5 has no source routes
        return None
    try:
        parse_path(f"<{address}>", utf8=True, null_allowed=True)
    except PermanentFailure:
        return None
    return value


def _orcpt(value: str) -> str | None:
    kind, _, address = value.partition(";")
    if len(value) > _ORCPT_CHARACTERS or not _ADDR_TYPE.fullmatch(kind):
        return None
    well = _tells_unicode(address) if kind.lower() == "utf-8" else _tells_text(address)
    return value if well else None


def _tells_unicode(address: str) -> bool:
    """RFC 6533 section 3: what cannot stand there, or not without SMTPUTF8, is written as a backslash and x{HEX}."""
    if not _UNITEXT.fullmatch(address):
        return False
    try:
        return _HEXPOINT.sub(lambda found: chr(int(found[1], 16)), address).isprintable()
    except ValueError:  # beyond Unicode
        return False


_TIMES = ("SUCCESS", "FAILURE", "DELAY")
_NOTIFY = [",".join(some) for count in (1, 2, 3) for some in permutations(_TIMES, count)]
_MAIL: Final[dict[str, tuple[str, _Reader]]] = {
    "SIZE": ("size", _size),
    "BODY": ("body", _one_of("7BIT", "8BITMIME", "BINARYMIME")),
    "SMTPUTF8": ("smtputf8", _flag),
    "AUTH": ("submitter", _submitter),
    "RET": ("ret", _one_of("FULL", "HDRS")),
    "ENVID": ("envid", _envid),
}
_RCPT: Final[dict[str, tuple[str, _Reader]]] = {
    "NOTIFY": ("notify", _one_of("NEVER", *_NOTIFY)),
    "ORCPT": ("orcpt", _orcpt),
}
