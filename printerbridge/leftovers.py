"""Removing the folder of a confined child, whatever it left there.

Security: a child that was taken over can leave folders that may not be listed, or thousands inside each other, at which
whatever walks a tree by recursion or by whole paths fails.  Nothing here follows a link, opens a file, or goes deeper
than one folder: what lies deeper is lifted up first.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def discard(folder: Path) -> None:
    """Remove `folder` with all that is in it; what cannot be removed is told in the log."""
    try:
        remove(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("a folder that is not needed any more could not be removed: %s", error.strerror)


def remove(folder: Path) -> None:
    """Remove `folder` with all that is in it.  Raises `OSError`."""
    folder.chmod(0o700)
    top = os.open(folder, _FOLDER)
    try:
        while names := os.listdir(top):  # noqa: PTH208 - by descriptor
            for name in names:
                if not _unlinked(name, top):
                    _lift(name, top)
                    os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _unlinked(name: str, folder: int) -> bool:
    """False if it is a folder, which can be gone into then."""
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        os.chmod(name, 0o700, dir_fd=folder)
        return False
    return True


def _lift(name: str, top: int) -> None:
    """Empty the folder `name` in `top`; the folders in it come to lie beside it."""
    inside = os.open(name, _FOLDER, dir_fd=top)
    try:
        for each in os.listdir(inside):  # noqa: PTH208
            if not _unlinked(each, inside):
                os.rename(each, f".{os.urandom(12).hex()}", src_dir_fd=inside, dst_dir_fd=top)
    finally:
        os.close(inside)
