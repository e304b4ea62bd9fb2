"""Foreign programs that empty a mailbox by POP3, each with the settings that `docs/mail-programs.md` gives for it.

A `Drain` takes what waits, in order, and returns it with CRLF; what it takes is deleted on the server unless it is to
be kept there, and then a second run takes only what is new.
"""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shlex
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """Where to log in, and the one certificate to believe.  `folder` is the program's own, and stays between runs."""

    way: str  # "plain", "stls" or "pop3s"
    port: int
    name: str
    password: str
    trust: Path
    folder: Path
    keep: bool = False

    @property
    def control(self) -> Path:
        """A file for the program's settings, as closed as it wants it."""
        made = self.folder / "control"
        made.touch(mode=0o600)
        return made

    @property
    def box(self) -> Path:
        """A maildir."""
        for part in ("tmp", "new", "cur"):
            (self.folder / "box" / part).mkdir(parents=True, exist_ok=True)
        return self.folder / "box"

    @property
    def take(self) -> Path:
        """A program that puts what it reads into the maildir, for those that hand mail on."""
        made = self.folder / "take"
        made.write_text(f'#!/bin/sh\nexec cat >"$(mktemp {self.box}/new/XXXXXXXX)"\n')
        made.chmod(0o755)
        return made

    def taken(self) -> list[bytes]:
        """What has come into the maildir and was not seen before, in no order."""
        files = list((self.box / "new").iterdir())
        found = [file.read_bytes() for file in files]
        for file in files:
            file.rename(self.box / "cur" / file.name)
        return [re.sub(rb"\r?\n", b"\r\n", mail) for mail in found]


Drain = Callable[[Mailbox], Awaitable[list[bytes]]]


async def run(*command: str, fine: tuple[int, ...] = (0,), **environment: str) -> bytes:
    """What the program says; it must end with one of the `fine` states."""
    if not (program := shutil.which(command[0])):
        pytest.skip(f"{command[0]} is not installed")
    child = await asyncio.create_subprocess_exec(
        *(program, *command[1:]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        raise AssertionError(f"{command[0]} does not end") from None
    assert child.returncode in fine, out.decode(errors="replace")
    return out


async def fetchmail(mailbox: Mailbox) -> list[bytes]:
    """It looks for the name it was told in the certificate, and not for addresses.  1: there was no mail."""
    tls = {"plain": 'sslproto ""', "stls": 'sslproto "TLS1.2+"', "pop3s": "ssl"}[mailbox.way]
    if mailbox.way != "plain":
        tls += f' sslcertck sslcertfile "{mailbox.trust}"'
    mailbox.control.write_text(
        "set invisible\nset no bouncemail\n"
        f"poll localhost proto pop3 port {mailbox.port} auth password no dns uidl\n"
        f'  user "{mailbox.name}" password "{mailbox.password}" is nobody here\n'
        f"  no rewrite pass8bits stripcr {'keep' if mailbox.keep else 'fetchall'} {tls}\n"
        f'  mda "{mailbox.take}"\n'
    )
    own = ("-f", str(mailbox.control), "--pidfile", str(mailbox.folder / "pid"), "-i", str(mailbox.folder / "ids"))
    await run("fetchmail", *own, fine=(0, 1))
    return mailbox.taken()


async def mpop(mailbox: Mailbox) -> list[bytes]:
    tls = {"plain": "tls off", "stls": "tls on\ntls_starttls on", "pop3s": "tls on\ntls_starttls off"}[mailbox.way]
    if mailbox.way != "plain":
        tls += f"\ntls_trust_file {mailbox.trust}"
    mailbox.control.write_text(
        f"account printer\nhost localhost\nport {mailbox.port}\n{tls}\nauth user\nuser {mailbox.name}\n"
        f"password {mailbox.password}\nreceived_header off\nkeep {'on' if mailbox.keep else 'off'}\n"
        f"uidls_file {mailbox.folder}/uidls\ndelivery maildir {mailbox.box}\n"
    )
    await run("mpop", f"--file={mailbox.control}", "printer")
    return mailbox.taken()


async def getmail(mailbox: Mailbox) -> list[bytes]:
    """It has no STLS.  As root it delivers into no maildir, only by a program, and that only if it is told so."""
    assert mailbox.way != "stls"
    # getmail 6.18 waits in vain for a program that has ended before it begins to wait.
    take = mailbox.take
    take.write_text(take.read_text().replace("exec ", "sleep 0.2\nexec ", 1))
    kind = "SimplePOP3Retriever" if mailbox.way == "plain" else f"SimplePOP3SSLRetriever\nca_certs = {mailbox.trust}"
    mailbox.control.write_text(
        f"[retriever]\ntype = {kind}\nserver = localhost\nport = {mailbox.port}\n"
        f"username = {mailbox.name}\npassword = {mailbox.password}\n"
        f"[destination]\ntype = MDA_external\npath = {take}\nallow_root_commands = true\n"
        f"[options]\nread_all = false\ndelete = {'false' if mailbox.keep else 'true'}\n"
        "delivered_to = false\nreceived = false\nverbose = 1\n"
    )
    said = await run("getmail", f"--getmaildir={mailbox.folder}", f"--rcfile={mailbox.control}")
    assert b"rror" not in said, said  # its state is 0 all the same
    return mailbox.taken()


async def mutt(mailbox: Mailbox) -> list[bytes]:
    """`fetch-mail`, as the key G does it.  It knows no UIDL there: what it leaves it takes again."""
    scheme = "pops" if mailbox.way == "pop3s" else "pop"
    mailbox.control.write_text(
        f'set pop_host="{scheme}://localhost:{mailbox.port}"\n'
        f'set pop_user="{mailbox.name}"\nset pop_pass="{mailbox.password}"\nset pop_authenticators="user"\n'
        f"set pop_delete={'no' if mailbox.keep else 'yes'}\nset pop_checkinterval=0\n"
        f"set ssl_starttls={'yes' if mailbox.way == 'stls' else 'no'}\n"
        f"set ssl_force_tls={'no' if mailbox.way == 'plain' else 'yes'}\n"
        f'set ssl_ca_certificates_file="{mailbox.trust}"\nset certificate_file="{mailbox.folder}/known"\n'
        f'set mbox_type=Maildir\nset folder="{mailbox.folder}"\nset spoolfile="{mailbox.box}"\nset move=no\n'
        "set wait_key=no\nset mark_old=no\nset quit=yes\n"
    )
    await in_a_terminal(
        "mutt", "-n", "-F", str(mailbox.control), "-f", str(mailbox.box), "-e", "push <fetch-mail><exit>"
    )
    return mailbox.taken()


async def in_a_terminal(*command: str) -> None:
    """Run a program that wants a screen; it must end by itself, with 0."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    screen, terminal = pty.openpty()
    shown = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(screen, lambda: shown.extend(_read(screen)))
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "TERM": "vt100", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                state = await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()
            raise AssertionError(f"{shlex.join(command)} does not end:\n{shown.decode(errors='replace')}") from None
    finally:
        loop.remove_reader(screen)
        os.close(screen)
        os.close(terminal)
    assert state == 0, shown.decode(errors="replace")


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # the other side is closed
        return b""
