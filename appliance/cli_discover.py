"""`printpost printer discover`: printers that are in the network, and the commands that would make their entries.

Security: the bridge's process looks (`printerbridge.discovery`), and what it writes is read as a stranger's: so many
lines, each so long, within so many seconds.  See `discovered` for what becomes of them.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from appliance import cli_printer, shell
from appliance.desk import COMMAND_LINE, Desk
from mailstore.directory.records import Printer, Snmp
from mailstore.header import clean
from mailstore.network import network as read_network

if TYPE_CHECKING:
    from appliance.discovered import Found, Proposed

_LINES, _LINE = 8000, 1 << 16  # more than can be found at once
_GRACE = 60.0  # seconds beside those for listening
_A_SECOND = 10  # addresses asked, at the very least
_USUAL_PORTS = (*range(9100, 9110), 6101)  # of print servers with several printers; of Zebra's

_COMPLAINT = re.compile(r"^printerbridge: (.+)$", re.MULTILINE)

_Several = list[str] | None


def discover(
    context: typer.Context,
    network: Annotated[
        _Several,
        typer.Option("--network", metavar="CIDR", help="Ask each of its addresses by SNMP, too; may be repeated."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, max=120, help="How long to listen for announcements; 0: not at all.")
    ] = 5,
    interface: Annotated[
        _Several,
        typer.Option(
            "--interface", metavar="ADDRESS", help="Listen only on the link of this own address; may be repeated."
        ),
    ] = None,
    snmp_community: Annotated[
        str, typer.Option("--snmp-community", help="The community that agents answer; - reads it from standard input.")
    ] = "public",
    snmp_port: Annotated[
        int, typer.Option("--snmp-port", min=1, max=65535, help="The UDP port of their agents.")
    ] = 161,
    add: Annotated[
        _Several, typer.Option("--add", metavar="NAME", help="Make the entry proposed by this name; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for printers in the network.  Nothing is printed, and nobody may print on what --add makes yet."""
    from appliance import discovered  # what servers, which are started by the same commands, need not hold
    from appliance.doctor.network import own_interfaces

    settings = context.obj.settings()
    community = shell.read_password("community") if snmp_community == "-" else snmp_community
    words = ["discover", "--seconds", str(seconds), "--snmp-community", "-", "--snmp-port", str(snmp_port)]
    words += [word for one in network or () for word in ("--network", one)]
    words += [word for one in interface or () for word in ("--interface", one)]
    patience = _GRACE + seconds + _asked(network or ()) / _A_SECOND

    async def work(desk: Desk) -> tuple[list[Proposed], list[str]]:
        entries = [standing.printer for standing in await desk.printers(COMMAND_LINE)]
        looking = _looked(context.obj.file, words, community, min(3600.0, patience))
        (found, notes), hosts = await asyncio.gather(looking, _hosts(entries))
        found = [discovered.with_snmp(one, Snmp.V1, snmp_community, snmp_port) for one in found]
        proposed = discovered.propose(found, entries, hosts, own_interfaces())
        for one in _chosen(proposed, add or ()):
            entry = one.entry(settings.domains)
            asked = "snmp_community" in one.found.fields
            await desk.add(COMMAND_LINE, replace(entry, snmp_community=community) if asked else entry)
        return proposed, notes

    proposed, notes = cli_printer.at_desk(settings, work)
    for note in notes:
        typer.echo(note, err=True)
    if as_json:
        shell.show_json([one.as_json() for one in proposed])
        return
    for one in proposed:
        typer.echo("\n".join(_shown(one, added=one.name in (add or ()))))
    if not proposed:
        typer.echo("No printer was found; name a network to ask in: printpost printer discover --network 192.0.2.0/24")


def _asked(networks: Sequence[str]) -> int:
    """How many addresses are in them; the command ends if one is no network."""
    try:
        return sum(read_network(one).num_addresses for one in networks)
    except ValueError as error:
        shell.fail(f"--network: {error}; write it like 192.0.2.0/24", 2)


def _chosen(proposed: Sequence[Proposed], names: Sequence[str]) -> list[Proposed]:
    """Those to be added; the command ends if one of the names cannot be."""
    by_name = {one.name: one for one in proposed}
    for name in names:
        if name not in by_name:
            shell.fail(f"no printer was found that would be called {clean(name, 63)!a}; run it without --add to see",
                       os.EX_DATAERR)  # fmt: skip
        if by_name[name].known:
            shell.fail(f"{name} has an entry already: printpost printer show {name}", os.EX_DATAERR)
        if "languages" not in by_name[name].found.fields:
            shell.fail(
                f"{name} does not say which languages it speaks: take its command, with --language from its manual",
                os.EX_DATAERR,
            )
    return [by_name[name] for name in dict.fromkeys(names)]


def _shown(one: Proposed, *, added: bool) -> list[str]:
    found = one.found
    what = [
        found.fields.get("model", ""),
        f"at {found.uri.removeprefix('socket://')}",
        found.fields.get("location", ""),
    ]
    head = f"{one.name}  {', '.join(word for word in what if word)} ({', '.join(found.found_by)})"
    if one.known:
        return [f"{head}: it has an entry"]
    lines = [head]
    if found.serial or found.host:
        lines.append("  " + ", ".join(f"{word} {text}" for word, text in (("serial number", found.serial),
                                                                         ("host", found.host)) if text))  # fmt: skip
    if found.duplex:
        lines.append("  prints on both sides")
    if not found.port_told:
        lines.append("  it did not say that it has port 9100: look at its configuration page")
    if (port := urlsplit(found.uri).port) not in _USUAL_PORTS:
        lines.append(f"  port {port} is unusual: make sure that a printer listens there, for mails would be sent to it")
    if one.elsewhere:
        lines.append("  its address is on no network of this machine, though it was announced on one: who says so?")
    if "languages" not in found.fields:
        others = f"only of {', '.join(found.other_languages)}" if found.other_languages else "of none"
        lines.append(f"  it speaks {others}, as far as it says: look into its manual for what to write for WHICH")
    return [*lines, "  it has an entry now" if added else f"  {shlex.join(one.command())}"]


async def _looked(
    file: Path | None, words: Sequence[str], community: str, patience: float
) -> tuple[list[Found], list[str]]:
    """What the bridge's process found, and its notes.  The command ends as that does if it cannot look."""
    option = ["--config", str(file)] if file else []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "printerbridge", *option, *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    try:
        async with asyncio.timeout(patience):
            process.stdin.write(f"{community}\n".encode())
            process.stdin.close()
            (found, notes, whole), complaint = await asyncio.gather(_read(process.stdout), process.stderr.read(_LINE))
            status = await process.wait()
    except TimeoutError:
        shell.fail(f"looking for printers took longer than {patience:.0f} s and was ended", os.EX_TEMPFAIL)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status or not whole:
        said = _COMPLAINT.search(complaint.decode(errors="replace"))
        text = clean(said[1], 300) if said else "the bridge's process broke off looking for printers"
        shell.fail(text, status if said and status else os.EX_SOFTWARE)
    return found, notes


async def _read(lines: asyncio.StreamReader) -> tuple[list[Found], list[str], bool]:
    """Printers, notes, and whether the end was reached."""
    from appliance.discovered import Found, read

    found: list[Found] = []
    notes: list[str] = []
    for _ in range(_LINES):
        try:
            line = await lines.readline()
            if not line:
                break
            told = read(line)
        except ValueError:  # one line that cannot be meant, or is too long, costs the others nothing
            continue
        if told is None:
            return found, notes, True
        if isinstance(told, Found):
            found.append(told)
        else:
            notes.append(told)
    return found, notes, False


async def _hosts(entries: Sequence[Printer]) -> Mapping[str, Sequence[str]]:
    """The addresses of the names that entries dial."""
    from appliance.doctor.network import all_resolved

    return await all_resolved(host for entry in entries if entry.uri and (host := urlsplit(entry.uri).hostname))
