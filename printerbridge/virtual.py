"""The virtual printer: listens like a JetDirect on port 9100, prints to files, and misbehaves on demand.

One client at a time; while it is busy nobody listens, so others are refused as by a real card ("the printer is in
use").  One job per connection, to its end: the client's half-close, or silence for `idle_timeout` seconds.  Every octet
goes to `job-0001.prn`; what it holds is drawn as `job-0001.pdf`, `job-0001-1.png` and so on, or kept as
`job-0001.txt`; a line of JSON per connection goes to `jobs.jsonl`.

Its side is closed when nothing more is to be said: at once when the job is spooled, after the last answer if the job
asks by PJL behind its documents or wants job status, and with `wait_for_paper` always after the pages, as a Phaser
does.  Pages are drawn one job after the other, whatever the connections do.

What it says and leaves out is its personality's (`virtual_personality`); beside the port it answers SNMP and UDP 9101.

Security: a test bed, but it listens: bind it to loopback unless the network is yours.  It reads strangers' octets and
draws strangers' PostScript: memory is bounded by one buffer and a queue, drawing happens only in confined children with
a deadline (`printerbridge.render`), and no more than `BACKLOG` jobs wait to be drawn.  Disk is not bounded: whoever may
connect may fill it.
"""

from __future__ import annotations

import asyncio
import bisect
import errno
import json
import re
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import structlog

from mailstore.failure import PermanentFailure
from printerbridge.virtual_beside import Beside, Endpoint
from printerbridge.virtual_capture import Capture
from printerbridge.virtual_connection import BUFFER_OCTETS, Ended, Reception
from printerbridge.virtual_device import Device
from printerbridge.virtual_faults import CONNECT, Fault, FaultScript, parse_fault
from printerbridge.virtual_job import PrintedJob, Session
from printerbridge.virtual_personality import personality as find_personality
from printerbridge.virtual_press import Press
from printerbridge.virtual_sockets import Port

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

IDLE_SECONDS: Final = 90.0
"""JetDirect's default."""

BACKLOG: Final = 100
KEPT: Final = 10_000
"""How many finished jobs are remembered."""

_FIELDS: Final = tuple(field.name for field in fields(PrintedJob))
_LINGER_SECONDS: Final = 2.0  # how long an early-closed connection stays half-open before it is reset


class VirtualPrinter:
    """A printer on port 9100.  `output` None keeps nothing; `render` False draws nothing: pages are counted where the
    octets show them (`virtual_pages`), and not at all without an `output`.

    `personality` is a name of `virtual_personality`; `page_seconds`, how long a page takes to come out; `capture`, keep
    every octet with its time; `snmp` and `status_port`, where to answer these (`virtual_beside.Endpoint`).

    Attributes: `jobs`, the last `KEPT` finished ones by number; `device`, its state.  Faults: `virtual_faults`.
    """

    def __init__(
        self,
        output: Path | None,
        *,
        render: bool = True,
        wait_for_paper: bool = False,
        idle_timeout: float = IDLE_SECONDS,
        render_timeout: float = 60.0,
        faults: Sequence[Fault | str] = (),
        tell: Callable[[PrintedJob], object] | None = None,
        personality: str = "plain",
        page_seconds: float = 0.0,
        capture: bool = False,
        snmp: Endpoint = False,
        status_port: Endpoint = False,
        community: str = "public",
    ) -> None:
        self.device = Device()
        self.jobs: list[PrintedJob] = []
        self._output = output
        self._kind = find_personality(personality)
        self._beside = Beside(self.device, self._kind, snmp=snmp, status=status_port, community=community)
        self._capture = capture
        self._wait_for_paper = wait_for_paper or self._kind.waits
        self._idle_timeout = idle_timeout
        self._press = Press(
            self.device,
            self._kind,
            render=render and output is not None,
            timeout=render_timeout,
            page_seconds=page_seconds,
        )
        self._tell = tell
        self._script = _script(faults)
        self._buffer = bytearray(BUFFER_OCTETS)
        self._port: Port | None = None  # from start to close, and listening while not busy
        self._current: Reception | None = None
        self._busy = False
        self._off = False  # between the two halves of a power cycle
        self._dark = False  # nobody is answered
        self._vanished: list[Reception] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[int, asyncio.Future[PrintedJob]] = {}
        self._base = 0
        self._connections = 0

    @property
    def snmp_address(self) -> tuple[str, int] | None:
        """Where the SNMP agent answers, None if there is none."""
        return self._beside.snmp

    @property
    def status_address(self) -> tuple[str, int] | None:
        """Where UDP 9101's status is told, None if it is not."""
        return self._beside.status

    @property
    def pages(self) -> int:
        return self.device.pages

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen; return the address.  Raises `PermanentFailure` ("5.3.5") if that cannot be."""
        try:
            if self._output is not None:
                self._base = await asyncio.to_thread(_prepare, self._output)
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._port = Port(found[0][0], found[0][4], BUFFER_OCTETS)
            self._listen()
            await self._beside.open(host)
        except OSError as error:
            await self.close()
            why = error.strerror or str(error)
            raise PermanentFailure(
                "5.3.5", f"the virtual printer cannot start on {host}:{port}: {why}. Choose another HOST:PORT or folder"
            ) from error
        return self._port.address

    async def close(self) -> None:
        """Switch off: connections are dropped, drawing stops; what was received is recorded."""
        self._busy = True
        self._beside.close()
        if self._port is not None:
            self._port.close()
            self._port = None
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._waiting.values():
            waiting.cancel()

    async def job(self, n: int, deadline: float = 30.0) -> PrintedJob:
        """The `n`th connection of this run (from 1), when its pages are drawn.  Raises `TimeoutError`."""
        number = self._base + n
        for job in self.jobs:
            if job.number == number:
                return job
        waiting = self._waiting.setdefault(number, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(deadline):
                return await asyncio.shield(waiting)
        except TimeoutError:
            raise TimeoutError(f"job {n} was not printed within {deadline:g} s; {len(self.jobs)} were") from None

    def set_fault(self, *faults: Fault | str) -> None:
        """Replace the script of faults, from the next connection on; none: be healthy."""
        self._script = _script(faults)
        self._listen_anew()

    def resume(self) -> None:
        """Load paper, end a stall, plug the cable in.  Such a fault without a count is over, for later jobs too."""
        self._script.mend()
        self.device.fare("")
        self._dark = False
        for reception in (self._current, *self._vanished):
            if reception is not None:
                reception.resume()
        self._listen_anew()

    def take_paper(self) -> None:
        """Take the paper out: jobs that come from now on find none, until `resume`."""
        self.set_fault("media-empty")
        self.device.fare("media-empty")

    def set_condition(self, reason: str) -> None:
        """Fare so (`virtual_device.CONDITIONS`; "" is well): what stops a printer lets no page out until it is over."""
        self.device.fare(reason)

    def _listen_anew(self) -> None:
        """Be as the script says, if nobody is served."""
        if self._port is not None:
            self._port.unlisten()
            if not self._busy:
                self._listen()

    def _listen(self) -> None:
        """Listen, unless the next fault is that nobody does."""
        fault = self._script.peek()
        if self._port is None or self._off or (fault is not None and fault.name == "refuse"):
            return
        dark = self._dark or (fault is not None and (fault.name, fault.moment) == ("vanish", CONNECT))
        self._port.listen(self._accept, small=fault is not None and fault.name != "swallow", dark=dark)

    def _go_dark(self) -> None:
        """Answer nobody any more, not even that nobody is there."""
        self._dark = True
        self._listen()

    def _switch_on(self) -> None:
        self._off = False
        self._listen_anew()

    def _accept(self) -> None:
        assert self._port is not None
        try:
            sock = self._port.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR, errno.ECONNABORTED):
                log.warning("the virtual printer cannot accept", error=error.strerror)
            return
        self._port.unlisten()
        self._busy = True
        self._connections += 1
        number = self._base + self._connections
        stem = self._output / f"job-{number:04d}" if self._output is not None else None
        task = self._spawn(self._connection(sock, Session(number, self._script.take(), stem)))
        # Not in the task: one that is cancelled before it began runs no `finally`.
        task.add_done_callback(lambda _: sock.close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _connection(self, sock: socket.socket, session: Session) -> None:
        capture = self._capturing(session.stem)
        reception = Reception(
            sock,
            fault=session.fault,
            kind=self._kind,
            spool=session.stem.with_name(f"{session.stem.name}.prn") if session.stem is not None else None,
            idle_timeout=self._idle_timeout,
            found=session.take,
            dark=self._go_dark,
            capture=capture,
        )
        self._current = reception
        printing = self._spawn(self._print(session, reception))
        try:
            await self._receive(session, reception, printing)
        finally:
            reception.hang_up()
            if capture is not None:
                capture.close()
            self._current = None
            if self._port is not None:
                self._busy = False
                self._after(session.fault, reception)
                # Before the client learns that we are done, or its next connection would be refused.
                self._listen_anew()
        if reception.vanished:
            await self._lie_dark(reception)
        elif reception.struck and reception.ended in (Ended.CLOSED, Ended.IDLE):
            # Let the client see the orderly close before what it sent unread makes the kernel reset the connection.
            await asyncio.sleep(_LINGER_SECONDS)

    def _after(self, fault: Fault | None, reception: Reception) -> None:
        if fault is not None and fault.name == "power-cycle" and reception.struck:
            self._off = True
            asyncio.get_running_loop().call_later(fault.seconds, self._switch_on)

    async def _lie_dark(self, reception: Reception) -> None:
        """Keep the socket of a client that hears nothing: closing it would tell."""
        self._vanished.append(reception)
        try:
            await reception.resumed()
        finally:
            self._vanished.remove(reception)

    def _capturing(self, stem: Path | None) -> Capture | None:
        if not self._capture or stem is None:
            return None
        try:
            return Capture(stem.with_name(f"{stem.name}.capture.jsonl"))
        except OSError as error:
            log.error("the virtual printer cannot capture", error=error.strerror)  # noqa: TRY400
            return None

    async def _receive(self, session: Session, reception: Reception, printing: asyncio.Task[None]) -> None:
        try:
            await reception.read(self._buffer)
        except OSError as error:
            log.error("the virtual printer cannot spool", error=error.strerror)  # noqa: TRY400
            reception.ended = Ended.CLOSED
        await session.found.put(None)
        if reception.ended is not Ended.EOF:
            return
        if self._wait_for_paper or session.must_answer or reception.asks or len(self._tasks) > BACKLOG:
            await asyncio.wait((printing,))
        if session.fault is not None and session.fault.name == "never-close":
            await reception.stall()

    async def _print(self, session: Session, reception: Reception) -> None:
        try:
            await self._press.run(session, reception)
        finally:
            self._record(session.printed(reception))

    def _record(self, job: PrintedJob) -> None:
        if self._output is not None:
            line = json.dumps({name: getattr(job, name) for name in _FIELDS}, default=str) + "\n"
            try:
                with (self._output / "jobs.jsonl").open("a") as journal:
                    journal.write(line)
            except OSError as error:
                log.error("the virtual printer cannot record", job=job.number, error=error.strerror)  # noqa: TRY400
        bisect.insort(self.jobs, job, key=lambda one: one.number)
        del self.jobs[:-KEPT]
        if self._tell is not None:
            self._tell(job)
        waiting = self._waiting.pop(job.number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(job)


def _script(faults: Sequence[Fault | str]) -> FaultScript:
    return FaultScript(parse_fault(fault) if isinstance(fault, str) else fault for fault in faults)


def _prepare(output: Path) -> int:
    """Make the folder; return the highest job number in it."""
    output.mkdir(parents=True, exist_ok=True)
    numbers = (re.fullmatch(r"job-(\d{4,9})\.prn", path.name) for path in output.iterdir())
    return max((int(match[1]) for match in numbers if match), default=0)
