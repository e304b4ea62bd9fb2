"""Which level a machine has: here, without bubblewrap, under Docker's rules, on an old kernel."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from prometheus_client import REGISTRY

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure, TransientFailure
from printerbridge import sandbox, seccomp, watching
from printerbridge.convert import convert
from printerbridge.converters import office
from printerbridge.sandbox import Level, Limits
from tests import docker_seccomp, documents, levels

DEADLINE = 10.0


async def _until_end(pipe: Path, marker: bytes) -> bytes:
    """What is left to read in `pipe` after `marker`: returns only when its last writer is dead."""

    def read() -> bytes:
        with pipe.open("rb") as file:
            assert file.readline() == marker
            return file.read()

    async with asyncio.timeout(DEADLINE):
        return await asyncio.to_thread(read)


@pytest.fixture
def rlimits_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no bubblewrap, and system calls that we do not know."""
    monkeypatch.setattr(seccomp, "MACHINES", {})
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "sleep", "prlimit", "setpriv", "true"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    monkeypatch.setattr(sandbox, "_PATH", str(programs))
    monkeypatch.setattr(sandbox, "_level", None)


@pytest.mark.usefixtures("rlimits_only")
async def test_without_bubblewrap_the_limits_remain_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await sandbox.level(tmp_path) is Level.RLIMITS
    assert "poorly confined" in caplog.text
    show = ["bash", "-c", "ulimit -c; ulimit -n; ulimit -f; echo $HOME"]
    finished = await sandbox.run(show, folder=tmp_path, timeout=DEADLINE)
    assert finished.stdout.decode().split() == ["0", "256", str((2 << 30) // 1024), str(tmp_path)]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = asyncio.create_task(_until_end(pipe, b"up\n"))
    script = "exec > pipe; echo up; sleep 300 & while :; do :; done"
    with pytest.raises(PermanentFailure, match="longer"):
        await sandbox.run(["bash", "-c", script], folder=tmp_path, timeout=0.3)
    assert await reading == b""


async def test_forks_are_bounded() -> None:
    if not levels.has(Level.BUBBLEWRAP):
        pytest.skip("user namespaces are refused here")
    count = """
        for (1..200) {
            $child = fork;
            if (!defined $child) { $refused++ } elsif ($child) { $started++ } else { sleep 60; exit }
        }
        print "$started $refused"
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        limits = Limits(processes=8)
        command = sandbox.confined(
            ["perl", "-e", count], folder=folder, level=Level.BUBBLEWRAP, seconds=5, limits=limits
        )
        if os.geteuid() == 0:  # the kernel does not count the processes of root
            os.chown(folder, 65534, 65534)
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *command]
        done = await asyncio.to_thread(
            subprocess.run, command, check=True, capture_output=True, timeout=DEADLINE, stdin=subprocess.DEVNULL
        )
    started, refused = map(int, done.stdout.split())
    assert started < limits.tasks
    assert started + refused == 200


PRINTS = """
import asyncio, json, logging, sys
from pathlib import Path
from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge import sandbox
from printerbridge.convert import convert
from tests import docker_seccomp

async def main(folder):
    found = await sandbox.level(folder)
    made = await convert(folder / "letter.ps", DocumentFormat.POSTSCRIPT, [Language.POSTSCRIPT], folder=folder,
                         media="iso_a4_210x297mm", as_is=False, timeout=30)
    print(json.dumps([found.value, found.safe, made.pages, made.route, made.path.read_bytes()[:11].decode()]))

docker_seccomp.apply(without=tuple(sys.argv[2:]))
asyncio.run(main(Path(sys.argv[1])))
"""


async def _under_docker(folder: Path, *without: str) -> tuple[list[object], str]:
    """What a bridge is and prints under Docker's rules; and what it logs."""
    if not docker_seccomp.available():
        pytest.skip("there is no libseccomp here")
    (folder / "letter.ps").write_bytes(documents.postscript(2))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PRINTS, str(folder), *without, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        said, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    return json.loads(said), errors.decode()


async def test_a_strangers_postscript_is_drawn_under_dockers_rules(tmp_path: Path) -> None:
    if not levels.has(Level.LANDLOCK):
        pytest.skip("the kernel has no Landlock")
    found, _ = await _under_docker(tmp_path)
    assert found == ["landlock", True, 2, ["postscript-to-pdf", "pdf-to-postscript"], "%!PS-Adobe-"]


async def test_an_old_kernel_under_dockers_rules_is_not_safe(tmp_path: Path) -> None:
    found, logged = await _under_docker(tmp_path, "landlock_create_ruleset")
    assert found[:3] == ["rlimits", False, 2]
    assert "poorly confined" in logged


async def test_a_level_counts_only_if_nothing_gets_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "read a file" in await sandbox._unfit(Level.RLIMITS, tmp_path)
    if not levels.has(Level.LANDLOCK):
        pytest.skip("the kernel has no Landlock")
    assert await sandbox._unfit(Level.LANDLOCK, tmp_path) == ""
    monkeypatch.setattr(sandbox, "_SETTINGS", (*sandbox._SETTINGS, str(tmp_path)))
    assert "read a file" in await sandbox._unfit(Level.LANDLOCK, tmp_path)


async def test_the_level_is_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_level", None)
    found = await sandbox.level(tmp_path)
    values = {level: REGISTRY.get_sample_value("printpost_sandbox_level", {"level": level}) for level in Level}
    assert values == {level: float(level is found) for level in Level}


async def test_under_bubblewrap_the_network_is_another(tmp_path: Path) -> None:
    if not levels.has(Level.BUBBLEWRAP):
        pytest.skip("user namespaces are refused here")
    os.mkfifo(tmp_path / "pipe")
    running = asyncio.create_task(
        sandbox._run(["bash", "-c", "exec 3> pipe; exec sleep 60"], tmp_path, DEADLINE, (), Limits(), Level.BUBBLEWRAP)
    )
    with await asyncio.to_thread((tmp_path / "pipe").open, "rb"):
        leader = next(child for child in watching.descendants(os.getpid()) if _name(child) == "bwrap")
        inner = watching.descendants(leader)[-1]
        for kind in ("net", "pid", "mnt", "ipc", "user"):
            assert _namespace(inner, kind) != _namespace(os.getpid(), kind)
        running.cancel()
        await asyncio.wait({running})


def _name(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text(encoding="ascii").strip()


def _namespace(process: int, kind: str) -> Path:
    return Path(f"/proc/{process}/ns/{kind}").readlink()


@pytest.mark.slow
async def test_libreoffice_works_without_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not office.available() or not levels.has(Level.LANDLOCK):
        pytest.skip("there is no LibreOffice here, or no Landlock")
    monkeypatch.setattr(sandbox, "_level", Level.LANDLOCK)
    letter = tmp_path / "letter.rtf"
    letter.write_bytes(b"{\\rtf1\\ansi Dear Ada,\\page yours\\par}")
    made = await convert(
        letter, DocumentFormat.RTF, [Language.PDF], folder=tmp_path, media="iso_a4_210x297mm", timeout=60
    )
    assert len(documents.pages_of(made.path)) == 2


@pytest.mark.parametrize("level", [Level.BUBBLEWRAP, Level.LANDLOCK])
async def test_the_level_does_not_hang_on_a_place_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Level
) -> None:
    if not levels.has(level):
        pytest.skip(f"{level.value} does not work here")
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert await sandbox._unfit(level, tmp_path) == ""
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_a_level_that_could_not_be_tried_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not levels.has(Level.LANDLOCK):
        pytest.skip("there is no Landlock here")
    times = iter((0.001, 10.0))
    run = sandbox._run

    async def busy(argv: list[str], folder: Path, _: float, *others: Any) -> sandbox.Finished:
        return await run(argv, folder, next(times), *others)

    monkeypatch.setattr(sandbox, "_run", busy)
    assert await sandbox._unfit(Level.LANDLOCK, tmp_path) == ""


async def test_a_bubblewrap_that_fails_later_is_no_fault_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not levels.has(Level.BUBBLEWRAP):
        pytest.skip("user namespaces are refused here")
    monkeypatch.setattr(sandbox, "_level", Level.BUBBLEWRAP)
    lies = ["perl", "-e", "print STDERR 'bwrap: no'; exit 1"]
    assert (await sandbox.run(lies, folder=tmp_path, timeout=DEADLINE)).returncode == 1
    monkeypatch.setattr(sandbox, "_filter", lambda _: b"no program of eight octets")
    with pytest.raises(TransientFailure, match="could not be confined"):
        await sandbox.run(["true"], folder=tmp_path, timeout=DEADLINE)
    assert "could not be confined: bwrap: " in caplog.text
    caplog.clear()
    assert "bwrap: " in await sandbox._unfit(Level.BUBBLEWRAP, tmp_path)
    assert not caplog.records  # of a probe that is no error
