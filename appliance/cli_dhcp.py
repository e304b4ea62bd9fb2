"""`printpost printer dhcp-config`: printers' network facts for the site's own DHCP, BOOTP or RARP server."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Annotated

import typer

from appliance import cli_printer, dhcp, shell
from appliance.desk import COMMAND_LINE
from appliance.dhcp import Format
from mailstore.directory.records import Printer
from mailstore.header import clean


def dhcp_config(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Printers; default: all that have a hardware address."),
    ] = None,
    style: Annotated[Format, typer.Option("--format", help="Whose words.")] = Format.DNSMASQ,
    bridge: Annotated[
        list[str] | None,
        typer.Option(
            "--bridge",
            metavar="ADDRESS",
            help="Who may print: the address from which the bridge dials; default: this machine's. May be repeated.",
        ),
    ] = None,
    tftp_server: Annotated[
        str, typer.Option("--tftp-server", metavar="ADDRESS", help="Who has the files; default: the DHCP server.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FOLDER", file_okay=False,
                     help="The TFTP server's root: write the cards' configuration files there, and name them."),
    ] = None,
) -> None:  # fmt: skip
    """Write reservations for DHCP, BOOTP or RARP, and files that let only the bridge into JetDirect cards."""
    allowed = [_address(text, "--bridge") for text in bridge or ()]
    tftp = _address(tftp_server, "--tftp-server") if tftp_server else None
    if len(allowed) > dhcp.MOST_ALLOWED:
        shell.fail(f"a JetDirect card lets in {dhcp.MOST_ALLOWED} addresses at most: give fewer --bridge", 2)
    if output and style is Format.ETHERS:
        shell.fail("RARP tells addresses only, and names no file: leave away --output, or take another --format", 2)

    found = cli_printer.at_desk(context.obj.settings(), lambda desk: desk.printers(COMMAND_LINE))
    chosen = _chosen([standing.printer for standing in found], names)
    told = {printer.name: dhcp.lacking(printer, style) for printer in chosen}
    for sentence in filter(None, told.values()):
        typer.echo(f"printpost: {sentence}", err=True)
    whole = [printer for printer in chosen if not told[printer.name]]
    if names and len(whole) < len(chosen):
        raise typer.Exit(os.EX_DATAERR)
    if not whole:
        shell.fail("no printer has network facts enough: printpost printer set NAME --hardware-address"
                   " 00:00:5e:00:53:01 --network-address 192.0.2.7 --netmask 255.255.255.0", os.EX_DATAERR)  # fmt: skip
    for printer in whole if output else ():
        assert output
        _write(output / dhcp.file_name(printer), dhcp.jetdirect(printer, allowed or [_own(printer)]))
    reservations = [dhcp.reservation(printer, file=output is not None, tftp=tftp) for printer in whole]
    typer.echo(dhcp.written(style, reservations), nl=False)


def _chosen(printers: Sequence[Printer], names: Sequence[str] | None) -> list[Printer]:
    """Those that are named, or those whose hardware address is known."""
    if not names:
        return [printer for printer in printers if printer.hardware_address]
    known = {printer.name: printer for printer in printers}
    for name in names:
        if name.lower() not in known:
            shell.fail(
                f"there is no printer {clean(name, 63)!a}; printpost printer list shows those there are", os.EX_NOUSER
            )
    return [known[name] for name in dict.fromkeys(name.lower() for name in names)]


def _own(printer: Printer) -> IPv4Address:
    """The address of this machine from which a connection to the printer would come; the command ends without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((printer.network_address, 9))  # which sends nothing
            own = IPv4Address(probe.getsockname()[0])
        except OSError:
            own = IPv4Address(0)
    if own.is_unspecified or own.is_loopback:
        shell.fail(
            f"this machine has no address towards {printer.network_address}: say with --bridge who may print",
            os.EX_DATAERR,
        )
    return own


def _write(path: Path, text: str) -> None:
    """For the TFTP server to read: it serves what everybody may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")
    path.chmod(0o644)


def _address(text: str, option: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        shell.fail(f"{option} {clean(text, 50)!a} is not an IPv4 address: write it like 192.0.2.10", 2)
