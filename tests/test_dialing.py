"""Names of printers to addresses, while some name servers are silent."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from printerbridge import resolver
from printerbridge.dialing import NotConnected, addresses
from printerbridge.guard import Guard

FOUND = [(socket.AF_INET, ("192.0.2.7", 9100))]


class NameServer:
    """In the place of the system's resolver: dead names are held until `over` is set, and then fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.over = threading.Event()
        self.dead = True
        self.answer: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 9100))]

    def getaddrinfo(self, host: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        if host.startswith("dead") and self.dead:
            self.over.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        if host.startswith("odd"):
            raise UnicodeError("label too long")
        return self.answer


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.over.set()


async def given_up(host: str) -> bool:
    try:
        async with asyncio.timeout(0.1):
            await resolver.resolve(host, 9100)
    except (TimeoutError, OSError):
        return True
    return False


async def test_names_that_were_found_are_found_while_any_number_of_others_are_dead(names: NameServer) -> None:
    assert await resolver.resolve("office.example.com", 9100) == FOUND
    for _ in range(2):
        dead = [given_up(f"dead{number}.example.com") for number in range(3 * resolver.THREADS)]
        assert all(await asyncio.gather(*dead))
        async with asyncio.timeout(5):
            assert await resolver.resolve("office.example.com", 9100) == FOUND
    # Each has one thread at most, however often it was asked for.
    asked = [host for host in names.asked if host.startswith("dead")]
    assert len(asked) == len(set(asked)) < resolver.THREADS


async def test_a_new_name_is_found_while_any_number_of_names_is_dead_that_were_before(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_MOST", 0.0)
    names.over.set()
    dead = [f"dead{number}.example.com" for number in range(3 * resolver.THREADS)]
    failed = await asyncio.gather(*(resolver.resolve(host, 9100) for host in dead), return_exceptions=True)
    assert {type(each) for each in failed} == {socket.gaierror}
    names.over.clear()
    assert all(await asyncio.gather(*map(given_up, dead)))
    async with asyncio.timeout(5):
        assert await resolver.resolve("office.example.com", 9100) == FOUND


async def test_a_name_that_failed_is_not_asked_for_a_while(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "_LEAST", 0.2)
    monkeypatch.setattr(resolver, "_MOST", 0.2)
    names.over.set()
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="try again"):
            await resolver.resolve("dead.example.com", 9100)
    assert names.asked == ["dead.example.com"]
    names.dead = False
    async with asyncio.timeout(5):
        while await given_up("dead.example.com"):
            pass
    assert names.asked == ["dead.example.com"] * 2


async def test_what_is_remembered_is_bounded(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "_KNOWN", 3)
    names.over.set()
    for number in range(5):
        assert await given_up(f"dead{number}.example.com")
    assert await given_up("dead4.example.com")
    assert await given_up("dead0.example.com")
    assert names.asked.count("dead4.example.com") == 1
    assert names.asked.count("dead0.example.com") == 2


async def test_what_nobody_waits_for_any_more_fails_in_silence(names: NameServer) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    assert await given_up("dead.example.com")
    (task,) = resolver._names[asyncio.get_running_loop()].asked.values()
    names.over.set()
    await asyncio.wait([task], timeout=5)
    del task
    gc.collect()
    assert complaints == []


async def test_one_look_up_for_all_who_ask_at_once(names: NameServer) -> None:
    found = await asyncio.gather(*(resolver.resolve("office.example.com", 9100) for _ in range(9)))
    assert found == [FOUND] * 9
    assert names.asked == ["office.example.com"]


async def test_what_cannot_be_looked_up_is_an_error_like_others(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="cannot be looked up"):
        await resolver.resolve("odd.example.com", 9100)

    def exhausted(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", exhausted)
        with pytest.raises(OSError, match="no thread") as caught:
            await resolver.resolve("office.example.com", 9100)
    assert caught.value.errno == errno.EAGAIN


async def test_a_name_without_an_address_is_told_so(names: NameServer) -> None:
    names.answer = []
    with pytest.raises(NotConnected, match="its name has no address"):
        await addresses("none.example.com", 9100, Guard())


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("192.0.2.7", (socket.AF_INET, ("192.0.2.7", 9100))),
        ("2001:db8::7", (socket.AF_INET6, ("2001:db8::7", 9100, 0, 0))),
    ],
)
async def test_addresses_wait_for_no_name_server(names: NameServer, host: str, found: resolver.Address) -> None:
    assert await addresses(host, 9100, Guard()) == [found]
    assert names.asked == []
