"""What an SMTP server must think of one connection, by the standards and our recipients: the code of every reply."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from appliance.smtp.limits import Limits

LIMITS = Limits(recipients=3, errors=12, idle_commands=30)
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
REJECTED_ALWAYS = {
    "nobody@example.com": 550,
    "ada@example.org": 550,  # not ours: no relaying
    "ada%example.org@example.com": 550,
    "closed@example.com": 550,  # allows nobody
    "no address": 501,
}
COLLEAGUES = ("colour@example.com", "color@example.com")


@dataclass
class Model:
    """What the server must think of one connection."""

    tls: bool = False
    helo: bool = False
    extended: bool = False
    mail: bool = False
    sender: str = ""
    binary: bool = False
    recipients: set[str] = field(default_factory=set)
    chunks: bytes | None = None  # what has come by BDAT
    failed: bool = False  # a chunk was refused, and its message may go on
    errors: int = 0
    idle: int = 0
    closed: bool = False

    def reset(self) -> None:
        self.mail, self.binary, self.recipients, self.chunks, self.failed = False, False, set(), None, False

    def answers(self, command: str, *, more: bool = False) -> list[int]:
        """The replies to one command line; `more` came with it.  354 is the caller's to follow."""
        verb, _, argument = command.partition(" ")
        if verb in ("HELO", "EHLO", "RSET", "NOOP", "VRFY", "HELP"):
            self.idle += 1
            if self.idle > LIMITS.idle_commands:
                return self.closing(421)
        code = 500 if len(command.encode()) + 2 > LIMITS.line else self._code(verb, argument, more)
        return self.counted(code) if not self.closed else [code]

    def counted(self, code: int) -> list[int]:
        self.errors += code >= 500
        return [code, *self.closing(421)] if self.errors >= LIMITS.errors else [code]

    def closing(self, code: int) -> list[int]:
        self.closed = True
        return [code]

    def _code(self, verb: str, argument: str, more: bool) -> int:
        known = {"NOOP": 250, "VRFY": 252, "HELP": 214, "EXPN": 502, "AUTH": 502}
        if verb in known:
            return known[verb]
        if verb == "RSET":
            self.reset()
            return 250
        if verb in ("HELO", "EHLO"):
            return self._greeted(verb, more)
        if verb == "MAIL":
            return self._mail(*argument.removeprefix("FROM:<").split(">"))
        if verb == "RCPT":
            return self._rcpt(argument[4:-1])
        if verb == "DATA":
            return self._data(argument, more)
        if verb == "STARTTLS":
            return self._starttls(argument, more)
        return 500

    def _greeted(self, verb: str, more: bool) -> int:
        if more:  # RFC 2920 section 3.1
            return self.closing(554)[0]
        self.reset()
        self.helo, self.extended = True, verb == "EHLO"
        return 250

    def _mail(self, sender: str, parameter: str) -> int:
        if not self.helo or self.mail:
            return 503
        if " " in sender or ("ö" in sender and not (self.extended and parameter)):
            return 501
        if parameter and (not self.extended or parameter == " X=1"):
            return 555
        if len(parameter) > 15 and parameter.startswith(" SIZE"):
            return 552
        self.mail, self.sender, self.binary = True, sender, parameter == " BODY=BINARYMIME"
        self.failed = False
        return 250

    def _rcpt(self, address: str) -> int:
        if not self.mail or self.chunks is not None:
            return 503
        refused = REJECTED_ALWAYS.get(address)
        if refused and address in ("ada@example.org", "no address"):
            return refused
        key = address.lower()
        if key in self.recipients:
            return 250
        if len(self.recipients) >= LIMITS.recipients:
            return 452
        if refused or not self.sender or (address in COLLEAGUES and not self.sender.endswith("@example.com")):
            return 550  # the null reverse-path names no sender
        self.recipients.add(key)
        return 250

    def _data(self, argument: str, more: bool) -> int:
        if not argument and self.recipients and self.chunks is None and not self.binary:
            return 354
        if more:  # what follows is a message, and must not be read as commands
            return self.closing(554)[0]
        return 501 if argument else 503

    def _starttls(self, argument: str, more: bool) -> int:
        if more:  # RFC 3207 section 5
            return self.closing(554)[0]
        if argument:
            return 501
        if self.tls or not self.extended:
            return 503
        self.reset()
        self.tls, self.helo, self.extended = True, False, False
        return 220

    def chunk(self, octets: bytes, *, last: bool) -> list[int]:
        """The replies to BDAT, without the verdict on a whole message: there they are [] and `chunks` holds it."""
        if self.failed and self.extended and not self.mail:  # RFC 3030 section 2: sent before the client knew
            self.idle += 1
            self.failed = not last
            return [503]
        if not (self.extended and self.recipients):
            self.reset()
            self.failed = not last
            return self.counted(503)
        self.chunks = (self.chunks or b"") + octets
        if not self.binary and BARE.search(self.chunks if last else self.chunks.removesuffix(b"\r")):
            self.reset()
            self.failed = not last
            return self.counted(550)
        return [] if last else [250]

    def accepted(self) -> None:
        self.errors = self.idle = 0
        self.reset()
