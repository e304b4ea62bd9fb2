"""Mails of ours: whatever a job is called, there are our fields and no other, and everybody reads what was meant."""

from __future__ import annotations

import email
import email.policy

from appliance.letter import SUBJECT_CHARACTERS, Letter, octets
from mailstore.header import clean

WORDS = (
    b"\r\nBcc: eve@example.com\r\n",
    b"=?utf-8?q?a?=",
    b"=?",
    b"?=",
    b"\xc3\xa9",
    b"\n.\n",
    b"\n\n",
    b"=20",
    b" " * 9,
)
_FIELDS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]


def check(given: bytes) -> None:
    subject, _, said = given.decode("utf-8", "replace").partition("\0")
    text = "\n".join(clean(line, 400) for line in said.split("\n")) + "\n"
    written = octets(
        Letter(
            name=subject,
            sender="postmaster@example.com",
            to="ada@example.com",
            subject=subject,
            text=text,
            at=0.0,
            message_id="<1@example.com>",
        )
    )
    assert written.isascii()
    assert written.count(b"\n") == written.count(b"\r") == written.count(b"\r\n")
    assert max(map(len, written.split(b"\r\n"))) <= 998
    read = email.message_from_bytes(written, policy=email.policy.SMTP)
    assert read.keys() == _FIELDS
    assert not read.defects
    assert read["To"] == "ada@example.com"
    assert read["From"].addresses[0].addr_spec == "postmaster@example.com"
    assert read["Subject"].split() == clean(subject, SUBJECT_CHARACTERS).split()
    assert read.get_content().splitlines() == text.splitlines()
