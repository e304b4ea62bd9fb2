"""Addresses to give away from their making to their end: through the desk, real SMTP, a real store and directory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from appliance.capabilities import Capabilities, Given
from appliance.desk import COMMAND_LINE
from appliance.smtp.receiver import Receiver
from mailstore.directory.records import PrintLimits
from mailstore.job import JobState, Proof
from mailstore.store.admission import Capability
from tests.dns_server import DnsServer, dns_server
from tests.smtp_client import Site, site, wire
from tests.test_smtp_policy import ADA, BOB, NO_TOKEN, OUTSIDE, RECORDS, job, letter, mail, number, printer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MADE = (
    printer("office"),
    printer("strict", deny=("@example.org",)),
    printer("east"),
    printer("west"),
    printer("both", uri="", members=("east", "west")),
)


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with dns_server(RECORDS) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("tokens")) as made:
        for entry in MADE:
            await made.directory.add(entry, None)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(house: Site, dns: DnsServer) -> AsyncIterator[Receiver]:
    """All clients are strangers, and Bob's domain says that none of them is its mail server."""
    async with house.receiver(networks=OUTSIDE, dns=(dns.address,)) as made:
        yield made


async def give(house: Site, name: str = "office", *, max_jobs: int = 0, max_pages: int = 0) -> Given:
    those = Capabilities(house.store, house.directory)
    return await those.make(COMMAND_LINE, name, max_jobs=max_jobs, max_pages=max_pages)


async def now(house: Site, given: Given) -> Capability:
    those = Capabilities(house.store, house.directory)
    return await those.one(COMMAND_LINE, given.capability.printer, given.capability.id)


def local(given: Given, *options: str) -> str:
    """The part before the @, with options behind it."""
    return "+".join((given.address.removesuffix("@example.com"), *options))


async def print_by(receiver: Receiver, given: Given, *options: str) -> str:
    return await mail(receiver, BOB, local(given, *options), message=letter(BOB))


async def test_from_its_making_to_its_revocation(house: Site, outside: Receiver) -> None:
    given = await give(house)
    plain = await mail(outside, BOB, "office", message=letter(BOB))
    assert plain.startswith("550 5.7.1 ")
    found = await job(house, await print_by(outside, given, "copies=2"))
    assert (found.printer, found.trust, found.proof, found.proved) == ("office", "verified", Proof.TOKEN, "")
    assert (found.recipient, found.capability) == ("office+copies=2@example.com", given.capability.id)
    assert not found.answerable
    assert await house.store.count_pages(found.id, 4, PrintLimits()) == ""
    used = await now(house, given)
    assert (used.jobs, used.pages) == (1, 4)
    await Capabilities(house.store, house.directory).revoke(COMMAND_LINE, given.capability.id)
    assert await print_by(outside, given) == NO_TOKEN
    kept = await house.store.job(found.id)
    assert kept is not None
    assert kept.state is JobState.PENDING


async def test_case_means_nothing(outside: Receiver, house: Site) -> None:
    given = await give(house)
    assert (await mail(outside, BOB, local(given).upper(), message=letter(BOB))).startswith("250 ")


async def test_so_many_jobs(house: Site, outside: Receiver) -> None:
    given = await give(house, max_jobs=2)
    for _ in range(2):
        number(await print_by(outside, given))
    assert await print_by(outside, given) == NO_TOKEN
    assert (await now(house, given)).why_not(time.time()) == "it has had all its jobs"


async def test_two_at_once_do_not_share_the_last_job(house: Site, outside: Receiver) -> None:
    given = await give(house, max_jobs=1)
    async with wire(outside) as first, wire(outside) as second:
        for client in (first, second):
            await client.reply()
            await client.ask("EHLO client.example.net")
            await client.ask(f"MAIL FROM:<{BOB}>")
            assert await client.ask(f"RCPT TO:<{given.address}>") == "250 2.1.5 recipient ok"
            assert (await client.ask("DATA")).startswith("354 ")
        await first.send(letter(BOB) + b".\r\n")
        number(await first.reply())
        await second.send(letter(BOB) + b".\r\n")
        assert (await second.reply()).startswith("550 5.7.1 this address lets nobody print: it has had all its jobs")
    assert (await now(house, given)).jobs == 1


async def test_one_that_is_revoked_while_the_mail_comes(house: Site, outside: Receiver) -> None:
    given = await give(house)
    async with wire(outside) as client:
        await client.reply()
        await client.ask("EHLO client.example.net")
        await client.ask(f"MAIL FROM:<{BOB}>")
        await client.ask(f"RCPT TO:<{given.address}>")
        await client.ask("DATA")
        await Capabilities(house.store, house.directory).revoke(COMMAND_LINE, given.capability.id)
        await client.send(letter(BOB) + b".\r\n")
        assert (await client.reply()).startswith("550 5.7.1 this address lets nobody print: it was revoked")
    assert (await now(house, given)).jobs == 0


async def test_so_many_pages(house: Site, outside: Receiver) -> None:
    given = await give(house, max_pages=5)
    first, second = [await job(house, await print_by(outside, given)) for _ in range(2)]
    assert await house.store.count_pages(first.id, 4, PrintLimits()) == ""
    assert "pages" in await house.store.count_pages(second.id, 4, PrintLimits())
    assert (await now(house, given)).pages == 4
    assert (await print_by(outside, given)).startswith("250 ")  # one page is left
    assert await house.store.count_pages(second.id, 1, PrintLimits()) == ""
    assert await print_by(outside, given) == NO_TOKEN


async def test_deny_rules_still_count(house: Site, outside: Receiver) -> None:
    given = await give(house, "strict")
    answer = await print_by(outside, given)
    assert answer.startswith("550 5.7.1 ")
    assert answer != NO_TOKEN
    assert (await now(house, given)).jobs == 0


async def test_of_a_group(house: Site, outside: Receiver) -> None:
    given = await give(house, "both")
    answer = await print_by(outside, given)
    assert answer.startswith("250 ")
    jobs = [one for one in await house.store.jobs() if one.printer in ("east", "west")]
    assert {one.printer for one in jobs} == {"east", "west"}
    assert {(one.recipient, one.capability) for one in jobs} == {("both@example.com", given.capability.id)}
    for name in ("east", "west"):  # of the members it opens none
        assert await mail(outside, BOB, local(given).replace("both", name), message=letter(BOB)) == NO_TOKEN


async def test_a_mail_for_a_group_counts_once(house: Site, outside: Receiver) -> None:
    given = await give(house, "both", max_jobs=1)
    assert (await print_by(outside, given)).startswith("250 ")
    assert (await now(house, given)).jobs == 1
    assert await print_by(outside, given) == NO_TOKEN


async def test_who_is_proved_besides_may_be_answered(house: Site, outside: Receiver) -> None:
    given = await give(house)
    found = await job(house, await mail(outside, ADA, local(given), message=letter(ADA)))
    assert (found.proof, found.proved, found.answerable) == (Proof.TOKEN, ADA, True)
