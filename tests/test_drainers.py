"""Programs that fetch mail empty maildrops of printers and of people, plain and under TLS, octet for octet."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.drainers import Drain, Mailbox, fetchmail, getmail, mpop, mutt, run
from tests.pop3_house import FIELDS, SECRET, Pop3House, running_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

HEADER = b"From: Ada <ada@example.com>\r\nTo: phaser@print.example.com\r\nMessage-ID: <%d@example.com>\r\n\r\n"
BODIES = [
    b"%!PS-Adobe-3.0\r\n.\r\n..\r\n.show\r\nshowpage\r\n",
    b"".join(b"." * (n % 7) + b"x" * (n % 90) + b"\r\n" for n in range(5000)),
    b"From here on\r\n>From there\r\n" + bytes(range(128, 256)) * 7 + b"\r\n",
    "Größe: €\r\n".encode() * 10,
]
MAILS = [HEADER % number + body for number, body in enumerate(BODIES, 1)]
PROGRAMS = [fetchmail, mpop, getmail, mutt]
WAYS = [
    (drain, way, whose)
    for drain in PROGRAMS
    for way, whose in (("plain", "printer"), ("stls", "person"), ("pop3s", "person"), ("pop3s", "printer"))
    if (drain, way) != (getmail, "stls")
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def maildrop(house: Pop3House, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A log-in name, and the maildrop behind it."""
    name = await house.printer()
    if getattr(request, "param", "printer") == "printer":
        return name, name
    person = await house.person(f"p{name}")
    return person.name, person.maildrop


def mailbox(house: Pop3House, name: str, way: str, folder: Path, *, keep: bool = False) -> Mailbox:
    assert house.certificate
    port = house.secure_port if way == "pop3s" else house.port
    trust = house.certificate.files[0]
    return Mailbox(way=way, port=port, name=name, password=SECRET, trust=trust, folder=folder, keep=keep)


async def left(house: Pop3House, maildrop: str) -> int:
    await house.becomes_free(maildrop)
    held = await house.store.open_maildrop(maildrop, "test", 5.0)
    assert held
    await held.close()
    return len(held.entries)


@pytest.mark.parametrize(("drain", "way", "maildrop"), WAYS, indirect=["maildrop"])
async def test_a_program_fetches_and_deletes(
    house: Pop3House, maildrop: tuple[str, str], tmp_path: Path, drain: Drain, way: str
) -> None:
    name, drop = maildrop
    for mail in MAILS:
        await house.mail(drop, mail, FIELDS)
    got = await drain(mailbox(house, name, way, tmp_path))
    assert sorted(got) == sorted(FIELDS + mail for mail in MAILS)
    assert await left(house, drop) == 0
    assert await drain(mailbox(house, name, way, tmp_path)) == []


@pytest.mark.parametrize("way", ["plain", "pop3s"])
@pytest.mark.parametrize("drain", [fetchmail, mpop, getmail])
async def test_a_program_that_keeps_mail_on_the_server_takes_each_once(
    house: Pop3House, maildrop: tuple[str, str], tmp_path: Path, drain: Drain, way: str
) -> None:
    name, drop = maildrop
    here = mailbox(house, name, way, tmp_path, keep=True)
    for mail in MAILS[:2]:
        await house.mail(drop, mail, FIELDS)
    assert sorted(await drain(here)) == sorted(FIELDS + mail for mail in MAILS[:2])
    await house.mail(drop, MAILS[2], FIELDS)
    assert await drain(here) == [FIELDS + MAILS[2]]
    assert await drain(here) == []
    assert await left(house, drop) == 3


@pytest.mark.parametrize("drain", PROGRAMS)
async def test_a_program_fetches_a_large_mail(
    house: Pop3House, maildrop: tuple[str, str], tmp_path: Path, drain: Drain
) -> None:
    name, drop = maildrop
    noise = random.Random(1).randbytes(1 << 16).replace(b"\r", b".").replace(b"\n", b"..").replace(b"\0", b" ")
    lines = [b"." + noise[at : at + 120] for at in range(0, len(noise), 120)]
    large = HEADER % 1 + b"\r\n".join(lines * 320) + b"\r\n"
    assert len(large) > 20 << 20
    await house.mail(drop, large, FIELDS)
    (got,) = await drain(mailbox(house, name, "pop3s", tmp_path))
    assert got == FIELDS + large
    assert await left(house, drop) == 0


@pytest.mark.parametrize("way", ["stls", "pop3s"])
async def test_a_certificate_that_is_not_known_is_refused(house: Pop3House, tmp_path: Path, way: str) -> None:
    """Or else the tests above would prove nothing about TLS."""
    name = await house.printer()
    await house.mail(name, MAILS[0])
    port = house.secure_port if way == "pop3s" else house.port
    url = f"{'pop3s' if way == 'pop3s' else 'pop3'}://localhost:{port}/1"
    said = await run("curl", "-sS", "--ssl-reqd", "--user", f"{name}:{SECRET}", url, fine=(60,))
    assert b"self-signed certificate" in said or b"self signed certificate" in said


@pytest.mark.parametrize(("way", "maildrop"), [("stls", "printer"), ("pop3s", "person")], indirect=["maildrop"])
async def test_curl_logs_in_by_sasl(house: Pop3House, maildrop: tuple[str, str], tmp_path: Path, way: str) -> None:
    name, drop = maildrop
    await house.mail(drop, MAILS[0], FIELDS)
    here = mailbox(house, name, way, tmp_path)
    url = f"{'pop3s' if way == 'pop3s' else 'pop3'}://localhost:{here.port}/1"
    login = ("--login-options", "AUTH=PLAIN", "--user", f"{name}:{SECRET}")
    said = await run("curl", "-sS", "-v", "--ssl-reqd", "--cacert", str(here.trust), *login, url)
    assert b"> AUTH PLAIN" in said
    assert FIELDS + MAILS[0] in said
