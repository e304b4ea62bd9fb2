"""Public keys from the DNS (RFC 6376 section 3.6.1, RFC 8463), and what they sign.  The only file that knows dkimpy.

Of dkimpy the reading of RSA keys and the arithmetic are used.  Its reading of messages, tag lists and fields is not:
those take time by the square or the cube of what a stranger sends, and cut a value that looks like `b=`.

Security: a record is a stranger's, whose signature is looked at only then.  Keys outside 1024 to 4096 bits prove
nothing (RFC 8301), nor do exponents that would only cost time: the longest reckoning takes two milliseconds.  The
signature has the length of its key, and is smaller, before anything is reckoned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from dkim.asn1 import ASN1FormatError
from dkim.crypto import DigestTooLargeError, RSASSA_PKCS1_v1_5_verify, UnparsableKeyError, parse_public_key
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

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
        VerifyKey(octets).verify(hashlib.sha256(signed).digest(), signature)
    except (CryptoError, ValueError, TypeError):
        return False
    return True


def _rsa(octets: bytes, signature: bytes, signed: bytes) -> bool:
    if len(octets) > _DER:
        raise Unproved(Result.PERMERROR, "its key is too long")
    try:
        numbers = parse_public_key(octets)
    except (ASN1FormatError, UnparsableKeyError, AssertionError, IndexError):
        raise Unproved(Result.PERMERROR, "its key is malformed") from None
    modulus, exponent = numbers["modulus"], numbers["publicExponent"]
    if modulus.bit_length() not in _BITS:
        raise Unproved(Result.POLICY, f"its key has {modulus.bit_length()} bits, which proves nothing")
    if not 2 < exponent < _EXPONENT or not exponent & modulus & 1:
        raise Unproved(Result.PERMERROR, "its key is malformed")
    if len(signature) != (modulus.bit_length() + 7) // 8 or int.from_bytes(signature, "big") >= modulus:
        return False  # RFC 8017 section 8.2.2: else one signature had many forms, and counted once in each
    try:
        return bool(RSASSA_PKCS1_v1_5_verify(hashlib.sha256(signed), signature, numbers))
    except (DigestTooLargeError, AssertionError, ValueError):
        return False
