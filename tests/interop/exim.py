"""Exim from a folder of its own, for one mail at a time: taken on its standard input, delivered in the foreground.

The program is unpacked and not installed (`.ci/packages interop`), for as a package it excludes Postfix.  It looks its
own user up by name, so it sees a list of users that has him, in a mount namespace; the machine's list stays as it is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.interop.programs import end, program

PROGRAM = Path(__file__).parents[2] / "out" / "interop" / "exim4" / "usr" / "sbin" / "exim4"
USER, UID = "Debian-exim", 61099
PATIENCE = 60.0

_CONFIGURATION = """\
primary_hostname = exim.example.com
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
keep_environment =
tls_advertise_hosts =
accept_8bitmime = true
smtputf8_advertise_hosts = *
log_selector = +smtp_protocol_error +tls_peerdn +tls_certificate_verified +delivery_size
acl_smtp_rcpt = accept
begin routers
all:
  driver = manualroute
  route_list = * localhost::{port} byname
  transport = ours
  self = send
begin transports
ours:
  driver = smtp
  allow_localhost
  hosts_try_fastopen =
{options}begin retry
* * F,1h,1s
"""


class Exim:
    """Hands every mail on to one port.  `options` are those of its smtp transport."""

    def __init__(self, folder: Path, port: int, options: Mapping[str, str]) -> None:
        self.folder = folder
        self._argv = [program("bwrap"), "--dev-bind", "/", "/"]
        for name, line in (("passwd", f"{USER}:x:{UID}:{UID}::/nonexistent:/bin/false"), ("group", f"{USER}:x:{UID}:")):
            known = Path("/etc", name).read_text(encoding="utf-8")
            (folder / name).write_text(f"{known.rstrip()}\n{line}\n", encoding="utf-8")
            self._argv += ["--ro-bind", str(folder / name), f"/etc/{name}"]
        lines = "".join(f"  {name} = {value}\n" for name, value in options.items())
        written = folder / "exim.conf"  # root's, and nobody else may write it
        written.write_text(_CONFIGURATION.format(folder=folder, port=port, options=lines))
        written.chmod(0o644)
        (folder / "spool").mkdir()
        for owned in (folder, folder / "spool"):
            os.chown(owned, UID, UID)
        self._argv += ["--cap-add", "ALL", "--die-with-parent", "--", str(PROGRAM), "-C", str(written)]

    @property
    def log(self) -> list[str]:
        """One line for each thing that happened: `<=` taken, `=>` delivered, `**` bounced, `==` deferred."""
        return (self.folder / "mainlog").read_text(encoding="utf-8").splitlines()

    async def take(self, message: bytes, sender: str, recipients: Sequence[str], parameters: str = "") -> None:
        """Into its queue, by SMTP on its standard input; `parameters` are those of MAIL."""
        said = [b"EHLO client.example.com", f"MAIL FROM:<{sender}>{parameters}".encode()]
        said += [f"RCPT TO:<{recipient}>".encode() for recipient in recipients]
        stuffed = message.replace(b"\r\n.", b"\r\n..")
        await self._run("-odq", "-bs", stdin=b"\r\n".join([*said, b"DATA", stuffed + b".", b"QUIT", b""]))

    async def run_queue(self) -> None:
        """Try everything that waits, once, and return when that is done."""
        await self._run("-qff")

    async def waiting(self) -> int:
        return int(await self._run("-bpc"))

    async def _run(self, *words: str, stdin: bytes = b"") -> str:
        process = await asyncio.create_subprocess_exec(
            *(*self._argv, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                output, _ = await process.communicate(stdin)
        finally:
            await end(process)
        assert process.returncode == 0, output.decode(errors="replace")
        return output.decode(errors="replace")


def folder_for_exim() -> Iterator[Path]:
    """A fixture's body: a folder that its user may enter."""
    if os.geteuid() != 0:
        pytest.skip("Exim gives up root's rights, so it wants to have them")
    if not PROGRAM.exists():
        pytest.skip("Exim is not unpacked; .ci/packages interop does that")
    made = Path(tempfile.mkdtemp(prefix="pp-exim-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)
