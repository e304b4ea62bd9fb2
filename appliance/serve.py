"""The appliance's process: SMTP, POP3, the page, notices and the metrics on one loop, until SIGTERM.

The directory need not run and no printer need answer for it to be ready; the store must.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from appliance.expiry import Expiry
from appliance.gauges import StoreGauges
from appliance.guessing import Guesses
from appliance.mailauth import MailAuth
from appliance.partial import Assembler
from appliance.people import first_administrator
from appliance.pop3.server import start_pop3
from appliance.reactor import reactor
from appliance.relay import Relay
from appliance.smtp.server import start_smtp
from appliance.telling import Teller
from appliance.tls import open_certificate
from appliance.web.server import start_web
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.directory.opening import connect, connect_people
from mailstore.directory.turn import our_turn
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.loop import settle
from mailstore.monitoring import monitor
from mailstore.notify import notify
from mailstore.store.contract import Role, Store
from mailstore.store.sql import open_store

GRACE = 20.0
"""Seconds that messages under way have to come to their end after SIGTERM."""
LOOK = 5.0
"""Seconds between two looks at whether the directory was changed."""
SWEEP = 60.0
"""Seconds between two sweeps of what has outlived its keep."""
AGAIN = 10.0
"""Seconds until a chore that failed is begun again."""

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.  Raises `Failure` or `ConfigError` if it cannot start."""
    stop, ready = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    reactor.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(reactor.shutdown)
        kept = await _open(settings, stack)
        gauges = StoreGauges(kept.store, kept.directory)
        stack.callback(gauges.close)

        async def readiness() -> str:
            return "stopping" if stop.is_set() else "" if ready.is_set() else "starting"

        where = await stack.enter_async_context(
            monitor(settings.metrics.listen, "[metrics] listen", readiness, gauges.refresh)
        )
        certificate = await asyncio.to_thread(open_certificate, settings)
        relay = Relay(settings, kept.store, kept.people)
        teller = Teller(settings, kept.store, kept.directory, queued=relay.ring)
        assembler = Assembler(settings, kept.store, kept.directory, kept.people)
        mailauth = MailAuth(settings)
        stack.push_async_callback(mailauth.close)  # after the ports, which ask it to their end
        open_ports: list[_Listener] = []
        stack.push_async_callback(_close, open_ports)
        store, directory, people = kept.store, kept.directory, kept.people
        guesses = Guesses(settings.limits.password_guesses)
        smtp = await start_smtp(
            settings, store, directory, people=people, certificate=certificate, guesses=guesses, mailauth=mailauth
        )
        open_ports.append(smtp)
        pop3 = await start_pop3(settings, store, directory, people=people, certificate=certificate, guesses=guesses)
        open_ports.append(pop3)
        web = await start_web(
            settings, store, directory, people, certificate, refresh=kept.forget, guesses=guesses, mailauth=mailauth
        )
        open_ports.append(web)
        async with asyncio.TaskGroup() as tasks:
            work: dict[str, Callable[[], Awaitable[None]]] = {
                "heed": lambda: _heed(kept, relay.ring, teller.ring, assembler.ring),
                "sweep": lambda: _sweep(kept.store),
                "expiry": Expiry(kept.store, kept.directory).run,
                "welcome": lambda: _welcome(settings, kept, web.url),
                "certificate": certificate.watch,
                "notices": teller.run,
                "split mail": assembler.run,
                "relay": relay.run,
            }
            chores = [tasks.create_task(_keep_at(name, chore), name=name) for name, chore in work.items()]
            log.info("ready", **smtp.addresses, **pop3.addresses, web=web.url, metrics=where)
            settle()
            ready.set()
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            log.info("stopping")
            for chore in chores:
                chore.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What is at rest."""

    store: Store
    directory: Directory
    people: People

    def forget(self) -> None:
        """Somebody changed the directory."""
        self.directory.forget()
        self.people.forget()


async def _open(settings: Settings, stack: contextlib.AsyncExitStack) -> _Kept:
    store = await open_store(
        settings.store.folder, role=Role.APPLIANCE, keep=settings.store.keep, reserve=settings.store.reserve
    )
    stack.push_async_callback(store.close)
    directory = connect(settings, "appliance")
    stack.push_async_callback(directory.close)
    people = connect_people(settings)
    stack.push_async_callback(people.close)
    return _Kept(store=store, directory=directory, people=people)


async def _keep_at(name: str, chore: Callable[[], Awaitable[None]]) -> None:
    """Do it until it is done.  What it raises is a bug, or a machine in need: that must not stop the mail."""
    while True:
        try:
            await chore()
        except Exception:
            log.exception("a chore failed", chore=name, again_in=AGAIN)
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # a group of tasks tells its error and forgets the cancellation
                return
            await asyncio.sleep(AGAIN)
        else:
            return


async def _welcome(settings: Settings, kept: _Kept, page: str) -> None:
    """At the first start there is nobody who could log in: make an administrator, and say his password once."""
    while True:
        try:
            async with our_turn(settings.store.folder):
                made = await first_administrator(kept.people, settings.domains[0])
                if made:
                    with contextlib.suppress(TransientFailure):  # the others find him a little later
                        await kept.store.changed()
            break
        except TransientFailure:  # the directory is not there yet; its own metrics count it
            await asyncio.sleep(LOOK)
        except PermanentFailure as failure:
            log.warning("no administrator could be made", why=failure.text)
            return
    if made:
        name, password = made
        # On stdout, in words: a log is kept for longer than a password should be.
        print(f"The page is {page}\nLog in as {name} with the password {password} (shown only now).", flush=True)  # noqa: T201


class _Listener(Protocol):
    async def close(self, grace: float) -> None: ...


async def _close(listeners: Sequence[_Listener]) -> None:
    """All at once: none of them takes anything new while another's clients use up their grace."""
    ends = await asyncio.gather(*(listener.close(GRACE) for listener in listeners), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end


async def _heed(kept: _Kept, changed: Callable[[], None], *rung: Callable[[], None]) -> None:
    """Forget what is remembered of the directory as soon as somebody changed it through Printpost.

    `changed` is called after that, `rung` at each ring: every job that comes in rings.
    """
    known = -1

    async def look() -> None:
        nonlocal known
        try:
            now = await kept.store.generation()
        except TransientFailure as failure:  # the next look may succeed; what is remembered ages by itself
            log.warning("not looked whether the directory was changed", why=str(failure))
            return
        if now != known:
            known = now
            kept.forget()
            with contextlib.suppress(TransientFailure):  # it is tried again by itself, only later
                await kept.store.hurry_outgoing()  # whom nobody knew may be a user now
            changed()

    async def look_now_and_then() -> None:  # a ring is a hint that may be lost
        while True:
            await asyncio.sleep(LOOK)
            await look()

    await look()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(look_now_and_then())
        async for name in kept.store.rings():
            if name == "*":  # the others are printers, of which something happened
                await look()
            for ring in rung:
                ring()


async def _sweep(store: Store) -> None:
    while True:
        try:
            if gone := await store.sweep(time.time()):
                log.info("swept", messages=gone)
        except (TransientFailure, OSError) as error:  # a disk that is full for now must not end the process
            log.warning("not swept", why=str(error))
        await asyncio.sleep(SWEEP)
