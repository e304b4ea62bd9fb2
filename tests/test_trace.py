from __future__ import annotations

from email.parser import BytesHeaderParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import trace


def received(**other: str) -> bytes:
    given_ = {
        "helo": "client.example.com", "client_ip": "192.0.2.7", "hostname": "mail.example.com", "protocol": "ESMTP",
        "queue_id": "1A2B", "recipient": "phaser360@example.com", **other,
    }  # fmt: skip
    return trace.received(**given_, at=0.0)


def test_received() -> None:
    head, semicolon, date = received().partition(b";\r\n\t")
    assert semicolon
    assert head == (
        b"Received: from client.example.com ([192.0.2.7])\r\n"
        b"\tby mail.example.com with ESMTP id 1A2B\r\n\tfor <phaser360@example.com>"
    )
    assert date.startswith(b"Thu, 01 Jan 1970 ")
    assert date.endswith(b"\r\n")


def test_several_recipients_are_not_named() -> None:
    assert b"for " not in received(recipient="")


def test_an_ipv6_client() -> None:
    assert b"from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])" in received(client_ip="2001:db8::1", helo="a b")


def test_return_path_and_delivered_to() -> None:
    assert trace.return_path("") == b"Return-Path: <>\r\n"
    assert trace.return_path("jürgen@example.com") == "Return-Path: <jürgen@example.com>\r\n".encode()
    assert trace.delivered_to("phaser360+duplex@example.com") == b"Delivered-To: phaser360+duplex@example.com\r\n"


@pytest.mark.parametrize("value", ["a\r\nX: y@example.com", "a\n@example.com", "a\x00@example.com", "a\r\n\tb\x85"])
def test_no_value_brings_a_line_end_of_its_own(value: str) -> None:
    for field in (trace.return_path, trace.delivered_to):
        with pytest.raises(ValueError, match="control character"):
            field(value)


@given(st.text(max_size=300))
def test_whatever_a_client_calls_itself_it_is_one_field(helo: str) -> None:
    field = received(helo=helo)
    parsed = BytesHeaderParser().parsebytes(field + b"\r\n")
    assert parsed.keys() == ["Received"]
    assert max(map(len, field.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("extended", "smtputf8", "tls", "authenticated", "name"),
    [
        (False, False, False, False, "SMTP"),
        (True, False, False, False, "ESMTP"),
        (True, False, True, False, "ESMTPS"),
        (True, False, False, True, "ESMTPA"),
        (True, False, True, True, "ESMTPSA"),
        (True, True, False, False, "UTF8SMTP"),
        (True, True, True, True, "UTF8SMTPSA"),
    ],
)
def test_the_transmission_types_of_rfc_3848_and_6531(
    extended: bool, smtputf8: bool, tls: bool, authenticated: bool, name: str
) -> None:
    assert trace.protocol(extended=extended, smtputf8=smtputf8, tls=tls, authenticated=authenticated) == name
