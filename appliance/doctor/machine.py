"""Checks of this machine: programs, sandbox, disk, clock."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator

from appliance.doctor.finding import Finding, error, note, ok, warning
from appliance.doctor.house import House
from appliance.doctor.network import PATIENCE
from mailstore.abilities import UNKNOWN
from mailstore.directory.openldap import Software
from mailstore.failure import Failure

PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where the bridge looks for converters, whatever its environment says."""
PROGRAMS = {
    "gs": ("ghostscript", "documents cannot be converted"),
    "pdftocairo": ("poppler-utils", "PDF cannot be converted"),
    "pdfinfo": ("poppler-utils", "PDF cannot be converted"),
    "prlimit": ("util-linux", "no converter can be confined, so none is run"),
    "setpriv": ("util-linux", "no converter can be confined, so none is run"),
    "bwrap": ("bubblewrap", "converters are confined only where the kernel has Landlock"),
}
"""Program -> its Debian package, and what does not work without it."""


_BETTER = (
    "install bubblewrap and allow user namespaces (sysctl kernel.unprivileged_userns_clone=1,"
    " kernel.apparmor_restrict_unprivileged_userns=0), or run a kernel with Landlock (5.13 or later, named in its lsm=)"
)


async def programs(house: House) -> AsyncIterator[Finding]:
    lacking = missing(PATH)
    for program in lacking:
        package, effect = PROGRAMS[program]
        level = warning if program == "bwrap" else error
        yield level("programs", f"{program} is not installed, so {effect}: apt-get install {package}")
    if house.settings.directory.url == "embedded":
        try:
            await asyncio.to_thread(Software.find)
        except Failure as failure:
            lacking.append("slapd")
            yield error("programs", failure.text)
    if not lacking:
        yield ok("programs", "all that Printpost runs is installed")


def missing(path: str) -> list[str]:
    """The programs that none of these folders holds."""
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


async def sandbox(house: House) -> AsyncIterator[Finding]:
    told = await house.store.abilities() if house.store else UNKNOWN
    if told.level == "landlock":
        yield ok("sandbox", "converters are confined by Landlock and a filter of system calls")
    elif not told.safe:
        strangers = "are opened all the same, for [bridge] risky says so" if told.risky else "are refused"
        yield warning(
            "sandbox",
            "converters have resource limits only: the bridge found neither user namespaces nor Landlock, so PostScript"
            f" and Office documents of senders who are not proved {strangers}; {_BETTER}",
        )
    elif bubblewrap := shutil.which("bwrap", path=PATH):
        if await confines(bubblewrap):
            yield ok("sandbox", "converters run in namespaces of their own")
        elif told == UNKNOWN:  # or the bridge runs elsewhere, where they are not refused
            yield note(
                "sandbox",
                "bubblewrap gets no namespaces here; whether Landlock confines converters, the bridge finds out when"
                " it starts",
            )


async def confines(bubblewrap: str) -> bool:
    """Whether a child can be put into namespaces of its own."""
    probe = await asyncio.create_subprocess_exec(
        *(bubblewrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--ro-bind", "/", "/", "true"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            return await probe.wait() == 0
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            probe.kill()
        await probe.wait()
        return False


async def disk(house: House) -> AsyncIterator[Finding]:
    if house.store is None:
        return
    folder, free = house.settings.store.folder, await house.store.free_octets()
    if free <= 0:
        reserve = house.settings.store.reserve >> 20
        yield error(
            "disk",
            f"less than the reserve of {reserve} MiB is free for {folder}, so mail is refused: make room there, or set"
            " a smaller [store] reserve",
        )
    else:
        yield ok("disk", f"{free >> 20} MiB are free for mail in {folder}")


async def clock(house: House) -> AsyncIterator[Finding]:
    newest = await house.store.jobs(limit=1) if house.store else ()
    if newest and newest[0].received_at > time.time() + 60:
        yield warning(
            "clock", "the newest job was received in the future: the clock was put back; set it, by NTP if you can"
        )
