"""Messages to walk through."""

from __future__ import annotations

import base64
from email.message import EmailMessage

from hypothesis import strategies as st

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 40 + b"\n%%EOF\n"
PS = b"%!PS-Adobe-3.0\n/Courier findfont 12 scalefont setfont (hello) show showpage\n"


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def mail(*attachments: tuple[bytes, str, str], text: str = "See the file.\n", html: str = "") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ada@example.com", "phaser@example.com", "Job"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    for octets, media_type, name in attachments:
        main, sub = media_type.split("/")
        message.add_attachment(octets, maintype=main, subtype=sub, filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


NESTED = crlf(
    """\
From: ada@example.com
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=abc

preamble
--abcdef
not a part
--abc
Content-Type: multipart/alternative; boundary="abcdef"

--abcdef

plain
--abcdef  \t
Content-Type: text/html

<html>
--abcdef--
epilogue of the inner
--abcdef
--abc
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary="=_x y"

--=_x y
Content-Type: application/postscript
Content-Disposition: attachment; filename*=UTF-8''h%C3%A4.ps
Content-Transfer-Encoding: quoted-printable

%!PS=0D=0A=
show =20
--abc--no
--=_x y--
--abc
--abc
Content-Type: text/plain

last

--abc--
epilogue
--abc
"""
)

SAMPLES = [
    NESTED,
    mail((PDF, "application/pdf", "a.pdf"), (PS, "application/postscript", "b.ps"), html="<html>x</html>"),
    mail(text="Grüße, mit viel Text am Ende =\n" * 3),
    crlf("Content-Transfer-Encoding: base64\nContent-Type: application/pdf\n\n") + base64.encodebytes(PDF)[:-9],
    crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nA: b\n--b\n\n\n--b\n\n--b--x\n--b"),
    b"no header at all",
    b"Subject: only a header\r\n",
    b"",
    b"\r\n\r\n--\r\n",
]

LINES = st.sampled_from(
    [
        *(
            "--a",
            "--a--",
            "--ab",
            "--ab--",
            "--a-- ",
            "--a \t",
            "--a----",
            "--a--b",
            "",
            "",
            " ",
            "\t",
            "-",
            "--",
            "\r",
            "\n",
            "x =",
        ),
        *("QUJDRA==", "QUJD", "QUJ", "=41=", "--a" + " " * 64, "--a" + " " * 65, " boundary=ab"),
        "Content-Type: multipart/mixed; boundary=a",
        "content-type: multipart/digest; boundary=ab",
        'Content-Type: multipart/mixed; boundary="a--"',
        "Content-Type: multipart/mixed;",
        "Content-Type: message/rfc822",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: quoted-printable",
    ]
)
