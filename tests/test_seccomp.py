"""The filter of system calls, run as the kernel would run it."""

from __future__ import annotations

import errno
import struct

import pytest

from printerbridge import seccomp
from printerbridge.seccomp import ALLOW, KILL, MACHINES, NUMBERS, SELF, TELL, refuse

PERM, NOSYS = refuse(), refuse(errno.ENOSYS)
FORK_BY_CLONE, THREAD = 0x01200011, 0x003D0F00  # the flags of glibc's fork and pthread_create
NEW_USER = 0x10000000


def run(code: bytes, number: int, *arguments: int, architecture: int) -> int:
    """The verdict of a program of classic BPF on struct seccomp_data."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    at = accumulator = 0
    while True:
        kind, true, false, value = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        if kind == 0x06:
            return int(value)
        if kind == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x45: bool(accumulator & value)}[kind]
            at += true if holds else false


def verdict(machine: str, name: str, *arguments: int, processes: bool = False, namespaces: bool = False) -> int:
    architecture, column = MACHINES[machine]
    code = seccomp.program(machine, processes=processes, namespaces=namespaces)
    return run(code, NUMBERS[name][column], *arguments, architecture=architecture)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "verdicts"),
    [
        # without processes; with them; with them in namespaces
        ("socket", (1,), (PERM, ALLOW, ALLOW)),
        ("socket", (2,), (PERM, PERM, PERM)),
        ("socket", (16,), (PERM, PERM, PERM)),
        ("bind", (), (ALLOW, refuse(0), ALLOW)),  # without processes there is no socket
        ("connect", (), (PERM, PERM, PERM)),
        ("sendto", (3, 1, 1, 0, 0), (PERM, ALLOW, ALLOW)),
        ("sendto", (3, 1, 1, 0, 4096), (PERM, PERM, PERM)),
        ("sendto", (3, 1, 1, 0, 1 << 40), (PERM, PERM, PERM)),
        ("clone", (FORK_BY_CLONE,), (PERM, ALLOW, ALLOW)),
        ("clone", (THREAD,), (ALLOW, ALLOW, ALLOW)),
        ("clone", (THREAD | NEW_USER,), (PERM, PERM, PERM)),
        ("clone", (FORK_BY_CLONE | NEW_USER,), (PERM, PERM, PERM)),
        ("clone3", (), (NOSYS, NOSYS, NOSYS)),
        ("ptrace", (), (PERM, PERM, PERM)),
        ("unshare", (NEW_USER,), (PERM, PERM, PERM)),
        ("memfd_create", (), (NOSYS, NOSYS, NOSYS)),
        ("personality", (0xFFFFFFFF,), (ALLOW, ALLOW, ALLOW)),
        ("personality", (0x0040000,), (PERM, PERM, PERM)),  # ADDR_NO_RANDOMIZE
        ("ioctl", (0, 0x5401), (ALLOW, ALLOW, ALLOW)),
        ("ioctl", (0, 0x5412), (PERM, PERM, PERM)),
        ("ioctl", (0, 0x5412 | 1 << 32), (PERM, PERM, PERM)),  # the kernel looks at 32 bits, too
        ("fcntl", (3, 2), (ALLOW, ALLOW, ALLOW)),
        ("fcntl", (3, 8), (PERM, PERM, PERM)),
        ("prlimit64", (0,), (ALLOW, ALLOW, ALLOW)),
        ("prlimit64", (1,), (PERM, PERM, ALLOW)),
        ("kill", (SELF,), (ALLOW, ALLOW, ALLOW)),
        ("kill", (SELF - 1,), (PERM, PERM, ALLOW)),
        ("setsid", (), (PERM, PERM, ALLOW)),
        ("fchmod", (), (PERM, PERM, ALLOW)),
    ],
)
def test_what_is_refused(machine: str, name: str, arguments: tuple[int, ...], verdicts: tuple[int, ...]) -> None:
    kinds = ((False, False), (True, False), (True, True))
    found = [verdict(machine, name, *arguments, processes=one, namespaces=two) for one, two in kinds]
    assert found == list(verdicts)


@pytest.mark.parametrize("machine", MACHINES)
def test_strange_numbers(machine: str) -> None:
    code = seccomp.program(machine, processes=True, namespaces=True)
    architecture, column = MACHINES[machine]
    assert run(code, 0, architecture=architecture) == ALLOW  # read, io_setup
    assert run(code, 470, architecture=architecture) == NOSYS  # younger than the table
    assert run(code, 0x40000000, architecture=architecture) == NOSYS  # x32
    assert run(code, NUMBERS["ioctl"][column], architecture=0x40000003) == KILL  # i386
    assert len(code) <= 4096  # one page of a pipe: bubblewrap gets it whole


@pytest.mark.parametrize("machine", MACHINES)
def test_only_unnamed_files_are_told(machine: str) -> None:
    architecture, column = MACHINES[machine]
    code = seccomp.unnamed_files(machine)
    number = NUMBERS["openat"][column]
    assert run(code, number, 0, 0, 0x410002, architecture=architecture) == TELL
    assert run(code, number, 0, 0, 0x000002, architecture=architecture) == ALLOW
    assert run(code, number + 1, 0, 0, 0x410002, architecture=architecture) == ALLOW


def test_numbers_are_each_ones_own() -> None:
    for column in (0, 1):
        numbers = [entry[column] for entry in NUMBERS.values() if entry[column]]
        assert len(numbers) == len(set(numbers))
        assert max(numbers) <= 469
