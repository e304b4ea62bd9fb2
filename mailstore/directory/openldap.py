"""The OpenLDAP that this machine has, and how the embedded directory configures it.

Other distributions than Debian keep the same parts elsewhere; what has no module is compiled in or done without.  The
schema is read from the LDIF files beside this one, which also serve an OpenLDAP of the site's own.

Security: the access rules stand here (`_ACCESS`).  Nobody reads `userPassword`, not even the appliance; an identity's
own password is nobody's to change; there is no root identity that could bind; anonymous clients can do nothing but
bind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mailstore.failure import PermanentFailure

SUFFIX = "dc=printpost"
"""The base of the embedded tree."""

_TOOL_DEADLINE = 10.0  # seconds
_OWN_SCHEMA = Path(__file__).parent
_SCHEMA_FOLDERS = (
    "/etc/ldap/schema",  # Debian
    "/etc/openldap/schema",  # Fedora, Alpine, Arch
    "/usr/share/openldap/schema",
    "/usr/local/etc/openldap/schema",  # FreeBSD
    "/opt/symas/etc/openldap/schema",
)
_MODULE_FOLDERS = (
    "/usr/lib/ldap",
    "/usr/lib64/openldap",
    "/usr/lib/openldap",
    "/usr/libexec/openldap",
    "/usr/local/libexec/openldap",
    "/opt/symas/lib/openldap",
)
_SERVER_FOLDERS = ("/usr/sbin", "/usr/libexec", "/usr/local/libexec", "/usr/lib/openldap", "/opt/symas/lib")
_APPARMOR = Path("/etc/apparmor.d/usr.sbin.slapd")  # Ubuntu confines slapd to its own folders
_CRYPT_FORMAT = "$6$%.16s"  # SHA-512
_ARGON2_COST = " m=7168 t=5 p=1"  # 7 MiB for each of slapd's threads, five passes: about 30 ms


class Identity(StrEnum):
    """Who talks to the embedded directory."""

    APPLIANCE = "appliance"  # writes everything, reads everything but passwords
    BRIDGE = "bridge"  # reads printers

    @property
    def dn(self) -> str:
        return f"cn={self.value},ou=identities,{SUFFIX}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """Where this machine keeps OpenLDAP."""

    slapd: str
    schema: Path
    modules: Path | None  # None: everything is compiled in

    @classmethod
    def find(cls) -> Software:
        slapd = shutil.which("slapd", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_SERVER_FOLDERS]))
        schema = next((Path(folder) for folder in _SCHEMA_FOLDERS if Path(folder, "misc.schema").exists()), None)
        if slapd is None or schema is None:
            raise PermanentFailure(
                "4.3.5", "slapd is not installed: apt-get install slapd (or set [directory] url to an LDAP of your own)"
            )
        for tool in ("setpriv", "prlimit"):
            if shutil.which(tool) is None:
                raise PermanentFailure("4.3.5", f"{tool} is not installed: apt-get install util-linux")
        modules = next((Path(folder) for folder in _MODULE_FOLDERS if any(Path(folder).glob("back_mdb*"))), None)
        return cls(slapd=slapd, schema=schema, modules=modules)

    def has(self, module: str) -> bool:
        return self.modules is not None and any(
            (self.modules / f"{module}{suffix}").exists() for suffix in (".la", ".so")
        )

    @property
    def password_module(self) -> str:
        """The module of the best password hash there is, "" if there is none (then crypt(3) hashes)."""
        return next((module for module in ("argon2", "pw-argon2", "pw-sha2") if self.has(module)), "")

    @property
    def password_scheme(self) -> str:
        if not self.password_module:
            return "{CRYPT}"
        return "{ARGON2}" if "argon2" in self.password_module else "{SSHA512}"

    def tool(self, name: str) -> list[str]:
        """The command `name`: slapadd and its kin are all slapd under other names."""
        return [self.slapd] if name == "slapd" else [self.slapd, "-T", name.removeprefix("slap")]

    async def hashed(self, password: str) -> str:
        load = ["-o", f"module-path={self.modules}", "-o", f"module-load={self.password_module}"]
        command = [*self.tool("slappasswd"), "-n", "-T", "/dev/stdin", "-h", self.password_scheme]
        return await run([*command, *(load if self.password_module else ["-c", _CRYPT_FORMAT])], password)


def configuration(folder: Path, software: Software) -> str:
    """The text of slapd.conf(5)."""
    lines = [
        f"include {_quoted(software.schema / f'{name}.schema')}"
        for name in ("core", "cosine", "nis", "inetorgperson", "misc")
    ]
    for name in ("printer", "printpost"):
        lines += _schema_lines((_OWN_SCHEMA / f"{name}.ldif").read_text(encoding="ascii"))
    modules = [name for name in ("back_mdb", "unique", software.password_module) if software.has(name)]
    if software.modules is not None:
        lines += [f"modulepath {_quoted(software.modules)}"]
        lines += [f"moduleload {name}{_ARGON2_COST if 'argon2' in name else ''}" for name in modules]
    lines += [
        f"password-hash {software.password_scheme}",
        f'password-crypt-salt-format "{_CRYPT_FORMAT}"',
        "disallow bind_anon",
        "threads 4",
        "database mdb",
        f'suffix "{SUFFIX}"',
        f"directory {_quoted(folder / 'data')}",
        "maxsize 1073741824",
        "mode 0600",
        "sizelimit unlimited",
        "index objectClass,uid,mail,mailLocalAddress eq",
        # slapo-unique searches as the root identity; this one is in no database, so nobody can bind as it.
        'rootdn "cn=nobody"',
        *_ACCESS,
    ]
    if software.has("unique"):
        lines += ["overlay unique", f"unique_uri ldap:///{SUFFIX}?uid,mail,mailLocalAddress?sub"]
    return "\n".join(lines) + "\n"


_APPLIANCE, _BRIDGE = (f'by dn.exact="{identity.dn}"' for identity in Identity)
_ACCESS = (
    f'access to dn.subtree="ou=identities,{SUFFIX}" attrs=userPassword by anonymous =x by * none',
    f'access to dn.subtree="ou=identities,{SUFFIX}" by * none',
    f"access to attrs=userPassword {_APPLIANCE} =w by anonymous =x by * none",
    f'access to dn.subtree="ou=printers,{SUFFIX}" {_APPLIANCE} write {_BRIDGE} read by * none',
    f'access to dn.base="{SUFFIX}" {_APPLIANCE} write {_BRIDGE} search by * none',
    f"access to * {_APPLIANCE} write by * none",
)


def _schema_lines(ldif: str) -> list[str]:
    """The definitions of a cn=config schema entry, as slapd.conf(5) wants them."""
    unfolded = ldif.replace("\n ", "").splitlines()
    words = {"olcAttributeTypes": "attributetype", "olcObjectClasses": "objectclass"}
    pairs = (line.partition(": ") for line in unfolded)
    return [f"{words[name]} {definition}" for name, _, definition in pairs if name in words]


def first_entries(hashes: Mapping[Identity, str]) -> str:
    entries = [f"dn: {SUFFIX}\nobjectClass: domain\ndc: {SUFFIX.removeprefix('dc=')}\n"]
    entries += [
        f"dn: ou={unit},{SUFFIX}\nobjectClass: organizationalUnit\nou: {unit}\n"
        for unit in ("identities", "printers", "people", "groups")
    ]
    entries += [
        f"dn: {identity.dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        f"cn: {identity.value}\nuserPassword: {hashed}\n"
        for identity, hashed in hashes.items()
    ]
    return "\n".join(entries)


async def run(command: Sequence[str], text: str) -> str:
    """Run one of slapd's tools with `text` as its input and return its output."""
    # In memory, not a pipe: uvloop's pipes are sockets, which cannot be opened again as /dev/stdin.
    with os.fdopen(os.memfd_create("slapd-input", os.MFD_CLOEXEC), "wb") as given:
        given.write(text.encode())
        given.seek(0)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    try:
        async with asyncio.timeout(_TOOL_DEADLINE):
            out, err = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        words = err.decode("utf-8", "replace").strip().splitlines()
        why = explained(words[-1] if words else f"exit status {process.returncode}")
        raise PermanentFailure("4.3.5", f"slapd refuses to be set up: {why}")
    return out.decode().strip()


def explained(words: str) -> str:
    """slapd's last words, and what to do where the machine's own rules are in the way."""
    if "permission denied" in words.lower() and _APPARMOR.exists():
        return f"{words} (AppArmor: allow the folder in {_APPARMOR.parent}/local/{_APPARMOR.name})"
    return words


def _quoted(path: Path) -> str:
    if '"' in str(path) or "\n" in str(path) or "\\" in str(path):
        raise PermanentFailure("4.3.5", f"{path} cannot be slapd's folder: choose one without quotes and backslashes")
    return f'"{path}"'
