"""HAProxy in front of us: whom it names by PROXY v2 is the client, in rules, in trace fields and in the log."""

from __future__ import annotations

import asyncio
import poplib
import smtplib
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.house import ADA, PATIENCE, SECRET, house, mail_of
from tests.interop.haproxy import SOURCE, balancer

pytestmark = [pytest.mark.interop, pytest.mark.slow]

INSIDE, OUTSIDE = "127.0.0.5", "127.0.0.6"
DOORS = ("smtp", "submissions", "pop3s")


def submit(port: int, ip: str, message: bytes) -> tuple[int, str]:
    """The reply to RCPT if it is a refusal, else that to the data."""
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE, source_address=(ip, 0)) as client:
        client.ehlo("client.example.com")
        client.mail(ADA)
        code, text = client.rcpt("polls@example.com")
        if code == 250:
            code, text = client.data(message)
        return code, text.decode()


def submit_logged_in(port: int, trust: ssl.SSLContext, message: bytes) -> None:
    with smtplib.SMTP_SSL("localhost", port, timeout=PATIENCE, context=trust, source_address=(OUTSIDE, 0)) as client:
        client.login("ada", SECRET)
        assert client.sendmail(ADA, ["polls@example.com"], message) == {}


def fetch(port: int, trust: ssl.SSLContext) -> list[bytes]:
    mailbox = poplib.POP3_SSL("localhost", port, timeout=PATIENCE, context=trust)
    mailbox.user("polls")
    mailbox.pass_(SECRET)
    found = [b"".join(line + b"\r\n" for line in mailbox.retr(number + 1)[1]) for number in range(mailbox.stat()[0])]
    mailbox.quit()
    return found


async def test_smtp_submissions_and_pop3s_behind_a_balancer(tmp_path: Path) -> None:
    settings: dict[str, Any] = {name: {"proxies": [SOURCE]} for name in DOORS}
    site = {"networks": [f"{INSIDE}/32"]}
    async with house(tmp_path, site=site, **settings) as made:
        added = await made.printpost("user", "add", "ada", "--mail", ADA, "--password-stdin", stdin=SECRET)
        assert added.status == 0, added.err
        await made.add("polls", allow=("@example.com",))
        trust = ssl.create_default_context(cafile=str(made.data / "tls" / "certificate.pem"))
        async with balancer(tmp_path, {name: made.listen[name][1] for name in DOORS}) as front:
            taken = await asyncio.to_thread(submit, front["smtp"], INSIDE, mail_of(b"%!PS\ninside\n"))
            assert taken[0] == 250, taken
            refused = await asyncio.to_thread(submit, front["smtp"], OUTSIDE, mail_of(b"%!PS\noutside\n"))
            assert refused[0] == 550, refused
            await asyncio.to_thread(submit_logged_in, front["submissions"], trust, mail_of(b"%!PS\nlogin\n"))
            first, second = await asyncio.to_thread(fetch, front["pop3s"], trust)
        said = made.latest["up"].said
    assert f"([{INSIDE}])".encode() in first
    assert f"([{OUTSIDE}])".encode() in second
    assert b"with ESMTPSA id" in second.replace(b"\r\n\t", b" ")
    (login,) = [line for line in said.splitlines() if "pop3 login" in line]
    assert "127.0.0.1" in login
    assert SOURCE not in said
