"""Who opens a store, and that it may be impossible."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Which process this is.  One appliance and one bridge stand on one embedded store; tools come and go."""

    APPLIANCE = "appliance"
    BRIDGE = "bridge"
    TOOL = "tool"


class StoreUnusable(Exception):
    """The store can't be opened: wrong kind of disk, not writable, in use, or newer than the program."""
