"""What every transaction needs to know of the site.

Security: no stranger's octet comes here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance import policy
from appliance.abilities import KnownAbilities
from appliance.guessing import Guesses
from appliance.mailauth import MailAuth
from appliance.peer import Network, plain_ip, within
from appliance.smtp.client import Client
from appliance.smtp.limits import Allowance, Limits, Pace
from appliance.tls import Certificate
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.store.contract import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Settings, limits, and where printers, people and messages are kept."""

    settings: Settings
    store: Store
    directory: Directory
    people: People | None  # None: nobody can log in
    certificate: Certificate | None  # None: TLS is not offered
    limits: Limits
    mailauth: MailAuth
    guesses: Guesses  # wrong passwords, also those at other ports, and wrong tokens
    pace: Pace  # of clients who are neither of the site nor logged in; `paced` asks it
    postmaster: Allowance  # what people of the site may send him
    postmaster_strangers: Allowance  # what everybody else may, who uses up nothing of theirs
    abilities: KnownAbilities = field(default_factory=KnownAbilities)  # what the bridge can open

    @property
    def insiders(self) -> tuple[Network, ...]:
        """The networks whose clients are of the site by their address alone."""
        return policy.insiders(self.settings.site.networks, self.settings.smtp.behind)

    def paced(self, client: Client, now: float) -> bool:
        """Whether this client may begin one more mail now, which is counted; `now` is of a monotonic clock."""
        ip = plain_ip(client.ip)
        # A mail server in front hands on what many send, so it has no pace either.
        known = client.login is not None or within(ip, self.settings.site.networks)
        return known or self.pace.take(ip, now)
