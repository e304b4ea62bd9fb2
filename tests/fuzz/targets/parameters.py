"""Arguments of MAIL and RCPT: what is kept has its form, no control character hides in it, xtext goes both ways."""

from __future__ import annotations

import re

from mailstore import parameters
from mailstore.address import Path
from mailstore.failure import PermanentFailure

WORDS = (
    b"<ada@example.com> ",
    b"SIZE=",
    b"BODY=8BITMIME",
    b"BODY=BINARYMIME",
    b"SMTPUTF8",
    b"AUTH=<>",
    b"AUTH=ada+40example.com",
    b"RET=HDRS",
    b"ENVID=",
    b"NOTIFY=SUCCESS,FAILURE",
    b"NOTIFY=NEVER",
    b"ORCPT=rfc822;",
    b"ORCPT=utf-8;",
    b"\\x{1F600}",
    b"+0A",
    b"+2B",
)
_WORD = re.compile(r"[!-<>-~\u00a0-\ud7ff\ue000-\U0010ffff]*")


def check(octets: bytes) -> None:
    flags = octets[0] if octets else 0
    argument = octets[1:].decode("utf-8", "surrogateescape")
    extended, utf8 = bool(flags & 1), bool(flags & 2)
    try:
        _mail(*parameters.parse_mail_from(argument, extended=extended), extended)
    except PermanentFailure as failure:
        _refused(failure, "5.1.7")
    try:
        _rcpt(parameters.parse_rcpt_to(argument, extended=extended, utf8=utf8)[1], extended, utf8)
    except PermanentFailure as failure:
        _refused(failure, "5.1.3")
    _xtext(argument)


def _refused(failure: PermanentFailure, path: str) -> None:
    assert failure.status in (path, "5.5.4")
    assert failure.text.isprintable()
    assert len(failure.text) < 200


def _mail(path: Path, said: parameters.MailParameters, extended: bool) -> None:
    assert extended or said == parameters.NO_MAIL_PARAMETERS
    assert said.smtputf8 or path.address.isascii()
    assert 0 <= said.size < 10**20
    assert said.body in ("7BIT", "8BITMIME", "BINARYMIME")
    assert said.ret in ("", "FULL", "HDRS")
    assert len(said.envid) <= 100
    for xtext in (said.envid, said.submitter.replace("<>", "")):
        assert _WORD.fullmatch(xtext)
        assert not xtext or (parameters.decode_xtext(xtext) or "\0").isprintable()


def _rcpt(said: parameters.RcptParameters, extended: bool, utf8: bool) -> None:
    assert extended or said == parameters.NO_RCPT_PARAMETERS
    assert said.notify == "NEVER" or set(said.notify.split(",")) <= {"", "SUCCESS", "FAILURE", "DELAY"}
    assert len(said.orcpt) <= 500
    assert _WORD.fullmatch(said.orcpt)
    assert utf8 or said.orcpt.isascii()


def _xtext(text: str) -> None:
    decoded = parameters.decode_xtext(text)
    if decoded is not None:
        assert text.isascii()
        again = "".join(
            chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in decoded.encode()
        )
        assert parameters.decode_xtext(again) == decoded
