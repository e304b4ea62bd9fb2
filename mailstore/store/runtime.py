"""The short folder where this store's sockets stand.

A Unix socket's path has at most 107 octets, less than many data folders.  All processes of one user on one store find
the same folder without being told.  Where several users share the store (see `place`) it is `run` in the store itself.

Security: the folder may lie under a temporary folder where anybody can make one of that name first.  It is used only if
it is a real folder (no link), ours, and closed to everybody else.  In a shared store whoever shares it made it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from mailstore.store.opening import StoreUnusable
from mailstore.store.place import make_folder, shared


def runtime_folder(store_folder: Path, base: Path | None = None) -> Path:
    """Make or find the folder for the sockets of the store in `store_folder`, mode 0700, 2770 in a shared store.

    Raises `StoreUnusable` if it belongs to somebody else, or is open to others.
    """
    if base is None and shared(store_folder):
        return _shared_folder(store_folder / "run")
    name = hashlib.sha256(os.fsencode(store_folder.resolve())).hexdigest()[:12]
    folder = (base or _base()) / f"printpost-{os.geteuid()}-{name}"
    try:
        folder.mkdir(mode=0o700, parents=base is not None, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise StoreUnusable(
            f"{folder} cannot be made ({error.strerror}); set XDG_RUNTIME_DIR to a folder of yours"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StoreUnusable(
            f"{folder} is not a folder of this user alone; remove it, or set XDG_RUNTIME_DIR to a folder of yours"
        )
    return folder


def _shared_folder(folder: Path) -> Path:
    try:
        make_folder(folder)
    except OSError as error:
        raise StoreUnusable(f"{folder} cannot be made ({error.strerror}); give {folder.parent} mode 2770") from error
    if not stat.S_ISDIR(folder.lstat().st_mode) or not shared(folder):
        raise StoreUnusable(f"{folder} is not a folder of mode 2770; remove it")
    return folder


def _base() -> Path:
    for candidate in (os.environ.get("XDG_RUNTIME_DIR", ""), "/run/printpost"):
        if candidate.startswith("/") and os.access(candidate, os.W_OK | os.X_OK):
            return Path(candidate)
    return Path(tempfile.gettempdir())
