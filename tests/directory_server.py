"""Real slapds for tests, made from nothing in the test's own folder, gone when the test ends.

`running_directory` is the embedded one, with printers and our own users.  `foreign_directory` is a site's own: set up
by cn=config from the files that `deploy/ldap` offers, another base, one writing identity, TLS only, and slapd's usual
size limit; as a directory of people alone it has nothing of our schema, some attributes as Active Directory has them,
and lets us only read.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailstore.directory.ldap import LdapDirectory, embedded
from mailstore.directory.logins import Pace
from mailstore.directory.openldap import SUFFIX, Identity, Software, run
from mailstore.directory.own_people import OwnPeople
from mailstore.directory.people import LdapPeople
from mailstore.directory.server import LdapServer
from mailstore.directory.site_people import SitePeople
from mailstore.directory.slapd import EmbeddedDirectory, secret


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDirectory:
    """A slapd that answers, with a client for each identity."""

    server: EmbeddedDirectory
    appliance: LdapDirectory
    bridge: LdapDirectory

    @property
    def folder(self) -> Path:
        return self.server.folder

    @property
    def runtime(self) -> Path:
        return self.server.runtime

    @contextlib.asynccontextmanager
    async def people(
        self,
        site: SitePeople | None = None,
        clock: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
    ) -> AsyncIterator[LdapPeople]:
        """A client for people, as the appliance; closes `site` at its end."""
        password = secret(self.folder, Identity.APPLIANCE)
        server = LdapServer(self.server.url, Identity.APPLIANCE.dn, password, clock=clock, random=lambda: 1.0)
        people = LdapPeople(OwnPeople(server, SUFFIX, clock=clock, pace=pace or Pace()), site)
        try:
            yield people
        finally:
            await people.close()


@contextlib.asynccontextmanager
async def running_directory(tmp_path: Path) -> AsyncIterator[RunningDirectory]:
    """Data in `tmp_path`/directory; the socket in a folder of its own, whose path is short enough for one."""
    with short_folder() as runtime:
        async with EmbeddedDirectory(tmp_path / "directory", runtime) as server:
            appliance = embedded(server.folder, runtime, Identity.APPLIANCE)
            bridge = embedded(server.folder, runtime, Identity.BRIDGE)
            try:
                yield RunningDirectory(server=server, appliance=appliance, bridge=bridge)
            finally:
                await appliance.close()
                await bridge.close()


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose sockets fit into the 107 octets of a Unix socket's address."""
    folder = Path(tempfile.mkdtemp(prefix="pp-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


FOREIGN_BASE = "dc=example,dc=com"
FOREIGN_DN = f"cn=printpost,{FOREIGN_BASE}"
FOREIGN_PASSWORD = "correct horse"
FOREIGN_ROOT = f"cn=root,{FOREIGN_BASE}"
_SCHEMAS = ("core", "cosine", "nis", "inetorgperson", "misc")
_OURS = ("printer", "printpost")
# As far as we ask for it.  OpenLDAP's own msuser.ldif lacks the matching rules that the real one has.
_LIKE_AD = """dn: cn=like-ad,cn=schema,cn=config
objectClass: olcSchemaConfig
cn: like-ad
olcAttributeTypes: ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
olcAttributeTypes: ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
olcObjectClasses: ( 1.2.840.113556.1.5.9 NAME 'user' SUP organizationalPerson STRUCTURAL
  MAY ( displayName $ mail $ sAMAccountName $ proxyAddresses $ uid ) )
"""
_SCHEMA = Path(__file__).parent.parent / "deploy" / "ldap"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignDirectory:
    """A site's own slapd."""

    port: int
    ca: Path
    process: asyncio.subprocess.Process

    def client(self, scheme: str = "ldaps", host: str = "127.0.0.1") -> LdapDirectory:
        url = f"{scheme}://{host}:{self.port}"
        return LdapDirectory(url, FOREIGN_BASE, FOREIGN_DN, FOREIGN_PASSWORD, ca=self.ca)

    def people(
        self,
        condition: str = "(objectClass=person)",
        clock: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
    ) -> SitePeople:
        """Its people, grace an administrator among them."""
        url = f"ldaps://127.0.0.1:{self.port}"
        server = LdapServer(url, FOREIGN_DN, FOREIGN_PASSWORD, ca=self.ca, section="people", clock=clock)
        return SitePeople(server, FOREIGN_BASE, condition, ("Grace",), clock=clock, pace=pace or Pace())


@contextlib.asynccontextmanager
async def foreign_directory(
    tmp_path: Path,
    scheme: str = "ldaps",
    name: str = "",
    entries: str = "",
    limits: str = "",
    *,
    only_people: bool = False,
    overlay: str = "",
) -> AsyncIterator[ForeignDirectory]:
    """`name` is what the certificate says instead of 127.0.0.1; `entries` (LDIF) are there from the start.

    `overlay` is one of slapd's, such as memberof.  `limits` (slapd.conf(5)) is what our identity may read at once, if
    not the usual 500 entries.
    """
    software = Software.find()
    folder = tmp_path / "foreign"
    (folder / "config").mkdir(parents=True)
    (folder / "data").mkdir()
    ca = make_certificate(folder, name)
    config = _foreign_config(software, folder, limits, only_people, overlay)
    await run([*software.tool("slapadd"), "-n", "0", "-F", str(folder / "config")], config)
    ldif = await _foreign_entries(software) + "\n" + entries
    await run([*software.tool("slapadd"), "-n", "1", "-F", str(folder / "config")], ldif)
    port = _free_port()
    command = [
        *software.tool("slapd"),
        "-h",
        f"{scheme}://127.0.0.1:{port}",
        "-F",
        str(folder / "config"),
        "-d",
        "none",
    ]
    process = await asyncio.create_subprocess_exec(
        *("prlimit", "--nofile=1024", "setpriv", "--pdeathsig", "TERM", *command), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        drain = asyncio.create_task(process.stderr.read())
        await _listening(port)
        yield ForeignDirectory(port=port, ca=ca, process=process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await drain


def make_certificate(folder: Path, name: str = "") -> Path:
    """A self-signed certificate and its key as `certificate.pem` and `key.pem`; returns the former."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "directory")])
    now = datetime.datetime.now(datetime.UTC)
    who = x509.DNSName(name) if name.endswith(".com") else x509.IPAddress(ipaddress.ip_address(name or "127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([who]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def _foreign_config(software: Software, folder: Path, limits: str, only_people: bool, overlay: str) -> str:
    schemas = [(software.schema / f"{name}.ldif").read_text() for name in _SCHEMAS]
    schemas += [_LIKE_AD] if only_people else [(_SCHEMA / f"{name}.ldif").read_text() for name in _OURS]
    tls = f"olcTLSCertificateFile: {folder / 'certificate.pem'}\nolcTLSCertificateKeyFile: {folder / 'key.pem'}"
    password, all_else = ("none", "read") if only_people else ("=w", "write")
    access = (
        f'olcAccess: to attrs=userPassword by dn.exact="{FOREIGN_DN}" {password} by anonymous auth by * none',
        f'olcAccess: to * by dn.exact="{FOREIGN_DN}" {all_else} by anonymous auth by * none',
    )
    entries = (
        f"dn: cn=config\nobjectClass: olcGlobal\ncn: config\n{tls}\n",
        f"dn: cn=module,cn=config\nobjectClass: olcModuleList\ncn: module\nolcModulePath: {software.modules}",
        f"olcModuleLoad: back_mdb\n{f'olcModuleLoad: {overlay}' if overlay else ''}\n",
        "dn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n",
        *(f"{schema}\n" for schema in schemas),
        "dn: olcDatabase={1}mdb,cn=config\nobjectClass: olcMdbConfig\nolcDatabase: {1}mdb",
        f"olcSuffix: {FOREIGN_BASE}\nolcDbDirectory: {folder / 'data'}",
        f"olcRootDN: {FOREIGN_ROOT}\nolcRootPW: {FOREIGN_PASSWORD}",
        *access,
        *([f'olcLimits: dn.exact="{FOREIGN_DN}" {limits}'] if limits else []),
        *(
            [
                f"\ndn: olcOverlay={overlay},olcDatabase={{1}}mdb,cn=config",
                f"objectClass: olcOverlayConfig\nolcOverlay: {overlay}",
            ]
            if overlay
            else []
        ),
    )
    return "\n".join(entries) + "\n"


async def _foreign_entries(software: Software) -> str:
    hashed = await run([*software.tool("slappasswd"), "-n", "-T", "/dev/stdin"], FOREIGN_PASSWORD)
    return (
        f"dn: {FOREIGN_BASE}\nobjectClass: domain\ndc: example\n\n"
        f"dn: ou=printers,{FOREIGN_BASE}\nobjectClass: organizationalUnit\nou: printers\n\n"
        f"dn: {FOREIGN_DN}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        f"cn: printpost\nuserPassword: {hashed}\n"
    )


async def _listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.01)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
