"""Body hashes: those of the whole body by dkimpy's canonicalization, however it is cut."""

from __future__ import annotations

from hashlib import sha256

from dkim.canonicalization import Relaxed, Simple

from appliance.proof.body import RELAXED, SIMPLE, BodyHashes
from tests.fuzz import pieces

WORDS = (b"\r\n", b"\r\n\r\n", b" ", b"\t", b" \r\n", b"\r", b"\n", b"  ", b"\t\t\r\n")


def check(octets: bytes) -> None:
    cut, whole = BodyHashes((SIMPLE, RELAXED)), octets[4:]
    cut.feed(b"\r\n")
    for piece in pieces(octets):
        cut.feed(piece)
    found = cut.digests()
    assert found[SIMPLE] == sha256(Simple.canonicalize_body(whole)).digest()
    ended = whole if whole.endswith(b"\r\n") else whole.rstrip(b" \t")
    assert found[RELAXED] == sha256(Relaxed.canonicalize_body(ended)).digest()
