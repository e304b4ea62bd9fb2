"""A launcher that confines a program without namespaces, by Landlock and seccomp, and waits for its end:
`confine.py PARENT one|many FILTER UNNAMED LIMIT=NUMBER... write=PATH... read=PATH... -- PROGRAM ARGUMENT...`

It imports the standard library only, and little of it, for it runs before every converter.  FILTER and UNNAMED are BPF
programs in hexadecimal (`printerbridge.seccomp`).  It ends as the program ended, with 128 + n for a signal n, or with
125 if it could not confine it; then nothing was run.

The launcher stays outside as the supervisor.  It gives the program its unnamed temporary files, in its own folder:
tmpfile(3), which cairo uses, wants them in /tmp whatever TMPDIR says, and /tmp is other people's.  A program
that may start others (`many`) has them killed when it ends, when SIGTERM comes or when PARENT dies: all are in one
process group, which the filter lets nobody leave, so one signal reaches them all, however fast they fork.  A program
that may not dies with its supervisor.

Security: PROGRAM is to be taken for hostile from its first instruction.  All fences are up before it is run, each is
inherited, none can be lifted.  Of what it asks the supervisor nothing is looked at, not even the path: the answer is a
new file, or no.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import select
import struct
import sys

FAILED = 125
_PDEATHSIG, _NO_NEW_PRIVS, _SUBREAPER = 1, 38, 36  # prctl(2)
_SIGKILL, _SIGTERM = 9, 15
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RECEIVE, _SEND, _ADD = 0xC0502100, 0xC0182101, 0x40182103  # SECCOMP_IOCTL_NOTIF_*
_ORPHANS = 250  # milliseconds between two looks for them

# landlock(7): what may be done to a file, and what in a folder; by ABI what the kernel knows.
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_FILE = _EXECUTE | _WRITE | _READ | _TRUNCATE | 1 << 15  # and ioctl of devices
_MAKE = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 12 | 1 << 13  # and remove; all but devices and sockets
_KNOWN = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_ALL = 0xFFFF
_TCP, _SCOPES = 0x3, 0x3  # bind and connect, from ABI 4; abstract sockets and signals of others, from ABI 6
_DEVICES = {
    "/dev/null": _READ | _WRITE,
    "/dev/zero": _READ,
    "/dev/full": _READ | _WRITE,
    "/dev/random": _READ,
    "/dev/urandom": _READ,
}

_library = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> int:
    parent, many = int(arguments[0]), arguments[1] == "many"
    denied, unnamed = bytes.fromhex(arguments[2]), bytes.fromhex(arguments[3])
    end = arguments.index("--")
    options = [option.partition("=")[::2] for option in arguments[4:end]]
    _control(_PDEATHSIG, _SIGTERM)
    _control(_SUBREAPER, 1)
    _control(_NO_NEW_PRIVS, 1)
    if os.getppid() != parent:
        return FAILED
    # The filter is on the supervisor too, who is careful never to want an unnamed file.
    listener = _filter(unnamed, 8)  # SECCOMP_FILTER_FLAG_NEW_LISTENER
    supervisor, (go, told) = os.getpid(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(told)
            _become(supervisor, go, options, denied, arguments[end + 1 :])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the child must not live on as a second launcher
            sys.stderr.write(f"confine: {error}\n")
            sys.stderr.flush()
        os._exit(FAILED)
    os.setpgid(child, child)
    if many:
        _end_together(child)
    os.close(told)
    return _supervise(child, listener)


def _become(supervisor: int, go: int, options: list[tuple[str, str]], denied: bytes, argv: list[str]) -> None:
    _control(_PDEATHSIG, _SIGKILL)
    if os.getppid() != supervisor:
        return
    os.read(go, 1)  # its end: the supervisor is ready
    for number in (13, 25):  # SIGPIPE and SIGXFSZ, which this interpreter ignores
        _library.signal(number, None)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    _landlock(options)
    # `printerbridge.seccomp.SELF`
    _filter(denied.replace(struct.pack("=I", 0x7FFFFFFE), struct.pack("=I", os.getpid())), 0)
    for name, value in options:  # the address space last: it may be less than we have
        if name not in ("read", "write"):
            which, number = getattr(resource, f"RLIMIT_{name.upper()}"), int(value)
            hard = resource.getrlimit(which)[1]
            number = number if hard == resource.RLIM_INFINITY else min(number, hard)
            resource.setrlimit(which, (number, number))
    os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted


def _end_together(child: int) -> None:
    """Let a signal that ends us end the group of the child instead, and us after it."""
    import signal  # here, for importing it takes longer than all that is done before

    signal.signal(signal.SIGTERM, lambda *_: os.killpg(child, _SIGKILL))


def _landlock(options: list[tuple[str, str]]) -> None:
    abi = _call(_CREATE_RULESET, None, 0, 1)
    known = _KNOWN.get(abi, _ALL)
    attributes = struct.pack("=QQQ", known, _TCP, _SCOPES)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    rules = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    for path, access in _DEVICES.items():
        _allow(rules, path, access & known)
    for kind, path in options:
        if kind == "read":
            _allow(rules, path, (_EXECUTE | _READ | _LIST) & known)
        elif kind == "write":
            _allow(rules, path, (_READ | _LIST | _WRITE | _TRUNCATE | _MAKE) & known)
    _call(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    if not os.path.isdir(f"/proc/self/fd/{beneath}"):  # noqa: PTH112
        access &= _FILE
    _call(_ADD_RULE, rules, 1, struct.pack("=Qi", access, beneath), 0)  # LANDLOCK_RULE_PATH_BENEATH
    os.close(beneath)


def _filter(code: bytes, flags: int) -> int:
    kept = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(kept))  # struct sock_fprog
    return _call(_SECCOMP[os.uname().machine], 1, flags, program)  # SECCOMP_SET_MODE_FILTER


def _supervise(child: int, listener: int) -> int:
    """Wait for the child's end; return the exit status that tells it."""
    ended = os.pidfd_open(child)
    poller = select.poll()
    for descriptor in (ended, listener):
        poller.register(descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poller.poll(_ORPHANS)}
        if ended in ready:
            break
        if listener in ready:
            _give_file(listener)
        _bury(child)
    # Not yet waited for, so that its number is still the group's and nobody else's.
    os.killpg(child, _SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return code if code >= 0 else 128 - code


def _bury(child: int) -> None:
    """Let the dead of others rest, whom we have inherited."""
    while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid != child:
        os.waitpid(found.si_pid, 0)


def _give_file(listener: int) -> None:
    """Answer an open(2) of an unnamed file with a new one in the folder where we are."""
    asked = bytearray(80)  # struct seccomp_notif
    try:
        fcntl.ioctl(listener, _RECEIVE, asked)
    except OSError:
        return  # who asked is dead
    name = f".{os.urandom(12).hex()}"
    number, file = struct.unpack_from("=Q", asked)[0], -1
    try:
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(name)  # noqa: PTH108
        # SECCOMP_ADDFD_FLAG_SEND: the descriptor is the answer.
        fcntl.ioctl(listener, _ADD, struct.pack("=QIIII", number, 2, file, 0, os.O_CLOEXEC))
    except OSError as error:
        try:
            fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", number, 0, -(error.errno or errno.EACCES), 0))
        except OSError:
            return
    finally:
        if file >= 0:
            os.close(file)


def _control(option: int, value: int) -> None:
    if _library.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A system call that the C library may not know.  Raises `OSError`."""
    result: int = _library.syscall(
        ctypes.c_long(number),
        *(ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments),
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}: {os.strerror(ctypes.get_errno())}")
    return result


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:
        sys.stderr.write(f"confine: {error}\n")
        sys.exit(FAILED)
