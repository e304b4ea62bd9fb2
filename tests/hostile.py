"""A converter that was taken over: `hostile.py ATTEMPT ARGUMENT...`, run confined by `tests/test_sandbox_hostile.py`.

An attempt that succeeds says so in one line on stdout; one that fails raises OSError and ends with exit status 1.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import time

library = ctypes.CDLL(None, use_errno=True)


def call(function: str, *arguments: object) -> None:
    if getattr(library, function)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), function)


def tcp(port: str) -> None:
    socket.create_connection(("127.0.0.1", int(port)), 5)


def udp(port: str) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(port)))


def listen() -> None:
    socket.create_server(("127.0.0.1", 0))


def abstract(name: str) -> None:
    socket.socket(socket.AF_UNIX).connect(f"\0{name}")


def datagram(name: str) -> None:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", name)


def unix(path: str) -> None:
    socket.socket(socket.AF_UNIX).connect(path)


def netlink() -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)


def read(path: str) -> None:
    os.read(os.open(path, os.O_RDONLY), 1)


def names(path: str) -> None:
    os.listdir(path)  # noqa: PTH208


def create(path: str) -> None:
    os.open(os.path.join(path, "left"), os.O_CREAT | os.O_WRONLY)  # noqa: PTH118


def overwrite(path: str) -> None:
    os.open(path, os.O_WRONLY)


def truncate(path: str) -> None:
    os.truncate(path, 0)


def remove(path: str) -> None:
    os.unlink(path)  # noqa: PTH108


def rename(path: str) -> None:
    os.rename(path, "mine")  # noqa: PTH104


def hardlink(path: str) -> None:
    os.link(path, "mine")


def mode(path: str) -> None:
    os.chmod(path, 0o666)  # noqa: PTH101


def touch(path: str) -> None:
    os.utime(path, (1, 1))


def label(path: str) -> None:
    os.setxattr(path, "user.x", b"x")


def environment(process: str) -> None:
    read(f"/proc/{process}/environ")


def trace(process: str) -> None:
    call("ptrace", 16, int(process), 0, 0)  # PTRACE_ATTACH


def kill(process: str) -> None:
    os.kill(int(process), 0)


def limit(process: str) -> None:
    resource.prlimit(int(process), resource.RLIMIT_CPU)


def starve(process: str) -> None:
    os.sched_setscheduler(int(process), os.SCHED_IDLE, os.sched_param(0))


def memory_of_nobody() -> None:
    os.memfd_create("x")


def shared_memory() -> None:
    call("shmget", 0, 1 << 20, 0o1600)


def namespace() -> None:
    call("unshare", 0x10000000)  # CLONE_NEWUSER


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


# What does not fail, but must be stopped


def forks() -> None:
    with contextlib.suppress(OSError):
        os.nice(19)  # other tests run beside it
    while True:
        try:
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
        except OSError:
            pass


def eat() -> None:
    hoard = []
    while True:
        hoard.append(b"x" * (4 << 20))


def eat_by_many(count: str) -> None:
    for _ in range(int(count)):
        if os.fork() == 0:
            hoard = [b"x" * (4 << 20) for _ in range(24)]
            time.sleep(300 + len(hoard))
    time.sleep(300)


def stay(pipe: str) -> None:
    """Go away, twice, with a way to tell whether we live."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        time.sleep(300)
    with contextlib.suppress(OSError):
        os.setsid()
    if os.fork():
        os._exit(0)
    with open(pipe, "w", encoding="ascii") as life:  # noqa: PTH123
        life.write("up\n")
        life.flush()
        time.sleep(300)


def leave(pipe: str) -> None:
    """End, and let another go on."""
    if os.fork() == 0:
        stay(pipe)
    while not os.path.exists("gone"):  # noqa: PTH110
        time.sleep(0.01)


def loop() -> None:
    while True:
        pass


def talk() -> None:
    while True:
        os.write(1, b"x" * 65536)


def fill() -> None:
    number = 0
    while True:
        number += 1
        with open(f"{number}", "wb") as file:  # noqa: PTH123
            file.write(b"x" * (1 << 20))


def fill_unnamed() -> None:
    kept = []
    for number in range(100):
        kept.append(os.open(f"{number}", os.O_CREAT | os.O_RDWR))
        os.unlink(f"{number}")  # noqa: PTH108
        os.write(kept[-1], b"x" * (1 << 20))
    time.sleep(300)


def names_without_end() -> None:
    number = 0
    while True:
        number += 1
        os.mkdir(f"{number}")  # noqa: PTH102


def fill_invisible() -> None:
    os.umask(0)
    os.mkdir("shut", 0o300)  # noqa: PTH102
    for number in range(100):
        with open(f"shut/{number}", "wb") as file:  # noqa: PTH123
            file.write(b"x" * (1 << 20))
    time.sleep(300)


def fill_hidden() -> None:
    call("prctl", 4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    fill_unnamed()


def fill_deep() -> None:
    """Where no path leads: each is longer than paths may be."""
    for _ in range(20):
        os.mkdir("d" * 250)  # noqa: PTH102
        os.chdir("d" * 250)
    fill()


def left_nest() -> None:
    """More folders in folders than recursion goes deep; the last may not be listed."""
    for _ in range(1500):
        os.mkdir("d", 0o700)  # noqa: PTH102
        os.chdir("d")
    os.mkdir("shut", 0o300)  # noqa: PTH102
    os.symlink("/etc/passwd", "shut/link")  # noqa: PTH211
    os.mkfifo("shut/pipe")


def left_link(path: str) -> None:
    os.symlink(path, "result")  # noqa: PTH211


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    sys.stdout.write(f"{sys.argv[1]} succeeded\n")
