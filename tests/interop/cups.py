"""CUPS from a folder of its own: a scheduler on a Unix socket, with raw queues to port-9100 printers.

The machine's own CUPS, if it has one, is neither read nor asked.  cupsd runs its backends as the user `lp` when it runs
as root, so the folder must be one that others may enter.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.interop.programs import finished, program, running, until

BACKEND = Path("/usr/lib/cups/backend/socket")

_CUPSD = """\
Listen {socket}
LogLevel warn
MaxLogSize 0
Browsing Off
DefaultAuthType None
MaxJobs 0
PreserveJobHistory No
PreserveJobFiles No
<Location />
Allow all
</Location>
<Policy default>
<Limit All>
Allow all
</Limit>
</Policy>
"""

_FILES = """\
ServerRoot {folder}
RequestRoot {folder}/spool
TempDir {folder}/tmp
CacheDir {folder}/cache
StateDir {folder}/state
ServerKeychain {folder}/ssl
AccessLog {folder}/access_log
ErrorLog {folder}/error_log
PageLog {folder}/page_log
PrintcapFormat bsd
Printcap
SystemGroup root
"""


@contextlib.asynccontextmanager
async def scheduler(folder: Path, queues: Mapping[str, str]) -> AsyncIterator[str]:
    """A cupsd with these queues (name -> socket:// URI); what `lp -h` takes to print there."""
    cupsd, lpadmin = program("cupsd"), program("lpadmin")
    for name in ("spool", "tmp", "cache", "state", "ssl"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    socket = folder / "cups.sock"
    (folder / "cupsd.conf").write_text(_CUPSD.format(socket=socket))
    (folder / "cups-files.conf").write_text(_FILES.format(folder=folder))
    argv = [cupsd, "-f", "-c", str(folder / "cupsd.conf"), "-s", str(folder / "cups-files.conf")]
    async with running(argv, folder / "log"):
        await until(lambda: _answers(socket), 20)
        for name, uri in queues.items():
            status, said = await finished([lpadmin, "-h", str(socket), "-p", name, "-E", "-v", uri])
            assert status == 0, said
        yield str(socket)


async def _answers(socket: Path) -> bool:
    _, said = await finished([program("lpstat"), "-h", str(socket), "-r"])
    return said == "scheduler is running\n"  # its status is 0 in any case


async def backend(uri: str, file: Path, seconds: float = 60.0) -> tuple[int, str]:
    """CUPS' socket backend as a program by itself (backend(7)): its status, and what it said."""
    return await finished([str(BACKEND), "1", "ada", "a title", "1", "", str(file)], seconds, DEVICE_URI=uri)


def open_to_others(folder: Path) -> None:
    """Let other users pass, for servers that give up root's rights."""
    os.chmod(folder, 0o755)  # noqa: PTH101
