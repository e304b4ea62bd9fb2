"""What this machine has to confine by, found out without the sandbox: so a sandbox that is broken skips no test."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from functools import cache

from printerbridge.sandbox import Level


@cache
def has(level: Level) -> bool:
    if level is Level.LANDLOCK:
        known = os.uname().machine in ("x86_64", "aarch64")
        return known and ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1  # its version
    if level is Level.BUBBLEWRAP and (program := shutil.which("bwrap")):
        tried = subprocess.run([program, "--unshare-all", "--ro-bind", "/", "/", "true"], check=False, timeout=10)
        return tried.returncode == 0
    return level is Level.RLIMITS
