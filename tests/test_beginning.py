"""What MAIL and RCPT say of reports and of the submitter, from the wire to the job's record."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.smtp.beginning import begin
from appliance.smtp.client import Client
from appliance.smtp.receiver import Receiver
from appliance.smtp.transaction import Transaction
from mailstore.directory.records import Printer
from mailstore.job import Job
from tests.smtp_client import LETTER, Site, Wire, site, submission, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("beginning")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver(house: Site) -> AsyncIterator[Receiver]:
    async with house.receiver() as made:
        yield made


async def jobs_of(house: Site, client: Wire, mail: str, *rcpts: str) -> list[Job]:
    """The jobs, in the order of `rcpts`, of one mail after EHLO."""
    for command in (f"MAIL FROM:{mail}", *(f"RCPT TO:{rcpt}" for rcpt in rcpts)):
        assert (await client.ask(command)).startswith("250 "), command
    assert (await client.ask("DATA")).startswith("354 ")
    await client.send(LETTER + b".\r\n")
    reply = await client.reply()
    assert reply.startswith("250 2.0.0 accepted as job"), reply
    found = [await house.store.job(int(number)) for number in re.findall(r"\d+", reply.partition("job")[2])]
    return [job for job in found if job is not None]


async def test_what_is_said_of_reports_is_in_the_record_as_it_was_sent(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        first, second, third = await jobs_of(
            house,
            client,
            "<ada@example.com> SIZE=100 BODY=8BITMIME ret=hdrs ENVID=Qq+2B314159 AUTH=Ada+2BOne@example.com",
            "<phaser360@example.com> NOTIFY=failure,Delay ORCPT=rfc822;Printer+2BOne@Example.com",
            "<colour@example.com> ORCPT=x400;/S+3Dcolour",
            "<small@example.com> NOTIFY=NEVER",
        )
    for job in (first, second, third):
        assert (job.envid, job.ret, job.submitter) == ("Qq+2B314159", "HDRS", "Ada+2BOne@example.com")
    assert (first.notify, first.orcpt) == ("FAILURE,DELAY", "rfc822;Printer+2BOne@Example.com")
    assert (second.notify, second.orcpt) == ("", "x400;/S+3Dcolour")
    assert (third.notify, third.orcpt) == ("NEVER", "")
    assert (first.recipient, first.printer) == ("phaser360@example.com", "phaser360")


async def test_what_is_not_said_is_empty(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await jobs_of(
            house, client, "<ada@example.com> ENVID=1 RET=FULL AUTH=<>", "<phaser360@example.com> NOTIFY=NEVER"
        )
        await client.ask("RSET")
        (job,) = await jobs_of(house, client, "<ada@example.com>", "<phaser360@example.com>")
    assert (job.envid, job.ret, job.submitter, job.notify, job.orcpt) == ("", "", "", "", "")


async def test_an_address_beyond_ascii_in_orcpt(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        word = "<phaser360@example.com> ORCPT=utf-8;größe@example.com"
        (job,) = await jobs_of(house, client, "<ada@example.com> SMTPUTF8", word)
        assert job.orcpt == "utf-8;größe@example.com"
        await client.ask("MAIL FROM:<ada@example.com>")
        assert (await client.ask(f"RCPT TO:{word}")).startswith("501 5.5.4 ORCPT ")


async def test_a_domain_beyond_ascii_is_the_one_of_its_a_labels(house: Site) -> None:
    """RFC 6531 section 3.2: SMTPUTF8 brings U-labels, what is configured and kept in the directory is ASCII."""
    domain = "xn--bcher-kva.example"
    printer = Printer(name="foreign", addresses=(f"foreign@{domain}",), allow=("*",), deny=("eve@bücher.example",))
    await house.directory.add(printer, None)
    async with house.receiver(domains=(domain,)) as receiver, wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        for written in ("foreign+copies=2@bücher.example", "Foreign@BÜCHER.example", f"foreign@{domain}"):
            (job,) = await jobs_of(house, client, "<ada@example.com> SMTPUTF8", f"<{written}>")
            assert (job.printer, job.recipient) == ("foreign", written)
        for sender in ("eve@bücher.example", f"eve@{domain}"):
            assert (await client.ask(f"MAIL FROM:<{sender}> SMTPUTF8")).startswith("250 ")
            assert (await client.ask("RCPT TO:<foreign@bücher.example>")).startswith("550 5.7.1 ")
            for other in ("bucher.example", "\uff42ücher.example", "bücher.example.", "bücher\u3002example"):
                assert (await client.ask(f"RCPT TO:<foreign@{other}>"))[:5] in ("550 5", "501 5"), other
            await client.ask("RSET")


async def test_the_submitter_is_believed_of_logins_and_insiders_only(house: Site, receiver: Receiver) -> None:
    mail, rcpt = "<ada@example.com> AUTH=root@example.com", "<phaser360@example.com>"
    async with submission(house, receiver) as client:
        (job,) = await jobs_of(house, client, mail, rcpt)
    assert (job.submitter, job.login, job.sender) == ("root@example.com", "ada", "ada@example.com")
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        (job,) = await jobs_of(house, client, mail, rcpt)
    assert (job.submitter, job.login) == ("root@example.com", "")


@pytest.mark.parametrize(("said", "kept"), [(" AUTH=root@example.com", "<>"), (" AUTH=<>", "<>"), ("", "")])
async def test_of_a_stranger_it_counts_as_nobodys(receiver: Receiver, said: str, kept: str) -> None:
    stranger = Client(ip="192.0.2.1", insider=False, extended=True, max_size=1000)
    begun = begin(receiver.site, stranger, f"<eve@elsewhere.example>{said}")
    assert isinstance(begun, Transaction)
    assert begun.submitter == kept


@pytest.mark.parametrize("parameter", ["AUTH=root", "AUTH=root@example.com+0D+0AX:", "ENVID=a+0Ab", "RET=", "BODY=x"])
async def test_bad_values_begin_nothing(receiver: Receiver, parameter: str) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        assert (await client.ask(f"MAIL FROM:<ada@example.com> {parameter}")).startswith("501 5.5.4 ")
        assert (await client.ask("RCPT TO:<phaser360@example.com>")).startswith("503 ")
