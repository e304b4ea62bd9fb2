"""Exim hands mail on to the receiver: plain and under TLS, by DATA and by BDAT."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.exim import Exim, folder_for_exim
from tests.printshop import POSTSCRIPT, message
from tests.smtp_client import Site, site

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ADDRESS = "phaser360@example.com"
SENDER = "ada@example.com"
folder = pytest.fixture(folder_for_exim)

DOTS = b"Subject: dots\r\n\r\n" + b".\r\n..\r\n.a\r\n" * 2000 + b"the last line\r\n"
EIGHT_BIT = b"Subject: 8bit\r\n\r\n" + "Größe €\r\n".encode() * 100
LARGE = message(POSTSCRIPT * 200_000, subject="large")
BODIES = {"dots": DOTS, "8bit": EIGHT_BIT, "large": LARGE}


@pytest.fixture
async def printers(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


async def stored(printers: Site) -> dict[str, bytes]:
    """What each job's message is, by its subject."""
    return {
        job.name: b"".join([block async for block in printers.store.read(job.id)])
        for job in await printers.store.jobs(printer="phaser360")
    }


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("chunking", [False, True], ids=["data", "chunking"])
async def test_exim_delivers_octet_for_octet(printers: Site, folder: Path, tls: bool, chunking: bool) -> None:
    options = {"hosts_try_chunking": "*" if chunking else ""}
    if tls:
        trust = str(printers.certificate.files[0])
        options |= {"hosts_require_tls": "*", "tls_verify_certificates": trust, "tls_verify_hosts": "*"}
    else:
        options |= {"hosts_avoid_tls": "*"}
    async with printers.receiver() as receiver:
        exim = Exim(folder, receiver.address[1], options)
        for body in BODIES.values():
            await exim.take(body, SENDER, [ADDRESS], " BODY=8BITMIME")
        await exim.run_queue()
    delivered = [line for line in exim.log if "=> " in line]
    assert len(delivered) == len(BODIES), exim.log
    assert all(f"=> {ADDRESS} " in line for line in delivered)
    assert [" K " in line for line in delivered] == [chunking] * len(BODIES)  # BDAT was used
    assert [" CV=yes " in line for line in delivered] == [tls] * len(BODIES)
    kept = await stored(printers)
    assert sorted(kept) == sorted(BODIES)
    for name, body in BODIES.items():
        assert kept[name].endswith(body.partition(b"\r\n\r\n")[2])
        assert kept[name].count(b"by exim.example.com with local-esmtp") == 1  # its Received field stands below ours
        assert (b"with ESMTPS id" in kept[name].replace(b"\r\n\t", b" ")) == tls


async def test_exim_logs_in_and_sends_by_submissions(printers: Site, folder: Path) -> None:
    trust = str(printers.certificate.files[0])
    options = {
        "protocol": "smtps",
        "hosts_require_auth": "*",
        "tls_verify_certificates": trust,
        "tls_verify_hosts": "*",
    }
    async with printers.receiver() as receiver:
        exim = Exim(folder, receiver.addresses["submissions"][1], options)
        with (folder / "exim.conf").open("a") as configuration:
            configuration.write(
                "begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n"
                "  client_send = ^ada^correct horse\n"
            )
        await exim.take(DOTS, SENDER, ["members@example.com"])
        await exim.run_queue()
    (delivered,) = [line for line in exim.log if "=> " in line]
    assert " A=plain" in delivered
    (job,) = await printers.store.jobs(printer="members")
    assert job.sender == SENDER


async def test_exim_sends_one_mail_to_many_and_from_nobody(printers: Site, folder: Path) -> None:
    async with printers.receiver() as receiver:
        exim = Exim(folder, receiver.address[1], {})
        await exim.take(DOTS, SENDER, [ADDRESS, "colour@example.com", "color@example.com"])
        await exim.take(EIGHT_BIT, "", ["postmaster@example.com", ADDRESS], " BODY=8BITMIME")
        await exim.run_queue()
    fates = [line.split()[3:5] for line in exim.log if {"=>", "->", "**", "=="} & set(line.split()[3:4])]
    assert sorted(fates) == [
        ["**", ADDRESS],  # nobody has proved to be a sender that it allows
        *(["->", address] for address in ("color@example.com", "colour@example.com")),
        *(["=>", address] for address in (ADDRESS, "postmaster@example.com")),
    ]
    assert [job.printer for job in await printers.store.jobs()] == ["colour", "phaser360"]  # by both its addresses once


async def test_exim_sends_internationalized_mail(printers: Site, folder: Path) -> None:
    async with printers.receiver() as receiver:
        exim = Exim(folder, receiver.address[1], {})
        await exim.take("Subject: Größe\r\n\r\nx\r\n".encode(), "größe@example.com", [ADDRESS], " SMTPUTF8")
        await exim.run_queue()
    (job,) = await printers.store.jobs(printer="phaser360")
    assert (job.sender, job.name) == ("größe@example.com", "Größe")


async def test_exim_keeps_what_is_deferred_and_gives_up_what_is_refused(printers: Site, folder: Path) -> None:
    async with printers.receiver() as receiver:
        exim = Exim(folder, receiver.address[1], {})
        await printers.store.set_accepting("phaser360", False)
        await exim.take(DOTS, SENDER, [ADDRESS])
        await exim.take(EIGHT_BIT, SENDER, ["nobody@example.com"], " BODY=8BITMIME")
        await exim.run_queue()
        (deferred,) = [line for line in exim.log if f"== {ADDRESS}" in line]
        assert "450 4.2.1 the printer takes no jobs now" in deferred
        (bounced,) = [line for line in exim.log if "** nobody@example.com" in line]
        assert "550 5.1.1 no such printer here" in bounced
        await printers.store.set_accepting("phaser360", True)
        await exim.run_queue()
    (job,) = await printers.store.jobs(printer="phaser360")
    assert job.name == "dots"
