"""Guessing passwords at submission, over many connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.guessing import DELAYED, DELAYS, LONGEST, Guesses
from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.server import start_smtp
from tests.smtp_client import DEADLINE, PASSWORDS, Site, Wire, site, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

GUESSER, OTHER = "127.0.0.2", "127.0.0.3"
FREE = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("smtp")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def receiver(house: Site) -> AsyncIterator[Receiver]:
    made = await start_smtp(
        house.settings(),
        house.store,
        house.directory,
        people=house.people,
        certificate=house.certificate,
        limits=Limits(denial_seconds=0),
        guesses=Guesses(FREE, first=1e-4),
    )
    try:
        yield made
    finally:
        await made.close(1.0)


async def log_in(receiver: Receiver, by: str, trusting: ssl.SSLContext, name: str, password: str) -> str:
    """What is answered to a login on a connection of its own, and "closed" behind it if nothing more can be said."""
    where = receiver.addresses["submissions"]
    reader, writer = await asyncio.open_connection(
        *where, ssl=trusting, server_hostname="localhost", local_addr=(by, 0)
    )
    try:
        client = Wire(reader, writer)
        await client.reply()
        answer = await client.log_in(name, password)
        return answer if not answer.startswith("454") else f"{answer}{(await client.closed()).decode()} closed"
    finally:
        writer.transport.abort()


async def test_guesses_are_counted_over_all_connections(house: Site, receiver: Receiver) -> None:
    trusting = house.trusting
    tries = [log_in(receiver, GUESSER, trusting, "ada", f"guess {number}") for number in range(FREE + DELAYS)]
    assert {answer[:9] for answer in await asyncio.gather(*tries)} == {"535 5.7.8"}
    more = "454 4.7.0 too many wrong passwords; wait five minutes and try again closed"
    assert await log_in(receiver, GUESSER, trusting, "ada", PASSWORDS["ada"]) == more
    assert await log_in(receiver, GUESSER, trusting, "root", "guess") == more
    assert await log_in(receiver, OTHER, trusting, "ada", PASSWORDS["ada"]) == "235 2.7.0 welcome"


async def test_going_down_waits_for_no_guesser(house: Site) -> None:
    made = await start_smtp(
        house.settings(),
        house.store,
        house.directory,
        people=house.people,
        certificate=house.certificate,
        limits=Limits(denial_seconds=0),
        guesses=Guesses(1, first=LONGEST),
    )
    try:
        trusting = house.trusting
        assert (await log_in(made, GUESSER, trusting, "ada", "guess")).startswith("535 ")
        before = DELAYED._value.get()
        waiting = [asyncio.create_task(log_in(made, GUESSER, trusting, "ada", "guess")) for _ in range(3)]
        await until(lambda: DELAYED._value.get() > before)
    finally:
        async with asyncio.timeout(DEADLINE):
            await made.close(1.0)
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_who_knows_the_password_is_not_shut_out_by_a_neighbour(house: Site, receiver: Receiver) -> None:
    trusting = house.trusting
    assert await log_in(receiver, GUESSER, trusting, "ada", PASSWORDS["ada"]) == "235 2.7.0 welcome"
    for number in range(FREE + DELAYS):
        await log_in(receiver, GUESSER, trusting, f"user{number}", "guess")
    assert (await log_in(receiver, GUESSER, trusting, "root", PASSWORDS["root"])).startswith("454 ")
    assert await log_in(receiver, GUESSER, trusting, "ada", PASSWORDS["ada"]) == "235 2.7.0 welcome"
