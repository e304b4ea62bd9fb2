"""CUPS prints to the virtual printer: what the bridge prints to has been fed by somebody else too."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_connection import Ended
from printerbridge.virtual_job import PrintedJob
from tests.documents import difference, pages_of, postscript
from tests.interop import cups
from tests.interop.programs import finished, program, until

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pp-cups-"))
    cups.open_to_others(made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def test_the_socket_backend_is_printed(tmp_path: Path) -> None:
    if not cups.BACKEND.exists():
        pytest.skip("CUPS' socket backend is not installed; .ci/packages interop does that")
    document = tmp_path / "page.ps"
    document.write_bytes(postscript(title="CUPS"))
    printer = VirtualPrinter(tmp_path / "paper")
    host, port = await printer.start()
    try:
        status, said = await cups.backend(f"socket://{host}:{port}", document)
        job = await printer.job(1)
    finally:
        await printer.close()
    assert status == 0, said
    assert job.ended is Ended.EOF
    assert job.path is not None
    assert job.path.read_bytes() == document.read_bytes()
    _is_the_page(job, document)


async def test_the_socket_backend_waits_for_paper(tmp_path: Path) -> None:
    if not cups.BACKEND.exists():
        pytest.skip("CUPS' socket backend is not installed; .ci/packages interop does that")
    document = tmp_path / "page.ps"
    document.write_bytes(postscript(title="Paper", body="%" + "x" * 500_000))
    printer = VirtualPrinter(tmp_path / "paper", faults=["media-empty:100000*1"])
    host, port = await printer.start()
    try:
        printing = asyncio.create_task(cups.backend(f"socket://{host}:{port}", document))
        await until(lambda: _spooled(tmp_path / "paper" / "job-0001.prn", 100_000))
        assert not (await asyncio.wait({printing}, timeout=0.3))[0], "it should wait for paper"
        printer.resume()
        status, said = await printing
        job = await printer.job(1)
    finally:
        await printer.close()
    assert status == 0, said
    assert job.path is not None
    assert job.path.read_bytes() == document.read_bytes()
    _is_the_page(job, document)


async def test_a_scheduler_prints_job_after_job(tmp_path: Path, folder: Path) -> None:
    lp = program("lp")
    printer = VirtualPrinter(tmp_path / "paper")
    host, port = await printer.start()
    documents = []
    try:
        async with cups.scheduler(folder, {"phaser": f"socket://{host}:{port}"}) as server:
            for number in range(3):
                document = folder / f"page-{number}.ps"
                document.write_bytes(postscript(title=f"Job {number}"))
                documents.append(document)
                status, said = await finished([lp, "-h", server, "-d", "phaser", "-o", "raw", str(document)])
                assert status == 0, said
            jobs = [await printer.job(number) for number in (1, 2, 3)]
    finally:
        await printer.close()
    for job, document in zip(jobs, documents, strict=True):
        assert job.path is not None
        assert job.path.read_bytes() == document.read_bytes()
        _is_the_page(job, document)


async def _spooled(file: Path, octets: int) -> bool:
    return await asyncio.to_thread(file.exists) and (await asyncio.to_thread(file.stat)).st_size >= octets


def _is_the_page(job: PrintedJob, source: Path) -> None:
    assert job.pages == 1
    assert job.pdf is not None
    ((printed,), (meant,)) = pages_of(job.pdf), pages_of(source)
    assert difference(printed, meant) < 0.2
