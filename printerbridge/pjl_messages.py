"""What printers say by PJL: messages found in the back channel, and what they mean.  No I/O.

Messages are lines ended by CR LF, each message ended by a form feed: how the device fares (USTATUS DEVICE, INFO
STATUS), pages and jobs (USTATUS PAGE, USTATUS JOB), and what was to be echoed.

Security: the back channel is the printer's, and a program that it runs may write there too.  Lines and messages are
kept to a few hundred octets, whatever comes; only numbers, short cleaned texts and names are taken from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mailstore.header import clean
from printerbridge.panel import reason_of

NAME_OCTETS: Final = 32  # longer JOB lines are dropped by some printers
DISPLAY_OCTETS: Final = 80
LINE_OCTETS: Final = 200
MESSAGE_LINES: Final = 16
_CODE: Final = re.compile(r"[0-9]{1,6}")
_NUMBER: Final = re.compile(r"[0-9]{1,7}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """What the panel shows: HP's status code, its text, and whether the device is on line (None: it does not say)."""

    code: int
    display: str
    online: bool | None = None

    @property
    def reason(self) -> str:
        """The `printer-state-reasons` keyword for what keeps the printer from printing, "" if it goes on."""
        return _reason(self)

    def __str__(self) -> str:
        return f"the printer says: {self.display or f'status code {self.code}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """A job has ended.  `result` is OK, USER_CANCELED, HOST_CANCELED, RESOURCE_CANCELED, or "" from older models."""

    name: str
    result: str
    pages: int | None  # None if it does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStart:
    """A job has begun."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PagesOut:
    """So many pages of the running job lie in the tray; a sheet printed on both sides counts as two."""

    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """The printer read an ECHO with these words."""

    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A `DeviceStatus` that was asked for."""

    status: DeviceStatus


Message = DeviceStatus | JobStart | JobEnd | PagesOut | Echo | Answer

# -- what a status means

# HP PJL Technical Reference Manual, appendix "Status Readback"; classes by the thousands, as PRET's codebook groups
# them.  Keywords are those of RFC 8011 section 5.4.12.  By class, and by number only where the class says too little.
_CLASSES: Final = {
    11: "media-empty",  # a tray ran empty, another one may serve: ONLINE tells
    12: "media-empty",
    15: "output-area-full",
    41: "media-empty",  # load paper
    42: "media-jam",
    44: "media-jam",
}
_CODES: Final = {
    40010: "marker-supply-empty",  # no cartridge
    40019: "output-area-full",
    40021: "door-open",
    40022: "media-jam",
    40038: "marker-supply-low",
}
_WAITS_FOR_SOMEBODY: Final = frozenset({40, 41, 42, 43, 44, 50})
# Warming up, toner low, canceling, printing, data received, power save: the printer goes on by itself.
_GOES_ON: Final = frozenset({10003, 10006, 10007, 10023, 10024, 35078, 40000})


def _reason(status: DeviceStatus) -> str:
    group = status.code // 1000
    if status.code in _GOES_ON or (status.online is not False and group not in _WAITS_FOR_SOMEBODY):
        return ""
    if status.code == 40038 and status.online is not False:  # toner low: it warns and goes on
        return ""
    if known := _CODES.get(status.code) or _CLASSES.get(group):
        return known
    return reason_of(status.display)  # of the operator's class, where the number is a model's own


# -- the back channel


class BackChannel:
    """Finds the messages in what a printer says, fed in pieces of any size."""

    __slots__ = ("_line", "_lines")

    _STOP: Final = re.compile(rb"[\n\x0c]+")  # empty lines say nothing

    def __init__(self) -> None:
        self._line = bytearray()
        self._lines: list[str] = []  # of the running message, its `@PJL` line first

    def feed(self, data: bytes) -> list[Message]:
        """Take octets; return what they completed, in order."""
        found: list[Message] = []
        at = 0
        for stop in self._STOP.finditer(data):
            self._take(data[at : stop.start()])
            self._finish_line(found)
            if b"\x0c" in stop[0]:
                self._finish_message(found)
            at = stop.end()
        self._take(data[at:])
        return found

    def pause(self) -> list[Message]:
        """Nothing more came for a while: a printer that forgets the form feed has said what it had to say."""
        found: list[Message] = []
        if not self._line:
            self._finish_message(found)
        return found

    def _take(self, octets: bytes) -> None:
        self._line += octets[: LINE_OCTETS - len(self._line)]

    def _finish_line(self, found: list[Message]) -> None:
        line = self._line.decode("latin-1").strip()
        self._line.clear()
        if line[:4].upper() == "@PJL":
            self._finish_message(found)  # of a printer that forgets the form feed
            self._lines.append(line)
        elif line and 0 < len(self._lines) < MESSAGE_LINES:
            self._lines.append(line)

    def _finish_message(self, found: list[Message]) -> None:
        lines, self._lines = self._lines, []
        if lines and (message := _message(lines[0].split(None, 2)[1:], lines[1:])) is not None:
            found.append(message)


def _message(said: list[str], lines: list[str]) -> Message | None:
    """`said` is what stands behind `@PJL`, in two parts."""
    if len(said) < 2:
        return None
    topic = said[0].upper(), said[1].strip().upper()
    values = {
        name.strip().upper(): value.strip().strip('"') for name, _, value in (one.partition("=") for one in lines)
    }
    first = lines[0].upper() if lines else ""
    if topic[0] == "ECHO":
        return Echo(words=said[1].strip())
    if topic in (("USTATUS", "DEVICE"), ("INFO", "STATUS")) and _CODE.fullmatch(values.get("CODE", "")):
        online = values["ONLINE"].upper() == "TRUE" if "ONLINE" in values else None
        status = DeviceStatus(code=int(values["CODE"]), display=_display(values.get("DISPLAY", "")), online=online)
        return Answer(status=status) if topic[0] == "INFO" else status
    if topic == ("USTATUS", "JOB") and first == "START":
        return JobStart(name=values.get("NAME", ""))
    if topic == ("USTATUS", "JOB") and first in ("END", "CANCELED"):
        pages = values.get("PAGES", "")
        return JobEnd(
            name=values.get("NAME", ""),
            result=values.get("RESULT", "").upper()[:NAME_OCTETS] if first == "END" else "USER_CANCELED",
            pages=int(pages) if _NUMBER.fullmatch(pages) else None,
        )
    if topic == ("USTATUS", "PAGE") and _NUMBER.fullmatch(number := first.rpartition("=")[2].strip()):
        return PagesOut(pages=int(number))
    return None


def _display(text: str) -> str:
    return clean(" ".join(text.split()), DISPLAY_OCTETS)
