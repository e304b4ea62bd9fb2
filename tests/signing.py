"""Mails as the world signs them: dkimpy's own signer, keys made here, and the records that publish them."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from dkim.canonicalization import CanonicalizationPolicy
from dkim.crypto import parse_pem_private_key

DNS = Mapping[str, Mapping[str, Sequence[str]]]
H = (b"from", b"to", b"cc", b"subject", b"date", b"message-id")


@dataclass(frozen=True)
class Signer:
    """A key of a domain.  `record` is its TXT record."""

    domain: str
    selector: str
    kind: str
    private: bytes
    record: str

    def published(self, record: str = "") -> DNS:
        return {f"{self.selector}._domainkey.{self.domain}": {"TXT": [record or self.record]}}

    def sign(
        self,
        message: bytes,
        *,
        canonicalization: str = "relaxed/relaxed",
        h: Sequence[bytes] = H,
        identity: str = "",
        length: bool = False,
    ) -> bytes:
        """The message with a signature on top."""
        header, _, body = canonicalization.encode().partition(b"/")
        signature: bytes = dkim.sign(
            message,
            self.selector.encode(),
            self.domain.encode(),
            self.private,
            identity=identity.encode() or None,
            canonicalize=(header, body),
            signature_algorithm=f"{self.kind}-sha256".encode(),
            include_headers=list(h),
            length=length,
        )
        return signature + message

    def sign_undated(self, message: bytes, h: Sequence[bytes] = H) -> bytes:
        """Relaxed, by RSA, and without t=, as some large providers sign."""
        signer = dkim.DKIM(message)
        policy = CanonicalizationPolicy.from_c_value(b"relaxed/relaxed")
        signer.hasher = dkim.HASH_ALGORITHMS[b"rsa-sha256"]
        body = signer.hasher(policy.canonicalize_body(signer.body)).digest()
        signer.headers = policy.canonicalize_headers(signer.headers)
        fields = [(b"v", b"1"), (b"a", b"rsa-sha256"), (b"c", b"relaxed/relaxed"), (b"d", self.domain.encode())]
        fields += [(b"s", self.selector.encode()), (b"h", b":".join(h))]
        fields += [(b"bh", base64.b64encode(body)), (b"b", b"0" * 60)]
        key = parse_pem_private_key(self.private)
        return (
            b"DKIM-Signature: " + _ended(signer.gen_header(fields, list(h), policy, b"DKIM-Signature", key)) + message
        )

    def seal(self, message: bytes, results: str, *, verdict: str = "", authserv: str = "mx.example.org") -> bytes:
        """The message with one more set of ARC on top (RFC 8617); `verdict` is cv=, by itself what is right."""
        sealer = dkim.ARC(message)
        known, _ = sealer.sorted_arc_headers()
        instance = str(known + 1).encode()
        says = b" i=%b; %b; %b" % (instance, authserv.encode(), results.encode())
        policy = CanonicalizationPolicy.from_c_value(b"relaxed/relaxed")
        sealer.hasher = dkim.HASH_ALGORITHMS[b"rsa-sha256"]
        body = sealer.hasher(policy.canonicalize_body(sealer.body)).digest()
        key = parse_pem_private_key(self.private)
        who = [(b"a", b"rsa-sha256"), (b"d", self.domain.encode()), (b"s", self.selector.encode())]
        fields = [(b"i", instance), *who, (b"c", b"relaxed/relaxed"), (b"h", b":".join(H))]
        fields += [(b"t", b"%d" % time.time()), (b"bh", base64.b64encode(body)), (b"b", b"0" * 60)]
        message_signature = sealer.gen_header(fields, list(H), policy, b"ARC-Message-Signature", key)
        cv = verdict or ("none" if not known else "pass")
        seal_fields = [(b"i", instance), (b"cv", cv.encode()), *who, (b"b", b"0" * 60)]
        _, arc_fields = sealer.sorted_arc_headers()
        older = sorted(arc_fields, key=lambda one: (one[0], _ORDER.index(one[1][0].lower())))
        chain = [field for _, field in older]
        chain += [(b"ARC-Authentication-Results", says + b"\r\n"), (b"ARC-Message-Signature", message_signature)]
        sealer.headers = policy.canonicalize_headers(chain[::-1])  # it takes each name from the bottom up
        seal = sealer.gen_header(seal_fields, [name.lower() for name, _ in chain], policy, b"ARC-Seal", key)
        new = b"ARC-Seal: %bARC-Message-Signature: %bARC-Authentication-Results:%b\r\n"
        return new % (_ended(seal), _ended(message_signature), says) + message


_ORDER = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")


def _ended(content: bytes) -> bytes:
    return content.rstrip(b"\r\n") + b"\r\n"


@cache
def rsa_signer(domain: str = "example.com", selector: str = "rsa", bits: int = 2048) -> Signer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()
    return Signer(domain, selector, "rsa", private, record)


@cache
def ed25519_signer(domain: str = "example.com", selector: str = "ed") -> Signer:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    record = "v=DKIM1; k=ed25519; p=" + base64.b64encode(public).decode()
    return Signer(domain, selector, "ed25519", binascii.b2a_base64(private, newline=False), record)


def rsa_record(modulus: int, exponent: int = 65537) -> str:
    """A record with any numbers (RFC 8017 appendix A.1.1)."""

    def value(kind: int, octets: bytes) -> bytes:
        length = len(octets)
        long = length.to_bytes((length.bit_length() + 7) // 8, "big") if length > 127 else b""
        return bytes((kind, 0x80 | len(long) if long else length)) + long + octets

    # A number has a sign, and no octet more than it needs.
    numbers = (value(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in (modulus, exponent))
    return "v=DKIM1; p=" + base64.b64encode(value(0x30, b"".join(numbers))).decode()


def mail(
    *, author: str = "Ada <ada@example.com>", to: str = "phaser360@example.org", body: bytes = b"Hello\r\n"
) -> bytes:
    """A mail to a printer."""
    head = f"From: {author}\r\nTo: {to}\r\nSubject: the plan\r\nDate: Mon, 1 Jun 2026 09:00:00 +0000\r\n"
    return head.encode() + b"Message-ID: <1@example.com>\r\n\r\n" + body


def merged(*zones: DNS) -> DNS:
    """Records of several zones; those of one name and type together."""
    found: dict[str, dict[str, list[str]]] = {}
    for zone in zones:
        for name, kinds in zone.items():
            for kind, values in kinds.items():
                found.setdefault(name, {}).setdefault(kind, []).extend(values)
    return found
