"""HAProxy from a folder of its own: ports of loopback that pass on to ours, and say by PROXY v2 who is connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.interop.programs import finished, program, running, until
from tests.sink import free_port

SOURCE = "127.0.0.9"
"""Where it comes from to us, so that nobody can take it for a client."""

_CONFIGURATION = """\
global
    maxconn 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""


@contextlib.asynccontextmanager
async def balancer(folder: Path, ports: Mapping[str, int]) -> AsyncIterator[dict[str, int]]:
    """`ports` of ours by name; the balancer's own in front of them."""
    haproxy = program("haproxy")
    front = {name: await free_port() for name in ports}
    written = folder / "haproxy.cfg"
    services = [
        f"listen {name}\n    bind 127.0.0.1:{front[name]}\n"
        f"    server ours 127.0.0.1:{port} send-proxy-v2 source {SOURCE}\n"
        for name, port in ports.items()
    ]
    written.write_text(_CONFIGURATION + "".join(services))
    status, said = await finished([haproxy, "-c", "-f", str(written)])
    assert status == 0, said
    async with running([haproxy, "-db", "-f", str(written)], folder / "haproxy.log"):
        for port in front.values():
            await until(lambda port=port: _listens(port))  # type: ignore[misc]
        yield front


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
