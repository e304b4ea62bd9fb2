"""What every transaction needs to know of the site.

Security: no stranger's octet comes here.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.smtp.limits import Allowance, Limits
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
    postmaster: Allowance  # what people of the site may send him
    postmaster_strangers: Allowance  # what everybody else may, who uses up nothing of theirs
