"""A receiver behind another mail server, or a translator: nobody is an insider by his address, and it is not struck."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.smtp.client import Client
from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from mailstore.directory.records import Person, Printer
from tests.smtp_client import ADA, LETTER, Site, site, submission, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

LOOPBACK = Printer(
    name="loopback", addresses=("loopback@example.com",), allow=("ip:127.0.0.0/8",), uri="socket://192.0.2.200:9100"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("smtp")) as made:
        await made.directory.add(LOOPBACK, None)
        yield made


def paced(receiver: Receiver, ip: str, login: Person | None = None) -> list[bool]:
    client = Client(ip=ip, insider=False, login=login)
    return [receiver.site.paced(client, 0.0) for _ in range(3)]


@pytest.mark.parametrize("behind", ["mta", "nat"])
async def test_nobody_is_an_insider_by_his_address(house: Site, behind: str) -> None:
    async with house.receiver(behind=behind, max_size_outside=12345) as receiver:
        async with wire(receiver) as client:
            await client.reply()
            assert "SIZE 12345" in await client.ask("EHLO client.example.com")
            await client.ask("MAIL FROM:<ada@example.com>")
            assert (await client.ask("RCPT TO:<phaser360@example.com>")).startswith("550 5.7.1")
        async with wire(receiver) as client:
            await client.reply()
            answer = await client.mail(LETTER, "loopback@example.com")
        job = await house.store.job(int(answer.rpartition(" ")[2]))
        assert job is not None
        assert job.trust == "stranger"  # so it is drawn anew
        async with submission(house, receiver) as client:
            answer = await client.mail(LETTER)
        job = await house.store.job(int(answer.rpartition(" ")[2]))
        assert job is not None
        assert job.trust == "insider"


async def test_the_server_in_front_has_no_number_of_its_own(house: Site) -> None:
    limits = Limits(connections=4, connections_per_address=1, messages_per_minute=1)
    async with house.receiver(behind="mta", limits=limits) as receiver, contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            client = await stack.enter_async_context(wire(receiver))
            assert (await client.reply()).startswith("220 ")
        fifth = await stack.enter_async_context(wire(receiver))
        assert (await fifth.closed()).startswith(b"421 4.7.0 too many connections, come again later")
        assert paced(receiver, "127.0.0.1") == [True] * 3
        assert paced(receiver, "192.0.2.7") == [True, False, False]  # it does not come by that server


async def test_strangers_write_to_the_postmaster_together(house: Site) -> None:
    limits = Limits(postmaster_hourly=3, postmaster_hourly_per_client=1)
    async with house.receiver(behind="mta", limits=limits) as receiver:
        for _ in range(3):
            async with wire(receiver) as client:
                await client.reply()
                assert (await client.mail(LETTER, "postmaster@example.com")).startswith("250 ")


async def test_neither_the_site_nor_a_login_has_a_pace(house: Site) -> None:
    async with house.receiver(limits=Limits(messages_per_minute=2)) as receiver:
        assert paced(receiver, "127.0.0.1") == [True] * 3
        assert paced(receiver, "192.0.2.7", login=ADA) == [True] * 3
        assert paced(receiver, "192.0.2.7") == [True, True, False]
