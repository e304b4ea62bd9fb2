"""Who is connected, by which door, and what is known of him.

Security: the name of HELO is a stranger's claim and is treated as one; the login is the directory's word.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.smtp.door import SMTP, Door
from mailstore.directory.records import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client, as far as the dialogue has come."""

    ip: str
    insider: bool
    door: Door = SMTP
    helo: str = ""
    extended: bool = False  # said EHLO
    tls: bool = False
    login: Person | None = None
    max_size: int = 0

    @property
    def inside(self) -> bool:
        """Whether he is one of the site's people, as far as is known."""
        return self.insider or self.login is not None
