"""Passwords, tried by LDAP binds at one server, and which of them bound not long ago.

Security: names and passwords come from strangers.  An empty password is never sent (RFC 4513 section 5.1.2).  A wrong
password for a name that there is takes as long to refuse as one for a name that there is not, so nobody learns names
from it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from mailstore.directory.cache import PasswordMemory, Questions
from mailstore.directory.server import LdapServer
from mailstore.directory.values import PASSWORD_OCTETS

_USUAL = 0.05  # seconds that a bind takes, as long as none was seen
_LONGEST = 1.0  # seconds that anybody is made to wait


class Pace:
    """How long a refusal takes: as long as the slowest of the last binds, whether or not there was one to make."""

    def __init__(self) -> None:
        self._lately: deque[float] = deque((_USUAL,), maxlen=16)

    def took(self, seconds: float) -> None:
        self._lately.append(min(seconds, _LONGEST))

    async def refuse(self, began: float) -> None:
        """Return when as much time has passed since `began` (time.monotonic)."""
        await asyncio.sleep(began + max(self._lately) - time.monotonic())


class Logins:
    """Tries passwords at `server`; those that share a `pace` cannot be told apart by it."""

    def __init__(self, server: LdapServer, *, clock: Callable[[], float], pace: Pace) -> None:
        self._server = server
        self._pace = pace
        self._memory = PasswordMemory(clock=clock)
        self._binds: Questions[bool] = Questions()

    async def right(self, dn: str | None, password: str) -> bool:
        """Whether it is the password of the entry; None is nobody's.  Raises `TransientFailure`."""
        if not password or len(password.encode("utf-8", "surrogatepass")) > PASSWORD_OCTETS:
            return False
        began = time.monotonic()
        if dn is not None:
            if self._memory.knows(dn, password):
                return True
            # A bind costs the server a hash that is meant to be slow: who asks the same meanwhile waits for the same.
            if await self._binds.ask(self._memory.digest(dn, password), lambda: self._bind(dn, password)):
                return True
        await self._pace.refuse(began)
        return False

    def forget(self) -> None:
        """Believe no password that bound before."""
        self._memory.forget()
        self._binds.forget()

    async def close(self) -> None:
        await self._binds.close()

    async def _bind(self, dn: str, password: str) -> bool:
        generation = self._memory.generation
        began = time.monotonic()
        right = await self._server.binds(dn, password)
        self._pace.took(time.monotonic() - began)
        if right:
            self._memory.remember(dn, password, generation)
        return right
