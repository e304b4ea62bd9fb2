"""The receiver as a process on uvloop, with clients that others wrote, and with a message larger than its memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.dialogue import play

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PEAK_KIB = 120 * 1024
MESSAGE = "From: ada@example.com\nTo: phaser360@example.com\nSubject: a letter\n\ntext\n.dot\n"


@dataclass
class Running:
    """What the process told."""

    port: int
    submission: int
    submissions: int
    certificate: Path
    sizes: list[int] = field(default_factory=list, kw_only=True)  # of the messages it took, once it has ended
    peak: int = field(default=0, kw_only=True)  # KiB


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.smtp_process", str(folder)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        ports = next(line for line in process.stdout if line.replace(" ", "").strip().isdigit())  # beside it is the log
        smtp, submission, submissions = map(int, ports.split())
        told = Running(smtp, submission, submissions, folder / "store" / "tls" / "certificate.pem")
        yield told
        process.stdin.close()
        lines = process.stdout.read().splitlines()
        numbers = [line for line in lines if line.replace(" ", "").isdigit()]
        told.peak = int(numbers.pop())
        told.sizes = [int(size) for line in numbers for size in line.split()]
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_swaks(tmp_path: Path) -> None:
    letter = tmp_path / "page.ps"
    letter.write_bytes(b"%!PS\n(hello) show showpage\n" * 3000)
    with running(tmp_path) as server:
        said = run(
            [
                program("swaks"), "--server", f"127.0.0.1:{server.port}", "--from", "ada@example.com",
                "--to", "phaser360@example.com,colour@example.com", "--attach", f"@{letter}", "--pipeline",
                "--attach-type", "application/postscript",
            ]
        )  # fmt: skip
        assert "250 2.0.0 accepted as jobs 1, 2" in said
    assert len(server.sizes) == 2
    assert server.sizes[0] > letter.stat().st_size


def test_msmtp(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        run(
            [
                program("msmtp"), "-C", "/dev/null", "--host=127.0.0.1", f"--port={server.port}",
                "--from=ada@example.com", "--", "phaser360@example.com",
            ],
            MESSAGE,
        )  # fmt: skip
    assert len(server.sizes) == 1


WAYS = [(mechanism, implicit) for mechanism in ("plain", "login") for implicit in (False, True)]


def test_swaks_logs_in(tmp_path: Path) -> None:
    if "TLS not available" in run([program("swaks"), "--support"]):
        pytest.skip("swaks lacks Net::SSLeay (libnet-ssleay-perl)")
    with running(tmp_path) as server:
        for mechanism, implicit in WAYS:
            said = run(
                [
                    program("swaks"), "--server", "127.0.0.1", "--from", "ada@example.com", "--to",
                    "members@example.com", "--auth", mechanism.upper(), "--auth-user", "ada", "--auth-password",
                    "correct horse", "--port", str(server.submissions if implicit else server.submission),
                    "--tls-on-connect" if implicit else "--tls", "--tls-verify", "--tls-ca-path",
                    str(server.certificate), "--body", "hello",
                ]
            )  # fmt: skip
            assert "235 2.7.0 welcome" in said
            assert "250 2.0.0 accepted as job" in said
    assert len(server.sizes) == len(WAYS)


def test_msmtp_logs_in(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        for mechanism, implicit in WAYS:
            command = [
                program("msmtp"), "-C", "/dev/null", "--host=localhost", "--tls=on",
                f"--port={server.submissions if implicit else server.submission}",
                f"--tls-starttls={'off' if implicit else 'on'}", f"--tls-trust-file={server.certificate}",
                f"--auth={mechanism}", "--user=ada@example.com", "--passwordeval=echo correct horse",
                "--from=ada@example.com", "--", "members@example.com", "root@example.com",
            ]  # fmt: skip
            run(command, MESSAGE)
        wrong = [word.replace("correct", "wrong") for word in command]
        done = subprocess.run(wrong, input=MESSAGE, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == os.EX_NOPERM
        assert "535 5.7.8" in done.stderr
    assert len(server.sizes) == len(WAYS)


def test_curl_logs_in(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_bytes(MESSAGE.replace("\n", "\r\n").encode())
    with running(tmp_path) as server:
        for mechanism, implicit in WAYS:
            port = server.submissions if implicit else server.submission
            run(
                [
                    program("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", str(server.certificate),
                    f"{'smtps' if implicit else 'smtp'}://localhost:{port}/client.example.com",
                    "--login-options", f"AUTH={mechanism.upper()}", "--user", "ada:correct horse",
                    "--mail-from", "ada@example.com", "--mail-rcpt", "members@example.com",
                    "--upload-file", str(message),
                ]
            )  # fmt: skip
    assert len(server.sizes) == len(WAYS)


def test_openssl(tmp_path: Path) -> None:
    client = [program("openssl"), "s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost"]
    with running(tmp_path) as server:
        client += ["-CAfile", str(server.certificate)]
        for way in (
            ["-connect", f"127.0.0.1:{server.submissions}"],
            ["-connect", f"127.0.0.1:{server.submission}", "-starttls", "smtp"],
            ["-connect", f"127.0.0.1:{server.port}", "-starttls", "smtp", "-tls1_2"],
        ):
            with subprocess.Popen(
                [*client, *way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as talk:
                assert talk.stdin
                assert talk.stdout
                talk.stdin.write("EHLO client.example.com\r\n")
                talk.stdin.flush()
                lines: list[str] = []
                while not lines or lines[-1][3:4] == "-" or lines[-1].startswith("220"):
                    lines.append(talk.stdout.readline())
                    assert lines[-1]
                assert ("250 AUTH PLAIN LOGIN\n" in lines) is (f":{server.port}" not in way[1])
                talk.stdin.write("QUIT\r\n")  # a Q at the line's start would end s_client without -quiet
                talk.stdin.flush()
                assert talk.stdout.readline() == "221 2.0.0 goodbye\n"
                assert talk.wait(10) == 0


def test_curl(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_bytes(MESSAGE.replace("\n", "\r\n").encode())
    with running(tmp_path) as server:
        run(
            [
                program("curl"), "--silent", "--show-error", f"smtp://127.0.0.1:{server.port}/client.example.com",
                "--mail-from", "ada@example.com", "--mail-rcpt", "phaser360@example.com",
                "--upload-file", str(message),
            ]
        )  # fmt: skip
    assert len(server.sizes) == 1


def test_smtplib_and_the_dialogues(tmp_path: Path) -> None:
    names = ("accepted", "pipelined", "http", "early", "refused-data", "syntax", "recipients")
    with running(tmp_path) as server:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
            assert client.sendmail("ada@example.com", ["phaser360@example.com"], MESSAGE) == {}
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                client.sendmail("ada@example.com", ["nobody@example.com"], MESSAGE)
            assert refused.value.recipients["nobody@example.com"] == (550, b"5.1.1 no such printer here")

        async def all_of_them() -> None:
            for name in names:
                await play(ROOT / "tests" / "dialogues" / "smtp" / f"{name}.txt", "127.0.0.1", server.port)

        asyncio.run(all_of_them())
    assert len(server.sizes) == 4


def test_a_message_of_300_mb_in_flat_memory(tmp_path: Path) -> None:
    line = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n"
    block = line * (1024 * 1024 // len(line))
    blocks = 300 * 1024 * 1024 // len(block) + 1
    head = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQKJVBERi0xLjQK\r\n"
    with running(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        said = client.makefile("rb")
        for command in ("", "HELO client", "MAIL FROM:<ada@example.com>", "RCPT TO:<phaser360@example.com>", "DATA"):
            client.sendall(command.encode() + b"\r\n" if command else b"")
            assert said.readline()[:1] in b"23"
        client.sendall(head)
        for _ in range(blocks):
            client.sendall(block)
        client.sendall(b".\r\n")
        assert said.readline() == b"250 2.0.0 accepted as job 1\r\n"
        said.close()
    assert server.sizes[0] > blocks * len(block)
    assert server.peak < PEAK_KIB
