"""What the bridge can open, as it told the store: asked now and then, not at every mail."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from mailstore.abilities import UNKNOWN, Abilities
from mailstore.failure import TransientFailure
from mailstore.store.contract import Store

AGE = 60.0
"""For so many seconds an answer counts."""


class KnownAbilities:
    """What was told last; `UNKNOWN` before anything was."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known = UNKNOWN
        self._until = float("-inf")

    async def of(self, store: Store) -> Abilities:
        """Never raises: while the store fails, what was known counts on."""
        now = self._clock()
        if now >= self._until:
            self._until = now + AGE
            with contextlib.suppress(TransientFailure):
                self._known = await store.abilities()
        return self._known
