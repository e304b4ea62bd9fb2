"""What all POP3 sessions share.

Security: nothing of a client is here.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.pop3.connection import Limits
from appliance.pop3.login import Accounts
from appliance.pop3.rhythm import Rhythm
from appliance.pop3.tls import TlsServer
from mailstore.store.contract import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Made once, when the listeners are."""

    hostname: str
    store: Store
    accounts: Accounts
    rhythm: Rhythm
    limits: Limits
    tls: TlsServer | None
    secure_port: int
