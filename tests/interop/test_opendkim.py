"""Postfix and OpenDKIM sign, and what they sign is proved at our door by the key in a real name server."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mailstore.directory.records import Printer
from mailstore.job import Proof
from tests.dns_server import dns_server
from tests.interop.cups import open_to_others
from tests.interop.opendkim import opendkim
from tests.interop.postfix import logged, postfix
from tests.interop.test_postfix import hand_on
from tests.printshop import POSTSCRIPT, message
from tests.signing import merged, rsa_signer
from tests.smtp_client import Site, site

pytestmark = [pytest.mark.interop, pytest.mark.slow]

GRACE = "grace@example.org"
KEY = rsa_signer("example.org", "mail")
RECORDS = merged(KEY.published(), {"_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject"]}})
OFFICE = Printer(name="office", addresses=("office@example.com",), uri="socket://192.0.2.1:9100", allow=("*",))
OUTSIDE = ("198.51.100.0/24",)
"""The site's networks, which loopback is not in."""


@pytest.fixture
async def printers(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pp-opendkim-"))
    open_to_others(made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def letter(author: str) -> bytes:
    fields, empty, body = message(POSTSCRIPT * 200, subject="the plan").partition(b"\r\n\r\n")
    kept = [line for line in fields.split(b"\r\n") if not line.lower().startswith((b"from:", b"to:"))]
    return b"\r\n".join([f"From: Grace <{author}>\r\nTo: <office@example.com>".encode(), *kept]) + empty + body


def submit(port: int, octets: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        assert client.sendmail(GRACE, ["office@example.com"], octets) == {}


@pytest.mark.parametrize("canonicalization", ["relaxed/relaxed", "relaxed/simple", "simple/simple", "simple/relaxed"])
async def test_what_opendkim_signs_prints(printers: Site, folder: Path, canonicalization: str) -> None:
    signer = opendkim(
        folder, domain=KEY.domain, selector=KEY.selector, private=KEY.private, canonicalization=canonicalization
    )
    await printers.directory.add(OFFICE, None)
    with dns_server(RECORDS) as dns:
        async with (
            printers.receiver(networks=OUTSIDE, dns=(dns.address,)) as receiver,
            signer as milter,
            postfix(folder, hand_on(receiver.address[1]) | milter) as entry,
        ):
            await asyncio.to_thread(submit, entry, letter(GRACE))
            await logged(folder, "to=<office@example.com>", "status=sent")
            await asyncio.to_thread(submit, entry, letter("mallory@example.net"))
            await logged(folder, "to=<office@example.com>", "status=bounced", "550 5.7.1")
    (job,) = await printers.store.jobs(printer="office")
    assert (job.proof, job.proved, job.trust) == (Proof.DKIM, GRACE, "verified")
