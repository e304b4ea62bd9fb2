"""What the virtual printer says on the back channel, in PJL or in PostScript's words.  No I/O.

Replies are as in HP's PJL reference: the echoed request, lines of KEY=value, a form feed; a personality leaves out what
its printers leave out.

Security: text of a client that comes back in replies is stripped of control characters, so that nobody forges another
reply's end; numbers are short, and nothing else of a command is kept.
"""

from __future__ import annotations

import re
from typing import Final

from printerbridge.virtual_device import Device
from printerbridge.virtual_personality import Personality
from printerbridge.virtual_pjl import CANCELING, READY, Broken, Command, Display

TIMED: Final = range(5, 301)
"""Seconds between two timed messages, in HP's manual and Brother's."""


class Panel:
    """One connection's.  Attribute: `timed`, seconds between messages of USTATUS TIMED, 0 if nobody asked."""

    def __init__(self, device: Device, kind: Personality) -> None:
        self._device = device
        self._kind = kind
        self._tell = False  # USTATUS DEVICE
        self._job = False  # USTATUS JOB
        self._page = False  # USTATUS PAGE
        self.timed = 0
        self._open = False  # a JOB without its EOJ
        self._broken: Broken | None = None  # what is thrown away with all that follows
        self._begin("")

    def _begin(self, rest: str) -> None:
        self._name = _option(rest, "NAME", r'"([^"]{0,80})')
        self._wanted = (int(_option(rest, "START", _NUMBER) or 1), int(_option(rest, "END", _NUMBER) or 1 << 30))
        self._position = 0  # pages of the running job, printed or not
        self._out = 0  # pages of it that came out
        self._result = self._broken.result if self._broken is not None else "OK"

    @property
    def wanted(self) -> tuple[int, int]:
        """The first and the last page that are to be printed of what follows; `@PJL JOB START = 3` leaves out two."""
        first, last = self._wanted
        return max(1, first - self._position), last - self._position

    def answer(self, command: Command) -> bytes:
        """The reply to one command, b"" where PJL gives none."""
        if not self._kind.pjl:
            return b""
        match command.verb:
            case "INFO":
                return self._info(command.rest.strip().upper())
            case "ECHO":
                return self._reply(f"@PJL ECHO {command.rest}")
            case "INQUIRE" | "DINQUIRE":
                return self._reply(f"@PJL {command.verb} {command.rest}", '"?"')
            case "USTATUS":
                self._subscribe(command.rest)
            case "USTATUSOFF":
                self._job = self._tell = self._page = False
                self.timed = 0
            case "JOB":
                return self._job_begins(command.rest)
            case "EOJ":
                return self._job_ends(command.rest)
        return b""

    def _job_begins(self, rest: str) -> bytes:
        if self._kind.job_line and len(rest) > self._kind.job_line - len("@PJL JOB "):
            return b""
        if self._kind.one_option and len(re.findall(r"=", re.sub(r'"[^"]*"?', "", rest))) > 1:
            return b""
        self._begin(rest)
        self._open = True
        return self._job_status("START") + self._canceled()

    def _job_ends(self, rest: str) -> bytes:
        """The end of what JOB began; an EOJ alone is ignored, as HP's manuals have it."""
        if not self._open:
            return b""
        self._open = False
        self._name = _option(rest, "NAME", r'"([^"]{0,80})') or self._name
        result = (f"RESULT={self._result}",) if self._kind.result else ()
        told = self._job_status("END", f"PAGES={self._out}", *result)
        self._begin("")
        return told

    def break_off(self, broken: Broken) -> bytes:
        """The running job is canceled, or the one that is about to begin; returns what is said of it."""
        self._broken, self._result = broken, broken.result
        return self.show(CANCELING) + self._canceled() + self.show(READY)

    def _canceled(self) -> bytes:
        by_hand = self._result == "USER_CANCELED" and self._kind.cancels
        return self._job_status("CANCELED") if by_hand and self._open else b""

    def show(self, display: Display) -> bytes:
        """What is said unasked when the panel shows this, if it was asked for."""
        return self._reply("@PJL USTATUS DEVICE", *_device_lines(display)) if self._tell else b""

    def fares(self) -> bytes:
        """What is said unasked when the printer fares otherwise."""
        if not self._kind.postscript:
            return self.show(self._device.now.display)
        said = self._device.now.said
        return f"%%[ PrinterError: {said} ]%%\r\n".encode("ascii") if said else b""

    def skip(self, pages: int) -> None:
        """So many pages were not wanted."""
        self._position += pages

    def page(self) -> bytes:
        """A page lies in the tray.  The number counts the pages that were left out as well, as HP's manual has it."""
        self._position += 1
        self._out += 1
        return self._reply("@PJL USTATUS PAGE", str(self._position)) if self._page else b""

    def timed_status(self) -> bytes:
        return self._reply("@PJL USTATUS TIMED", *_device_lines(self._device.now.display))

    def _info(self, category: str) -> bytes:
        lines = {
            "ID": (f'"{self._kind.model}"',),
            "STATUS": _device_lines(self._device.now.display),
            "PAGECOUNT": (self._kind.page_count.format(self._device.pages),),
            "USTATUS": (
                f"DEVICE={_on(self._tell)}",
                f"JOB={_on(self._job)}",
                f"PAGE={_on(self._page)}",
                f"TIMED={self.timed}",
            ),
        }
        return self._reply(f"@PJL INFO {category}", *lines.get(category, ('"?"',)))

    def _subscribe(self, rest: str) -> None:
        name, _, value = (part.strip().upper() for part in rest.partition("="))
        if name == "JOB":
            self._job = value == "ON"
        elif name == "PAGE":
            self._page = value == "ON"
        elif name == "DEVICE":
            self._tell = value in ("ON", "VERBOSE")
        elif name == "TIMED" and re.fullmatch(r"[0-9]{1,3}", value) and (value == "0" or int(value) in TIMED):
            self.timed = int(value)

    def _job_status(self, what: str, *lines: str) -> bytes:
        if not self._job:
            return b""
        name = () if self._name is None else (f'NAME="{self._name}"',)
        return self._reply("@PJL USTATUS JOB", what, *name, *lines)

    def _reply(self, *lines: str) -> bytes:
        """Lines with CR LF and the closing form feed; nothing that a client sent can end a line."""
        clean = ("".join(letter for letter in line if letter.isprintable()) for line in lines)
        end = b"\x0c" if self._kind.form_feed else b""
        return "".join(f"{line}\r\n" for line in clean).encode("latin-1", "replace") + end


_NUMBER: Final = r"([0-9]{1,7})(?![0-9])"


def _option(rest: str, name: str, value: str) -> str | None:
    match = re.search(rf"\b{name}\s*=\s*{value}", rest, re.IGNORECASE)
    return match[1] if match else None


def _on(value: bool) -> str:
    return "ON" if value else "OFF"


def _device_lines(display: Display) -> tuple[str, ...]:
    online = "TRUE" if display.code < 40000 else "FALSE"
    return (f"CODE={display.code}", f'DISPLAY="{display.text}"', f"ONLINE={online}")
