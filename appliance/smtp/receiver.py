"""What all connections share, and what outlives them: the listeners, the count, tasks that no disconnect may cancel.

Security: whoever reaches the port can talk here; what one client and all of them may take is in `limits`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import termios
from collections.abc import Callable, Coroutine
from typing import Any

from prometheus_client import Counter

from appliance.mailauth import MailAuth
from appliance.peer import Address
from appliance.smtp.door import SMTP, Door
from appliance.smtp.limits import REFUSALS, Gate
from appliance.smtp.reply import SHUTTING_DOWN, Reply
from appliance.smtp.site import Site
from mailstore.monitoring import bind

REFUSED = Counter("printpost_smtp_connections_refused_total", "Connections refused, by reason", ["reason"])
for _reason in (*REFUSALS, "shutdown", "balancer"):
    REFUSED.labels(_reason)


class Receiver:
    """The listeners and their connections.  `server.start_smtp` makes it."""

    def __init__(self, site: Site, own: MailAuth | None = None) -> None:
        """`own` is closed together with it."""
        self.loop = asyncio.get_running_loop()
        self.site = site
        self._own = own
        # Behind another server the site's addresses stand for everybody.
        self.gate = Gate(site.limits, exempt=site.settings.site.networks if site.settings.smtp.behind else ())
        self.connections: dict[asyncio.Transport, Callable[[], None]] = {}
        self.closing = False
        self.addresses: dict[str, tuple[str, int]] = {}
        """Where each door is, by its name."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._servers: list[asyncio.Server] = []

    @property
    def address(self) -> tuple[str, int]:
        """Where mail from everywhere comes in."""
        return self.addresses[SMTP.name]

    async def listen(self, where: str, door: Door, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Every connection gets a `protocol` of its own.  Raises `PermanentFailure` when the port cannot be used."""
        listener = bind(where, f"[{door.name}] listen")
        self.addresses[door.name] = listener.getsockname()[:2]
        self._servers.append(await self.loop.create_server(protocol, sock=listener, backlog=1024))

    def admit(self, ip: Address) -> Reply | None:
        """None, and the connection is counted until `gate.leave`; or what is said to a client who is not let in."""
        reason = "shutdown" if self.closing else self.gate.enter(ip)
        if not reason:
            return None
        REFUSED.labels(reason).inc()
        if reason == "shutdown":
            return SHUTTING_DOWN
        return Reply(code=421, status="4.7.0", text=REFUSALS[reason], close=True)

    def enter(
        self,
        transport: asyncio.Transport,
        shut_down: Callable[[], None],
        *,
        instead_of: asyncio.Transport | None = None,
    ) -> None:
        """A connection is open; `shut_down` asks it to come to its end; it may have had another transport."""
        self.connections[transport] = shut_down
        self._empty.clear()
        if instead_of is not None:
            del self.connections[instead_of]

    def leave(self, transport: asyncio.Transport) -> None:
        self.connections.pop(transport, None)
        if not self.connections:
            self._empty.set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the receiver: no connection's end cancels it."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return len(self._handshakes)

    def start_handshake(self, handshake: Coroutine[Any, Any, None]) -> None:
        """Run it as a task that ends when the receiver closes: no message can be under way."""
        task = self.loop.create_task(handshake)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def close(self, grace: float) -> None:
        """Listen no more; idle clients hear 421, messages under way may end within `grace` seconds, the rest is cut.

        Commits that have begun are waited for, however long they take.
        """
        self.closing = True
        for server in self._servers:
            server.close()
        self.site.guesses.close()
        for handshake in self._handshakes:
            handshake.cancel()
        for shut_down in list(self.connections.values()):
            shut_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._empty.wait()
        for transport in list(self.connections):
            transport.abort()
        await self._empty.wait()
        while tasks := self._tasks | self._handshakes:
            await asyncio.wait(tasks)
        if self._own:
            await self._own.close()


def talks_already(transport: asyncio.Transport) -> bool:
    """Whether octets wait in the kernel; a client that only closed its side has said nothing."""
    waiting = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4))
    return any(waiting)
