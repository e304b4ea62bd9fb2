"""`printpost send`: files as a mail with attachments, to any SMTP server, of any size.

The message is written out in blocks, so that a file need not fit into memory.
"""

from __future__ import annotations

import base64
import os
import smtplib
from collections.abc import Callable, Iterator, Sequence
from email.headerregistry import Address
from email.message import MIMEPart
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path

from mailstore import address, header
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.sniff import PREFIX_OCTETS, sniff

_LINE = 57
"""Octets that make one base64 line of 76 characters."""
_BLOCK = _LINE * 4096
DEADLINE = 60.0
"""Seconds for each answer of the server."""


def send(
    files: Sequence[Path],
    *,
    recipient: str,
    sender: str,
    server: tuple[str, int],
    subject: str = "",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> str:
    """Mail `files` to `recipient`; returns what the server answered to the end of the message.

    `progress` is told how many octets of how many have gone.  Raises `TransientFailure` or `PermanentFailure` with the
    server's own words, `PermanentFailure` ("5.1.3") for an address that is none, and OSError for a file that
    cannot be read.
    """
    to = address.parse_path(f"<{recipient}>", null_allowed=False)
    author = address.parse_path(f"<{sender}>", null_allowed=False)
    boundary = f"=_printpost_{os.urandom(12).hex()}"
    head = _head(to, author, subject or ", ".join(_shown(file) for file in files), boundary)
    parts = [(_part_head(file, boundary), file) for file in files]
    tail = f"--{boundary}--\r\n".encode("ascii")
    total = len(head) + len(tail) + sum(len(before) + _encoded_length(file.stat().st_size) for before, file in parts)
    try:
        with smtplib.SMTP(*server, timeout=DEADLINE) as client:
            client.ehlo_or_helo_if_needed()
            size = [f"SIZE={total}"] if client.has_extn("size") else []
            _expect(client.mail(author.address, size), 250)
            _expect(client.rcpt(to.address), 250)
            _expect(client.docmd("DATA"), 354)
            done = 0
            try:
                for block in _blocks(head, parts, tail):
                    client.send(block)
                    done += len(block)
                    progress(done, total)
            except BaseException:
                client.close()  # QUIT would be a line of the message, and nobody would answer it
                raise
            client.send(b".\r\n")
            return _expect(client.getreply(), 250)
    except (OSError, smtplib.SMTPException) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        host, port = server
        raise TransientFailure("4.4.1", f"{host}:{port} does not take the mail: {error}") from None


def _blocks(head: bytes, parts: Sequence[tuple[bytes, Path]], tail: bytes) -> Iterator[bytes]:
    yield head
    for before, file in parts:
        yield before
        with file.open("rb") as source:
            # No line of base64 begins with a dot, so nothing needs stuffing (RFC 5321 section 4.5.2).
            while block := source.read(_BLOCK):
                yield base64.encodebytes(block).replace(b"\n", b"\r\n")
    yield tail


def _encoded_length(octets: int) -> int:
    lines, rest = divmod(octets, _LINE)
    return lines * 78 + ((rest + 2) // 3 * 4 + 2 if rest else 0)


def _shown(file: Path) -> str:
    """A file's name as a header may hold it: on Unix it is any octets but NUL and the slash."""
    return header.clean(file.name, 255) or "document"


def _head(recipient: address.Path, sender: address.Path, subject: str, boundary: str) -> bytes:
    message = MIMEPart(policy=SMTP)
    message["From"] = Address(username=sender.local, domain=sender.domain)
    message["To"] = Address(username=recipient.local, domain=recipient.domain)
    message["Subject"] = header.clean(subject, 900)
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=sender.domain)
    message["MIME-Version"] = "1.0"
    # Written by hand, for the library would close the multipart that we are about to stream.
    kind = f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode("ascii")
    return message.as_bytes().removesuffix(b"\r\n") + kind


def _part_head(file: Path, boundary: str) -> bytes:
    with file.open("rb") as source:
        kind = sniff(source.read(PREFIX_OCTETS))
    part = MIMEPart(policy=SMTP)
    part["Content-Type"] = kind.value
    part["Content-Transfer-Encoding"] = "base64"
    part.add_header("Content-Disposition", "attachment", filename=_shown(file))
    return f"--{boundary}\r\n".encode("ascii") + part.as_bytes()


def _expect(reply: tuple[int, bytes], code: int) -> str:
    """The reply's text.  Raises the failure that the code means (RFC 5321 section 4.2.1)."""
    got, text = reply[0], header.clean(reply[1].decode("utf-8", "replace"), 1000)  # it goes to a terminal
    if got == code:
        return text
    kind = TransientFailure if 400 <= got < 500 else PermanentFailure
    raise kind("4.0.0" if kind is TransientFailure else "5.0.0", f"the server answered {got} {text}")
