"""The certificate, seen by real handshakes: made, given, refused, renewed and reloaded."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import ipaddress
import shutil
import ssl
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from prometheus_client import REGISTRY

from appliance.tls import Certificate, open_certificate
from mailstore.config import ConfigError, Settings
from mailstore.failure import PermanentFailure

DAY = 86400.0


def settings(folder: Path, **tls: Any) -> Settings:
    return Settings.model_validate(
        {
            "site": {"hostname": "mail.example.com", "domains": ("example.com",)},
            "store": {"url": f"sqlite:{folder}"},
            "tls": tls,
        }
    )


def given(folder: Path, *, days: int = 10, key: Any = None, passphrase: bytes = b"") -> dict[str, Path]:
    """A site's own certificate, as `[tls]` names it."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=100))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    files = {"certificate": folder / "site.pem", "key": folder / "site.key"}
    files["certificate"].write_bytes(certificate.public_bytes(pem))
    files["key"].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock))
    return files


@contextlib.asynccontextmanager
async def listening(certificate: Certificate) -> AsyncIterator[int]:
    async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(leave, "127.0.0.1", 0, ssl=certificate.context) as server:
        yield server.sockets[0].getsockname()[1]


async def shown(port: int, context: ssl.SSLContext, name: str | None = None) -> str:
    """The fingerprint of what a handshake shows."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    octets = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(octets).digest().hex(":").upper()


def anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_a_certificate_is_made_at_the_first_start(tmp_path: Path) -> None:
    made = open_certificate(settings(tmp_path / "data"))
    assert made.self_signed
    assert [stat.S_IMODE(file.stat().st_mode) for file in made.files] == [0o600, 0o600]
    assert stat.S_IMODE(made.files[0].parent.stat().st_mode) == 0o700
    assert 396 * DAY < made.not_after - time.time() <= 397 * DAY
    assert REGISTRY.get_sample_value("printpost_tls_certificate_not_after_timestamp_seconds") == made.not_after
    trusting = ssl.create_default_context(cafile=str(made.files[0]))
    async with listening(made) as port:
        for name in ("mail.example.com", "example.com", "localhost", "127.0.0.1", "::1"):
            assert await shown(port, trusting, name) == made.fingerprint
        with pytest.raises(ssl.SSLCertVerificationError):
            await shown(port, trusting, "other.example.com")


def test_the_certificate_outlives_a_restart_and_a_damage(tmp_path: Path) -> None:
    first = open_certificate(settings(tmp_path))
    assert open_certificate(settings(tmp_path)).fingerprint == first.fingerprint
    first.files[1].write_bytes(first.files[1].read_bytes()[:100])
    second = open_certificate(settings(tmp_path))
    assert second.fingerprint != first.fingerprint
    other = settings(tmp_path).model_copy(update={"site": settings(tmp_path).site.model_copy(update={"domains": ()})})
    assert open_certificate(other).fingerprint != second.fingerprint  # it is for other names


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_tls_is_refused(tmp_path: Path, version: ssl.TLSVersion) -> None:
    made = open_certificate(settings(tmp_path))
    old = anybody()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = old.maximum_version = version
    async with listening(made) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(port, old)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await shown(port, old) == made.fingerprint


async def test_no_cipher_without_forward_secrecy(tmp_path: Path) -> None:
    made = open_certificate(settings(tmp_path, **given(tmp_path, key=rsa.generate_private_key(65537, 2048))))
    old = anybody()
    old.set_ciphers("kRSA")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(made) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(port, old)
        assert await shown(port, anybody()) == made.fingerprint


# -- the site's own


def test_a_given_certificate(tmp_path: Path) -> None:
    files = given(tmp_path)
    opened = open_certificate(settings(tmp_path, **files))
    assert not opened.self_signed
    assert opened.files == (files["certificate"], files["key"])
    assert 9 * DAY < opened.not_after - time.time() <= 10 * DAY
    both = tmp_path / "both.pem"
    both.write_bytes(files["key"].read_bytes() + files["certificate"].read_bytes())
    assert open_certificate(settings(tmp_path, certificate=both)).fingerprint == opened.fingerprint


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    files, others = given(tmp_path), given(folder)
    weak = given_in(tmp_path / "weak", key=rsa.generate_private_key(65537, 1024))
    for tls, words in (
        ({"certificate": tmp_path / "none.pem"}, "none.pem cannot be read: No such file"),
        ({"certificate": files["key"], "key": files["key"]}, "site.key holds no certificate in PEM"),
        ({"certificate": files["certificate"]}, "site.pem holds no private key in PEM"),
        ({"certificate": files["certificate"], "key": others["key"]}, "is not the key of the certificate"),
        ({"key": files["key"]}, "without a certificate"),
        (given_in(tmp_path / "locked", passphrase=b"secret"), "site.key is locked with a passphrase"),
        (weak, "site.pem cannot be used: .*TOO_SMALL"),
    ):
        with pytest.raises(ConfigError, match=words):
            open_certificate(settings(tmp_path, **tls))


def given_in(folder: Path, **kind: Any) -> dict[str, Path]:
    folder.mkdir()
    return given(folder, **kind)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "tls").touch()
    with pytest.raises(PermanentFailure, match="no certificate can be made in"):
        open_certificate(settings(tmp_path))


def test_an_expired_certificate_is_told_and_served(tmp_path: Path) -> None:
    past = given_in(tmp_path / "past", days=-1)
    with structlog.testing.capture_logs() as logged:
        found = open_certificate(settings(tmp_path, **past))
    assert [line["log_level"] for line in logged] == ["error"]
    assert "site.pem expired on" in logged[0]["why"]
    assert found.not_after < time.time()


# -- reload


async def test_changed_files_are_taken_up_without_restart(tmp_path: Path) -> None:
    files = given(tmp_path, key=rsa.generate_private_key(65537, 2048))
    certificate = open_certificate(settings(tmp_path, **files))
    told: list[str] = []
    certificate.reloaded.append(lambda: told.append(certificate.fingerprint))
    async with listening(certificate) as port:
        old = await shown(port, anybody())
        await certificate.look(time.time())
        assert told == []
        given(tmp_path)  # of another kind: nothing of the old may be left beside it
        await certificate.look(time.time())
        assert told == [certificate.fingerprint] != [old]
        only_rsa = anybody()
        only_rsa.maximum_version = ssl.TLSVersion.TLSv1_2
        only_rsa.set_ciphers("aRSA")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(port, only_rsa)
        for name in (None, "mail.example.com"):
            assert await shown(port, anybody(), name) == certificate.fingerprint


async def test_what_cannot_be_taken_up_leaves_the_old_one(tmp_path: Path) -> None:
    files = given(tmp_path)
    certificate = open_certificate(settings(tmp_path, **files))
    kept = certificate.fingerprint
    (tmp_path / "half").mkdir()
    half = given(tmp_path / "half")
    async with listening(certificate) as port:
        with structlog.testing.capture_logs() as lines:
            shutil.copy(half["certificate"], files["certificate"])  # the key has not come yet
            for _ in range(3):
                await certificate.look(time.time())
        assert [line["event"] for line in lines] == ["certificate not taken up, the old one stays"]
        assert "is not the key" in lines[0]["why"]
        assert await shown(port, anybody()) == kept == certificate.fingerprint
        shutil.copy(half["key"], files["key"])
        await certificate.look(time.time())
        assert await shown(port, anybody()) == certificate.fingerprint != kept
        files["key"].unlink()
        await certificate.look(time.time())
        assert await shown(port, anybody()) == certificate.fingerprint


async def test_our_own_is_renewed_before_its_end(tmp_path: Path) -> None:
    made = open_certificate(settings(tmp_path))
    first = made.fingerprint
    await made.look(made.not_after - 31 * DAY)
    assert made.fingerprint == first
    await made.look(made.not_after - 29 * DAY)
    assert made.fingerprint != first


async def test_watching_sees_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.tls.LOOK", 0.01)
    files = given(tmp_path)
    certificate = open_certificate(settings(tmp_path, **files))
    seen = asyncio.Event()
    certificate.reloaded.append(seen.set)
    watching = asyncio.create_task(certificate.watch())
    given(tmp_path)
    async with asyncio.timeout(5):
        await seen.wait()
    watching.cancel()


def test_names_are_names_and_addresses_are_addresses(tmp_path: Path) -> None:
    made = open_certificate(settings(tmp_path))
    leaf = x509.load_pem_x509_certificate(made.files[0].read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(a) for a in ("127.0.0.1", "::1")]
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.com", "example.com", "localhost"]
