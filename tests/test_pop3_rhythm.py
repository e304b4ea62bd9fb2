"""How often a printer may log in: its poll interval as LOGIN-DELAY (RFC 2449 section 6.5)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from appliance.pop3.connection import Limits
from appliance.pop3.rhythm import LARGEST, Rhythm
from mailstore.directory.records import Printer
from mailstore.directory.values import read_poll_interval
from mailstore.failure import TransientFailure
from tests.pop3_house import Pop3House, client, running_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

STRICT = Limits(failure_delay=0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    """Its server does as the product does."""
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running, running.serving(STRICT) as service:
        running.host, running.port = service.address
        yield running


def delayed() -> float:
    return REGISTRY.get_sample_value("printpost_pop3_logins_delayed_total") or 0


async def poll(house: Pop3House, name: str) -> str:
    """Log in, and QUIT if that succeeds; the answer to PASS."""
    async with client(house) as printer:
        answer = await printer.login(name)
        if answer.startswith("+OK"):
            assert (await printer.ask("QUIT")).startswith("+OK")
    await house.becomes_free(name)
    return answer


async def test_too_early_is_refused_with_the_seconds_to_wait(house: Pop3House) -> None:
    name = await house.printer(poll_interval=100)
    assert (await poll(house, name)).startswith("+OK")
    before = delayed()
    refused = await poll(house, name)
    found = re.fullmatch(r"-ERR \[LOGIN-DELAY\] the poll interval is 100 seconds, wait (\d+) more", refused)
    assert found
    assert 75 <= int(found[1]) <= 80
    assert delayed() == before + 1


async def test_the_password_comes_first(house: Pop3House) -> None:
    name = await house.printer(poll_interval=100)
    await poll(house, name)
    before = delayed()
    async with client(house) as guesser:
        assert await guesser.login(name, "wrong") == "-ERR [AUTH] wrong name or password"
    assert delayed() == before


async def test_after_four_fifths_it_may_come_again(house: Pop3House) -> None:
    name = await house.printer(poll_interval=2)  # a second, and the tenths are nobody's
    began = time.monotonic()
    assert (await poll(house, name)).startswith("+OK")
    async with asyncio.timeout(5):
        while not (answer := await poll(house, name)).startswith("+OK"):
            assert answer.endswith("wait 1 more")
            await asyncio.sleep(0.05)
    assert 0.9 < time.monotonic() - began < 3


async def test_a_second_is_no_delay(house: Pop3House) -> None:
    name = await house.printer(poll_interval=1)
    for _ in range(3):
        assert (await poll(house, name)).startswith("+OK")


async def test_a_lost_session_does_not_count(house: Pop3House) -> None:
    name = await house.printer(poll_interval=100)
    for _ in range(2):
        async with client(house, name) as printer:
            printer.drop()
        await house.becomes_free(name)
    assert (await poll(house, name)).startswith("+OK")
    assert (await poll(house, name)).startswith("-ERR [LOGIN-DELAY]")


async def test_a_maildrop_in_use_does_not_count(house: Pop3House) -> None:
    name = await house.printer(poll_interval=100)
    async with client(house, name) as first:
        for _ in range(2):
            assert (await poll_busy(house, name)).startswith("-ERR [IN-USE]")
        first.drop()
    await house.becomes_free(name)
    assert (await poll(house, name)).startswith("+OK")


async def poll_busy(house: Pop3House, name: str) -> str:
    async with client(house) as second:
        return await second.login(name)


async def test_an_update_that_failed_does_not_count(house: Pop3House, monkeypatch: pytest.MonkeyPatch) -> None:
    name = await house.printer(poll_interval=100)
    await house.mail(name, b"A: b\r\n\r\n")
    real = house.store.committer.submit

    def failing(work, wanted=None, *, instant=""):  # type: ignore[no-untyped-def]
        if instant == "4":
            raise TransientFailure("4.3.1", "the disk is full")
        return real(work, wanted) if wanted else real(work, instant=instant)

    async with client(house, name) as printer:
        await printer.ask("DELE 1")
        monkeypatch.setattr(house.store.committer, "submit", failing)
        assert (await printer.ask("QUIT")).startswith("-ERR [SYS/TEMP]")
        monkeypatch.undo()
    await house.becomes_free(name)
    assert (await poll(house, name)).startswith("+OK")


async def test_it_holds_over_a_restart(house: Pop3House) -> None:
    """Another server on the same store knows nothing but what the store says."""
    name = await house.printer(poll_interval=100)
    assert (await poll(house, name)).startswith("+OK")
    await house.store.committer.settled()  # as when a process ends
    async with house.serving(STRICT) as service, client(service) as printer:
        assert (await printer.login(name)).startswith("-ERR [LOGIN-DELAY]")


async def test_a_changed_interval_counts_at_the_next_poll(house: Pop3House) -> None:
    name = await house.printer(poll_interval=100)
    await poll(house, name)
    assert (await poll(house, name)).startswith("-ERR [LOGIN-DELAY]")
    await house.directory.replace(Printer(name=name, addresses=(f"{name}@print.example.com",), poll_interval=1))
    assert (await poll(house, name)).startswith("+OK")


async def test_what_capa_says(house: Pop3House) -> None:
    """Before the login the largest of all that poll, after it the printer's own, and none for a person."""
    name = await house.printer(poll_interval=40_000)
    await house.printer(poll_interval=50_000, uri="socket://192.0.2.7:9100")
    async with house.serving(STRICT) as service:
        async with client(service) as printer:
            assert "LOGIN-DELAY 40000 USER" in await printer.capabilities()
            await printer.login(name)
            assert "LOGIN-DELAY 40000" in await printer.capabilities()
        person = await house.person("hopper")
        async with client(service, person.name) as reader:
            assert "LOGIN-DELAY 0" in await reader.capabilities()


async def test_people_come_as_they_like(house: Pop3House) -> None:
    person = await house.person("lovelace")
    for _ in range(3):
        async with client(house, person.name) as reader:
            assert (await reader.ask("QUIT")).startswith("+OK")
    assert (await house.store.printer_state(person.maildrop)).last_poll == 0


async def test_a_clock_that_was_set_back_locks_nobody_out(house: Pop3House) -> None:
    rhythm = Rhythm(house.store, house.directory, 0.8)
    printer = Printer(name="clock", addresses=("clock@example.com",), poll_interval=100)
    rhythm.counts(printer, 1000.0)
    assert await rhythm.wait(printer, 1000.0) == 80
    assert await rhythm.wait(printer, 1079.5) == 1
    assert await rhythm.wait(printer, 1080.0) == 0
    assert await rhythm.wait(printer, 500.0) == 0


async def test_the_largest_interval_is_what_an_entry_may_say() -> None:
    assert read_poll_interval(str(LARGEST)) == LARGEST
    with pytest.raises(ValueError, match="poll interval"):
        read_poll_interval(str(LARGEST + 1))
