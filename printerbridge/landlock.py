"""The command line that runs a program confined by Landlock and seccomp, through `printerbridge.programs.confine`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from printerbridge import programs, seccomp


def command(
    argv: Sequence[str], *, folder: Path, readable: Sequence[Path], limits: Mapping[str, int], processes: bool
) -> list[str]:
    """Run `argv`, which may write in `folder` only and read `readable` besides; `limits` by the names of RLIMIT_*."""
    return [
        *program("confine"),
        str(os.getpid()),
        "many" if processes else "one",
        *_filters(processes),
        *(f"{name}={number}" for name, number in limits.items()),
        f"write={folder.absolute()}",
        *(f"read={path}" for path in readable),
        "--",
        *argv,
    ]


def program(name: str) -> list[str]:
    """How one of ours is run, isolated, by the real interpreter, to which that of a virtual environment is a link."""
    return [str(Path(sys.executable).resolve()), "-I", "-S", "-B", str(_script(name))]


def needed(name: str) -> tuple[Path, ...]:
    """What it must be able to read."""
    return (Path(sys.base_prefix).resolve(), _script(name))


def _script(name: str) -> Path:
    return Path(programs.__file__).resolve().with_name(f"{name}.py")


@cache
def _filters(processes: bool) -> tuple[str, str]:
    machine = os.uname().machine
    denied = seccomp.program(machine, processes=processes, namespaces=False)
    return denied.hex(), seccomp.unnamed_files(machine).hex()
