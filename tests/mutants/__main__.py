"""Switches the defences off: `python -m tests.mutants [NAME...]`, all of them without a name, two at a time.

Each is switched off in a copy of the tree, never here.  Exits with 1 if a test did not miss one.
`--page` writes docs/defences.md.
"""

from __future__ import annotations

import argparse
import compileall
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants import Defence, page
from tests.mutants.lists import DEFENCES

ROOT = Path(__file__).parent.parent.parent
AT_ONCE = 2
TIMEOUT = 150  # seconds for one test
PACKAGES = ("appliance", "mailstore", "printerbridge")


def copy(folder: Path) -> Path:
    """The files of the working tree as they are now."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for package in (*PACKAGES, "tests"):
        compileall.compile_dir(folder / package, quiet=2)
    return folder


def pytest(folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit status and words; the packages are those of `folder` and not the installed ones."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-rfE", "-p", "no:cacheprovider", "-o", "timeout=60", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT * len(tests),
        )
    except subprocess.TimeoutExpired:
        return -1, "it did not end"
    return run.returncode, run.stdout + run.stderr


def missed(folder: Path, defence: Defence) -> str:
    """Switch it off in `folder` and see: "" if its test failed, else what happened instead."""
    path = folder / defence.file
    whole = path.read_text(encoding="utf-8")
    if whole.count(defence.text) != 1:
        return "the text does not stand exactly once in the file"
    try:
        _write(path, whole.replace(defence.text, defence.instead))
        status, said = pytest(folder, [defence.test])
    finally:
        _write(path, whole)
    failed = re.findall(r"^FAILED (\S+)", said, re.MULTILINE)
    if status == 1 and any(name.startswith(defence.test.partition(" ")[0]) for name in failed):
        return ""
    if status == 0:
        return "NOT MISSED: the test passed"
    return f"no verdict: {' '.join(said.split())[-300:]}"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        stale.unlink()


def run(defences: Sequence[Defence]) -> bool:
    """Whether every one was missed."""
    with tempfile.TemporaryDirectory(prefix="printpost-mutants-") as name:
        folders: queue.Queue[Path] = queue.Queue()
        for number in range(AT_ONCE):
            folders.put(copy(Path(name) / str(number)))
        with ThreadPoolExecutor(AT_ONCE) as pool:

            def one(defence: Defence) -> bool:
                folder = folders.get()
                try:
                    wrong = missed(folder, defence)
                finally:
                    folders.put(folder)
                print(f"{defence.name:<34} {wrong or 'missed by ' + defence.test}", flush=True)
                return not wrong

            return all(list(pool.map(one, defences)))


def whole(defences: Sequence[Defence]) -> bool:
    """Whether the tests pass with every defence in its place: else their failure says nothing."""
    with tempfile.TemporaryDirectory(prefix="printpost-mutants-") as name:
        status, said = pytest(copy(Path(name)), list(dict.fromkeys(defence.test for defence in defences)))
    if status:
        print(f"with every defence in its place the tests should pass:\n{said[-3000:]}")
    return status == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--page", action="store_true", help="write docs/defences.md")
    given = parser.parse_args()
    if given.page:
        page.FILE.write_text(page.page(DEFENCES), encoding="utf-8")
        return 0
    chosen = [defence for defence in DEFENCES if not given.names or defence.name in given.names]
    if len(chosen) < len(set(given.names)):
        parser.error(f"there are {', '.join(defence.name for defence in DEFENCES)}")
    if not (whole(chosen) and run(chosen)):
        return 1
    print(f"{len(chosen)} defences, each missed when it is off")
    return 0


if __name__ == "__main__":
    sys.exit(main())
