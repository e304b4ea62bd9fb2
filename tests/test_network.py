"""Networks as people write them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mailstore.network import network


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("::/0", "::/0"),
    ],
)
def test_what_is_meant(text: str, wanted: str) -> None:
    assert network(text) == ip_network(wanted)


@pytest.mark.parametrize("text", ["", "192.0.2", "192.0.2.0/33", "fe80::1%eth0", "fe80::%\udce4/64", "example.com"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        network(text)
