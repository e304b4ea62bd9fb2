"""Rules that name a group, through real SMTP: the groups are those of a site's own directory.

Clients are in the site's networks, which answer for what they say, so nothing but the groups decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.desk import COMMAND_LINE, Desk
from appliance.smtp.receiver import Receiver
from appliance.smtp.server import start_smtp
from appliance.supposing import Supposed
from appliance.tls import open_certificate
from mailstore.directory.contract import People
from mailstore.directory.records import Person, Printer
from mailstore.failure import TransientFailure
from mailstore.job import JobState
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.sql import SqlStore, open_store
from tests.directory_server import ForeignDirectory, foreign_directory, running_directory, short_folder
from tests.smtp_client import settings, wire
from tests.test_people import like_unix
from tests.test_site_groups import dn, group, unit

pytestmark = pytest.mark.slow

DEVICE = "socket://192.0.2.50:9100"  # nobody dials it here
SITE = (
    unit("groups")
    + like_unix("grace", "grace@corp.example")
    + like_unix("eve", "eve@corp.example")
    + like_unix("ada", "ada@corp.example")
    + like_unix("long", "long@corp.example")
    .replace("uid: long", "uid: long@corp.example")
    .replace("uid=long", "cn=Long")
    + group("groupOfNames", "Lehrkräfte", dn("grace")).replace("cn=Lehrkräfte", "cn=Lehrkra\\CC\\88fte")
    + group("groupOfNames", "Pupils", dn("eve"), dn("ada"), dn("long").replace("uid=long", "cn=Long"))
)
"""Our own user ada is another than theirs, and whoever is called long@corp.example has no name to log in by."""
PUPILS = ("eve@corp.example", "eve+homework@corp.example", "ada@corp.example", "long@corp.example")


def printer(name: str, *allow: str, **more: object) -> Printer:
    known = {"uri": DEVICE, "allow": allow, **more}
    return Printer(name=name, addresses=(f"{name}@example.com",), **known)  # type: ignore[arg-type]


MADE = (
    printer("staffroom", "group:lehrkräfte"),
    printer("open", "*", deny=("group:pupils",)),
    printer("library", "*"),
    printer("closed"),
    printer("floor", "group:lehrkräfte", uri="", members=("closed", "library")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    receiver: Receiver
    desk: Desk
    store: SqlStore
    people: People
    foreign: ForeignDirectory

    async def rcpt(self, sender: str, name: str) -> str:
        async with wire(self.receiver) as client:
            await client.reply()
            for command in ("EHLO client.example.net", f"MAIL FROM:<{sender}>"):
                assert (await client.ask(command)).startswith("250")
            return await client.ask(f"RCPT TO:<{name}@example.com>")

    async def allowed(self, sender: str, name: str) -> bool:
        """What SMTP says, with which the desk agrees."""
        reply = await self.rcpt(sender, name)
        assert reply.startswith(("250 ", "550 5.7.1 ")), reply
        answer = await self.desk.try_sender(COMMAND_LINE, name, Supposed(sender=sender))
        assert answer.allowed is reply.startswith("250"), answer.sentence
        return answer.allowed


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = settings(tmp_path / "store")
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(running_directory(tmp_path))
        foreign = await stack.enter_async_context(foreign_directory(tmp_path, entries=SITE, only_people=True))
        people = await stack.enter_async_context(running.people(foreign.people()))
        await people.add(Person(name="ada", addresses=("ada@example.com",)), "correct horse")
        for entry in MADE:
            await running.appliance.add(entry, None)
        runtime = stack.enter_context(short_folder())
        store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        stack.push_async_callback(store.close)
        certificate = open_certificate(made)
        receiver = await start_smtp(made, store, running.appliance, people=people, certificate=certificate)
        stack.push_async_callback(receiver.close, 5.0)
        desk = Desk(made, store, running.appliance, people)
        yield House(receiver=receiver, desk=desk, store=store, people=people, foreign=foreign)


async def test_a_group_of_the_sites_directory_lets_in_and_keeps_out(house: House) -> None:
    for name in ("staffroom", "open", "floor"):
        assert await house.allowed("grace@corp.example", name)
        for pupil in PUPILS:
            assert not await house.allowed(pupil, name), pupil
    assert await house.allowed("grace+a4@corp.example", "staffroom")
    assert not await house.allowed("nobody@corp.example", "staffroom")
    assert await house.allowed("nobody@corp.example", "open")
    assert not await house.allowed("grace@corp.example", "closed")


async def test_while_the_directory_is_down_nobody_is_taken_for_not_in_a_group(house: House) -> None:
    house.foreign.process.kill()
    await house.foreign.process.wait()
    for name in ("staffroom", "open", "floor"):
        assert (await house.rcpt("eve@corp.example", name)).startswith("451 4.4.3 ")
        with pytest.raises(TransientFailure):
            await house.desk.try_sender(COMMAND_LINE, name, Supposed(sender="eve@corp.example"))
    assert await house.allowed("eve@corp.example", "library"), "no rule names a group"


async def test_what_a_group_of_printers_let_in_its_sender_prints_again(house: House) -> None:
    grace = await house.people.person("grace")
    assert grace is not None
    draft = await house.store.draft()
    draft.write(b"Subject: a job\r\n\r\nText\r\n")
    envelope = Envelope(
        reverse_path=grace.addresses[0], client_ip="127.0.0.1", helo="localhost", trust="insider", documents=1
    )
    to = Recipient(maildrop="closed", address="floor+duplex@example.com", quota=1 << 20, fields=b"")
    number = (await house.store.accept(draft, envelope, [to]))[0]
    assert await house.store.cancel(number, "somebody")
    again = await house.desk.print_again(grace, number)
    job = await house.store.job(again)
    assert job is not None
    assert (job.printer, job.recipient, job.state) == ("closed", to.address, JobState.PENDING)
