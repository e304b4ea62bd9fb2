"""Runs the fuzzer: `python -m tests.fuzz [--seconds N] [NAME...]`, all targets without a name, two at a time.

What the fuzzer found worth keeping goes to out/fuzz/NAME, also an input that breaks a promise, and the report says how
to repeat that.  Exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import fuzz

OUT = Path("out/fuzz")
PACKAGES = ["appliance", "mailstore", "printerbridge"]
OCTETS = 8192  # the longest input
PAUSE = 20  # seconds after which one input counts as an endless loop
_PROGRESS = re.compile(rb"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)


def one(name: str, seconds: int) -> None:
    """Fuzz in this process, which ends with it."""
    import atheris  # only in the environment of its own

    with atheris.instrument_imports(include=PACKAGES):
        check = fuzz.target(name)
    found = OUT / name / "corpus"
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as dictionary:
        for word in fuzz.words(name):
            dictionary.write('"' + "".join(f"\\x{octet:02X}" for octet in word) + '"\n')
        dictionary.flush()
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={OCTETS}",
            f"-timeout={PAUSE}",
            f"-artifact_prefix={OUT / name}/",
            f"-dict={dictionary.name}",
            "-print_final_stats=1",
            str(found),
            *(str(folder) for kind in ("corpus", "regressions") if (folder := fuzz.FOLDER / kind / name).is_dir()),
        ]
        atheris.Setup([sys.argv[0], *options], check)
        atheris.Fuzz()


def run(name: str, seconds: int) -> bool:
    """Fuzz in a child, its log in out/fuzz/NAME/log; whether every promise held."""
    (OUT / name).mkdir(parents=True, exist_ok=True)
    log = OUT / name / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "tests.fuzz", "--alone", "--seconds", str(seconds), name]
        status = subprocess.run(command, stdout=file, stderr=file, check=False).returncode
    said = log.read_bytes()
    last = (_PROGRESS.findall(said) or [(b"0",) * 4])[-1]
    runs, edges, _, inputs = (int(number) for number in last)
    print(
        f"{name:<16} {runs:>9} runs {edges:>5} edges {inputs:>5} inputs  {'ok' if not status else 'FOUND'}", flush=True
    )
    if status:
        kept = re.findall(rb"Test unit written to (\S+)", said)
        shown = kept[-1].decode() if kept else "FILE"
        print(f"  see {log}; repeat with: python -m tests.fuzz --repeat {shown} {name}", flush=True)
    return not status


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(fuzz.NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="run one input, without the fuzzer")
    parser.add_argument("--alone", action="store_true", help="in this process, the log on stderr")
    given = parser.parse_args()
    names = given.names or fuzz.NAMES
    if unknown := sorted(set(names) - set(fuzz.NAMES)):
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(fuzz.NAMES)}")
    if (given.repeat or given.alone) and len(names) != 1:
        parser.error("name one target")
    if given.repeat:
        fuzz.target(names[0])(given.repeat.read_bytes())
    elif given.alone:
        one(names[0], given.seconds)
    else:
        with ThreadPoolExecutor(2) as two:
            return 0 if all(list(two.map(lambda name: run(name, given.seconds), names))) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
