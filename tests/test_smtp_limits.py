from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from appliance.smtp.limits import Allowance, Gate, Limits, Patience
from appliance.smtp.reply import REASONS, Reply, accepted, refusal
from mailstore.failure import PermanentFailure, TransientFailure


def test_a_client_is_an_ipv4_address_or_an_ipv6_64() -> None:
    gate = Gate(Limits(connections=3, connections_per_client=1))
    assert gate.enter(ip_address("2001:db8::1")) == ""
    assert "your address" in gate.enter(ip_address("2001:db8::2"))
    assert gate.enter(ip_address("2001:db8:0:1::1")) == ""
    assert gate.enter(ip_address("192.0.2.1")) == ""
    assert gate.enter(ip_address("192.0.2.2")) == "too many connections, come again later"
    gate.leave(ip_address("2001:db8::1"))
    assert gate.enter(ip_address("2001:db8::2")) == ""
    assert gate.total == 3


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


def test_jobs_of_many_recipients_fit_into_a_reply() -> None:
    assert accepted([]).text == "accepted"  # by people
    assert accepted([17]).text == "accepted as job 17"
    assert accepted([17, 18]).text == "accepted as jobs 17, 18"
    assert accepted(list(range(1, 101))).text == "accepted as 100 jobs, 1 to 100"
