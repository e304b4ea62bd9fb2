"""The command `virtual-printer`: a printer in a process of its own.

Security: it listens where it is told to; what comes is read in `printerbridge.virtual`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import structlog

from mailstore.config_values import split_endpoint
from mailstore.failure import PermanentFailure
from mailstore.notify import notify
from printerbridge.virtual import IDLE_SECONDS, VirtualPrinter
from printerbridge.virtual_job import describe

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def serve_forever(
    listen: str,
    output: Path,
    faults: Sequence[str] = (),
    *,
    wait_for_paper: bool = False,
    idle_timeout: float = IDLE_SECONDS,
    personality: str = "plain",
    page_seconds: float = 0.0,
    capture: bool = False,
    snmp: str = "",
    community: str = "public",
    status: str = "",
    tell: Callable[[str], object] | None = None,
) -> None:
    """The command `printpost virtual-printer`: print until SIGINT or SIGTERM; SIGUSR1 loads paper, SIGUSR2 takes it.

    `listen`, `snmp` and `status` are HOST:PORT, port 0 for any; `tell` (the log) gets a line when it listens and one
    for each job.  Raises `PermanentFailure` if the address, the folder or a fault cannot be.
    """
    tell = log.info if tell is None else tell
    try:
        host, port = split_endpoint(listen)
        for beside in filter(None, (snmp, status)):
            split_endpoint(beside)
    except ValueError as error:
        raise PermanentFailure("5.5.4", str(error)) from None
    printer = VirtualPrinter(
        output,
        wait_for_paper=wait_for_paper,
        idle_timeout=idle_timeout,
        faults=faults,
        personality=personality,
        page_seconds=page_seconds,
        capture=capture,
        snmp=snmp,
        community=community,
        status_port=status,
        tell=lambda job: tell(describe(job)),
    )

    def load_paper() -> None:
        printer.resume()
        tell("virtual printer: paper is loaded")

    def take_paper() -> None:
        printer.take_paper()
        tell("virtual printer: the paper is taken out")

    stop = asyncio.Event()
    with _signals(stop.set, load_paper, take_paper):
        try:
            await _print_until(printer, host, port, stop, tell, output)
        finally:
            await printer.close()


async def _print_until(
    printer: VirtualPrinter, host: str, port: int, stop: asyncio.Event, tell: Callable[[str], object], output: Path
) -> None:
    bound = await printer.start(host or "0.0.0.0", port)  # noqa: S104 - ":9100" asks for it
    tell(f"virtual printer: listening on {bound[0]}:{bound[1]}, printing to {output}")
    for what, beside_at in (("SNMP", printer.snmp_address), ("status", printer.status_address)):
        if beside_at is not None:
            tell(f"virtual printer: {what} on UDP {beside_at[0]}:{beside_at[1]}")
    notify("READY=1")
    await stop.wait()


@contextlib.contextmanager
def _signals(
    stop: Callable[[], object], load_paper: Callable[[], object], take_paper: Callable[[], object]
) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    acts = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGUSR1: load_paper, signal.SIGUSR2: take_paper}
    for number, act in acts.items():
        loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        for number in acts:
            loop.remove_signal_handler(number)
