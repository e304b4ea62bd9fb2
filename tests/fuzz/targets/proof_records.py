"""Key and DMARC records: a key and a signature, a policy that is one of three, or one of the two refusals."""

from __future__ import annotations

import contextlib

from appliance.proof import dmarc
from appliance.proof.key import ED25519, RSA, Unproved, key
from appliance.proof.key import check as verify
from appliance.proof.tags import Malformed

WORDS = (
    *(
        b"v=DKIM1;",
        b"k=rsa;",
        b"k=ed25519;",
        b"h=sha256;",
        b"s=email;",
        b"t=y:s;",
        b"p=",
        b"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
    ),
    *(
        b"v=DMARC1;",
        b"p=reject;",
        b"sp=none;",
        b"np=quarantine;",
        b"adkim=s;",
        b"psd=y;",
        b"t=y;",
        b"pct=0;",
        b"rua=mailto:",
    ),
)


def check(octets: bytes) -> None:
    for kind in (RSA, ED25519):
        with contextlib.suppress(Unproved):
            public = key(octets.split(b"\n"), kind)
            verify(public, octets[:256], octets)
            raise AssertionError("a signature that nobody made")
    with contextlib.suppress(Malformed):
        record = dmarc.parse(octets, "example.com")
        if record is not None:
            assert {record.policy, record.of_subdomains, record.of_nobody} <= set(dmarc.POLICIES)
            assert octets.lstrip().startswith(b"v")
