"""Dovecot from a folder of its own, serving Maildirs by POP3 on a free port of loopback.

Its master runs as root and gives its rights up by itself; it ends with the run.  The machine's own Dovecot, if it has
one, is neither read nor touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from tests.interop.cups import open_to_others
from tests.interop.programs import found, program, running, until
from tests.sink import free_port

POP3 = Path("/usr/lib/dovecot/pop3")
NOBODY = 65534

_SETTINGS = """\
protocols = pop3
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/boxes/%u
mail_max_userip_connections = 100
first_valid_uid = 1
service pop3-login {{
  service_count = 0
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service pop3 {{
  service_count = 0
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} home={folder}/boxes/%u
}}
"""


def missing() -> str:
    """Why there is no Dovecot to compare with, or ""."""
    if found("dovecot") is None or not POP3.exists():
        return "not installed (dovecot-pop3d)"
    return "" if os.geteuid() == 0 else "none, since Dovecot's master runs as root only"


@contextlib.asynccontextmanager
async def dovecot(folder: Path, password: str) -> AsyncIterator[int]:
    """A running Dovecot; its port.  Every user name is good, with this password."""
    port = await free_port()
    settings = _prepare(folder, port, password)
    async with running([program("dovecot"), "-F", "-c", str(settings)], folder / "master.log"):
        await until(lambda: _greets(port), 20)
        yield port


def _prepare(folder: Path, port: int, password: str) -> Path:
    folder.mkdir()
    open_to_others(folder)
    settings = folder / "dovecot.conf"
    settings.write_text(_SETTINGS.format(folder=folder, port=port, password=password, nobody=NOBODY))
    return settings


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        return (await reader.readline()).startswith(b"+OK")
    finally:
        writer.close()


def fill(folder: Path, name: str, mail: bytes, count: int) -> None:
    """So many mails in a user's Maildir, seen by nobody yet."""
    new = folder / "boxes" / name / "new"
    for made in (folder / "boxes", new.parent, new, new.parent / "cur", new.parent / "tmp"):
        made.mkdir(exist_ok=True)
        os.chown(made, NOBODY, NOBODY)
    begun = f"{os.getpid()}.{os.urandom(4).hex()}"
    for number in range(count):
        file = new / f"1700000000.M{number:06}P{begun}.bench"
        file.write_bytes(mail)
        os.chown(file, NOBODY, NOBODY)
