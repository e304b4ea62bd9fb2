"""Mail addresses as the SMTP envelope has them: the grammar of RFC 5321 section 4.1.2, and subaddresses (RFC 5233).

Security: reads strangers' command lines.  Everything is anchored regular expressions without backtracking, so an
address costs microseconds whatever it is; lengths are those of RFC 5321 section 4.5.3.1; what is not in the grammar
is refused, so that no control character and no second address gets from here into a header or a log.  A quoted local
part may hold blanks and parentheses: who builds a directory filter escapes them.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

import idna

from mailstore.failure import PermanentFailure

_LOCAL_OCTETS, _DOMAIN_OCTETS, _PATH_OCTETS, _LABEL_OCTETS = 64, 255, 256, 63
_BAD_RECIPIENT, _BAD_SENDER = "5.1.3", "5.1.7"


@dataclass(frozen=True, slots=True)
class Path:
    """A reverse-path or forward-path.  The null one has only empty strings; `postmaster` may have no domain."""

    local: str  # unquoted, as sent
    domain: str  # as sent; an address literal with its brackets
    address: str  # local@domain, quoted only where it must be


NULL = Path("", "", "")


@cache
def _grammar(beyond: str) -> re.Pattern[str]:
    """RFC 5321 section 4.1.2; `beyond` is the class of RFC 6531 section 3.3, or empty."""
    atom = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{beyond}-]++"
    letter_digit = rf"[A-Za-z0-9{beyond}]++"
    label = rf"{letter_digit}(?:-++{letter_digit})*+"
    domain = rf"{label}(?:\.{label})*+"
    literal = r"\[[A-Za-z0-9:.]{1,60}\]"
    quoted = rf'"(?:[ !#-\[\]-~{beyond}]|\\[ -~])*+"'
    route = rf"(?:@{domain}(?:,@{domain})*+:)?+"
    return re.compile(rf"<{route}(?:({atom}(?:\.{atom})*+)|({quoted}))(?:@({domain}|{literal}))?+>")


_ASCII = _grammar("")
# Not what cannot be seen, or turns a line round (controls, blanks, private and never assigned characters): a person
# could not tell such an address from another one.  The joiners stay, for scripts that need them.  Nor the three whose
# form NFC is an ASCII character (U+037E, U+1FEF, U+212A): they would become a semicolon, a grave accent and a K.
_SEEN = (
    "\u00a1-\u00ac\u00ae-\u037d\u037f-\u061b\u061d-\u167f\u1681-\u180d\u180f-\u1fee\u1ff0-\u1fff\u200c\u200d\u2010-\u2027"
    "\u2030-\u205e\u2070-\u2129\u212b-\u2fff\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufefe\uff00-\uffef\U00010000-\U0001fffd\U00020000-\U0002fffd"
    "\U00030000-\U0003fffd\U000e0100-\U000e01ef"
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_QUOTABLE = re.compile(r'(["\\])')
_ATOM = f"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_SEEN}-]++"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+")


def parse_path(text: str, *, utf8: bool = False, null_allowed: bool) -> Path:
    """The path that `text` is, angle brackets included; a source route before the address is dropped (appendix C).

    Raises `PermanentFailure` "5.1.7" for a reverse-path (`null_allowed`), "5.1.3" for a forward-path.
    """
    path, end = _path(text, utf8, null_allowed)
    if end != len(text):
        raise _bad(null_allowed, "something follows the address")
    return path


def leading_path(argument: str, *, utf8: bool = False, null_allowed: bool) -> tuple[Path, str]:
    """The path that `argument` of MAIL or RCPT begins with, and what stands behind it, which is for `parameters`.

    Raises as `parse_path` does.
    """
    text = argument.strip(" ")
    path, end = _path(text, utf8, null_allowed)
    if end == len(text):
        return path, ""
    if text[end] != " ":
        raise _bad(null_allowed, "something follows the address without a space")
    return path, text[end:]


def _path(text: str, utf8: bool, reverse: bool) -> tuple[Path, int]:
    if reverse and text.startswith("<>"):
        return NULL, 2
    found = (_grammar(_SEEN) if utf8 else _ASCII).match(text)  # it takes 30 ms to compile: not in each command
    if found is None:
        if not utf8 and not text.isascii():
            raise _bad(reverse, "the address has characters outside ASCII, which want SMTPUTF8")
        raise _bad(reverse, "the address is not well-formed, it must be like <name@example.com>")
    local = found[1] if found[1] is not None else _QUOTED_PAIR.sub(r"\1", found[2][1:-1])
    domain = found[3] or ""
    # RFC 5321 section 4.1.1.3; a source route wants a whole mailbox behind it
    if not domain and (reverse or local.lower() != "postmaster" or text.startswith("<@")):
        raise _bad(reverse, "the address has no domain, it must be like <name@example.com>")
    if found.end() > _LABEL_OCTETS or not text.isascii():
        _check_lengths(local, domain, reverse)
    if domain.startswith("["):
        _check_literal(domain, reverse)
    return Path(local, domain, _join(local, domain)), found.end()


def _check_lengths(local: str, domain: str, reverse: bool) -> None:
    if len(local.encode()) > _LOCAL_OCTETS:
        raise _bad(reverse, f"the part before the @ is longer than {_LOCAL_OCTETS} octets")
    octets = len(domain.encode())
    if octets > _DOMAIN_OCTETS or (octets > _LABEL_OCTETS and max(map(len, domain.split("."))) > _LABEL_OCTETS):
        raise _bad(reverse, "the domain is too long")
    if len(_join(local, domain).encode()) > _PATH_OCTETS - 2:
        raise _bad(reverse, f"the address is longer than {_PATH_OCTETS - 2} octets")


def _check_literal(domain: str, reverse: bool) -> None:
    """RFC 5321 section 4.1.3; tags other than IPv6 do not exist."""
    content = domain[1:-1]
    try:
        if content[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(content[5:])
        else:
            ipaddress.IPv4Address(content)
    except ValueError:
        raise _bad(reverse, "the address literal is no IPv4 address and no IPv6: and address") from None


def _join(local: str, domain: str) -> str:
    if not _DOT_STRING.fullmatch(local):
        local = '"' + _QUOTABLE.sub(r"\\\1", local) + '"'
    return f"{local}@{domain}" if domain else local


def _bad(reverse: bool, text: str) -> PermanentFailure:
    return PermanentFailure(_BAD_SENDER if reverse else _BAD_RECIPIENT, text)


def split_subaddress(address: str) -> tuple[str, tuple[str, ...]]:
    """The address without its subaddress, and the details of that in order (RFC 5233, separator "+").

    >>> split_subaddress("phaser360+copies=2+duplex@example.com")
    ('phaser360@example.com', ('copies=2', 'duplex'))
    """
    local, at, domain = address.rpartition("@") if "@" in address else (address, "", "")
    user, *details = local.split("+")
    if not details or not user or local.startswith('"'):
        return address, ()
    return user + at + domain, tuple(detail for detail in details if detail)


def canonical(address: str) -> str:
    """The form by which addresses are compared.

    Without case, in Unicode's form NFC, without needless quotes, and an internationalized domain in its A-labels (RFC
    5890 section 2.3.2.1), which are the same domain as the U-labels.  `address` is one that `parse_path` gave, or a
    person wrote in the directory; never raises.
    """
    local, at, domain = address.rpartition("@")
    if local.startswith('"') and local.endswith('"') and len(local) > 2:
        plain = _QUOTED_PAIR.sub(r"\1", local[1:-1])
        local = plain if _DOT_STRING.fullmatch(plain) else local
    if domain.isascii() or not at:
        return _folded(local + at + domain)
    return _folded(local + at) + _ascii_domain(domain)


def _folded(text: str) -> str:
    # Not casefold(): it takes the long s for an s and the sharp one for two, and those are other addresses and domains.
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.lower())


@lru_cache(maxsize=1024)
def _ascii_domain(domain: str) -> str:
    folded = _folded(domain)
    try:
        # Strict, and not by the mapping of UTS 46, which makes one domain of characters that only look like another's.
        return idna.encode(folded, strict=True).decode("ascii")
    except UnicodeError:
        return folded
