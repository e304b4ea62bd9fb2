"""The bridge prints to port-9100 servers that others wrote."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from mailstore.job import DeliveryProof, JobState
from tests.interop.programs import program, running
from tests.printshop import POSTSCRIPT, Printshop, message, printshop
from tests.sink import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SMALL = POSTSCRIPT
LARGE = POSTSCRIPT + b"%" + random.Random(9100).randbytes(3_000_000)


async def _prints(shop: Printshop, uri: str, document: bytes) -> None:
    """A job for `uri`, printed in the end; whoever is not listening yet is tried again."""
    await shop.printer("phaser", uri)
    async with shop.bridge():
        number = await shop.submit("phaser", message(document))
        (job,) = await shop.ended(number)
    assert job.state is JobState.COMPLETED, job
    assert job.delivery_proof is DeliveryProof.CLOSED
    assert job.attempts == 1
    assert f"{len(document)} octets" in await shop.trace(number)


def _p910nd_port() -> int:
    """p910nd listens on 9100 to 9109, and nowhere else."""
    for digit in range(10):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", 9100 + digit))
            except OSError:
                continue
            return digit
    pytest.skip("all ports from 9100 to 9109 are taken")


@pytest.mark.parametrize("document", [SMALL, LARGE], ids=["small", "large"])
async def test_p910nd_gets_exactly_the_document(tmp_path: Path, document: bytes) -> None:
    device = tmp_path / "lp"
    device.touch()
    digit = _p910nd_port()
    # Its lock and its process id go to fixed places below /run: it gets a /run of its own.
    apart = ["--dev-bind", "/", "/", "--tmpfs", "/run", "--dir", "/run/lock/p910nd", "--die-with-parent"]
    argv = [program("bwrap"), *apart, program("p910nd"), "-d", "-i", "127.0.0.1", "-f", str(device), str(digit)]
    async with printshop(tmp_path) as shop, running(argv, tmp_path / "p910nd.log"):
        await _prints(shop, f"socket://127.0.0.1:{9100 + digit}", document)
        assert device.read_bytes() == document


@pytest.mark.parametrize("document", [SMALL, LARGE], ids=["small", "large"])
async def test_socat_gets_exactly_the_document(tmp_path: Path, document: bytes) -> None:
    paper, port = tmp_path / "paper", await free_port()
    argv = [program("socat"), "-u", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", f"CREATE:{paper}"]
    async with printshop(tmp_path) as shop, running(argv, tmp_path / "socat.log") as socat:
        await _prints(shop, f"socket://127.0.0.1:{port}", document)
        await socat.wait()
        assert paper.read_bytes() == document


async def test_socat_gets_jobs_one_after_the_other(tmp_path: Path) -> None:
    paper, port = tmp_path / "paper", await free_port()
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,max-children=1"
    argv = [program("socat"), "-u", listen, f"OPEN:{paper},creat,append"]
    documents = [POSTSCRIPT + b"%% job %d\n" % number * 1000 for number in range(10)]
    async with printshop(tmp_path) as shop, running(argv, tmp_path / "socat.log"):
        await shop.printer("phaser", f"socket://127.0.0.1:{port}")
        async with shop.bridge():
            numbers = [await shop.submit("phaser", message(document)) for document in documents]
            jobs = await shop.ended(*numbers)
        assert [job.state for job in jobs] == [JobState.COMPLETED] * len(documents)
        assert paper.read_bytes() == b"".join(documents)
