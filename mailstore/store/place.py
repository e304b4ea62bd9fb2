"""What the store asks of the folder it stands in, and who may stand in it.

The folder is its owner's alone, unless its mode is 2770 (`chmod 2770`): then its group's users share the store, so that
the appliance and the bridge may have a user id each.

Security: reads `/proc/self/mountinfo`, which only the kernel writes.  Others than owner and group are always shut out,
and only a mode that nobody sets by chance lets the group in.  Those who share a store trust each other with it: each
may read and remove everything that is shared.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from pathlib import Path

from mailstore.store.opening import Role, StoreUnusable
from mailstore.store.worker import sync

NETWORK = {
    *(
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "coda",
        "glusterfs",
        "lustre",
        "gfs2",
    ),
    *("gfs2", "ocfs2", "beegfs", "gpfs", "pvfs2", "orangefs", "ncpfs", "davfs", "vboxsf", "prl_fs", "fuse.vmhgfs-fuse"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.s3fs", "fuse.rclone", "fuse.davfs"),
    *("fuse.juicefs", "fuse.gcsfuse"),
}
"""File systems on which locks or shared memory do not hold, or a sync may be a lie."""

UNNAMED = "unnamed-"

_SHARING = stat.S_ISGID | stat.S_IRWXG
_SHARED_FOLDER = 0o2770
_EXCLUSIVE = {Role.APPLIANCE, Role.BRIDGE}


def prepare(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> Path:
    """Make the folder (0700) if need be; returns its real path.

    Raises `StoreUnusable` if it is on a network file system or not writable.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for one in missing:
            sync_folder(one.parent)
    except FileExistsError:
        raise StoreUnusable(f"{folder} is not a folder; set [store] url to a folder on a local disk") from None
    except OSError as error:
        raise StoreUnusable(f"{folder} cannot be made ({error.strerror}); create it and give it to this user") from None
    real = folder.resolve()
    kind = file_system(real, mountinfo.read_text(errors="surrogateescape"))
    if kind in NETWORK:
        raise StoreUnusable(
            f"{folder} is on a network file system ({kind}); set [store] url to a folder on a local disk"
        )
    if not os.access(real, os.R_OK | os.W_OK | os.X_OK, effective_ids=True) or os.statvfs(real).f_flag & os.ST_RDONLY:
        raise StoreUnusable(f"{folder} is not writable for user {os.geteuid()}; give the folder to this user")
    if real.stat().st_uid == os.geteuid():
        _close(real, shared(real))
    return real


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, or end the process.  Raises `OSError` if it cannot be opened."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor, data_only=False)
    finally:
        os.close(descriptor)


def shared(folder: Path) -> bool:
    """Whether users of the folder's group share what is in it; no if it is not there."""
    with contextlib.suppress(OSError):
        return folder.stat().st_mode & _SHARING == _SHARING
    return False


def make_folder(folder: Path) -> None:
    """Make a folder inside the store's, for the same users.  Raises `OSError`."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
        _close(folder, shared(folder.parent))


def _close(folder: Path, to_the_group: bool) -> None:
    mode = _SHARED_FOLDER if to_the_group else 0o700
    if stat.S_IMODE(folder.stat().st_mode) != mode:
        folder.chmod(mode)


def open_file(path: Path | str, flags: int, folder: Path | str) -> int:
    """Open or make a file for the users of `folder`: 0600, or 0660 where they share it.  Raises `OSError`."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    if shared(Path(folder)) and os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, 0o660)
    return descriptor


def open_unnamed(folder: Path | str) -> int:
    """Make a file that nobody finds, locked; it ends with its descriptor unless `give_name` comes before.

    Where the file system can't do that (EOPNOTSUPP; FAT, overlays of older kernels) it has a name beginning with
    `UNNAMED`, which is rubbish as soon as the lock is gone.  Raises `OSError`.
    """
    try:
        descriptor = open_file(folder, os.O_TMPFILE | os.O_RDWR, folder)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        return _open_named(folder)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _open_named(folder: Path | str) -> int:
    while True:
        path = f"{folder}/{UNNAMED}{secrets.token_hex(8)}"
        descriptor = open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:  # else it was tidied away before it was locked
            return descriptor
        os.close(descriptor)


def give_name(descriptor: int, name: str, folder: int) -> None:
    """Let a file of `open_unnamed` be found, in the folder with this descriptor.  Raises `OSError`."""
    seen = Path(f"/proc/self/fd/{descriptor}")
    if os.fstat(descriptor).st_nlink:
        os.rename(seen.readlink(), name, dst_dir_fd=folder)
    else:
        os.link(seen, name, dst_dir_fd=folder, follow_symlinks=True)


def close_unnamed(descriptor: int) -> None:
    """Close a file of `open_unnamed`; it stays only if `give_name` was called."""
    if os.fstat(descriptor).st_nlink:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name.startswith(UNNAMED):
            with contextlib.suppress(OSError):  # or `tidy` does it
                path.unlink()
    os.close(descriptor)


def file_system(folder: Path, mountinfo: str) -> str:
    """The type of the file system that holds `folder` (an absolute real path), "" if unknown.  See proc(5)."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = Path(
            fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        )
        # Of two mounts on one point the later one lies on top.
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split(" ")[0]
    return kind


class RoleLock:
    """The proof that this process is the only one of its role; the kernel drops it with the process."""

    def __init__(self, folder: Path, role: Role) -> None:
        self._descriptor = -1
        if role not in _EXCLUSIVE:
            return
        path = folder / f"{role}.lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            self.release()
            raise StoreUnusable(
                f"another {role} (process {holder}) has the store in {folder};"
                " stop it first, or give this one another folder"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    @property
    def held(self) -> bool:
        return self._descriptor >= 0

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
