"""What the store asks of the folder it stands in, and who may stand in it.

Security: reads `/proc/self/mountinfo`, which only the kernel writes.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mailstore.store.contract import Role, StoreUnusable

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

_EXCLUSIVE = {Role.APPLIANCE, Role.BRIDGE}


def prepare(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> Path:
    """Make the folder (0700) if need be; returns its real path.

    Raises `StoreUnusable` if it is on a network file system or not writable.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
    if not os.access(real, os.R_OK | os.W_OK | os.X_OK) or os.statvfs(real).f_flag & os.ST_RDONLY:
        raise StoreUnusable(f"{folder} is not writable for user {os.geteuid()}; give the folder to this user")
    if real.stat().st_uid == os.geteuid():
        real.chmod(0o700)
    return real


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
