"""The certificate of all listeners: the site's own, or a self-signed one that is made at the first start.

A reload needs no restart and breaks no connection: `Certificate.context` is one object for ever, and every handshake
that begins is handed on to the context of the files as they are now.

Security: a key that others can read, or a handshake that agrees on something weak, undoes every password behind it.
Keys of ours are written with mode 0600 into a folder of mode 0700; TLS is 1.2 or later with forward secrecy, without
compression and without renegotiation.  A reload takes certificate and key together or not at all.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from prometheus_client import Gauge

from mailstore.config import ConfigError, Settings
from mailstore.failure import PermanentFailure

NOT_AFTER = Gauge(
    "printpost_tls_certificate_not_after_timestamp_seconds", "When the certificate of the listeners expires"
)

LOOK = 10.0
"""Seconds between two looks at the files."""
LIFETIME = datetime.timedelta(days=397)
RENEWAL = 30 * 86400.0
"""Seconds before its end at which a self-signed certificate is made anew."""
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!SHA1"
"""Of TLS 1.2, in OpenSSL's words; those of 1.3 are all good."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A certificate and its key that fit, as they were in the files."""

    context: ssl.SSLContext
    leaf: x509.Certificate

    @property
    def not_after(self) -> float:
        return self.leaf.not_valid_after_utc.timestamp()


class Certificate:
    """What the listeners show.  `open_certificate` makes it."""

    def __init__(self, files: tuple[Path, Path], names: tuple[str, ...] = ()) -> None:
        """`names` are those of a self-signed certificate, which is made if need be; none for the site's own."""
        self.files = files
        self.reloaded: list[Callable[[], None]] = []
        self._names = names
        self._complaint = ""
        if names and not self._still_good(time.time()):
            _make(files, names)
        self._stamp = self._look_at_files()
        self._now = _load(files)
        # Not refused: who asks for no certificate, as old printers do, must not go without paper because of it.
        if why := _expired(self._now, files[0], time.time()):
            log.error("expired certificate in use", why=why)
        self.context = self._now.context
        # Called for every ClientHello, with and without a server name.  A second certificate loaded into the same
        # context would stand beside the first if its key is of another kind.
        self.context.sni_callback = self._hand_on
        NOT_AFTER.set(self.not_after)

    @property
    def not_after(self) -> float:
        """Seconds since the epoch."""
        return self._now.not_after

    @property
    def not_before(self) -> float:
        """Seconds since the epoch."""
        return self._now.leaf.not_valid_before_utc.timestamp()

    @property
    def names(self) -> tuple[str, ...]:
        """The host names that it is for (RFC 5280 section 4.2.1.6), none if it tells none."""
        try:
            found = self._now.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, ValueError):
            return ()
        return tuple(found.get_values_for_type(x509.DNSName))

    @property
    def self_signed(self) -> bool:
        """Whether it is one of ours."""
        return bool(self._names)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as browsers show it: AB:CD:..."""
        return self._now.leaf.fingerprint(hashes.SHA256()).hex(":").upper()

    async def watch(self) -> None:
        """Run for ever: take up files that changed, and renew a self-signed certificate before its end."""
        while True:
            await asyncio.sleep(LOOK)
            await self.look(time.time())

    async def look(self, now: float) -> None:
        """Look once.  What cannot be taken up is told to the log, once, and the old certificate stays."""
        try:
            changed = await asyncio.to_thread(self._take_up, now)
        except (ConfigError, PermanentFailure, OSError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("certificate not taken up, the old one stays", why=self._complaint)
            return
        self._complaint = ""
        if changed:
            NOT_AFTER.set(self.not_after)
            log.info("certificate taken up", file=str(self.files[0]), fingerprint=self.fingerprint)
            for tell in self.reloaded:
                tell()

    def _take_up(self, now: float) -> bool:
        if self._names and not self._still_good(now):
            _make(self.files, self._names)
        stamp = self._look_at_files()
        if stamp and stamp == self._stamp:
            return False
        found = _load(self.files)
        if (why := _expired(found, self.files[0], now)) and self.not_after > now:
            raise ConfigError(why)
        self._now = found
        self._stamp = stamp
        return True

    def _look_at_files(self) -> tuple[tuple[int, int, int], ...]:
        """What changes when somebody writes or replaces them."""
        try:
            stats = [file.stat() for file in self.files]
        except OSError:  # reading them tells why
            return ()
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _still_good(self, now: float) -> bool:
        """Whether our own certificate is there, for the names that it should have, and for a while yet."""
        try:
            found = _load(self.files)
            names = found.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ConfigError, x509.ExtensionNotFound):
            return False
        return found.not_after - RENEWAL > now and list(names) == _alternative_names(self._names)

    def _hand_on(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._now.context


def open_certificate(settings: Settings) -> Certificate:
    """The site's certificate, or our own in the data folder, made if there is none.

    Raises `ConfigError` if the site's files do not fit, `PermanentFailure` if ours cannot be written.
    """
    certificate, key = settings.tls.certificate, settings.tls.key
    if certificate is not None:
        return Certificate((certificate, key or certificate))
    if key is not None:
        raise ConfigError("[tls] key is given without a certificate; name both, or neither for a self-signed one")
    folder = settings.store.folder / "tls"
    names = (settings.site.hostname, *settings.domains, *settings.web.names, "localhost", "127.0.0.1", "::1")
    try:
        return Certificate((folder / "certificate.pem", folder / "key.pem"), tuple(dict.fromkeys(names)))
    except OSError as error:
        raise PermanentFailure("4.3.5", f"no certificate can be made in {folder}: {error.strerror}") from None


def _context(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(*files)
    return context


def _expired(found: _Loaded, file: Path, now: float) -> str:
    """What to say of a certificate past its end; "" of one that is not."""
    if found.not_after >= now:
        return ""
    return f"[tls] certificate: {file} expired on {found.leaf.not_valid_after_utc:%d %B %Y}; renew it"


def _load(files: tuple[Path, Path]) -> _Loaded:
    """Raises `ConfigError` with a sentence on what is wrong with them."""
    certificate, key = files
    try:
        leaf = x509.load_pem_x509_certificates(_read(certificate, "certificate"))[0]
        public = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"[tls] certificate: {certificate} holds no certificate in PEM") from None
    try:
        private = serialization.load_pem_private_key(_read(key, "key"), password=None)
    except TypeError:
        raise ConfigError(f"[tls] key: {key} is locked with a passphrase; give one without") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"[tls] key: {key} holds no private key in PEM") from None
    if private.public_key() != public:
        raise ConfigError(f"[tls] key: {key} is not the key of the certificate in {certificate}")
    try:
        return _Loaded(context=_context(files), leaf=leaf)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"[tls] certificate: {certificate} cannot be used: {error}") from None


def _read(file: Path, which: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"[tls] {which}: {file} cannot be read: {error.strerror}") from None


def _make(files: tuple[Path, Path], names: tuple[str, ...]) -> None:
    """Write a self-signed certificate and its key.  A crash between the two leaves what `_still_good` denies."""
    key = ec.generate_private_key(ec.SECP256R1())
    # RFC 5280, appendix A.1: a common name has 64 characters at most.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if len(names[0]) <= 64 else "Printpost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # for clients whose clock is behind
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(files[1], key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    _write(files[0], certificate.public_bytes(pem))
    log.info("self-signed certificate made", file=str(files[0]), names=names)


def _write(file: Path, octets: bytes) -> None:
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600, exist_ok=False)
    new.write_bytes(octets)
    new.replace(file)


def _alternative_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    return [_alternative_name(name) for name in names]


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
