"""How a program of ours (`printerbridge.programs`) is called, and what it may read where it is confined."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from pathlib import Path

from printerbridge import programs


def command(program: str, *arguments: str, packages: bool = False) -> list[str]:
    """`program` (like "pictures") with `arguments`.

    It runs isolated: no environment, no site-packages, no byte code written.  With `packages` its first argument is the
    folders that hold the installed packages, separated as in PATH; it adds them to `sys.path` itself.
    """
    where = [os.pathsep.join(map(str, _packages()))] if packages else []
    return [str(_interpreter()), "-I", "-S", "-B", str(_script(program)), *where, *arguments]


def readable(program: str, packages: bool = False) -> tuple[Path, ...]:
    """What `command` needs besides the system's files."""
    return (Path(sys.base_prefix).resolve(), _script(program), *((_script("paper"), *_packages()) if packages else ()))


@cache
def _script(program: str) -> Path:
    return Path(programs.__file__).resolve().with_name(f"{program}.py")


@cache
def _interpreter() -> Path:
    # The real one, since a virtual environment's is a link to it.
    return Path(sys.executable).resolve()


@cache
def _packages() -> tuple[Path, ...]:
    return tuple(dict.fromkeys(Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")))
