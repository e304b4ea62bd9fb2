"""Keys and the arithmetic of a foreign library, held to published vectors and to signatures that are almost right."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from appliance.proof.dkim import candidates, verify
from appliance.proof.fields import author, fields
from appliance.proof.key import ED25519, RSA, Unproved, check, key
from appliance.proof.result import Result
from tests.dns_server import dns_server
from tests.signing import rsa_record, rsa_signer
from tests.test_mailauth import found

# RFC 8463 appendix A
FOOTBALL = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY
 5OsU7ZbnKELq+eXdp1Q1Dw==
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
BRISBANE = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

SIGNER = rsa_signer()
PUBLIC = key([SIGNER.record.encode()], RSA)
SIGNED = b"what is signed"


def private() -> rsa.RSAPrivateKey:
    made = load_pem_private_key(SIGNER.private, None)
    assert isinstance(made, rsa.RSAPrivateKey)
    return made


async def test_the_vector_of_the_standard() -> None:
    with dns_server({"brisbane._domainkey.football.example.com": {"TXT": [BRISBANE]}}) as dns:
        findings = await found(dns.address, FOOTBALL, now=1528637909)
    assert [(one.result, one.domain) for one in findings.dkim] == [(Result.PASS, "football.example.com")]
    assert findings.dkim[0].names == {"suzie@shopping.example.net"}


def test_a_signature_that_another_library_made() -> None:
    check(PUBLIC, private().sign(SIGNED, PKCS1v15(), SHA256()), SIGNED)


@pytest.mark.parametrize("place", [0, 100, 255])
def test_one_bit_makes_it_another(place: int) -> None:
    right = bytearray(private().sign(SIGNED, PKCS1v15(), SHA256()))
    right[place] ^= 1
    with pytest.raises(Unproved):
        check(PUBLIC, bytes(right), SIGNED)


def padded(info: bytes, *, behind: bytes = b"") -> bytes:
    """A block of 256 octets as PKCS #1 v1.5 pads it, signed without any padding of the library's."""
    block = b"\x00\x01" + b"\xff" * (253 - len(info) - len(behind)) + b"\x00" + info + behind
    numbers = private().private_numbers()
    power = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
    return power.to_bytes(256, "big")


def digest_info() -> bytes:
    made = private().sign(SIGNED, PKCS1v15(), SHA256())
    numbers = private().public_key().public_numbers()
    return pow(int.from_bytes(made, "big"), numbers.e, numbers.n).to_bytes(256, "big").partition(b"\xff\x00")[2]


def test_nothing_may_stand_behind_the_digest() -> None:
    check(PUBLIC, padded(digest_info()), SIGNED)
    for wrong in (padded(digest_info(), behind=b"\0" * 100), padded(digest_info()[:-1]), padded(digest_info()[19:])):
        with pytest.raises(Unproved):
            check(PUBLIC, wrong, SIGNED)


def test_a_signature_has_one_form() -> None:
    """Of several it would count once in each; the modulus added to it changes nothing of what it signs."""
    modulus = private().private_numbers().public_numbers.n
    forms = (int.from_bytes(private().sign(b"%d" % number, PKCS1v15(), SHA256()), "big") for number in range(99))
    number, small = next((number, form) for number, form in enumerate(forms) if form + modulus < 1 << 2048)
    check(PUBLIC, small.to_bytes(256, "big"), b"%d" % number)
    with pytest.raises(Unproved):
        check(PUBLIC, (small + modulus).to_bytes(256, "big"), b"%d" % number)


def test_sha1_is_no_sha256() -> None:
    with pytest.raises(Unproved):
        check(PUBLIC, private().sign(SIGNED, PKCS1v15(), SHA1()), SIGNED)


@pytest.mark.parametrize(
    "signature", [b"", b"\0", b"\0" * 256, b"\xff" * 256, b"\1" * 255, b"\1" * 257, b"x" * 200_000]
)
def test_what_is_no_signature(signature: bytes) -> None:
    for public in (PUBLIC, key([BRISBANE.encode()], ED25519)):
        with pytest.raises(Unproved):
            check(public, signature, SIGNED)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\xff" + b"\xff" * 127,
        b"\x30\x03\x02\x01\x00",
        b"\x30\x06\x02\x01\x00\x02\x01\x00",
        b"\x30\x84\xff\xff\xff\xff\x02\x84\xff\xff\xff\xff" + b"\x01" * 1000,
        b"\x30" * 2000,
        b"\0" * 5000,
    ],
)
def test_what_is_no_key(der: bytes) -> None:
    for kind in (RSA, ED25519):
        record = f"v=DKIM1; k={kind}; p={base64.b64encode(der).decode() or 'AA=='}"
        with pytest.raises(Unproved):
            check(key([record.encode()], kind), b"\1" * 256, SIGNED)


@pytest.mark.parametrize("exponent", [0, 1, 2, 4, (1 << 32) + 1, (1 << 2000) + 1])
def test_exponents_that_prove_nothing_or_only_take_time(exponent: int) -> None:
    modulus = private().public_key().public_numbers().n
    with pytest.raises(Unproved):
        check(key([rsa_record(modulus, exponent).encode()], RSA), b"\1" * 256, b"\1")


class Keys:
    """Records that are there already."""

    def __init__(self, records: Mapping[str, Sequence[bytes]]) -> None:
        self._records = records

    async def txt(self, name: str) -> Sequence[bytes]:
        return self._records.get(name, ())


def tagged(**changed: str | None) -> bytes:
    """A header with a signature whose tags are changed, or taken away; it is never right."""
    tags = {
        "v": "1",
        "a": "rsa-sha256",
        "d": "example.com",
        "s": "rsa",
        "h": "from",
        "bh": "AAAA",
        "b": "AAAA",
    } | changed
    content = "; ".join(f"{name}={value}" for name, value in tags.items() if value is not None)
    return f"DKIM-Signature: {content}\r\nFrom: ada@example.com\r\n".encode()


@pytest.mark.parametrize(
    ("block", "result", "reason"),
    [
        *((tagged(**{name: None}), Result.PERMERROR, f"no {name}=") for name in ("v", "a", "d", "s", "h", "bh", "b")),
        (tagged(v="2"), Result.PERMERROR, "v="),
        (tagged(a="rsa-md5"), Result.PERMERROR, "a="),
        (tagged(a="rsa-sha1"), Result.POLICY, "rsa-sha1"),
        (tagged(h="to"), Result.PERMERROR, "From"),
        (tagged(c="nofws"), Result.PERMERROR, "c="),
        (tagged(c="relaxed/x"), Result.PERMERROR, "c="),
        (tagged(d="exa mple.com"), Result.PERMERROR, "domain"),
        (tagged(d=""), Result.PERMERROR, "domain"),
        (tagged(s="../x"), Result.PERMERROR, "domain"),
        (tagged(b="!"), Result.PERMERROR, "base64"),
        (tagged(bh="A"), Result.PERMERROR, "base64"),
        (tagged(i="x@example.net"), Result.PERMERROR, "i="),
        (tagged(i="x@notexample.com"), Result.PERMERROR, "i="),
        (tagged(i="example.com"), Result.PERMERROR, "i="),
        (tagged(l="0"), Result.POLICY, "l="),
        (tagged(q="http"), Result.PERMERROR, "q="),
        (tagged(t="-1"), Result.PERMERROR, "number"),
        (tagged(t="9" * 5000), Result.PERMERROR, "number"),
        (tagged(t="1", x="9"), Result.POLICY, "expired"),
        (tagged(t="9", x="1"), Result.PERMERROR, "x="),
        (tagged(t="2000000000"), Result.POLICY, "future"),
        (tagged(h=":".join(["from"] * 201)), Result.PERMERROR, "200"),
        (tagged(b="AAAA; b=AAAA"), Result.PERMERROR, "twice"),
        (tagged(b="AAAA; x"), Result.PERMERROR, "list"),
        (tagged().replace(b"From", b"X-From"), Result.PERMERROR, "no From"),
        (tagged(t="1899999999"), Result.FAIL, "body"),
        (tagged(t="1"), Result.POLICY, "too old"),
        (tagged(), Result.POLICY, "Date"),
        (tagged() + b"Date: Tue, 17 Mar 2030 17:46:40 +0000\r\n", Result.POLICY, "Date"),  # not signed
        (tagged(h="from:date") + b"Date: Sun, 17 Mar 2030 17:46:40 +0000\r\n", Result.FAIL, "body"),
        (tagged(h="from:date") + b"Date: Sun, 17 Mar 2024 17:46:40 +0000\r\n", Result.POLICY, "too old"),
        (tagged(h="from:date") + b"Date: Sun, 99 Mar 99999999999 17:46:40 +9999\r\n", Result.POLICY, "Date"),
    ],
)
async def test_what_a_signature_says_of_itself(block: bytes, result: Result, reason: str) -> None:
    (one,) = candidates(fields(block) or (), author(block), 1.9e9)
    finding = await verify(Keys({}), one, {"simple": b"", "relaxed": b""})
    assert finding.result is result
    assert reason in finding.reason
