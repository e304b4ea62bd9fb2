"""The walls of the house: who may import whom, and how long a file may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("appliance", "mailstore", "printerbridge")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# A library that is odd or untyped stands in few files, so that it can be replaced.
QUARANTINE = {
    "ldap3": {"mailstore/directory/server.py"},
    "aiosmtpd": {"appliance/smtp"},
    "twisted": {"appliance/pop3", "appliance/reactor.py"},
    "sqlalchemy": {"mailstore/store"},
    "sqlite3": {"mailstore/store"},
    "uvicorn": {"mailstore/monitoring.py"},
    "fastapi": {"appliance/web"},
    "aiosmtplib": {"appliance/smarthost.py"},
    "cryptography": {"appliance/tls.py", "appliance/proof/key.py"},
    "OpenSSL": {"appliance/pop3/tls.py"},
    "psutil": {"appliance/doctor/network.py"},
    "dns": {"appliance/proof/dns.py"},
    "zeroconf": {"printerbridge/discovery"},
    "pyasn1": {"printerbridge/virtual_snmp.py"},
    "pikepdf": {"printerbridge/programs"},
    "weasyprint": {"printerbridge/programs"},
    "ctypes": {"printerbridge/programs", "mailstore/loop.py"},
}

# Decisions without input or output: they run in a test without a loop, a socket or a clock.
PURE = (
    "mailstore/failure.py",
    "mailstore/job.py",
    "mailstore/network.py",
    "mailstore/address.py",
    "mailstore/header.py",
    "appliance/dhcp.py",
    "appliance/discovered.py",
    "printerbridge/discovery/speech.py",
    "printerbridge/discovery/device_id.py",
    "printerbridge/discovery/txt.py",
    "printerbridge/discovery/objects.py",
    "printerbridge/discovery/proposal.py",
    "printerbridge/mib.py",
    "printerbridge/snmp_message.py",
    "mailstore/report.py",
    "mailstore/mime.py",
    "mailstore/parameters.py",
    "mailstore/reencode.py",
    "mailstore/documents.py",
    "mailstore/document_format.py",
    "mailstore/sniff.py",
    "mailstore/directory/records.py",
    "mailstore/directory/entry.py",
    "mailstore/directory/serving.py",
    "mailstore/directory/values.py",
    "mailstore/directory/person.py",
    "mailstore/condition.py",
    "mailstore/hours.py",
    "mailstore/options.py",
    "mailstore/partial.py",
    "mailstore/passage.py",
    "mailstore/abilities.py",
    "mailstore/pictures.py",
    "mailstore/references.py",
    "mailstore/selection.py",
    "mailstore/ticket.py",
    "mailstore/ticket_words.py",
    "appliance/opened.py",
    "appliance/peer.py",
    "appliance/proxy_protocol.py",
    "appliance/policy/rules.py",
    "appliance/policy/mail.py",
    "appliance/policy/verdict.py",
    "appliance/proof/arc.py",
    "appliance/proof/authres.py",
    "appliance/proof/body.py",
    "appliance/proof/conclude.py",
    "appliance/proof/dkim.py",
    "appliance/proof/dmarc.py",
    "appliance/proof/fields.py",
    "appliance/proof/key.py",
    "appliance/proof/report.py",
    "appliance/proof/result.py",
    "appliance/proof/signature.py",
    "appliance/proof/spf_macro.py",
    "appliance/proof/spf_record.py",
    "appliance/proof/tags.py",
    "appliance/rights.py",
    "appliance/facts.py",
    "appliance/notices.py",
    "appliance/letter.py",
    "appliance/episodes.py",
    "appliance/trace.py",
    "appliance/web/printer_form.py",
    "appliance/web/words.py",
    "appliance/sasl.py",
    "appliance/smtp/door.py",
    "appliance/smtp/chunksink.py",
    "appliance/smtp/datasink.py",
    "appliance/smtp/heading.py",
    "appliance/smtp/lines.py",
    "appliance/pop3/capabilities.py",
    "appliance/pop3/commands.py",
    "appliance/pop3/stuffing.py",
    "printerbridge/retry.py",
    "printerbridge/pjl.py",
    "printerbridge/ticket.py",
    "printerbridge/guard.py",
    "printerbridge/paper.py",
    "printerbridge/route.py",
    "printerbridge/seccomp.py",
    "printerbridge/firewall/commands.py",
    "printerbridge/firewall/filter.py",
    "printerbridge/firewall/pcl.py",
    "printerbridge/firewall/pclxl.py",
    "printerbridge/firewall/raster.py",
    "printerbridge/firewall/rules.py",
    "printerbridge/firewall/sections.py",
    "printerbridge/firewall/text.py",
    "printerbridge/firewall/unwrapper.py",
)
EFFECTS = {"asyncio", "os", "pathlib", "random", "socket", "subprocess", "threading", "time", "twisted"}


def module(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module(path): path for path in FILES}


@cache
def imported(path: Path) -> tuple[str, ...]:
    """The modules that a file imports anywhere, as full names."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def test_the_packages_meet_only_in_mailstore() -> None:
    allowed = {
        "appliance": {"appliance", "mailstore"},
        "mailstore": {"mailstore"},
        "printerbridge": {"printerbridge", "mailstore"},
    }
    wrong = [
        f"{name} imports {target}"
        for name, path in MODULES.items()
        for target in imported(path)
        if target.split(".")[0] in PACKAGES and target.split(".")[0] not in allowed[name.split(".")[0]]
    ]
    assert wrong == []


def test_there_is_no_import_cycle_and_no_long_chain() -> None:
    graph = {name: {target for target in imported(path) if target in MODULES} for name, path in MODULES.items()}
    depth: dict[str, int] = {}

    def measure(name: str, above: tuple[str, ...]) -> int:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in depth:
            depth[name] = 1 + max((measure(target, (*above, name)) for target in graph[name]), default=0)
        return depth[name]

    for name in graph:
        measure(name, ())
    assert max(depth.values()) <= 18, max(depth, key=lambda name: depth[name])


@pytest.mark.parametrize("library", QUARANTINE)
def test_odd_libraries_stay_in_their_rooms(library: str) -> None:
    rooms = QUARANTINE[library]
    users = {
        str(path.relative_to(ROOT))
        for path in FILES
        if any(target.split(".")[0] == library for target in imported(path))
    }
    assert users, f"nothing imports {library} any more: take it out of the dependencies"
    assert {user for user in users if not any(user == room or user.startswith(f"{room}/") for room in rooms)} == set()


@pytest.mark.parametrize("name", PURE)
def test_pure_files_have_no_effects(name: str) -> None:
    assert {target.split(".")[0] for target in imported(ROOT / name)} & EFFECTS == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno
        and node.end_lineno - node.lineno >= 60
    ]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_files_that_read_strangers_octets_say_how_they_could_be_attacked() -> None:
    readers = [path for path in FILES if path.parent.name in {"smtp", "pop3", "web"} and path.name != "__init__.py"]
    readers += [
        ROOT / name
        for name in ("mailstore/mime.py", "mailstore/sniff.py", "mailstore/address.py", "mailstore/header.py")
    ]
    assert len(readers) > 6
    missing = [
        str(path.relative_to(ROOT))
        for path in readers
        if "Security:" not in (ast.get_docstring(ast.parse(path.read_text())) or "")
    ]
    assert missing == []
