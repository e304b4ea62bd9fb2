"""Twisted on the loop that everything else runs on: the one place that installs a reactor.

Importing this module installs ours, so it must come before anything of Twisted that imports `twisted.internet.reactor`
(`twisted.mail.pop3` does).  asyncio owns the loop: the reactor is a guest that neither runs nor stops it, catches no
signals, and can move to another loop once the one before is closed.
"""

from __future__ import annotations

import asyncio
import select
import sys
from typing import Any, cast

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor


class LoopReactor(AsyncioSelectorReactor):
    """Twisted's asyncio reactor without its claim to the loop."""

    def __init__(self) -> None:
        # No loop runs when modules are imported; `start` brings it.  A placeholder keeps the base from making its own.
        super().__init__(cast("asyncio.AbstractEventLoop", object()))

    def installWaker(self) -> None:  # noqa: N802 - Twisted's name
        """None is wanted: `callFromThread` of the base wakes the loop by `call_soon_threadsafe`."""

    def start(self) -> None:
        """Live on the running loop.  Nothing happens if it does already.

        Raises RuntimeError without a running loop, or while another loop that is not closed has the reactor.
        """
        loop = asyncio.get_running_loop()
        if self.running:
            if self._asyncioEventloop is loop:
                return
            if not self._asyncioEventloop.is_closed():
                raise RuntimeError("the reactor still belongs to another loop: call shutdown() there first")
            self.shutdown()
        self._asyncioEventloop = loop
        self._scheduledAt = self._timerHandle = None
        self.startRunning(installSignalHandlers=False)

    # uvloop watches a descriptor no longer once the peer has reset the connection.  It calls back one last time, which
    # may read what came before the reset and never learn of it, and it refuses to watch that descriptor ever again.

    def _readOrWrite(self, selectable: Any, read: bool) -> None:  # noqa: N802
        super()._readOrWrite(selectable, read)  # type: ignore[no-untyped-call]
        while read and selectable in self._readers and _is_reset(selectable.fileno()):
            super()._readOrWrite(selectable, read)  # type: ignore[no-untyped-call]

    def addReader(self, reader: Any) -> None:  # noqa: N802
        try:
            super().addReader(reader)  # type: ignore[no-untyped-call]
        except RuntimeError:
            self._asyncioEventloop.remove_reader(reader.fileno())
            super().addReader(reader)  # type: ignore[no-untyped-call]

    def addWriter(self, writer: Any) -> None:  # noqa: N802
        try:
            super().addWriter(writer)  # type: ignore[no-untyped-call]
        except RuntimeError:
            self._asyncioEventloop.remove_writer(writer.fileno())
            super().addWriter(writer)  # type: ignore[no-untyped-call]

    def shutdown(self) -> None:
        """Drop every descriptor and end the thread pool, which would else keep the process from ending."""
        if self.running:
            for call in self.getDelayedCalls():
                call.cancel()
            self.fireSystemEvent("shutdown")
            # An event's triggers are used up when it fires; these are the ones that the base sets in its constructor.
            self.addSystemEventTrigger("during", "startup", self._reallyStartRunning)
            self.addSystemEventTrigger("during", "shutdown", self.crash)
            self.addSystemEventTrigger("during", "shutdown", self.disconnectAll)

    def crash(self) -> None:
        """Part of "shutdown": the base would stop the loop here, which is not ours."""
        self.running = self._started = False


def _is_reset(descriptor: int) -> bool:
    look = select.poll()
    look.register(descriptor, 0)  # errors are told unasked
    return any(events & select.POLLERR for _, events in look.poll(0))


def _install() -> LoopReactor:
    present: Any = sys.modules.get("twisted.internet.reactor")
    if present is None:
        present = LoopReactor()
        installReactor(present)  # type: ignore[no-untyped-call]
    if not isinstance(present, LoopReactor):
        raise ImportError(  # noqa: TRY004
            "another Twisted reactor is installed: import appliance.reactor before anything of Twisted"
        )
    return present


reactor = _install()
