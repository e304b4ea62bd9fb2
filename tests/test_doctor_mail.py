"""What doctor says of who brings the mail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.doctor import mail, processes, site
from appliance.doctor.finding import Finding, Level
from appliance.doctor.house import Check, House
from appliance.doctor.network import Answer
from appliance.proxy_protocol import LOCAL
from mailstore.config import Settings
from mailstore.store.contract import Envelope, Origin, Recipient, Role
from mailstore.store.sql import open_store
from tests.directory_server import short_folder
from tests.dns_server import Fault, dns_server, misbehaving

DOWN = Answer(heard=False, trouble="nothing listens", nobody=True)
INSIDE = "10.1.2.3"


def settings(folder: Path, networks: tuple[str, ...] = ("10.0.0.0/8",), **sections: Any) -> Settings:
    return Settings.model_validate(
        {
            "site": {"hostname": "print.example.com", "networks": networks},
            "store": {"url": f"sqlite:{folder}"},
            **sections,
        }
    )


async def found(check: Check, made: Settings, **more: Any) -> list[Finding]:
    return [finding async for finding in check(House(settings=made, appliance=DOWN, bridge=DOWN, **more))]


def origin(helo: str = "pc", sender: str = "ada@example.com", ip: str = INSIDE) -> Origin:
    return Origin(client_ip=ip, helo=helo, reverse_path=sender, messages=1)


SERVERS = [origin(helo=f"mail{number}.example.net") for number in range(mail.NAMES)]
SENDERS = [origin(sender=f"ada@example{number}.org") for number in range(mail.DOMAINS)]


@pytest.mark.parametrize(
    ("origins", "words"),
    [
        (SERVERS, "by 3 foreign names (mail0.example.net, mail1.example.net, mail2.example.net)"),
        (SENDERS, "for 5 foreign domains (example0.org, example1.org, example2.org, ...)"),
        ([*SERVERS, *SENDERS], "mail2.example.net) and for 5 foreign"),
    ],
)
def test_an_address_that_speaks_for_many(tmp_path: Path, origins: list[Origin], words: str) -> None:
    (crowd,) = mail.crowds(settings(tmp_path), origins)
    assert crowd.ip == INSIDE
    assert words in crowd.told()


@pytest.mark.parametrize(
    "origins",
    [
        [],
        SERVERS[1:],
        SENDERS[1:],
        [origin(helo=f"pc{number}.print.example.com") for number in range(9)],
        [origin(helo=name) for name in ("pc", "[10.1.2.3]", "[IPv6:fd00::1]", "10.1.2.3", "pc.local", "a.lan", "")],
        [
            origin(sender=name)
            for name in ("", "a@example.com", "a@EXAMPLE.com", "a@x.print.example.com", "a", "b", "c")
        ],
        [origin(helo=f"mail{number}.example.net", ip=f"10.1.2.{number}") for number in range(9)],
        [origin(helo=f"mail{number}.example.net", ip="192.0.2.1") for number in range(9)],
        [origin(helo=f"mail{number}.example.net", ip="10.9.9.9") for number in range(9)],
    ],
)
def test_addresses_that_may_be_one_client(tmp_path: Path, origins: list[Origin]) -> None:
    assert mail.crowds(settings(tmp_path, smtp={"proxies": ["10.9.9.9"]}), origins) == []


async def test_what_lies_in_the_store_is_looked_at(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with short_folder() as runtime:
        store = await open_store(tmp_path, role=Role.APPLIANCE, reserve=0, runtime=runtime)
        try:
            for number in range(mail.NAMES):
                draft = await store.draft(2)
                draft.write(b"\r\n")
                helo = f"mail{number}.example.net\x1b[31m"
                envelope = Envelope(reverse_path="", client_ip=INSIDE, helo=helo, trust="insider")
                recipient = Recipient(maildrop="phaser", address="phaser@example.com", quota=100, fields=b"")
                await store.accept(draft, envelope, [recipient])
            (finding,) = await found(mail.insiders, made, store=store)
            assert finding.level == Level.WARNING
            assert finding.text.startswith(f"{INSIDE} is in [site] networks")
            assert 'set [smtp] behind = "mta"' in finding.text
            assert "\x1b" not in finding.text
            assert await found(mail.insiders, settings(tmp_path, smtp={"behind": "nat"}), store=store) == []
        finally:
            await store.close()
    assert await found(mail.insiders, made) == []


async def test_everybody_passes_for_a_balancer(tmp_path: Path) -> None:
    made = settings(tmp_path, pop3s={"proxies": ["0.0.0.0/1", "128.0.0.0/1"]}, smtp={"proxies": ["10.0.0.1"]})
    (finding,) = await found(mail.proxies, made)
    assert finding.level == Level.ERROR
    assert finding.text.startswith("[pop3s] proxies hold every address")


@pytest.mark.parametrize(
    ("network", "level", "words"),
    [
        ("8.8.8.0/24", Level.NOTE, "see that all of it is yours"),
        ("8.0.0.0/8", Level.WARNING, "more than one site has"),
        ("2a00::/48", Level.NOTE, "see that all of it is yours"),
        ("2000::/3", Level.WARNING, "more than one site has"),
    ],
)
async def test_a_part_of_the_internet_is_the_site(tmp_path: Path, network: str, level: Level, words: str) -> None:
    (finding,) = await found(site.networks, settings(tmp_path, ("10.0.0.0/8", network)))
    assert finding.level == level
    assert network in finding.text
    assert words in finding.text


def test_as_many_files_as_connections(tmp_path: Path) -> None:
    assert processes.needed(settings(tmp_path)) == processes.FILES
    assert processes.needed(settings(tmp_path, limits={"connections": 10_000})) > 12_000


def test_where_this_machine_passes_for_a_balancer(tmp_path: Path) -> None:
    """Its listeners would hear nothing from doctor but a header; behind one, TLS cannot be asked for so simply."""
    named: dict[str, Any] = {name: {"proxies": ["127.0.0.0/8"]} for name in ("smtp", "pop3s")}
    asked = {name: said for name, *_, said in processes._listeners(settings(tmp_path, **named))}
    assert asked["smtp"] == LOCAL
    assert asked["pop3"] == b""
    assert "pop3s" not in asked


async def test_a_dns_that_answers(tmp_path: Path) -> None:
    with dns_server({}) as server:
        (finding,) = await found(mail.dns, settings(tmp_path, proof={"dns": [server.address]}))
    assert (finding.level, finding.text) == (Level.OK, f"{server.address}: answers")


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.SERVFAIL])
async def test_a_dns_that_does_not_answer(tmp_path: Path, fault: Fault) -> None:
    async with misbehaving(fault) as server:
        made = settings(tmp_path, proof={"dns": [server.address], "dns_wait": 0.2})
        (finding,) = await found(mail.dns, made)
    assert finding.level is Level.WARNING
    assert f"{server.address} did not answer within 0.2 s" in finding.text


async def test_a_dns_that_is_named_instead_of_addressed(tmp_path: Path) -> None:
    (finding,) = await found(mail.dns, settings(tmp_path, proof={"dns": ["dns.example.com:53"]}))
    assert finding.level is Level.ERROR
    assert "192.0.2.53:53" in finding.text
