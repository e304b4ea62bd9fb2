"""Questions to agents that answer, that do not, and that answer nonsense: within bounds, and nothing stays open."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import socket
import time
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from mailstore.directory.records import Snmp
from printerbridge import snmp
from printerbridge.guard import Guard
from printerbridge.mib import STATUS
from printerbridge.snmp import Agent, NoAnswer
from tests import snmp_agent
from tests.snmp_agent import (
    BIT_STRING,
    COUNTER,
    END_OF_VIEW,
    GET,
    NULL,
    SEQUENCE,
    Request,
    agent,
    identifier,
    integer,
    octets,
    printer,
    tlv,
)

VERSIONS = (Snmp.V1, Snmp.V2C)


def asking(
    other: snmp_agent.Agent, version: Snmp = Snmp.V1, *, community: str = "public", seconds: float = 2.0
) -> Agent:
    return Agent("127.0.0.1", other.port, version=version, community=community, seconds=seconds)


def on_uvloop(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def five_at_once() -> None:
    for version in VERSIONS:
        async with agent(printer()) as other:
            found = await asking(other, version).get(STATUS)
            assert found == dict(zip(STATUS, (2, 3, b"\0", 100, b"Ready"), strict=True))
            assert [request.oids for request in other.requests] == [STATUS]


async def test_five_objects_are_one_request() -> None:
    await five_at_once()


def test_five_objects_on_uvloop() -> None:
    on_uvloop(five_at_once())


@pytest.mark.parametrize("version", VERSIONS)
async def test_one_missing_object_does_not_hide_the_others(version: Snmp) -> None:
    objects = printer()
    del objects[STATUS[3]]
    async with agent(objects) as other:
        asked = asking(other, version)
        for _ in range(2):
            assert await asked.get(STATUS) == dict(zip(STATUS, (2, 3, b"\0", None, b"Ready"), strict=True))
        # Version 1: one for all, one for each, and then one for those that are there.
        assert len(other.requests) == (7 if version is Snmp.V1 else 2)
        assert other.requests[-1].oids == (tuple(o for o in STATUS if o != STATUS[3]) if version is Snmp.V1 else STATUS)
        other.objects[STATUS[3]] = integer(7)
        asked.forget()
        assert (await asked.get(STATUS))[STATUS[3]] == 7


@pytest.mark.parametrize("status", [1, 5])  # tooBig, genErr
async def test_what_is_too_much_at_once_is_asked_one_by_one(status: int) -> None:
    def answering(request: Request) -> list[bytes]:
        if len(request.oids) > 1:
            return [request.answer(dict.fromkeys(request.oids, tlv(NULL, b"")), status)]
        return other.answers(request)

    async with agent(printer(), answering) as other:
        assert None not in (await asking(other).get(STATUS)).values()


async def test_an_agent_out_of_sorts_is_asked_for_all_again() -> None:
    async with agent() as other:
        asked = asking(other)
        assert set((await asked.get(STATUS)).values()) == {None}
        other.objects.update(printer())
        assert None not in (await asked.get(STATUS)).values()


async def test_lost_datagrams_are_sent_again() -> None:
    async with agent(printer()) as other:
        other.lost = 1
        assert (await asking(other, seconds=0.2).get(STATUS))[STATUS[0]] == 2
        other.lost = 1
        assert len(await asking(other, seconds=0.2).walk("1.3.6.1.2.1.43.11.1.1.5", 10)) == 2


async def test_values_are_what_they_are_and_not_too_long() -> None:
    values = {
        "1.3.6.1.9.1": (integer(-3), -3),
        "1.3.6.1.9.2": (integer((1 << 32) - 1, COUNTER), (1 << 32) - 1),
        "1.3.6.1.9.3": (octets(b"x" * 2000), b"x" * snmp.LONGEST),
        "1.3.6.1.9.4": (identifier("1.3.6.1.4.1"), "1.3.6.1.4.1"),
        "1.3.6.1.9.5": (tlv(BIT_STRING, b"\0\x40"), b"\x40"),
        "1.3.6.1.9.6": (tlv(1, b"\1"), 1),
        "1.3.6.1.9.7": (tlv(NULL, b""), None),
        "1.3.6.1.9.8": (octets(b""), b""),
    }
    async with agent({oid: ber for oid, (ber, _) in values.items()}) as other:
        assert await asking(other).get(list(values)) == {oid: meant for oid, (_, meant) in values.items()}


async def test_walks_end_where_the_column_ends_or_enough_was_said() -> None:
    column = "1.3.6.1.2.1.43.11.1.1.5"
    objects = {f"{column}.1.{row}": integer(row) for row in range(1, 40)}
    for version in VERSIONS:
        async with agent({**objects, "1.3.6.1.2.1.43.11.1.1.6.1.1": integer(1)}) as other:
            asked = asking(other, version)
            assert await asked.walk(column, 5) == [(f"{column}.1.{row}", row) for row in range(1, 6)]
            assert len(other.requests) == 5
            assert len(await asked.walk(column, 100)) == 39
            assert await asked.walk("1.3.6.1.2.1.43.12", 5) == []
            other.objects = {f"{column}.1.{row}": octets(b"x" * 2000) for row in range(1, 90)}
            assert len(await asked.walk(column, 100)) < 35  # in octets it was enough


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_walk_in_circles_ends(version: Snmp) -> None:
    column = "1.3.6.1.2.1.43.11.1.1.5"

    def circling(request: Request) -> list[bytes]:
        return [request.answer({f"{column}.1.{2 - len(other.requests) % 2}": integer(1)})]

    async with agent(answering=circling) as other:
        assert len(await asking(other, version).walk(column, 1000)) <= 2
        other.answering = lambda request: [request.answer({request.oids[0]: integer(1)})]
        assert await asking(other, version).walk(column, 1000) == []


async def test_a_walk_that_is_too_slow_gives_what_it_found() -> None:
    async with agent(printer()) as other:
        other.answering = lambda request: other.answers(request) if len(other.requests) < 2 else []
        assert len(await asking(other, seconds=0.1).walk("1.3.6.1.2.1.43.11.1.1", 10)) == 1
        other.answering = lambda request: []
        with pytest.raises(NoAnswer, match=r"does not answer SNMP within 0\.1 s"):
            await asking(other, seconds=0.1).walk("1.3.6.1.2.1.43.11.1.1", 10)


def _crippled(request: Request, rng: random.Random) -> bytes:
    made = bytearray(
        request.answer(dict.fromkeys(request.oids, rng.choice([integer(5), octets(b"abc"), tlv(9, b"\3")])))
    )
    for _ in range(rng.randint(1, 3)):
        made[rng.randrange(len(made))] = rng.choice([0, 255, 0x80, 0x84, 0x30, rng.randrange(256)])
    return bytes(made[: rng.randrange(len(made))] if rng.random() < 0.2 else made)


async def _makes_sense(asking: Coroutine[Any, Any, Any]) -> str:
    try:
        told = await asking
    except NoAnswer as error:
        return str(error)
    values = told.values() if isinstance(told, dict) else [value for _, value in told]
    assert all(value is None or isinstance(value, int | bytes | str) for value in values)
    return ""


@pytest.mark.parametrize("version", VERSIONS)
async def test_crippled_answers_are_no_answers(version: Snmp) -> None:
    """Whatever comes, it is an answer or `NoAnswer`."""
    rng = random.Random(161)
    column = "1.3.6.1.2.1.43.11.1.1.5"
    async with agent() as other:
        asked = asking(other, version, seconds=0.2)
        other.answering = lambda request: [_crippled(request, rng)]
        asks = [asked.walk(column, 2) if number % 2 else asked.get(STATUS) for number in range(100)]
        told = await asyncio.gather(*map(_makes_sense, asks))
        unread, silent = "its answer to SNMP cannot be read", "it does not answer SNMP within 0.2 s"
        assert unread in told
        assert set(told) <= {"", unread, silent}


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: b"",
        lambda request: b"garbage",
        lambda request: request.answer({}),
        lambda request: request.answer(dict.fromkeys(request.oids, integer(1)))[:-3],
        lambda request: request.answer(dict.fromkeys(request.oids, integer(1))) + b"zz",
        lambda request: request.answer(dict.fromkeys(request.oids, tlv(SEQUENCE, tlv(SEQUENCE, b"")))),
        lambda request: request.answer(dict.fromkeys(request.oids, octets(b"x" * 20000))),
        lambda request: request.answer({f"1.3.6.1.9.{number}": integer(number) for number in range(4000)}),
        lambda request: request.answer({"1.3.6.1.9.9": integer(1)}),
        lambda request: request.answer(dict.fromkeys(request.oids, tlv(END_OF_VIEW, b""))),
    ],
)
async def test_nonsense_tells_nothing(answer: Any) -> None:
    async with agent(answering=lambda request: [answer(request)]) as other:
        try:
            told = await asking(other, seconds=0.1).get(STATUS)
        except NoAnswer:
            return
        assert set(told.values()) == {None}


async def test_an_answer_to_another_question_is_passed_over() -> None:
    def twice(request: Request) -> list[bytes]:
        wrong = request.answer(dict.fromkeys(request.oids, integer(9)), number=b"\1")
        return [wrong, *other.answers(request)]

    async with agent(printer(), twice) as other:
        assert (await asking(other).get(STATUS))[STATUS[0]] == 2


async def test_silence_ends_at_the_deadline_and_leaves_no_socket(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with agent(printer()) as other:
        asked = asking(other, community="our-secret", seconds=0.02)
        gc.disable()  # sockets are closed without it
        try:
            before, began = len(os.listdir("/proc/self/fd")), time.monotonic()  # noqa: PTH208
            for _ in range(10):
                with pytest.raises(NoAnswer) as error:
                    await asked.get(STATUS)
                assert "our-secret" not in repr(error.value)
            assert time.monotonic() - began < 1.0
            waiting = asyncio.create_task(asking(other, community="x", seconds=30).get(STATUS))
            other.asked.clear()
            await other.asked.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            del waiting
            other.answering = lambda request: [b"garbage"]
            for _ in range(10):
                with pytest.raises(NoAnswer):
                    await asked.get(STATUS)
            del error
            assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        finally:
            gc.enable()
        assert {request.kind for request in other.requests} == {GET}
    assert "our-secret" not in caplog.text


async def test_nobody_there_is_known_at_once() -> None:
    async with agent() as other:
        port = other.port
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        await Agent("127.0.0.1", port, version=Snmp.V1, community="public", seconds=5.0).get(STATUS)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("host", ["169.254.169.254", "224.0.0.1", "::ffff:169.254.169.254", "fd00:ec2::254", "0.0.0.0"])
async def test_addresses_that_are_no_printers_are_not_asked(host: str) -> None:
    with pytest.raises(NoAnswer, match="is no printer's address"):
        await Agent(host, version=Snmp.V1, community="public", seconds=1.0, guard=Guard()).get(STATUS)


async def test_names_are_looked_up_once_and_again_after_silence() -> None:
    async with agent(printer()) as other:
        asked = Agent("localhost", other.port, version=Snmp.V1, community="public", seconds=0.5)
        try:
            assert (await asked.get(STATUS))[STATUS[0]] == 2
        except NoAnswer:
            pytest.skip("localhost is not 127.0.0.1 here")
    with pytest.raises(NoAnswer):
        await Agent("printer.invalid", version=Snmp.V1, community="public", seconds=0.5).get(STATUS)


async def test_what_came_of_questions_is_counted() -> None:
    def counted() -> dict[str, float]:
        samples = [sample for metric in snmp.REQUESTS.collect() for sample in metric.samples]
        return {sample.labels["result"]: sample.value for sample in samples if sample.name.endswith("_total")}

    before = counted()
    async with agent(printer()) as other:
        await asking(other).get(STATUS)
        other.answering = lambda request: []
        with pytest.raises(NoAnswer):
            await asking(other, seconds=0.05).get(STATUS)
        other.answering = lambda request: [b"garbage"]
        with pytest.raises(NoAnswer):
            await asking(other, seconds=0.5).get(STATUS)
    with pytest.raises(NoAnswer):
        await Agent("224.0.0.1", version=Snmp.V1, community="public", seconds=0.5).get(STATUS)
    gained = {result: value - before.get(result, 0) for result, value in counted().items()}
    assert {result: value for result, value in gained.items() if value} == {
        "answered": 1,
        "silent": 1,
        "unreadable": 1,
        "refused": 1,
    }


async def beside_silence(loopback: tuple[str, ...]) -> None:
    """A name with several addresses, at the last of which the agent answers."""
    async with agent(printer()) as other:
        asked = asking(other, seconds=0.4)
        silent = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in loopback]
        try:
            for one, host in zip(silent, loopback, strict=True):
                one.bind((host, other.port))
            found = [(socket.AF_INET, (host, other.port)) for host in (*loopback, "127.0.0.1")]

            async def addresses(*_: object) -> list[Any]:
                return found

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(snmp, "addresses", addresses)
                assert (await asked.get(STATUS))[STATUS[0]] == 2
                found.clear()  # where it answered is where it is asked
                assert (await asked.get(STATUS))[STATUS[0]] == 2
                assert len(await asked.walk("1.3.6.1.2.1.43.11.1.1.5", 10)) == 2
        finally:
            for one in silent:
                one.close()


async def test_a_name_with_several_addresses_is_asked_at_all() -> None:
    await beside_silence(("127.0.0.2", "127.0.0.3"))


def test_a_name_with_several_addresses_on_uvloop() -> None:
    on_uvloop(beside_silence(("127.0.0.2",)))


async def test_an_agent_behind_ipv6_is_asked() -> None:
    loop = asyncio.get_running_loop()
    made = snmp_agent.Agent(objects=printer())
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: made, local_addr=("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    try:
        asked = Agent("::1", made.port, version=Snmp.V2C, community="public", seconds=1.0)
        assert (await asked.get(STATUS))[STATUS[0]] == 2
    finally:
        transport.close()
        await asyncio.sleep(0)


async def test_a_flood_of_other_answers_is_not_read_for_ever() -> None:
    answered = 0

    def flooding(request: Request) -> list[bytes]:
        nonlocal answered
        answered += 1
        return [request.answer({}, number=b"\1") for _ in range(40)]

    async with agent(answering=flooding) as other:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match="cannot be read"):
            await asking(other, seconds=5.0).get(STATUS)
        assert time.monotonic() - began < 2.0
    assert answered == 1


async def canceled_midway() -> None:
    async with agent() as other:
        other.answering = lambda request: []
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for _ in range(3):
            waiting = [asyncio.create_task(asking(other, seconds=30).get(STATUS)) for _ in range(50)]
            while len(other.requests) < 50:
                other.asked.clear()
                await other.asked.wait()
            for task in waiting:
                task.cancel()
            assert {type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)} == {
                asyncio.CancelledError
            }
            other.requests.clear()
            assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_canceled_questions_leave_no_socket() -> None:
    await canceled_midway()


def test_canceled_questions_leave_no_socket_on_uvloop() -> None:
    on_uvloop(canceled_midway())
