"""Which characters octets stand for: charset labels, and telling text from other things.

Security: labels come from strangers.  Only a fixed table of codecs is ever used (RFC 2978 registers hundreds, Python
knows some that take quadratic time, such as idna and punycode), an unknown label is never looked up in Python's codec
registry, whose memory of misses has no bound, and nothing here raises whatever the octets are.
"""

from __future__ import annotations

import codecs
import re
from encodings import aliases

_NAMES = """
ascii utf_8 utf_8_sig utf_16 utf_16_le utf_16_be utf_32 utf_7 big5 big5hkscs gb2312 gbk gb18030 hz
cp932 cp949 cp950 shift_jis euc_jp euc_kr johab iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_3 iso2022_kr
koi8_r koi8_u mac_roman cp437 cp850 cp852 cp855 cp858 cp862 cp866 cp874
cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 latin_1 tis_620
iso8859_1 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11
iso8859_13 iso8859_14 iso8859_15 iso8859_16
"""
_CODECS = frozenset(_NAMES.split())
_LABELS = {name: name for name in _CODECS} | {alias: name for alias, name in aliases.aliases.items() if name in _CODECS}
# What is labelled so and has octets 80-9F is windows-1252 in practice.
_IN_FACT = {"ascii": "cp1252", "latin_1": "cp1252", "iso8859_1": "cp1252", "gb2312": "gbk", "shift_jis": "cp932"}
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_ASCII_CONTROLS = bytes(octet for octet in range(128) if _CONTROLS.match(chr(octet)))
_ASCII_WITHIN = frozenset({"ascii", "utf_8", "cp1252", "latin_1", "iso8859_1", "iso8859_15"})
_META = re.compile(rb"charset[ \t\r\n]*=[ \t\r\n]*[\"']?([A-Za-z0-9_.:-]{1,64})", re.IGNORECASE)
_META_WITHIN = 1024  # HTML section 4.2.5.4
_BOMS = ((codecs.BOM_UTF8, "utf_8_sig"), (codecs.BOM_UTF16_LE, "utf_16"), (codecs.BOM_UTF16_BE, "utf_16"))


def codec(label: str) -> str:
    """The Python codec for a charset label ("ISO-8859-15" -> "iso8859_15"), or "" if it is none that we decode."""
    if not label:
        return ""
    name = _SEPARATORS.sub("_", label[:64].lower()).strip("_")
    return _LABELS.get(name) or _LABELS.get(name.replace("iso_8859", "iso8859"), "")


def decode(octets: bytes, label: str) -> str:
    """The characters, by `label` if known, else UTF-8, else windows-1252; U+FFFD for what cannot be.  Never raises."""
    if not label and octets.isascii():
        return octets.decode("ascii")
    name = codec(label)
    for candidate in (name, "utf_8"):
        if candidate:
            try:
                return octets.decode(candidate)
            except UnicodeError:
                continue
    return octets.decode(name if name not in ("", "ascii", "utf_8") else "cp1252", "replace")


def detect(prefix: bytes, declared: str = "", label: str = "") -> str:
    """The Python codec by which `prefix`, the beginning of a part, reads as text without control characters, else "".

    `declared` is the media type and `label` the charset that the message claims.  A byte order mark wins; then the
    label, if the type is text/*; then UTF-8, which text in another charset hardly ever is by chance; and windows-1252
    only for what is declared as text/*.  A prefix may end inside a character.
    """
    for mark, name in _BOMS:
        if prefix.startswith(mark):
            return name if _readable(prefix, name) else ""
    text = declared.startswith("text/")
    claimed = codec(label) if text else ""
    for name in (claimed, "utf_8", "cp1252" if text else ""):
        if name and (found := _fitting(prefix, name)):
            return found
    return ""


def of_html(prefix: bytes, label: str = "") -> str:
    """The Python codec of the HTML page that begins with `prefix`: by its mark, its label, its own word, or as text is.

    The label comes before the page's word (HTML section 13.2.3.2).
    """
    for mark, name in _BOMS:
        if prefix.startswith(mark):
            return name
    said = _META.search(prefix[:_META_WITHIN])
    own = codec(said[1].decode("ascii")) if said else ""
    # Of what was read as ASCII until there, UTF-16 is not true (HTML section 13.2.3.2).
    for name in (codec(label), "utf_8" if own.startswith(("utf_16", "utf_32")) else own):
        if name and (found := _fitting(prefix, name)):
            return found
    return detect(prefix, "text/html", label)


def _fitting(prefix: bytes, name: str) -> str:
    if name == "ascii":
        return "utf_8" if _readable(prefix, "utf_8") else ""
    for candidate in (name, _IN_FACT.get(name, "")):
        if candidate and _readable(prefix, candidate):
            return candidate
    return ""


def _readable(prefix: bytes, name: str) -> bool:
    # Nearly always; deleting octets is ten times as fast as looking for characters.
    if name in _ASCII_WITHIN and prefix.isascii():
        return len(prefix.translate(None, _ASCII_CONTROLS)) == len(prefix)
    try:
        text = codecs.getincrementaldecoder(name)().decode(prefix)
    except UnicodeError:
        return False
    return _CONTROLS.search(text) is None
