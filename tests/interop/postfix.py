"""Postfix from a folder of its own: own configuration, queue and log, on a free port of loopback.

Its master must run as root and gives its rights up by itself; it ends with the test, and at the latest after
`LIFETIME` seconds.  The machine's own Postfix, if it has one, is neither read nor touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.interop.cups import open_to_others
from tests.interop.programs import program, running, until
from tests.sink import free_port

LIFETIME = 900
MASTER = Path("/usr/lib/postfix/sbin/master")

_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_PARAMETERS = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
maillog_file_prefixes = {folder}
maillog_file = {folder}/mail.log
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = postfix.example.com
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
message_size_limit = 209715200
smtp_tls_security_level = none
smtp_dns_support_level = disabled
smtp_host_lookup = native
"""


@contextlib.asynccontextmanager
async def postfix(folder: Path, parameters: Mapping[str, str], services: str = "") -> AsyncIterator[int]:
    """A running Postfix; its SMTP port.  `parameters` and `services` come into main.cf and master.cf."""
    if os.geteuid() != 0:
        pytest.skip("Postfix' master runs as root only")
    program("postfix")
    port = await free_port()
    _prepare(folder, port, parameters, services)
    argv = [str(MASTER), "-c", str(folder / "etc"), "-d", "-e", str(LIFETIME)]
    async with running(argv, folder / "master.log"):
        await until(lambda: _greets(port), 20)
        yield port


def _prepare(folder: Path, port: int, parameters: Mapping[str, str], services: str) -> None:
    open_to_others(folder)
    queue, data, etc = folder / "queue", folder / "data", folder / "etc"
    for made in (queue, data, etc, queue / "pid"):
        made.mkdir()
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved"):
        (queue / name).mkdir(mode=0o700)
        shutil.chown(queue / name, "postfix")
    (queue / "public").mkdir(mode=0o710)
    for owned in (queue / "public", data):
        shutil.chown(owned, "postfix")
    lines = [line for line in _PARAMETERS.format(folder=folder).splitlines() if line.split(" ")[0] not in parameters]
    lines += [f"{name} = {value}" for name, value in parameters.items()]
    (etc / "main.cf").write_text("\n".join([*lines, ""]))
    (etc / "master.cf").write_text(_SERVICES.format(port=port) + services)


def into_maildirs(folder: Path) -> dict[str, str]:
    """Parameters for a Postfix that keeps the mail of example.org."""
    maildirs = folder / "maildirs"
    maildirs.mkdir()
    shutil.chown(maildirs, "nobody", "nogroup")
    (folder / "users").write_text("grace@example.org grace/\nada@example.org ada/\n")
    return {
        "virtual_mailbox_domains": "example.org",
        "virtual_mailbox_base": str(maildirs),
        "virtual_mailbox_maps": f"texthash:{folder}/users",
        "virtual_uid_maps": "static:65534",
        "virtual_gid_maps": "static:65534",
        "virtual_minimum_uid": "1",
        "virtual_mailbox_limit": "0",
    }


async def arrived(folder: Path, user: str, count: int = 1) -> list[bytes]:
    def read() -> list[bytes]:
        return [file.read_bytes() for file in (folder / "maildirs" / user / "new").glob("*")]

    async def all_there() -> bool:
        return len(await asyncio.to_thread(read)) >= count

    try:
        await until(all_there, 30)
    except TimeoutError:
        raise AssertionError((folder / "mail.log").read_text()) from None
    return await asyncio.to_thread(read)


async def logged(folder: Path, *words: str, seconds: float = 30.0) -> str:
    """The first line of its log that holds all these words."""
    found: list[str] = []

    async def there() -> bool:
        log = await asyncio.to_thread((folder / "mail.log").read_text)
        found[:] = [line for line in log.splitlines() if all(word in line for word in words)]
        return bool(found)

    try:
        await until(there, seconds)
    except TimeoutError:
        raise AssertionError((folder / "mail.log").read_text()) from None
    return found[0]


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.startswith(b"220")
