"""Which system calls a confined child may not make, as a program for the kernel's filter (seccomp(2), BPF).

What the filter adds to namespaces or to Landlock: no socket, no process where the tool needs none, no memory that no
limit counts (memfd, System V), and nothing of the kernel that holes are found in and converters have no use for.
Without namespaces it also takes away what Landlock (landlock(7)) does not guard: modes, owners and times of files
outside, limits and priorities of other processes, and leaving the process group by which all of them are killed.  Pure.

Security: the numbers are those of Linux for x86_64 and aarch64.  Calls that are younger than this file answer ENOSYS,
and so does x32, whose numbers are higher; another instruction set (int 0x80 of 32 bit) ends the process.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
TELL: Final = 0x7FC00000  # ask the supervisor: SECCOMP_RET_USER_NOTIF


def refuse(number: int = errno.EPERM) -> int:
    """The verdict that makes a call fail with this errno."""
    return 0x00050000 | number


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """For the call `name`: `verdict` if all of `when` hold, else what the later rules say.

    A condition is the index of an argument, an operator and a value, compared by the lower 32 bits: `eq`, `ne`, `any`
    (some bit of value is set), `none` (no bit is), `pointer` (it is not NULL, by all 64).
    """

    name: str
    verdict: int
    when: tuple[tuple[int, str, int], ...] = ()


# Linux, asm/unistd.h: x86_64 and the generic table of aarch64; 0 where there is none.
NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bind": (49, 200), "bpf": (321, 280),
    "chmod": (90, 0), "chown": (92, 0), "chroot": (161, 51), "clock_adjtime": (305, 266), "clock_settime": (227, 112),
    "clone": (56, 220), "clone3": (435, 435), "connect": (42, 203), "delete_module": (176, 106),
    "fanotify_init": (300, 262), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "fchown": (93, 55), "fchownat": (260, 54), "fcntl": (72, 25), "file_setattr": (469, 469),
    "finit_module": (313, 273), "fork": (57, 0), "fremovexattr": (199, 16), "fsconfig": (431, 431),
    "fsetxattr": (190, 7), "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433), "futimesat": (261, 0),
    "init_module": (175, 105), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioctl": (16, 29), "ioperm": (173, 0), "iopl": (172, 0), "ioprio_set": (251, 30),
    "kcmp": (312, 272), "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219),
    "kill": (62, 129), "lchown": (94, 0), "listen": (50, 201), "lookup_dcookie": (212, 18), "lremovexattr": (198, 15),
    "lsetxattr": (189, 6), "memfd_create": (319, 279), "memfd_secret": (447, 447), "migrate_pages": (256, 238),
    "modify_ldt": (154, 0), "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429),
    "move_pages": (279, 239), "mq_open": (240, 180), "msgget": (68, 186), "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42), "open_by_handle_at": (304, 265), "open_tree": (428, 428), "open_tree_attr": (467, 467),
    "openat": (257, 56), "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pivot_root": (155, 41), "prlimit64": (302, 261),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "reboot": (169, 142), "removexattr": (197, 14), "removexattrat": (466, 466), "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "semget": (64, 190),
    "sendmmsg": (307, 269), "sendmsg": (46, 211), "sendto": (44, 206), "setdomainname": (171, 162),
    "sethostname": (170, 161), "setns": (308, 268), "setpgid": (109, 154), "setpriority": (141, 140),
    "setsid": (112, 157), "settimeofday": (164, 170), "setxattr": (188, 5), "setxattrat": (463, 463),
    "shmget": (29, 194), "socket": (41, 198), "socketpair": (53, 199), "swapoff": (168, 225), "swapon": (167, 224),
    "syslog": (103, 116), "tgkill": (234, 131), "tkill": (200, 130), "truncate": (76, 45), "umount2": (166, 39),
    "unshare": (272, 97), "uselib": (134, 0), "userfaultfd": (323, 282), "utime": (132, 0), "utimensat": (280, 88),
    "utimes": (235, 0), "vfork": (58, 0), "vhangup": (153, 58),
}  # fmt: skip
_YOUNGEST = 469  # file_setattr, Linux 6.17: what comes later nobody has looked at
MACHINES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""`uname -m` to its AUDIT_ARCH and its column of `NUMBERS`."""

_NEVER = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime connect delete_module fanotify_init finit_module
    fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie memfd_secret migrate_pages modify_ldt mount mount_setattr
    move_mount move_pages mq_open msgget name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr
    perf_event_open pidfd_getfd pidfd_open pidfd_send_signal pivot_root process_madvise process_mrelease
    process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot request_key rt_sigqueueinfo
    rt_tgsigqueueinfo semget sendmmsg sendmsg setdomainname sethostname setns settimeofday shmget swapoff swapon
    syslog umount2 unshare uselib userfaultfd vhangup
""".split()  # noqa: SIM905
_NOT_WITHOUT_NAMESPACES = """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat file_setattr fremovexattr fsetxattr futimesat ioprio_set
    lchown lremovexattr lsetxattr removexattr removexattrat sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler setpgid setpriority setsid setxattr setxattrat tkill truncate utime utimensat utimes
""".split()  # noqa: SIM905
_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_THREAD = 0x00010000  # CLONE_THREAD
_AF_UNIX = 1
# TIOCSTI types for whoever owns the terminal; FIOSETOWN, SIOCSPGRP and F_SETOWN have the kernel send others signals.
_IOCTLS = (0x5412, 0x541C, 0x8901, 0x8902)
_FCNTLS = (8, 10, 15)
SELF: Final = 0x7FFFFFFE
"""Stands in a program for the id of the process that is to be confined, which its launcher puts in."""
_TMPFILE = 0x00400000  # of O_TMPFILE, the same on both machines


def rules(*, processes: bool, namespaces: bool) -> list[Rule]:
    """What is refused to a child that may or may not start `processes`, inside of `namespaces` or not."""
    found = [Rule(name=name, verdict=refuse()) for name in _NEVER]
    # Then the caller tries the older call, whose arguments can be seen; or does without.
    found += [Rule(name=name, verdict=refuse(errno.ENOSYS)) for name in ("clone3", "memfd_create")]
    found += [Rule(name="ioctl", verdict=refuse(), when=((1, "eq", number),)) for number in _IOCTLS]
    found += [Rule(name="fcntl", verdict=refuse(), when=((1, "eq", number),)) for number in _FCNTLS]
    found.append(Rule(name="personality", verdict=refuse(), when=((0, "ne", 0), (0, "ne", 0xFFFFFFFF))))
    found.append(Rule(name="clone", verdict=refuse(), when=((0, "any", _NAMESPACES),)))
    if processes:  # LibreOffice wants to listen on a socket of its own, though nobody calls
        found += [Rule(name=name, verdict=refuse(), when=((0, "ne", _AF_UNIX),)) for name in ("socket", "socketpair")]
        found.append(Rule(name="sendto", verdict=refuse(), when=((4, "pointer", 0),)))
    else:
        found += [Rule(name=name, verdict=refuse()) for name in ("fork", "vfork", "socket", "socketpair", "sendto")]
        found.append(Rule(name="clone", verdict=refuse(), when=((0, "none", _THREAD),)))
    if processes and not namespaces:  # and on one in /tmp, so let it believe that it does
        found += [Rule(name=name, verdict=refuse(0)) for name in ("bind", "listen")]
    if not namespaces:
        found += [Rule(name=name, verdict=refuse()) for name in _NOT_WITHOUT_NAMESPACES]
        found.append(Rule(name="prlimit64", verdict=refuse(), when=((0, "ne", 0),)))
        found += [Rule(name=name, verdict=refuse(), when=((0, "ne", SELF),)) for name in ("kill", "tgkill")]
    return found


NOTHING: Final = struct.pack("=HBBI", 0x06, 0, 0, ALLOW)
"""The filter that refuses nothing."""


@cache
def program(machine: str, *, processes: bool, namespaces: bool) -> bytes:
    """The filter as the kernel takes it; outside of namespaces with `SELF` in it.

    Raises `KeyError` for a machine that is not in `MACHINES`.
    """
    return compiled(machine, rules(processes=processes, namespaces=namespaces))


def unnamed_files(machine: str) -> bytes:
    """A filter that has the supervisor asked for each unnamed temporary file, and allows all else."""
    return compiled(machine, [Rule(name="openat", verdict=TELL, when=((2, "any", _TMPFILE),))])


def compiled(machine: str, rules: Iterable[Rule], otherwise: int = ALLOW) -> bytes:
    """struct sock_filter[]: the first rule that fits decides, else `otherwise`.  Calls that the machine lacks are
    left out."""
    architecture, column = MACHINES[machine]
    code = [
        _load(4),
        *_unless(0x15, architecture, [_verdict(KILL)], negated=True),
        _load(0),
        *_unless(0x25, _YOUNGEST, [_verdict(refuse(errno.ENOSYS))]),
    ]
    for rule in rules:
        if number := NUMBERS[rule.name][column]:
            code += _unless(0x15, number, [*_conditions(rule.when), _verdict(rule.verdict)], tail=_load(0))
    return b"".join([*code, _verdict(otherwise)])


def _conditions(when: Sequence[tuple[int, str, int]]) -> list[bytes]:
    """Code that goes on if all hold, else to behind the one instruction that follows it."""
    code: list[bytes] = []
    for index, operator, value in reversed(when):
        skip = len(code) + 1
        low = _load(16 + 8 * index)
        if operator == "pointer":
            code = [low, _jump(0x15, 0, 0, 2), _load(20 + 8 * index), _jump(0x15, 0, skip, 0), *code]
            continue
        test, wanted = {"eq": (0x15, True), "ne": (0x15, False), "any": (0x45, True), "none": (0x45, False)}[operator]
        code = [low, _jump(test, value, 0 if wanted else skip, skip if wanted else 0), *code]
    return code


def _unless(
    test: int, value: int, then: list[bytes], *, negated: bool = False, tail: bytes | None = None
) -> list[bytes]:
    """`then` where the test of the accumulator holds; `tail` restores it where conditions have loaded another."""
    if len(then) > 1 and tail:
        then = [*then, tail]
    skip = len(then)
    return [_jump(test, value, skip if negated else 0, 0 if negated else skip), *then]


def _load(offset: int) -> bytes:
    return _instruction(0x20, 0, 0, offset)  # BPF_LD | BPF_W | BPF_ABS, of struct seccomp_data


def _jump(test: int, value: int, true: int, false: int) -> bytes:
    return _instruction(test, true, false, value)  # 0x15 JEQ, 0x25 JGT, 0x45 JSET


def _verdict(value: int) -> bytes:
    return _instruction(0x06, 0, 0, value)


def _instruction(code: int, true: int, false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, true, false, value)
