"""A header with signatures and seals: what is looked at is bounded, and either a signature or a reason."""

from __future__ import annotations

from appliance.proof import arc, dkim
from appliance.proof.fields import author, fields

WORDS = (
    *(
        b"DKIM-Signature:",
        b"ARC-Seal:",
        b"ARC-Message-Signature:",
        b"ARC-Authentication-Results:",
        b"From: a@example.com\r\n",
    ),
    *(
        b"\r\n",
        b"v=1;",
        b"a=rsa-sha256;",
        b"a=ed25519-sha256;",
        b"c=relaxed/simple;",
        b"d=example.com;",
        b"s=s;",
        b"l=1;",
    ),
    *(b"h=from:to;", b"bh=AAAA;", b"b=AAAA", b"i=1;", b"i=@example.com;", b"t=1;", b"x=2;", b"q=dns/txt;", b"cv=none;"),
)


def check(octets: bytes) -> None:
    header = fields(octets) or ()
    found = dkim.candidates(header, author(octets), 1e9)
    assert len(found) <= dkim.LOOKED_AT
    for one in found:
        assert (one.signature is None) != (one.unproved is None)
        if one.signature:
            own = one.signature
            assert own.domain == own.domain.lower()
            assert own.key_name.isascii()
            assert b"\n" not in own.signed.replace(b"\r\n", b"")
            assert len(own.signed) <= len(octets)
    chain = arc.chain(header, ("example.com",), 1e9)
    if chain is not None:
        assert len(chain.links) <= arc.LINKS
        assert (chain.signature is None) != (chain.unproved is None)
