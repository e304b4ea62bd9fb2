"""TNEF, which Outlook sends as winmail.dat: the attachments and the letter in it ([MS-OXTNEF], [MS-OXCDATA] 2.11).

`found(octets)` gives what there is; `unpack.py` writes it out.

Security: parses strangers' octets, in a confined process.  Every length is checked against what is left of the octets,
so that a lie ends the walk with `ValueError`; values are slices, found in one pass.  Messages in messages are followed
to a fixed depth; compressed text (RTF) never grows past a limit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x78\x9f\x3e\x22"
MAX_DEPTH = 3
MAX_RTF = 32 << 20  # octets; it can claim to hold 4 GiB
_MAX_FOUND = 1_000


class _Attribute:
    """[MS-OXTNEF] 2.1.3.1"""

    RENDERING, PROPERTIES, DATA, TITLE = 0x00069002, 0x00069005, 0x0006800F, 0x00018010
    MESSAGE, BODY, SUBJECT, CODEPAGE = 0x00069003, 0x0002800C, 0x00018004, 0x00069007


# Identifiers of properties ([MS-OXPROPS])
_P_SUBJECT, _P_BODY, _P_RTF, _P_HTML = 0x0037, 0x1000, 0x1009, 0x1013
_P_DATA, _P_METHOD, _P_DISPLAY, _P_NAME, _P_LONG, _P_CID = 0x3701, 0x3705, 0x3001, 0x3704, 0x3707, 0x3712
_EMBEDDED, _OLE = 5, 6  # methods
_IID_MESSAGE = bytes.fromhex("0703020000000000c000000000000046")
_FIXED = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 0x14: 8, 0x40: 8, 0x48: 16}  # octets of each type
_OBJECT, _STRING8, _UNICODE, _BINARY, _SEVERAL = 0x0D, 0x1E, 0x1F, 0x102, 0x1000
_STRETCHY = (_OBJECT, _STRING8, _UNICODE, _BINARY)

Value = bytes | str | int
Properties = dict[int, Value]


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a TNEF.  `letter`: it is what the message itself says."""

    name: str
    octets: bytes
    letter: bool = False
    content_id: str = ""


class _Reader:
    """A walk through octets that never leaves them.  Raises `ValueError` at their end."""

    def __init__(self, octets: bytes | memoryview) -> None:
        self._octets = memoryview(octets)
        self._at = 0

    def left(self) -> int:
        return len(self._octets) - self._at

    def take(self, length: int) -> memoryview:
        if length > self.left():
            raise ValueError("it ends too early")
        self._at += length
        return self._octets[self._at - length : self._at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def padded(self, length: int) -> memoryview:
        value = self.take(length)
        self.take(min(-length % 4, self.left()))
        return value


def found(octets: bytes | memoryview, depth: int = 1) -> list[Found]:
    """The files in a TNEF, the letter first.  Raises `ValueError` if it is none.

    One that ends early, as damaged mails do, gives what came before; an attachment that is cut off is left out.
    """
    reader = _Reader(octets)
    if reader.take(4) != SIGNATURE:
        raise ValueError("it is no TNEF")
    reader.take(2)
    message: Properties = {}
    attachments: list[Properties] = []
    try:
        for attribute, value in _attributes(reader):
            _sort(attribute, value, message, attachments)
    except ValueError:
        if not (message or attachments):
            raise
    files = _letter(message)
    for properties in attachments[:_MAX_FOUND]:
        files += _attachment(properties, depth)
    return files


def _attributes(reader: _Reader) -> Iterator[tuple[int, memoryview]]:
    while reader.left():
        reader.take(1)  # whether of the message or of an attachment, which the attribute says itself
        attribute, length = reader.number("<L"), reader.number("<L")
        yield attribute, reader.take(length)
        reader.take(min(2, reader.left()))  # a checksum


def _sort(attribute: int, value: memoryview, message: Properties, attachments: list[Properties]) -> None:
    match attribute:
        case _Attribute.CODEPAGE if len(value) >= 4:
            message[_Attribute.CODEPAGE] = int(struct.unpack_from("<L", value)[0])
        case _Attribute.BODY:
            message.setdefault(_P_BODY, _ansi(value, message))
        case _Attribute.SUBJECT:
            message.setdefault(_P_SUBJECT, _ansi(value, message))
        case _Attribute.MESSAGE:
            message.update(_properties(value, message))
        case _Attribute.RENDERING:
            attachments.append({})
        case _Attribute.TITLE if attachments:
            attachments[-1].setdefault(_P_DISPLAY, _ansi(value, message))
        case _Attribute.DATA if attachments:
            attachments[-1][_Attribute.DATA] = bytes(value)
        case _Attribute.PROPERTIES if attachments:
            attachments[-1].update(_properties(value, message))


def _ansi(value: memoryview, message: Properties) -> str:
    octets = bytes(value).split(b"\0")[0]
    codepage = message.get(_Attribute.CODEPAGE)
    name = "utf-8" if codepage == 65001 else f"cp{codepage!r}"
    # Python has no codec of another kind whose name begins with cp and digits.
    try:
        return octets.decode(name, "replace")
    except LookupError:
        return octets.decode("cp1252", "replace")


def _properties(value: memoryview, message: Properties) -> Properties:
    """What a list of properties holds that is of use here ([MS-OXTNEF] 2.1.3.4); what is cut off counts as absent."""
    reader, properties = _Reader(value), Properties()
    try:
        for _ in range(reader.number("<L")):
            kind, identifier = reader.number("<H"), reader.number("<H")
            if identifier >= 0x8000:
                reader.take(16)
                if reader.number("<L"):
                    reader.padded(reader.number("<L"))  # its name
                else:
                    reader.take(4)
            values = _values(kind, reader)
            if kind & _SEVERAL or not values:
                continue
            properties[identifier] = _value(kind, values[0], message)
    except ValueError:
        pass
    return properties


def _values(kind: int, reader: _Reader) -> list[memoryview]:
    several, kind = kind & _SEVERAL, kind & ~_SEVERAL
    if kind in _STRETCHY:
        return [reader.padded(reader.number("<L")) for _ in range(_count(reader, 4))]
    if kind not in _FIXED:
        raise ValueError(f"a property is of the unknown type {kind:#x}")
    return [reader.take(_FIXED[kind]) for _ in range(_count(reader, 4) if several else 1)]


def _count(reader: _Reader, least: int) -> int:
    count = reader.number("<L")
    if count * least > reader.left():
        raise ValueError("it ends too early")
    return count


def _value(kind: int, value: memoryview, message: Properties) -> Value:
    if kind == _UNICODE:
        return bytes(value).decode("utf-16-le", "replace").split("\0")[0]
    if kind == _STRING8:
        return _ansi(value, message)
    if kind == 3:
        return int(struct.unpack("<l", value)[0])
    return bytes(value)


def _text(value: Value | None) -> str:
    return value if isinstance(value, str) else ""


def _letter(message: Properties) -> list[Found]:
    """What the message says in the best of its forms that prints without Office, else as RTF."""
    html, body, packed = message.get(_P_HTML), message.get(_P_BODY), message.get(_P_RTF)
    name = _text(message.get(_P_SUBJECT)) or "letter"
    if isinstance(html, str):
        html = html.encode()
    if isinstance(html, bytes) and html.strip(b"\0 \r\n\t"):
        return [Found(f"{name}.html", html.rstrip(b"\0"), letter=True)]
    if isinstance(body, str) and body.strip():
        return [Found(f"{name}.txt", b"\xef\xbb\xbf" + body.encode(errors="replace"), letter=True)]
    if isinstance(packed, bytes):
        try:
            return [Found(f"{name}.rtf", rtf(packed), letter=True)]
        except ValueError:
            pass
    return []


def _attachment(properties: Properties, depth: int) -> list[Found]:
    octets = properties.get(_Attribute.DATA) or properties.get(_P_DATA)
    if not isinstance(octets, bytes) or properties.get(_P_METHOD) == _OLE:
        return []
    names = (_text(properties.get(key)) for key in (_P_LONG, _P_NAME, _P_DISPLAY))
    name = next(filter(None, names), "")
    if octets.startswith(_IID_MESSAGE):
        if depth == MAX_DEPTH:
            return []
        try:
            inside = found(memoryview(octets)[16:], depth + 1)
        except ValueError:
            return []
        return [Found(each.name, each.octets, content_id=each.content_id) for each in inside]
    if properties.get(_P_METHOD) == _EMBEDDED:
        return []
    return [Found(name, octets, content_id=_text(properties.get(_P_CID)))]


_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier"
    rb"{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)


def rtf(packed: bytes) -> bytes:
    """The RTF in compressed RTF ([MS-OXRTFCP]).  Raises `ValueError`; what is cut off gives what came before."""
    if len(packed) < 16:
        raise ValueError("it ends too early")
    size, kind = struct.unpack_from("<4xL4s", packed)
    if kind == b"MELA":
        return packed[16 : 16 + min(size, MAX_RTF)]
    if kind != b"LZFu":
        raise ValueError("it is no compressed RTF")
    out, at, limit = bytearray(_DICTIONARY), 16, len(_DICTIONARY) + min(size, MAX_RTF)
    while at < len(packed) and len(out) < limit:
        control, at = packed[at], at + 1
        for bit in range(8):
            if control >> bit & 1:
                if at + 2 > len(packed):
                    return bytes(out[len(_DICTIONARY) : limit])
                reference, at = packed[at] << 8 | packed[at + 1], at + 2
                # Places in a ring of 4096, of which `out` is the straightened past.
                back = (len(out) - (reference >> 4)) % 4096
                if not back:
                    return bytes(out[len(_DICTIONARY) : limit])
                for _ in range((reference & 15) + 2):
                    out.append(out[-back] if back <= len(out) else 0x20)
            elif at < len(packed):
                out.append(packed[at])
                at += 1
    return bytes(out[len(_DICTIONARY) : limit])
