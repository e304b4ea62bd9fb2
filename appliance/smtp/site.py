"""What every transaction needs to know of the site.

Security: no stranger's octet comes here.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.smtp.limits import Limits
from mailstore.config import Settings
from mailstore.directory.contract import Directory
from mailstore.store.contract import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Settings, limits, and where printers and messages are kept."""

    settings: Settings
    store: Store
    directory: Directory
    limits: Limits
