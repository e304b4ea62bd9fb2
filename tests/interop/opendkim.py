"""OpenDKIM as a milter that signs what Postfix takes: own configuration and key, on a free port of loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.interop.programs import program, running, until
from tests.sink import free_port

_CONFIGURATION = """\
Mode s
Syslog no
Background no
UserID nobody:nogroup
Socket inet:{port}@127.0.0.1
Domain {domain}
Selector {selector}
KeyFile {folder}/key.pem
RequireSafeKeys no
Canonicalization {canonicalization}
OversignHeaders From,Subject
InternalHosts 127.0.0.1
TemporaryDirectory {folder}
"""


@contextlib.asynccontextmanager
async def opendkim(
    folder: Path, *, domain: str, selector: str, private: bytes, canonicalization: str
) -> AsyncIterator[dict[str, str]]:
    """A running signer; Postfix' parameters for it.  `folder` is one that others may enter."""
    argv = [program("opendkim"), "-f", "-x", str(folder / "opendkim.conf")]
    port = await free_port()
    (folder / "key.pem").write_bytes(private)
    (folder / "key.pem").chmod(0o644)  # it gives up its rights before it reads it
    (folder / "opendkim.conf").write_text(
        _CONFIGURATION.format(
            port=port, domain=domain, selector=selector, folder=folder, canonicalization=canonicalization
        )
    )
    async with running(argv, folder / "opendkim.log"):
        await until(lambda: _listens(port))
        yield {"smtpd_milters": f"inet:127.0.0.1:{port}", "milter_default_action": "tempfail"}


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
