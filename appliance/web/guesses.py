"""How many wrong passwords a client and a name have.

Security: whoever reaches the page may try passwords, and names that do not exist.  A client (an IPv4 address, an IPv6
/64) and a name each have a few wrong ones in a while; a try counts before it is judged, so that many at once gain
nothing, and a script that asks many things at once with the right one waits a little.  A name has more than a client,
so that one stranger cannot shut its owner out.  What is remembered is bounded, and what is full is not pushed out by
what is new: then nobody new may try.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
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
        self._judging: Counter[str] = Counter()
        self._change = asyncio.Event()  # another one for each try that is judged

    async def begin(self, client: str, name: str) -> bool:
        """Whether a try is free; it counts as wrong until `judged`, which must follow."""
        keys = _keys(client, name)
        while not self._begun(keys):
            if not any(self._judging[key] for key in keys):
                return False
            await self._change.wait()
        self._judging.update(keys)
        return True

    def judged(self, client: str, name: str, *, right: bool) -> None:
        """What became of a try that was begun; `right`: it counts no longer."""
        keys = _keys(client, name)
        self._judging.subtract(keys)
        self._judging = +self._judging
        for key in keys if right else ():
            if (tries := self._tries.get(key, 0)) > 1:
                self._tries[key] = tries - 1
            else:
                self._tries.pop(key, None)
        self._change.set()
        self._change = asyncio.Event()

    def _begun(self, keys: tuple[str, str]) -> bool:
        tries = [self._tries.get(key, 0) for key in keys]
        full = len(self._tries) + tries.count(0) > REMEMBERED and 0 in tries
        if full or tries[0] >= PER_CLIENT or tries[1] >= PER_NAME:
            return False
        for key, before in zip(keys, tries, strict=True):
            self._tries[key] = before + 1
        return True


def _keys(client: str, name: str) -> tuple[str, str]:
    return f"client {_network(client)}", f"name {name.lower()[:255]}"


def _network(client: str) -> str:
    try:
        return str(customer(plain_ip(client)))
    except PermanentFailure:  # a host that is no address
        return client
