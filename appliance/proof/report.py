"""What was found out, as one Authentication-Results field (RFC 8601), for whoever reads the mail later.

Security: domains, selectors, addresses and reasons are strangers'.  A value that is not made of the few characters that
a bare `pvalue` may have is quoted, reasons are cut and lose everything but plain ASCII, so that none ends its own
result and begins another; no line passes 998 octets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from appliance.proof.result import ArcFinding, DkimFinding, DmarcFinding, Findings, Proven, Result, SpfFinding
from mailstore.job import Proof

_LENGTH = 320
"""Of an address; a reason is shorter."""
_REASON = 120
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,255}")
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~.-]{0,64}@[A-Za-z0-9.-]{1,255}")
_UNFIT = re.compile(r"[^ !#-\[\]-~]+")


def results(
    hostname: str,
    findings: Findings | None = None,
    *,
    login: str = "",
    insider_ip: str = "",
    reverse_path: str = "",
    proven: Proven | None = None,
) -> bytes:
    """One field, its CRLF included.

    `login` is the user name of SMTP AUTH, `insider_ip` the address of a client in the site's own networks, for both of
    whom nothing else was asked; `reverse_path` is what SPF was asked about; of `proven` comes its reason.
    """
    items = [f"auth=pass smtp.auth={_value(login)}"] if login else []
    if findings is not None:
        items += _found(findings, reverse_path)
    if not items:
        why = f" (client {_comment(insider_ip)} is in the networks of this site)" if insider_ip else ""
        items = [f"none{why}"]
    elif proven is not None and proven.reason and proven.author is Proof.NONE:
        items[-1] += f" (proves nothing here: {_comment(proven.reason)})"
    field = ";\r\n\t".join([f"Authentication-Results: {_value(hostname)}", *items]) + "\r\n"
    return field.encode("ascii")


def _found(findings: Findings, reverse_path: str) -> Iterator[str]:
    if findings.spf is not None:
        yield _spf(findings.spf, reverse_path)
    yield from (_dkim(one) for one in findings.dkim)
    if findings.arc is not None:
        yield _arc(findings.arc)
    if findings.dmarc is not None:
        yield _dmarc(findings.dmarc)


def _spf(finding: SpfFinding, reverse_path: str) -> str:
    if finding.helo:
        return _item("spf", finding.result, finding.reason, (("smtp.helo", finding.domain),))
    return _item("spf", finding.result, finding.reason, (("smtp.mailfrom", reverse_path or finding.domain),))


def _dkim(finding: DkimFinding) -> str:
    properties = (("header.d", finding.domain), ("header.s", finding.selector), ("header.i", finding.identity))
    return _item("dkim", finding.result, finding.reason, properties)


def _arc(finding: ArcFinding) -> str:
    known = finding.result in (Result.PASS, Result.FAIL, Result.NONE)  # RFC 8617 section 7.1 has no others
    reason = finding.reason or ("" if known else finding.result.value)
    return _item("arc", finding.result if known else Result.FAIL, reason, (("header.d", finding.sealer),))


def _dmarc(finding: DmarcFinding) -> str:
    policy = f"p={finding.policy}" if finding.policy else ""
    return _item("dmarc", finding.result, finding.reason, (("header.from", finding.domain),), comment=policy)


def _item(method: str, result: Result, reason: str, properties: Iterable[tuple[str, str]], comment: str = "") -> str:
    said = f" ({_comment(comment)})" if comment else ""
    why = f' reason="{_plain(reason)}"' if _plain(reason) else ""
    found = "".join(f"\r\n\t {name}={_value(value)}" for name, value in properties if value)
    return f"{method}={result.value}{said}{why}{found}"


def _value(text: str) -> str:
    """A pvalue of RFC 8601 section 2.2: bare where it may be, else a quoted string."""
    text = text[:_LENGTH]
    if _TOKEN.fullmatch(text) or _ADDRESS.fullmatch(text):
        return text
    return f'"{_plain(text, _LENGTH)}"'


def _plain(text: str, length: int = _REASON) -> str:
    """What may stand in a quoted string without a backslash."""
    return _UNFIT.sub("?", text[:length]).strip()


def _comment(text: str) -> str:
    return _plain(text).replace("(", "[").replace(")", "]")
