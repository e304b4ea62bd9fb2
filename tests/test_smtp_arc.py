"""ARC through real SMTP: what a forwarder saw counts where the site names him, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from mailstore.directory.records import Printer
from mailstore.job import Proof
from tests.dns_server import DnsServer, dns_server
from tests.signing import mail, merged, rsa_signer
from tests.smtp_client import Site, site, wire
from tests.test_mailauth import ADA, PRINTER

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

FORWARDER = rsa_signer("lists.example.net")
SEEN = f"dmarc=pass (p=reject) header.from={ADA.partition('@')[2]}"
NAME, _, DOMAIN = PRINTER.partition("@")


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    rejecting = {f"_dmarc.{ADA.partition('@')[2]}": {"TXT": ["v=DMARC1; p=reject"]}}
    with dns_server(merged(FORWARDER.published(), rejecting)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("arc")) as made:
        device = "socket://192.0.2.50:9100"  # nobody dials it here
        entry = Printer(name="sealed", addresses=(PRINTER,), uri=device, allow=(f"from:{ADA}",))
        await made.directory.add(entry, None)
        yield made


async def send(house: Site, dns: DnsServer, message: bytes, *forwarders: str) -> str:
    apart = {"networks": ("192.0.2.0/24",), "domains": (DOMAIN,)}
    async with (
        house.receiver(dns=(dns.address,), forwarders=forwarders, **apart) as receiver,
        wire(receiver) as client,
    ):
        await client.reply()
        await client.ask("EHLO lists.example.net")
        await client.ask("MAIL FROM:<bounces@lists.example.net>")
        await client.ask(f"RCPT TO:<{PRINTER}>")
        assert (await client.ask("DATA")).startswith("354")
        await client.send(message + b".\r\n")
        return await client.reply()


async def test_what_a_trusted_forwarder_saw_proves_the_author_once(house: Site, dns: DnsServer) -> None:
    sealed = FORWARDER.seal(mail() + b"-- \r\nsent by a list\r\n", SEEN)
    reply = await send(house, dns, sealed, "lists.example.net")
    found = re.fullmatch(r"250 2\.0\.0 accepted as job (\d+)", reply)
    assert found, reply
    job = await house.store.job(int(found[1]))
    assert job is not None
    assert (job.trust, job.proof, job.proved, job.answerable) == ("verified", Proof.ARC, ADA, False)
    assert (await send(house, dns, sealed, "lists.example.net")).startswith(("550 5.7.1", "250 2.0.0 accepted before"))


@pytest.mark.parametrize("forwarders", [(), ("other.example.net",)])
async def test_whoever_is_not_named_proves_nothing(house: Site, dns: DnsServer, forwarders: tuple[str, ...]) -> None:
    sealed = FORWARDER.seal(mail() + b"-- \r\nsent by nobody\r\n", SEEN)
    assert (await send(house, dns, sealed, *forwarders)).startswith("550 5.7.1")


async def test_a_forwarder_who_saw_it_fail_proves_nothing(house: Site, dns: DnsServer) -> None:
    sealed = FORWARDER.seal(mail(), SEEN.replace("pass", "fail"))
    assert (await send(house, dns, sealed, "lists.example.net")).startswith("550 5.7.1")
