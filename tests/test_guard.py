"""Addresses that are never dialed."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from mailstore.config import Settings
from printerbridge.__main__ import own_listeners
from printerbridge.appsocket import Patience, connect
from printerbridge.dialing import NotConnected, is_ours
from printerbridge.guard import Guard
from tests.sink import sink

LISTENS = ("0.0.0.0:2525", "127.0.0.1:8025", "[::1]:1110", "localhost:9126", "[::]:1995")


def refusal(address: str, port: int = 9100, *, own: bool = False) -> str:
    return Guard(LISTENS).refusal(address, port, lambda _: own)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "no host in particular"),
        ("0.1.2.3", "no host in particular"),
        ("::", "no host in particular"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("::ffff:0.0.0.0", "no host in particular"),
        ("::ffff:224.0.0.1", "multicast"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("::169.254.169.254", "metadata"),
        ("::ffff:0:169.254.169.254", "metadata"),
        ("::2", "no host in particular"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.254", "reserved"),
        ("::ffff:240.0.0.1", "reserved"),
        ("64:ff9b:1::a9fe:a9fe", "NAT64"),
        ("64:ff9b:1:a9fe:a9:fe00::", "NAT64"),
        ("2002:a9fe:a9fe::1", "6to4"),
        ("2001:0:102:304::1", "Teredo"),
    ],
)
def test_nobodys_addresses(address: str, why: str) -> None:
    told = refusal(address)
    assert why in told
    assert "give the printer's own address" in told


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.7",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "::1",
        "2001:db8::7",
        "2001:1::7",
        "fd00::7",
        "::ffff:192.0.2.7",
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_printers_addresses(address: str, own: bool) -> None:
    assert refusal(address, own=own) == ""


@pytest.mark.parametrize(
    ("address", "port", "own", "refused"),
    [
        ("127.0.0.1", 2525, False, True),  # we listen everywhere
        ("127.9.9.9", 2525, False, True),
        ("::1", 2525, False, True),
        ("192.0.2.2", 2525, True, True),
        ("192.0.2.7", 2525, False, False),  # another host's port
        ("127.0.0.1", 8025, True, True),
        ("::ffff:127.0.0.1", 8025, True, True),
        ("::127.0.0.1", 8025, True, True),
        ("127.0.0.2", 8025, True, False),  # we listen at the other one
        ("192.0.2.2", 8025, True, False),
        ("::1", 1110, True, True),
        ("127.0.0.1", 1110, True, False),
        ("127.0.0.1", 9126, True, True),  # a name may mean any of ours
        ("2001:db8::2", 1995, True, True),
        ("2001:db8::7", 1995, False, False),
    ],
)
def test_our_own_listeners(address: str, port: int, own: bool, refused: bool) -> None:
    assert bool(refusal(address, port, own=own)) is refused
    if refused:
        assert "is Printpost itself" in refusal(address, port, own=own)


def test_every_listener_of_the_configuration_is_known() -> None:
    settings = Settings()
    named = {
        getattr(section, key)
        for section in (getattr(settings, name) for name in Settings.model_fields)
        for key in type(section).model_fields
        if key.endswith("listen")
    }
    assert set(own_listeners(settings)) == named
    guard = Guard(own_listeners(settings))
    assert all(guard.refusal("127.0.0.1", int(each.rpartition(":")[2]), lambda _: False) for each in named)


async def test_our_own_address_is_known_by_the_kernel() -> None:
    async with sink() as listener:
        guard = Guard([f":{listener.port}"])
        with pytest.raises(NotConnected, match="is Printpost itself") as caught:
            await connect(listener.host, listener.port, guard=guard)
        assert not caught.value.busy
        assert listener.connections == 0
        for address, ours in (("127.0.0.1", True), ("192.0.2.250", False)):
            assert bool(guard.refusal(address, listener.port, is_ours)) is ours
    assert is_ours(ip_address("127.0.0.1"))
    assert not is_ours(ip_address("192.0.2.250"))


async def test_what_a_name_means_is_judged_and_dialed_without_a_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name server changes its mind after the first answer."""
    answers = ["169.254.169.254", "127.0.0.1"]
    ask = socket.getaddrinfo

    def rebinding(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "printer.example.com":
            host = answers.pop(0)
        return ask(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    async with sink() as printer:
        with pytest.raises(NotConnected, match="metadata"):
            await connect("printer.example.com", printer.port, Patience(connect=5.0))
        assert answers == ["127.0.0.1"]
        (await connect("printer.example.com", printer.port, Patience(connect=5.0))).close()
        assert answers == []
        await printer.count(1)


async def test_of_several_addresses_only_the_allowed_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = socket.getaddrinfo

    def several(host: str, *arguments: Any, **options: Any) -> Any:
        if host != "printer.example.com":
            return ask(host, *arguments, **options)
        return [found for each in ("169.254.7.7", "127.0.0.1") for found in ask(each, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    async with sink() as printer:
        connection = await connect("printer.example.com", printer.port, Patience(connect=5.0))
        connection.close()
        await printer.count(1)
