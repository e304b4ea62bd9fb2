"""The doors by which mail comes in, and what differs between them.

Security: a door decides who may speak at all.  Where a login is wanted, nothing but greetings and TLS works before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A listener's kind.  A login is only ever taken under TLS."""

    name: str  # its section in the configuration
    implicit_tls: bool = False  # from the first octet (RFC 8314)
    login: bool = False  # a login is wanted before any mail, and people of the site may be written to


SMTP: Final = Door(name="smtp")
SUBMISSION: Final = Door(name="submission", login=True)
SUBMISSIONS: Final = Door(name="submissions", login=True, implicit_tls=True)
