"""Questions to real name servers: what is found, what is not, what fails, and what is not asked twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop

from appliance.proof import dns as resolving
from appliance.proof.dns import QUESTIONS, DnsFailure, Resolver, canonical_name
from appliance.proof.turns import CLIENT
from mailstore.config import ConfigError, ProofSettings
from tests.dns_server import DnsServer, Fault, Misbehaving, Records, dns_server, misbehaving

RECORDS: Records = {
    "example.com": {
        "TXT": ["v=spf1 -all", ("two ", "strings"), b'\x00\xff"\\;'],
        "MX": [(20, "b.example.com"), (10, "a.example.com")],
        "A": ["192.0.2.7", "192.0.2.8"],
        "AAAA": ["2001:db8::7"],
    },
    "www.example.com": {"CNAME": ["example.com"]},
    "away.example.com": {"CNAME": ["nowhere.example.net"]},
    "none.example.com": {"MX": [(0, ".")]},
    "odd.example.com": {"MX": [(1, "a\\.b\\010.example.com"), (2, "mail.example.com")]},
    "many.example.com": {"A": [f"192.0.{high}.{low}" for high in (2, 3) for low in range(129)]},
    "long.example.com": {"TXT": ["a" * 9000, "b" * 9000]},
    "crowd.example.com": {"TXT": [f"{number:05}" for number in range(1000)]},
    "huge.example.com": {"TXT": [f"{number:05}" for number in range(3000)]},
    "full.example.com": {"TXT": ["c" * 8000, "d" * 8000]},
    "xn--mnchen-3ya.example": {"TXT": ["gruss"]},
    "7.2.0.192.in-addr.arpa": {"PTR": ["Mail.Example.Com", "b.example.com"]},
    f"{ip_address('2001:db8::7').reverse_pointer}": {"PTR": ["six.example.com"]},
}


@pytest.fixture(scope="module")
def nsd() -> Iterator[DnsServer]:
    with dns_server(RECORDS) as server:
        yield server


def resolver(server: DnsServer | Misbehaving, wait: float = 5.0, **more: Any) -> Resolver:
    return Resolver(ProofSettings(dns=(server.address,), dns_wait=wait), **more)


async def all_kinds(nsd: DnsServer) -> None:
    asking = resolver(nsd)
    try:
        assert set(await asking.txt("Example.COM.")) == {b"v=spf1 -all", b"two strings", b'\x00\xff"\\;'}
        assert await asking.mx("example.com") == ((10, "a.example.com"), (20, "b.example.com"))
        assert {str(ip) for ip in await asking.a("example.com")} == {"192.0.2.7", "192.0.2.8"}
        assert await asking.aaaa("www.example.com") == (ip_address("2001:db8::7"),)
        assert await asking.ptr(ip_address("192.0.2.7")) == ("mail.example.com", "b.example.com")
        assert await asking.ptr(ip_address("2001:db8::7")) == ("six.example.com",)
    finally:
        await asking.close()


async def test_every_kind_of_record(nsd: DnsServer) -> None:
    await all_kinds(nsd)


def on_uvloop(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def test_every_kind_of_record_on_uvloop(nsd: DnsServer) -> None:
    on_uvloop(all_kinds(nsd))


@pytest.mark.parametrize(
    "name",
    [
        "nowhere.example.com",
        "away.example.com",
        "mail..example.com",
        "a" * 64 + ".example.com",
        ".".join(["abcdefghi"] * 30),
        "",
        ".",
        "x" * 100_000,
        "\ud800.example.com",
    ],
)
async def test_what_does_not_exist_is_empty(nsd: DnsServer, name: str) -> None:
    asking = resolver(nsd)
    assert await asking.txt(name) == ()
    assert await asking.a(name) == ()
    await asking.close()


async def test_a_name_without_records_of_the_type_is_empty(nsd: DnsServer) -> None:
    asking = resolver(nsd)
    assert await asking.aaaa("many.example.com") == ()
    await asking.close()


async def test_a_null_mx_has_the_empty_name_and_no_address(nsd: DnsServer) -> None:
    asking = resolver(nsd)
    assert await asking.mx("none.example.com") == ((0, ""),)
    assert await asking.a("") == ()
    await asking.close()


async def test_names_that_no_host_has_are_dropped_from_answers(nsd: DnsServer) -> None:
    asking = resolver(nsd)
    assert await asking.mx("odd.example.com") == ((2, "mail.example.com"),)
    await asking.close()


async def test_u_labels_are_asked_as_a_labels(nsd: DnsServer) -> None:
    asking = resolver(nsd)
    assert await asking.txt("MÜNCHEN.example") == (b"gruss",)
    assert canonical_name("MÜNCHEN.example") == "xn--mnchen-3ya.example"
    # The same domain as addresses are compared by, and no other: fullwidth letters are not their ASCII ones.
    for name in ("\uff45xample.com", "example\u3002com", "exam\u00adple.com", "\u2603.example", "\u212aelvin.example"):
        assert canonical_name(name) == ""
    await asking.close()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("many.example.com", "a"), ("long.example.com", "txt"), ("crowd.example.com", "txt"), ("huge.example.com", "txt")],
)
async def test_an_answer_that_is_too_large_is_a_failure(nsd: DnsServer, name: str, kind: str) -> None:
    asking = resolver(nsd)
    with pytest.raises(DnsFailure) as failure:
        await getattr(asking, kind)(name)
    assert failure.value.status == "4.4.3"
    await asking.close()


async def test_a_large_answer_comes_by_tcp(nsd: DnsServer) -> None:
    async with misbehaving(behind=nsd) as listening:
        listening.fault = Fault.TRUNCATED
        asking = resolver(listening)
        assert sorted(map(len, await asking.txt("full.example.com"))) == [8000, 8000]
        assert listening.questions == ["full.example.com TXT"] * 2
        await asking.close()


@pytest.mark.parametrize("fault", [Fault.WRONG_ID, Fault.WRONG_QUESTION])
async def test_forged_answers_by_tcp_are_failures(
    monkeypatch: pytest.MonkeyPatch, nsd: DnsServer, fault: Fault
) -> None:
    async with misbehaving(Fault.TRUNCATED, behind=nsd) as bad:
        asking = resolver(bad, 0.5)
        waiting = asyncio.create_task(asking.txt("example.com"))
        async with asyncio.timeout(5):
            await bad.asked.wait()
        bad.gate.clear()
        bad.asked.clear()
        async with asyncio.timeout(5):
            await bad.asked.wait()  # by TCP
        bad.fault = fault
        bad.gate.set()
        with pytest.raises(DnsFailure):
            await waiting
        await asking.close()


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.SERVFAIL, Fault.REFUSED, Fault.GARBAGE, Fault.WRONG_ID])
async def test_a_server_with_a_fault_is_a_failure_in_time(nsd: DnsServer, fault: Fault) -> None:
    async with misbehaving(fault, behind=nsd) as bad:
        asking = resolver(bad, 0.3)
        began = time.monotonic()
        with pytest.raises(DnsFailure) as failure:
            await asking.txt("example.com")
        assert time.monotonic() - began < 2
        assert failure.value.text == "the DNS does not answer about example.com now"
        asked = len(bad.questions)
        with pytest.raises(DnsFailure):  # remembered, so that it costs no second wait
            await asking.txt("example.com")
        assert len(bad.questions) == asked
        await asking.close()


async def test_an_answer_to_another_question_is_passed_over(nsd: DnsServer) -> None:
    async with misbehaving(Fault.WRONG_QUESTION, behind=nsd) as bad:
        asking = resolver(bad, 0.3)
        with pytest.raises(DnsFailure):
            await asking.txt("example.com")
        await asking.close()


async def test_the_second_server_is_asked_where_the_first_fails(nsd: DnsServer) -> None:
    async with misbehaving(Fault.SERVFAIL) as bad:
        asking = Resolver(ProofSettings(dns=(bad.address, nsd.address)))
        assert len(await asking.txt("example.com")) == 3
        await asking.close()


async def test_answers_are_remembered_for_their_ttl_within_bounds(nsd: DnsServer) -> None:
    now = [0.0]
    async with misbehaving(behind=nsd) as listening:
        asking = resolver(listening, clock=lambda: now[0])
        for now[0], asked in ((0, 1), (299, 1), (301, 2)):
            await asking.a("example.com")
            assert len(listening.questions) == asked
        for now[0], asked in ((301, 3), (360, 3), (362, 4)):  # by the SOA, for what is absent
            assert await asking.a("nowhere.example.com") == ()
            assert len(listening.questions) == asked
        await asking.close()


async def test_equal_questions_are_one(nsd: DnsServer) -> None:
    async with misbehaving(behind=nsd) as listening:
        listening.gate.clear()
        asking = resolver(listening)
        waiting = [asyncio.create_task(asking.txt(name)) for name in ["example.com", "EXAMPLE.com.", "example.com"]]
        async with asyncio.timeout(5):
            await listening.asked.wait()
        waiting[0].cancel()  # who asked first gives up; the others get their answer all the same
        listening.gate.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1] == answers[2] == await asking.txt("example.com")
        assert listening.questions == ["example.com TXT"]
        await asking.close()


async def test_questions_at_once_and_in_line_are_bounded(monkeypatch: pytest.MonkeyPatch, nsd: DnsServer) -> None:
    monkeypatch.setattr(resolving, "AT_ONCE", 2)
    monkeypatch.setattr(resolving, "IN_LINE", 5)
    async with misbehaving(behind=nsd) as listening:
        listening.gate.clear()
        asking = resolver(listening)
        waiting = [asyncio.create_task(asking.a(f"host{number}.example.com")) for number in range(5)]
        async with asyncio.timeout(5):
            await listening.asked.wait()
            listening.asked.clear()
            await listening.asked.wait()
        with pytest.raises(DnsFailure):
            await asking.a("one-too-many.example.com")
        assert len(listening.questions) == 2
        listening.gate.set()
        assert await asyncio.gather(*waiting) == [()] * 5
        await asking.close()


async def test_who_waits_in_line_waits_no_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch, nsd: DnsServer
) -> None:
    monkeypatch.setattr(resolving, "AT_ONCE", 1)
    async with misbehaving(Fault.SILENT) as silent:
        asking = resolver(silent, 0.3)
        began = time.monotonic()
        waiting = [asking.a(f"host{number}.example.com") for number in range(5)]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [DnsFailure] * 5
        assert time.monotonic() - began < 1
        await asking.close()


async def test_one_client_does_not_take_all_places(monkeypatch: pytest.MonkeyPatch, nsd: DnsServer) -> None:
    monkeypatch.setattr(resolving, "EACH", 2)
    async with misbehaving(behind=nsd) as listening:
        listening.gate.clear()
        asking = resolver(listening)

        async def ask(client: int | None, name: str) -> object:
            CLIENT.set(client)
            return await asking.a(name)

        async def asked(questions: int) -> None:
            async with asyncio.timeout(5):
                while len(listening.questions) < questions:
                    listening.asked.clear()
                    await listening.asked.wait()

        hogs = [asyncio.create_task(ask(1, f"slow{number}.example.com")) for number in range(5)]
        await asked(2)
        others = [asyncio.create_task(ask(client, f"host{client}.example.com")) for client in (2, None)]
        wanted = asyncio.create_task(ask(3, "slow4.example.com"))  # what the first only waits to ask
        await asked(5)
        hogs[4].cancel()
        assert sum("slow" in question for question in listening.questions) == 3
        listening.gate.set()
        await asyncio.gather(*others, wanted, *hogs[:4])
        assert len(listening.questions) == len(set(listening.questions)) == 7
        await asking.close()


async def test_what_never_had_its_turn_has_not_failed_for_others(
    monkeypatch: pytest.MonkeyPatch, nsd: DnsServer
) -> None:
    monkeypatch.setattr(resolving, "EACH", 1)
    monkeypatch.setattr(resolving, "AT_ONCE", 2)
    async with misbehaving(behind=nsd) as listening:
        listening.gate.clear()
        asking = resolver(listening, 0.3)

        async def ask(client: int, name: str) -> object:
            CLIENT.set(client)
            return await asking.a(name)

        mine = [asyncio.create_task(ask(1, name)) for name in ("slow.example.com", "example.com")]
        assert [type(one) for one in await asyncio.gather(*mine, return_exceptions=True)] == [DnsFailure] * 2
        listening.gate.set()
        assert await ask(2, "example.com")
        await asking.close()


async def test_the_cache_is_bounded_in_octets(monkeypatch: pytest.MonkeyPatch, nsd: DnsServer) -> None:
    monkeypatch.setattr(resolving, "CACHE", 20_000)
    async with misbehaving(behind=nsd) as listening:
        asking = resolver(listening)
        await asking.txt("full.example.com")
        await asking.txt("full.example.com")
        assert listening.questions.count("full.example.com TXT") == 1
        for number in range(40):
            await asking.a(f"host{number}.example.com")
        await asking.txt("full.example.com")
        assert listening.questions.count("full.example.com TXT") == 2
        await asking.close()


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.TRUNCATED])
async def test_closing_ends_what_is_under_way(nsd: DnsServer, fault: Fault) -> None:
    async with misbehaving(fault, behind=nsd) as listening:
        before = asyncio.all_tasks()
        asking = resolver(listening)
        listening.gate.clear()
        waiting = asyncio.create_task(asking.txt("example.com"))
        async with asyncio.timeout(5):
            await listening.asked.wait()
            await asking.close()
        with pytest.raises(DnsFailure):
            await waiting
        with pytest.raises(DnsFailure):
            await asking.txt("example.com")
        ours = {task for task in asyncio.all_tasks() - before if "Misbehaving" not in repr(task)}
        assert not ours


async def test_what_came_of_questions_is_counted(nsd: DnsServer) -> None:
    def counted() -> dict[str, float]:
        return {
            sample.labels["result"]: sample.value
            for metric in QUESTIONS.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }

    asking = resolver(nsd)
    before = counted()
    for name in ("example.com", "example.com", "nowhere.example.com"):
        await asking.a(name)
    with pytest.raises(DnsFailure):
        await asking.a("many.example.com")
    after = counted()
    gained = {result: after[result] - before.get(result, 0) for result in after}
    assert gained == {"found": 1, "remembered": 1, "absent": 1, "failed": 1}
    await asking.close()


@pytest.mark.parametrize("endpoint", ["dns.example.com:53", "localhost:53", ":53"])
def test_a_name_server_is_given_by_address(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"\[proof\] dns: .* has no IP address"):
        Resolver(ProofSettings(dns=(endpoint,)))


@pytest.mark.parametrize("content", ["nameserver 127.0.0.254\n", "\xff\n", None])
async def test_the_systems_servers_are_asked_where_none_are_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    """Nothing answers there, or the file is not usable: a mail waits, and the appliance runs on."""
    if content:
        (tmp_path / "resolv.conf").write_text(content, encoding="latin-1")
    monkeypatch.setattr(resolving, "SYSTEM", str(tmp_path / "resolv.conf"))
    asking = Resolver(ProofSettings(dns_wait=0.1))
    with pytest.raises(DnsFailure):
        await asking.txt("printpost.invalid")
    await asking.close()
