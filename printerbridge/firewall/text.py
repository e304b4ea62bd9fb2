"""Plain text for printers that print it as it comes.  Pure, in pieces of any size.

Letters become ASCII, which every such printer knows: accents go, typographic signs become those of a typewriter, what
is left becomes "?".  Printers of labels and receipts are set to a charset of one octet a letter, and know which one
better than we do: for those whose programs may pass, the octets above 127 of such a text go as they came.  Lines end
with CR LF, the text with a form feed.

Security: the text is a stranger's, and such a printer may speak more than text.  No control character is left but CR,
LF, FF and HT, and BS where octets go as they came, so that no escape sequence can be; `@PJL` anywhere, and at the
beginning what tells PostScript, PDF, PCL XL or raster, gets a blank behind its first letter.  An octet from 128 to 159
goes only if the text's charset has no control character there: some printers take all of them for such, which is why
strangers' texts are ASCII.  At most a few characters wait here.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from mailstore import charset as charsets

_CONTROLS: Final = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\r\n\f\t"}
_SIGNS: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        "\u2026": "...",
        "\u2022": "*",
        "\u20ac": "EUR",
        "\u00df": "ss",
        "\u00a9": "(c)",
        "\u2028": "\n",
        "\u2029": "\n",
        "\u0085": "\n",
        **dict.fromkeys("\ufeff\u00ad\u200b\u200c\u200d\u200e\u200f\u2060", ""),
    }
)
_OWN_LETTERS: Final = re.compile(r"cp(?!932|949|950)[0-9]+|iso8859_[0-9]+|koi8_[ru]|mac_roman|latin_1|tis_620")
"""Codecs of one octet a letter whose lower half is ASCII."""
_LINE_END: Final = re.compile(r"\r\n?|\n")
_PJL: Final = re.compile("@(?=PJL)", re.IGNORECASE)
_MAY_BEGIN: Final = re.compile(r"@(?:P(?:J)?)?\Z", re.IGNORECASE)
_LANGUAGES: Final = ("%!", "%PDF", ") HP-PCL", "( HP-PCL", "' HP-PCL", "RaS", "UNIRAST")
_LONGEST: Final = max(map(len, _LANGUAGES))


class PlainText:
    """Feed it text in `charset` (a label as in MIME; unknown ones are read as UTF-8); `close` gives the rest.

    With `as_it_came`, the octets above 127 stay as they are if each of them is a letter by itself.
    """

    def __init__(self, charset: str = "utf-8", *, as_it_came: bool = False) -> None:
        name = charsets.codec(charset) or "utf-8"
        self._octets = as_it_came and _OWN_LETTERS.fullmatch(name) is not None
        self._drop = _controls(name) if self._octets else {}
        self._decoder = codecs.getincrementaldecoder("latin-1" if self._octets else name)("replace")
        self._name = name
        self._held = ""
        self._begun = False  # something was printed
        self._fed = False  # the paper is out already

    def feed(self, octets: bytes) -> bytes:
        return self._text(self._decode(octets), final=False)

    def close(self) -> bytes:
        rest = self._text(self._decode(b"", final=True), final=True)
        fed = rest.endswith(b"\f") if rest else self._fed
        return rest if fed else rest + b"\f"

    def _decode(self, octets: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(octets, final)
        except UnicodeError:  # a byte order mark is missing: RFC 2781 section 4.3
            octets = self._decoder.getstate()[0] + octets
            self._decoder = codecs.getincrementaldecoder(f"{self._name}_be")("replace")
            return self._decoder.decode(octets, final)

    def _text(self, text: str, *, final: bool) -> bytes:
        text = self._held + (text.translate(self._drop) if self._octets else _plain(text))
        self._held = ""
        if not final and text.endswith("\r"):
            text, self._held = text[:-1], "\r"
        if not self._begun:
            start = text.lstrip()
            if not final and len(start) < _LONGEST:
                text, self._held = text[: len(text) - len(start)], start + self._held
            elif start.startswith(_LANGUAGES):
                text = f"{text[: len(text) - len(start)]}{start[0]} {start[1:]}"
            self._begun = len(start) >= _LONGEST
        if not final and (may := _MAY_BEGIN.search(text)):
            text, self._held = text[: may.start()], may[0] + self._held
        text = _LINE_END.sub("\r\n", _PJL.sub("@ ", text))
        if text:
            self._fed = text.endswith("\f")
        return text.encode("latin-1" if self._octets else "ascii")


def _controls(codec: str) -> dict[int, None]:
    """The octets that are control characters in this charset, but for those of a typewriter."""
    upper = {octet for octet in range(0x80, 0xA0) if ord(bytes([octet]).decode(codec, "replace")) == octet}
    return {code: None for code in (*range(0x20), 0x7F, *upper) if chr(code) not in "\r\n\f\t\b"}


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.translate(_SIGNS))
        text = "".join(letter for letter in text if not unicodedata.combining(letter)).translate(_SIGNS)
        text = text.translate(_CONTROLS).encode("ascii", "replace").decode("ascii")
    return text.translate(_CONTROLS)


def plain_text(pieces: Iterable[bytes], charset: str = "utf-8", *, as_it_came: bool = False) -> Iterator[bytes]:
    """`PlainText` over the pieces of a whole document."""
    text = PlainText(charset, as_it_came=as_it_came)
    for piece in pieces:
        yield text.feed(piece)
    yield text.close()
