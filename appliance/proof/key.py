"""Public keys from the DNS (RFC 6376 section 3.6.1, RFC 8463), and what they sign.

No library that reads whole messages is used: those there are keep them in memory, and take time by the square or the
cube of what a stranger sends.  The keys and the arithmetic are those of `cryptography`.

Security: a record is a stranger's, whose signature is looked at only then.  Keys outside 1024 to 4096 bits prove
nothing (RFC 8301), nor do exponents that would only cost time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from appliance.proof.result import Result
from appliance.proof.tags import Malformed, base64, tags, words

RSA, ED25519 = "rsa", "ed25519"

_BITS = range(1024, 4096 + 1)
_EXPONENT = 1 << 17
_DER = 2048


class Unproved(Exception):
    """Why a signature proves nothing: `result`, and a sentence."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, `kind` RSA or ED25519, with its octets as published."""

    kind: str
    octets: bytes
    strict: bool  # t=s: i= must be of the domain itself


def key(records: Sequence[bytes], kind: str) -> Key:
    """The key that TXT records publish for signatures of `kind`.  Raises `Unproved`."""
    found = [published for record in records if (published := _published(record)) is not None]
    if not found:
        raise Unproved(Result.PERMERROR, "its key is not published")
    if len(found) > 1:
        raise Unproved(Result.PERMERROR, "several keys are published under its name")  # section 3.6.2.2: undefined
    record = found[0]
    flags = words(record.get("t", ""))
    if record["p"] == "":
        raise Unproved(Result.FAIL, "its key was revoked")
    if record.get("k", RSA) != kind:
        raise Unproved(Result.PERMERROR, "its key is of another kind")
    if "h" in record and "sha256" not in words(record["h"]):
        raise Unproved(Result.PERMERROR, "its key is not for SHA-256")
    if not {"*", "email"} & set(words(record.get("s", "*"))):
        raise Unproved(Result.PERMERROR, "its key is not for mail")
    if "y" in flags:
        raise Unproved(Result.POLICY, "its domain is only testing")
    try:
        return Key(kind, base64(record["p"]), "s" in flags)
    except Malformed:
        raise Unproved(Result.PERMERROR, "its key is malformed") from None


def _published(record: bytes) -> dict[str, str] | None:
    """None for what is no key record: an SPF record of a wildcard, say."""
    try:
        found = dict(tags(record))
    except Malformed:
        return None
    return found if "p" in found and found.get("v", "DKIM1") == "DKIM1" else None


def check(public: Key, signature: bytes, signed: bytes) -> None:
    """Whether `signature` is that of `public` over `signed`.  Raises `Unproved`."""
    if not (_ed25519 if public.kind == ED25519 else _rsa)(public.octets, signature, signed):
        raise Unproved(Result.FAIL, "the signature does not match: the header was changed")


def _ed25519(octets: bytes, signature: bytes, signed: bytes) -> bool:
    """RFC 8463 section 3: over the digest."""
    try:
        Ed25519PublicKey.from_public_bytes(octets).verify(signature, hashlib.sha256(signed).digest())
    except (InvalidSignature, ValueError):
        return False
    return True


def _rsa(octets: bytes, signature: bytes, signed: bytes) -> bool:
    if len(octets) > _DER:
        raise Unproved(Result.PERMERROR, "its key is too long")
    try:
        public = load_der_public_key(octets)  # a SubjectPublicKeyInfo, or an RSAPublicKey as section 3.6.1 has it
    except (ValueError, UnsupportedAlgorithm):
        raise Unproved(Result.PERMERROR, "its key is malformed") from None
    if not isinstance(public, RSAPublicKey):
        raise Unproved(Result.PERMERROR, "its key is malformed")
    if public.key_size not in _BITS:
        raise Unproved(Result.POLICY, f"its key has {public.key_size} bits, which proves nothing")
    numbers = public.public_numbers()
    if not 2 < numbers.e < _EXPONENT or not numbers.e & numbers.n & 1:
        raise Unproved(Result.PERMERROR, "its key is malformed")
    try:
        # It takes only a signature of the key's length and below its modulus (RFC 8017 section 8.2.2): else one had
        # many forms, and counted once in each.
        public.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
