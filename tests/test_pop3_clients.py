"""Foreign POP3 clients fetch byte for byte, with TLS and without: poplib, curl, fetchmail, mpop, openssl."""

from __future__ import annotations

import asyncio
import hashlib
import os
import poplib
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.job import DeliveryProof, JobState
from tests.pop3_house import FIELDS, SECRET, Pop3House, client, running_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

HEADER = (
    b"From: Ada <ada@example.com>\r\nTo: phaser@print.example.com\r\nSubject: a page\r\nMessage-ID: <1@example.com>\r\n"
)
MAILS = [
    HEADER + b"\r\n%!PS-Adobe-3.0\r\n.\r\n..\r\n.show\r\nshowpage\r\n",
    HEADER + b"\r\n" + b"".join(b"." * (n % 7) + b"x" * (n % 90) + b"\r\n" for n in range(5000)),
    HEADER + b"\r\n",
    HEADER + b"Content-Type: application/octet-stream\r\n\r\n" + bytes(range(128, 256)) * 7 + b"\r\n",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def printer(house: Pop3House) -> tuple[str, list[int]]:
    """A printer with MAILS waiting, and the jobs' numbers."""
    name = await house.printer()
    return name, [await house.mail(name, mail, FIELDS) for mail in MAILS]


async def run(*command: str, stdin: bytes = b"", **environment: str) -> bytes:
    if not (program := shutil.which(command[0])):
        pytest.skip(f"{command[0]} is not installed")
    child = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(30):
        out, err = await child.communicate(stdin)
    assert child.returncode == 0, err.decode() + out.decode()
    return out


async def check_fetched(house: Pop3House, name: str, jobs: list[int]) -> None:
    await house.becomes_free(name)
    for number in jobs:
        job = await house.job(number)
        assert (job.state, job.delivery_proof) == (JobState.COMPLETED, DeliveryProof.FETCHED)


async def test_poplib(house: Pop3House, printer: tuple[str, list[int]]) -> None:
    name, jobs = printer

    def fetch() -> list[bytes]:
        mailbox = poplib.POP3(house.host, house.port, timeout=10)
        mailbox.user(name)
        mailbox.pass_(SECRET)
        assert mailbox.stat() == (len(MAILS), sum(len(FIELDS + mail) for mail in MAILS))
        got = []
        for number in range(1, mailbox.stat()[0] + 1):
            got.append(b"".join(line + b"\r\n" for line in mailbox.retr(number)[1]))
            mailbox.dele(number)
        mailbox.quit()
        return got

    assert await asyncio.to_thread(fetch) == [FIELDS + mail for mail in MAILS]
    await check_fetched(house, name, jobs)


async def test_curl(house: Pop3House, printer: tuple[str, list[int]], tmp_path: Path) -> None:
    name, jobs = printer
    base = f"pop3://{house.host}:{house.port}"
    login = ("-s", "-S", "--user", f"{name}:{SECRET}")
    listed = await run("curl", *login, f"{base}/")
    assert re.findall(rb"(?m)^(\d+) (\d+)\r$", listed) == [
        (b"%d" % n, b"%d" % len(FIELDS + mail)) for n, mail in enumerate(MAILS, 1)
    ]
    for number, mail in enumerate(MAILS, 1):
        assert await run("curl", *login, f"{base}/{number}") == FIELDS + mail
    for job in jobs:
        assert (await house.job(job)).state is JobState.PENDING
    await run("curl", *login, "-X", "DELE", "--head", f"{base}/1")
    await check_fetched(house, name, jobs[:1])


async def test_fetchmail(house: Pop3House, printer: tuple[str, list[int]], tmp_path: Path) -> None:
    """`--mda` takes each message with LF; headers are left alone if it is told to be invisible and not to rewrite."""
    name, jobs = printer
    control, taken = tmp_path / "fetchmailrc", tmp_path / "taken"
    taken.mkdir()
    script = tmp_path / "take"
    script.write_text(f'#!/bin/sh\nexec cat > "$(mktemp {taken}/$(date +%s%N).XXXX)"\n')
    script.chmod(0o755)
    control.touch(mode=0o600)
    control.write_text(
        f"set invisible\nset no bouncemail\npoll {house.host} proto pop3 port {house.port} auth password no dns\n"
        f'  user "{name}" password "{SECRET}" is nobody here no rewrite pass8bits stripcr fetchall sslproto ""\n'
        f'  mda "{script}"\n'
    )
    await run("fetchmail", "-f", str(control), "--pidfile", str(tmp_path / "pid"), "-i", str(tmp_path / "ids"))
    got = [path.read_bytes() for path in sorted(taken.iterdir())]
    assert [mail.replace(b"\n", b"\r\n") for mail in got] == [FIELDS + mail for mail in MAILS]
    await check_fetched(house, name, jobs)


async def test_mpop(house: Pop3House, printer: tuple[str, list[int]], tmp_path: Path) -> None:
    """Pipelined; into a maildir, with LF and without a Received field of its own."""
    name, jobs = printer
    control, box = tmp_path / "mpoprc", tmp_path / "box"
    for folder in ("tmp", "new", "cur"):
        (box / folder).mkdir(parents=True)
    control.touch(mode=0o600)
    control.write_text(
        f"account printer\nhost {house.host}\nport {house.port}\ntls off\nauth user\nuser {name}\npassword {SECRET}\n"
        f"received_header off\npipelining auto\nkeep off\nuidls_file {tmp_path}/uidls\ndelivery maildir {box}\n"
    )
    await run("mpop", f"--file={control}", "printer")
    got = sorted(path.read_bytes().replace(b"\n", b"\r\n") for path in (box / "new").iterdir())
    assert got == sorted(FIELDS + mail for mail in MAILS)
    await check_fetched(house, name, jobs)


# -- with TLS: STLS on the one port, from the first octet on the other


@pytest.fixture(params=["stls", "pop3s"])
def secure(request: pytest.FixtureRequest, house: Pop3House) -> tuple[bool, int, Path]:
    """Whether TLS is from the first octet, the port, and the file of the one certificate to believe."""
    assert house.certificate
    implicit = request.param == "pop3s"
    return implicit, house.secure_port if implicit else house.port, house.certificate.files[0]


async def test_curl_with_tls(house: Pop3House, printer: tuple[str, list[int]], secure: tuple[bool, int, Path]) -> None:
    name, _ = printer
    implicit, port, trust = secure
    base = f"{'pop3s' if implicit else 'pop3'}://{house.host}:{port}"
    login = ("-s", "-S", "--ssl-reqd", "--cacert", str(trust), "--user", f"{name}:{SECRET}")
    for number, mail in enumerate(MAILS, 1):
        assert await run("curl", *login, f"{base}/{number}") == FIELDS + mail


async def test_fetchmail_with_tls(
    house: Pop3House, printer: tuple[str, list[int]], secure: tuple[bool, int, Path], tmp_path: Path
) -> None:
    """It looks for the name it was told in the certificate, and not for addresses."""
    name, jobs = printer
    implicit, port, trust = secure
    control, taken = tmp_path / "fetchmailrc", tmp_path / "taken"
    control.touch(mode=0o600)
    control.write_text(
        f"set invisible\nset no bouncemail\npoll localhost proto pop3 port {port} auth password no dns\n"
        f'  user "{name}" password "{SECRET}" is nobody here no rewrite pass8bits stripcr fetchall\n'
        f'  {"ssl" if implicit else ""} sslproto "TLS1.2+" sslcertck sslcertfile "{trust}" mda "cat >> {taken}"\n'
    )
    await run("fetchmail", "-f", str(control), "--pidfile", str(tmp_path / "pid"), "-i", str(tmp_path / "ids"))
    assert taken.read_bytes().replace(b"\n", b"\r\n") == b"".join(FIELDS + mail for mail in MAILS)
    await check_fetched(house, name, jobs)


async def test_mpop_with_tls(
    house: Pop3House, printer: tuple[str, list[int]], secure: tuple[bool, int, Path], tmp_path: Path
) -> None:
    """Self-signed, and known by its fingerprint."""
    name, jobs = printer
    implicit, port, _ = secure
    assert house.certificate
    control, box = tmp_path / "mpoprc", tmp_path / "box"
    for folder in ("tmp", "new", "cur"):
        (box / folder).mkdir(parents=True)
    control.touch(mode=0o600)
    control.write_text(
        f"account printer\nhost {house.host}\nport {port}\ntls on\ntls_starttls {'off' if implicit else 'on'}\n"
        f"tls_trust_file\ntls_fingerprint {house.certificate.fingerprint}\n"
        f"auth user\nuser {name}\npassword {SECRET}\nreceived_header off\npipelining auto\nkeep off\n"
        f"uidls_file {tmp_path}/uidls\ndelivery maildir {box}\n"
    )
    await run("mpop", f"--file={control}", "printer")
    got = sorted(path.read_bytes().replace(b"\n", b"\r\n") for path in (box / "new").iterdir())
    assert got == sorted(FIELDS + mail for mail in MAILS)
    await check_fetched(house, name, jobs)


async def test_poplib_with_tls(
    house: Pop3House, printer: tuple[str, list[int]], secure: tuple[bool, int, Path]
) -> None:
    name, jobs = printer
    implicit, port, trust = secure
    context = ssl.create_default_context(cafile=str(trust))

    def fetch() -> list[bytes]:
        mailbox: poplib.POP3
        if implicit:
            mailbox = poplib.POP3_SSL(house.host, port, timeout=10, context=context)
        else:
            mailbox = poplib.POP3(house.host, port, timeout=10)
            mailbox.stls(context)
        mailbox.user(name)
        mailbox.pass_(SECRET)
        got = []
        for number in range(1, mailbox.stat()[0] + 1):
            got.append(b"".join(line + b"\r\n" for line in mailbox.retr(number)[1]))
            mailbox.dele(number)
        mailbox.quit()
        return got

    assert await asyncio.to_thread(fetch) == [FIELDS + mail for mail in MAILS]
    await check_fetched(house, name, jobs)


async def test_openssl(house: Pop3House, printer: tuple[str, list[int]], secure: tuple[bool, int, Path]) -> None:
    """It closes TLS right behind what it was given to say, and the deletion counts all the same."""
    name, jobs = printer
    implicit, port, trust = secure
    start = () if implicit else ("-starttls", "pop3")
    said = f"USER {name}\r\nPASS {SECRET}\r\nDELE 1\r\nQUIT\r\n".encode()
    where = (
        "-connect",
        f"{house.host}:{port}",
        "-CAfile",
        str(trust),
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
    )
    out = await run("openssl", "s_client", "-quiet", "-no_ign_eof", *where, *start, stdin=said)
    assert b"verify error" not in out
    async with asyncio.timeout(10):
        while (await house.job(jobs[0])).state is not JobState.COMPLETED:  # noqa: ASYNC110 - openssl is gone already
            await asyncio.sleep(0.005)
    assert (await house.job(jobs[1])).state is JobState.PENDING


BIG = 100 * 1024 * 1024
READER = """
import hashlib, socket, sys
name, secret, port = sys.argv[1:]
sock = socket.create_connection(("127.0.0.1", int(port)))
sock.sendall(f"USER {name}\\r\\nPASS {secret}\\r\\nRETR 1\\r\\nDELE 1\\r\\nQUIT\\r\\n".encode())
digest, octets = hashlib.sha256(), 0
while block := sock.recv(1 << 18):
    digest.update(block); octets += len(block)
print(octets, digest.hexdigest())
"""


def memory(what: str) -> int:
    """Octets of this process: VmRSS now, VmHWM the most since `forget_peak`."""
    [kilobytes] = re.findall(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


async def test_a_message_of_100_mb_passes_in_flat_memory(house: Pop3House) -> None:
    name = await house.printer()
    piece = (b"." + b"x" * 126 + b"\r\n") * 512
    pieces = [b"Subject: x\r\n\r\n", *[piece] * (BIG // len(piece))]
    octets = sum(map(len, pieces))
    await house.mail_in_pieces(name, pieces)
    expected = hashlib.sha256(
        b"+OK print.example.com Printpost POP3 ready\r\n+OK send PASS\r\n"
        b"+OK 1 messages (%d octets)\r\n+OK %d octets\r\n" % (octets, octets)
    )
    for block in pieces:
        expected.update(block.replace(b"\n.", b"\n..").replace(b".x", b"..x", 1) if block is piece else block)
    expected.update(b".\r\n+OK message 1 deleted\r\n+OK bye\r\n")
    before = forget_peak()
    out = await run(sys.executable, "-c", READER, name, SECRET, str(house.port))
    assert out.split()[1].decode() == expected.hexdigest()
    assert memory("VmHWM") - before < 12 << 20
    async with client(house, name) as after:
        assert await after.ask("STAT") == "+OK 0 0"
