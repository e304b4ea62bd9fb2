"""What people do from outside, done within a container by the image's own Python, to which the tests give this text.

It believes no certificate but the one in the volume.
"""

from __future__ import annotations

import http.client
import poplib
import smtplib
import ssl
import sys
import urllib.parse
from email.message import EmailMessage
from email.policy import SMTP

CERTIFICATE = "/var/lib/printpost/tls/certificate.pem"
HOST = "127.0.0.1"
NAME = "admin"
PATIENCE = 20.0


def doors(tls: ssl.SSLContext, password: str, sender: str, recipient: str) -> None:
    """Log in wherever one can; print what becomes of a mail that holds nothing but a damaged document."""
    page(tls, password)
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, recipient, "damaged"
    mail.add_attachment(b"%PDF-1.4\nthis is none\n", maintype="application", subtype="pdf", filename="damaged.pdf")
    with smtplib.SMTP(HOST, 1587, timeout=PATIENCE) as client:
        client.starttls(context=tls)
        client.login(NAME, password)
        client.mail(sender)
        code, text = client.rcpt(recipient)
        assert code == 250, (code, text)
        print(client.data(mail.as_bytes())[1].decode())
    with smtplib.SMTP_SSL(HOST, 1465, timeout=PATIENCE, context=tls) as client:
        client.login(NAME, password)
    in_clear = poplib.POP3(HOST, 1110, timeout=PATIENCE)
    in_clear.stls(context=tls)
    log_in(in_clear, password).quit()
    log_in(poplib.POP3_SSL(HOST, 1995, timeout=PATIENCE, context=tls), password).quit()


def page(tls: ssl.SSLContext, password: str) -> None:
    client = http.client.HTTPSConnection(HOST, 8025, timeout=PATIENCE, context=tls)
    form = urllib.parse.urlencode({"name": NAME, "password": password})
    asked = {"Origin": f"https://{HOST}:8025", "Content-Type": "application/x-www-form-urlencoded"}
    client.request("POST", "/login", form, asked)
    answer = client.getresponse()
    answer.read()
    assert answer.status == 303, f"the login: {answer.status}"
    cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
    for path, shows in (("/", b"phaser360"), ("/static/page.css", b"{"), ("/api/v1/printers", b"phaser360")):
        client.request("GET", path, headers={"Cookie": cookie})
        answer = client.getresponse()
        assert shows in answer.read(), f"{path}: {answer.status}"
    client.close()


def log_in(client: poplib.POP3, password: str) -> poplib.POP3:
    client.user(NAME)
    client.pass_(password)
    return client


def subjects(tls: ssl.SSLContext, password: str) -> None:
    """Print what the mails in the administrator's maildrop are about."""
    client = log_in(poplib.POP3_SSL(HOST, 1995, timeout=PATIENCE, context=tls), password)
    for number in range(1, client.stat()[0] + 1):
        for line in client.top(number, 0)[1]:
            if line.lower().startswith(b"subject:"):
                print(line.decode())
    client.quit()


if __name__ == "__main__":
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    if sys.argv[1] == "doors":
        doors(trusting, *sys.argv[2:])
    else:
        subjects(trusting, *sys.argv[2:])
