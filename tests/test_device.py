"""Device addresses."""

from __future__ import annotations

import pytest

from mailstore.failure import PermanentFailure
from printerbridge.device import Device, parse


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("socket://192.0.2.7:9100", "socket://192.0.2.7:9100"),
        ("socket://192.0.2.7", "socket://192.0.2.7:9100"),
        ("socket://192.0.2.7:9101/", "socket://192.0.2.7:9101"),
        ("SOCKET://Phaser.Example.COM.:9100", "socket://phaser.example.com:9100"),
        ("socket://[2001:DB8:0::7]:9100", "socket://[2001:db8::7]:9100"),
        ("socket://[::ffff:192.0.2.7]:9100", "socket://192.0.2.7:9100"),
        ("socket://npi_1234:9100", "socket://npi_1234:9100"),
    ],
)
def test_one_device_has_one_name(uri: str, canonical: str) -> None:
    device = parse(uri)
    assert device.uri == canonical
    assert parse(device.uri) == device
    assert device.resource == f"device:{canonical}"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "192.0.2.7",
        "192.0.2.7:9100",
        "ipp://192.0.2.7",
        "file:///etc/passwd",
        "socket://",
        "socket://:9100",
        "socket://192.0.2.7:0",
        "socket://192.0.2.7:65536",
        "socket://192.0.2.7:http",
        "socket://ada@192.0.2.7:9100",
        "socket://192.0.2.7:9100/queue",
        "socket://192.0.2.7:9100?waiteof=false",
        "socket://192.0.2.7:9100#top",
        "socket://224.0.0.1:9100",
        "socket://[ff02::1]:9100",
        "socket://0.0.0.0:9100",
        "socket://[::]:9100",
        "socket://255.255.255.255:9100",
        "socket://127.1:9100",
        "socket://2130706433:9100",
        "socket://0x7f000001:9100",
        "socket://a..b:9100",
        "socket://a b:9100",
        "socket://-a:9100",
        "socket://[192.0.2.7:9100",
        "socket://[::1]]:9100",
    ],
)
def test_what_is_no_printers_address_is_refused_with_a_hint(uri: str) -> None:
    with pytest.raises(PermanentFailure, match="write socket://HOST:PORT"):
        parse(uri)


def test_equal_addresses_are_one_device() -> None:
    assert parse("socket://PRINTER.example.com") == Device(scheme="socket", host="printer.example.com", port=9100)
