"""A hostile program that tries to get out, by which a sandbox is tried: `escape.py SECRET PORT`.

Exit status 0 if it could do nothing but write a file in its folder; else 1, and what it could do on stderr.
"""

from __future__ import annotations

import _socket
import os
import sys
from collections.abc import Callable


def attempts(secret: str, port: int) -> dict[str, Callable[[], object]]:
    """What must fail, by what it would be."""
    stream, local = _socket.SOCK_STREAM, ("127.0.0.1", port)
    beside = os.path.join(os.path.dirname(secret), "left")  # noqa: PTH118, PTH120
    return {
        "read a file": lambda: os.open(secret, os.O_RDONLY),
        "list a folder": lambda: os.listdir(os.path.dirname(secret)),  # noqa: PTH120, PTH208
        "write a file": lambda: os.open(beside, os.O_WRONLY | os.O_CREAT, 0o600),
        "read another process": lambda: os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY),
        "reach the network": lambda: _socket.socket(_socket.AF_INET, stream).connect(local),
        "start a process": lambda: os.fork() or os._exit(0),
    }


def main(secret: str, port: str) -> int:
    done = []
    for what, attempt in attempts(secret, int(port)).items():
        try:
            attempt()
        except OSError:
            continue
        done.append(what)
    try:
        os.close(os.open("kept", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        done.append(f"not even write in its own folder ({error.strerror})")
    if done:
        sys.stderr.write(f"a child can {', '.join(done)}\n")
    return 1 if done else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
