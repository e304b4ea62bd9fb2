"""What one line holds of the store: the lease on its device, and those on the maildrops it drains (instant 2)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Iterable

from mailstore.failure import TransientFailure
from mailstore.store.contract import Lease, LeaseLost, Store

log = logging.getLogger(__name__)

_MAILDROP = "maildrop:"


class Leases:
    """The leases of `owner`, each for `seconds` if it is not renewed.  `device` is the first to be taken."""

    def __init__(self, store: Store, owner: str, device: str, seconds: float) -> None:
        self._store = store
        self._owner = owner
        self._device = device
        self._seconds = seconds
        self._held: dict[str, Lease] = {}

    async def take_device(self) -> Lease:
        """Raises `LeaseLost` if another owner holds it."""
        await self._acquire([self._device])
        if self._device not in self._held:
            raise LeaseLost(self._device)
        return self._held[self._device]

    async def take_maildrops(self, names: Collection[str]) -> list[str]:
        """Those of the maildrops `names` that can be had."""
        await self._acquire(f"{_MAILDROP}{name}" for name in names)
        return [name for name in names if f"{_MAILDROP}{name}" in self._held]

    async def _acquire(self, resources: Iterable[str]) -> None:
        wanted = [resource for resource in resources if resource not in self._held]
        got = await asyncio.gather(*(self._store.acquire(each, self._owner, self._seconds) for each in wanted))
        self._held.update({lease.resource: lease for lease in got if lease is not None})

    async def leave_maildrops_but(self, names: Collection[str]) -> None:
        """Give back the maildrops of other printers than `names`: their entries name another device now."""
        for resource in [each for each in self._held if each.startswith(_MAILDROP)]:
            if resource.removeprefix(_MAILDROP) not in names:
                lease = self._held.pop(resource)
                with contextlib.suppress(TransientFailure):  # it expires
                    await self._store.release(lease)

    async def renew(self) -> None:
        """Raises `LeaseLost`, or `TransientFailure` when one could not be renewed in its time."""
        for lease in list(self._held.values()):
            try:
                renewed = await self._store.renew(lease, self._seconds)
            except LeaseLost:
                if lease.resource in self._held:  # not just given back
                    raise
            except TransientFailure as failure:
                if lease.expires <= time.time():
                    raise
                log.warning("the lease %s could not be renewed: %s", lease.resource, failure.text)
            else:
                if lease.resource in self._held:
                    self._held[lease.resource] = renewed

    async def release(self) -> None:
        """All of them, the device's last."""
        leases = list(self._held.values())
        self._held.clear()
        with contextlib.suppress(TransientFailure):  # they expire
            await asyncio.gather(*(self._store.release(lease) for lease in reversed(leases)))
