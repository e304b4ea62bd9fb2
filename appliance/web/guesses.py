"""How many wrong passwords a client and a name have.

Security: whoever reaches the page may try passwords, and names that do not exist.  A client (an IPv4 address, an IPv6
/64) and a name each have a few wrong ones in a while; a try counts before it is judged, so that many at once gain
nothing.  A name has more than a client, so that one stranger cannot shut its owner out.  What is remembered is bounded,
and what is full is not pushed out by what is new: then nobody new may try.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cachetools import TTLCache

from appliance.peer import customer, plain_ip
from mailstore.failure import PermanentFailure

WHILE = 300.0
PER_CLIENT, PER_NAME = 10, 50
REMEMBERED = 10_000


class Guesses:
    """Of one process; the times are those of `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._tries: TTLCache[str, int] = TTLCache(REMEMBERED, WHILE, timer=clock)

    def begin(self, client: str, name: str) -> bool:
        """Whether a try is free; it counts as wrong until `right`."""
        keys = _keys(client, name)
        tries = [self._tries.get(key, 0) for key in keys]
        full = len(self._tries) + tries.count(0) > REMEMBERED and 0 in tries
        if full or tries[0] >= PER_CLIENT or tries[1] >= PER_NAME:
            return False
        for key, before in zip(keys, tries, strict=True):
            self._tries[key] = before + 1
        return True

    def right(self, client: str, name: str) -> None:
        """The try that was begun was right: it counts no longer."""
        for key in _keys(client, name):
            if (tries := self._tries.get(key, 0)) > 1:
                self._tries[key] = tries - 1
            else:
                self._tries.pop(key, None)


def _keys(client: str, name: str) -> tuple[str, str]:
    return f"client {_network(client)}", f"name {name.lower()[:255]}"


def _network(client: str) -> str:
    try:
        return str(customer(plain_ip(client)))
    except PermanentFailure:  # a host that is no address
        return client
