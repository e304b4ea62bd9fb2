from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.smtp import limits as smtp_limits
from appliance.smtp.limits import Allowance, Gate, Limits, Pace, Patience
from appliance.smtp.reply import REASONS, Reply, accepted, refusal
from mailstore.config import Settings
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.store.admission import Accepted


def test_an_address_a_network_and_all_have_their_number() -> None:
    gate = Gate(Limits(connections=7, connections_per_address=2, connections_per_network=3))
    one, neighbour, another, other = map(ip_address, ("2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"))
    assert [gate.enter(one) for _ in range(3)] == ["", "", "address"]
    assert gate.enter(neighbour) == ""
    assert [gate.enter(who) for who in (one, neighbour, another)] == ["address", "network", "network"]
    assert gate.enter(ip_address("2001:db8:1::1")) == ""
    assert [gate.enter(other) for _ in range(3)] == ["", "", "address"]
    assert gate.enter(ip_address("192.0.2.2")) == ""
    assert gate.enter(ip_address("192.0.2.2")) == "total"
    gate.leave(one)
    assert gate.enter(another) == ""
    assert gate.total == 7


def test_a_48_has_half_of_all() -> None:
    gate = Gate(Limits(connections=7, connections_per_address=1, connections_per_network=1))
    assert [gate.enter(ip_address(f"2001:db8:1:{number}::1")) for number in range(5)] == ["", "", "", "", "network"]
    assert gate.enter(ip_address("2001:db8:2::1")) == ""
    gate.leave(ip_address("2001:db8:1:2::1"))
    assert gate.enter(ip_address("2001:db8:1:9::1")) == ""
    for address in ("2001:db8:2::1", *(f"2001:db8:1:{number}::1" for number in (0, 1, 3, 9))):
        gate.leave(ip_address(address))
    assert gate.total == 0
    assert not gate._open


def test_an_ipv4_address_is_its_own_network() -> None:
    gate = Gate(Limits(connections_per_address=5, connections_per_network=1))
    assert [gate.enter(ip_address(text)) for text in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == ["", "network", ""]


def test_who_stands_for_many_is_counted_with_all_alone() -> None:
    gate = Gate(Limits(connections=3, connections_per_address=1), exempt=[ip_network("192.0.2.0/24")])
    server = ip_address("192.0.2.1")
    assert [gate.enter(server) for _ in range(4)] == ["", "", "", "total"]
    for _ in range(3):
        gate.leave(server)
    assert gate.total == 0
    assert [gate.enter(ip_address("198.51.100.1")) for _ in range(2)] == ["", "address"]


def test_limits_are_those_of_the_configuration() -> None:
    """Each key has a value of its own here, so that none can stand for another."""
    names = {
        "connections": "connections",
        "connections_per_address": "connections_per_address",
        "connections_per_network": "connections_per_network",
        "messages_per_connection": "messages",
        "messages_per_minute": "messages_per_minute",
        "recipients": "recipients",
        "errors": "errors",
        "received_fields": "hops",
        "header_size": "header",
        "mime_depth": "mime_depth",
        "data_rate": "data_rate",
        "data_stall": "data_seconds",
        "command_wait": "command_seconds",
    }
    given = {key: 100 + number for number, key in enumerate(names)} | {"mime_depth": 99, "header_size": 70_000}
    limits = Limits.of(Settings.model_validate({"limits": given}))
    assert {key: getattr(limits, name) for key, name in names.items()} == given
    assert Limits.of(Settings()) == Limits()  # what is said of the defaults there is true here


def test_a_pace_allows_so_many_a_minute() -> None:
    pace = Pace(3)
    one, neighbour, other = map(ip_address, ("2001:db8::1", "2001:db8::2", "192.0.2.1"))
    assert [pace.take(who, 0.0) for who in (one, neighbour, one, one)] == [True, True, True, False]
    assert pace.take(other, 0.0)
    assert not pace.take(one, 19.0)
    assert pace.take(neighbour, 21.0)  # one comes back every twenty seconds
    assert not pace.take(one, 22.0)
    assert [pace.take(one, 200.0) for _ in range(4)] == [True, True, True, False]
    assert all(Pace(0).take(one, 0.0) for _ in range(1000))


def test_a_pace_forgets_those_it_has_not_seen_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_limits, "CUSTOMERS", 3)
    pace = Pace(1)
    clients = [ip_address(f"192.0.2.{number}") for number in range(5)]
    assert all(pace.take(client, 0.0) for client in clients)
    assert [pace.take(client, 1.0) for client in reversed(clients)] == [False, False, False, True, True]


@given(st.integers(1, 50), st.lists(st.floats(0, 30), max_size=300))
def test_nobody_sends_more_than_twice_his_pace_in_any_minute(each: int, pauses: list[float]) -> None:
    pace, now, taken = Pace(each), 1000.0, []
    for pause in pauses:
        now += pause
        if pace.take(ip_address("192.0.2.1"), now):
            taken.append(now)
    for begin in taken:
        assert sum(begin <= at < begin + 60 for at in taken) <= 2 * each
    assert not taken or taken[0] == 1000.0 + pauses[0]  # the first is always free


def test_without_a_rate_any_octet_buys_all_patience() -> None:
    patience = Patience(10, 0, now=0)
    patience.progress(1, now=9)
    assert patience.deadline == 19


def test_patience_is_bought_by_octets() -> None:
    patience = Patience(10, 100, now=0)
    assert patience.deadline == 10
    patience.progress(500, now=1)
    assert patience.deadline == 11  # never more than the full patience from now
    patience.progress(100, now=10.5)
    assert patience.deadline == 12
    patience.restart(now=11)
    assert patience.deadline == 21


def test_an_allowance_comes_back_after_an_hour() -> None:
    allowance = Allowance(3, 2)
    one, neighbour, other = (ip_address(text) for text in ("2001:db8::1", "2001:db8::2", "192.0.2.1"))
    assert allowance.take(one, 0.0)
    assert allowance.take(neighbour, 10.0)
    assert not allowance.take(one, 20.0)  # they are one customer
    assert allowance.left(other, 20.0)
    assert allowance.take(other, 20.0)
    assert not allowance.take(other, 3599.0)  # all together
    assert allowance.take(one, 3600.0)
    assert not allowance.take(one, 3600.0)


@given(st.text(max_size=2000), st.sampled_from(["", "5.1.1"]))
def test_a_reply_is_one_line_of_at_most_512_octets(text: str, status: str) -> None:
    octets = Reply(code=550, status=status, text=text).octets()
    assert len(octets) <= 512
    assert octets.endswith(b"\r\n")
    assert b"\r" not in octets[:-2]
    assert b"\n" not in octets[:-2]
    octets.decode()


def test_refusals() -> None:
    assert refusal(TransientFailure("4.3.1", "full")).code == 452
    assert refusal(TransientFailure("4.4.3", "no directory")).code == 451
    assert refusal(PermanentFailure("5.6.1", "nothing")).code == 554
    assert refusal(PermanentFailure("5.1.1", "nobody"), permanent=550).code == 550
    for status in ("4.3.1", "4.9.9", "5.6.1", "5.9.9"):
        kind = TransientFailure if status[0] == "4" else PermanentFailure
        assert refusal(kind(status, "")).reason in REASONS


def jobs(*numbers: int, earlier: bool = False) -> list[Accepted]:
    made = [Accepted(number) for number in numbers]
    for each in made:
        each.earlier = earlier
    return made


def test_jobs_of_many_recipients_fit_into_a_reply() -> None:
    assert accepted([]).text == "accepted"  # by people
    assert accepted(jobs(17)).text == "accepted as job 17"
    assert accepted(jobs(17, 18)).text == "accepted as jobs 17, 18"
    assert accepted(jobs(*range(1, 101))).text == "accepted as 100 jobs, 1 to 100"
    assert accepted(jobs(5, earlier=True)).text == "accepted before as job 5"
    assert accepted([*jobs(9, 10), *jobs(5, earlier=True)]).text == "accepted as jobs 9, 10 and before as job 5"
    long = accepted([*jobs(*range(10**12, 10**12 + 20)), *jobs(*range(10**11, 10**11 + 20), earlier=True)])
    assert len(long.octets()) == len(long.text) + len("250 2.0.0 \r\n")
