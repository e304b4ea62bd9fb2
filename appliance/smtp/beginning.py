"""The arguments of MAIL and RCPT, read and judged: what begins a transaction, and what is asked for in it.

Security: addresses and parameters are a stranger's and are read by the grammar of `mailstore.address` alone.  A
recipient stands under one of our domains or is refused; a login sends from its own addresses and from no other.
"""

from __future__ import annotations

from appliance.smtp.client import Client
from appliance.smtp.destination import Wanted
from appliance.smtp.reply import Reply
from appliance.smtp.site import Site
from appliance.smtp.transaction import RECIPIENT_OK, Transaction, too_large
from mailstore import address as addresses
from mailstore.directory.records import Person
from mailstore.failure import PermanentFailure


def begin(site: Site, client: Client, argument: str) -> Transaction | Reply:
    """MAIL FROM: the transaction, or why there is none."""
    smtputf8 = client.extended and "SMTPUTF8" in argument.upper().split(" ")[1:]
    try:
        path, parameters = addresses.parse_mail_from(argument, utf8=smtputf8)
    except PermanentFailure as failure:
        return Reply(code=501, status=failure.status, text=failure.text, reason="malformed")
    if parameters and not client.extended:
        return Reply(code=555, status="5.5.4", text="parameters want EHLO", reason="malformed")
    if client.login is not None:
        if refused := _not_his_own(client.login, path.address):
            return refused
        # RFC 4954 section 5: whoever offers AUTH must take it; nobody is told of it.
        parameters.pop("AUTH", "")
    size, body, utf8 = (
        parameters.pop("SIZE", "0"),
        parameters.pop("BODY", "7BIT").upper(),
        parameters.pop("SMTPUTF8", ""),
    )
    if parameters:
        return Reply(code=555, status="5.5.4", text=f"unknown parameter {min(parameters)[:40]}", reason="malformed")
    if not (size.isascii() and size.isdigit() and len(size) <= 20) or body not in ("7BIT", "8BITMIME") or utf8:
        return Reply(code=501, status="5.5.4", text="a parameter has a value it cannot have", reason="malformed")
    if int(size) > client.max_size:
        return too_large(client.max_size)
    return Transaction(
        site=site, client=client, reverse_path=path.address, declared=int(size), body=body, smtputf8=smtputf8
    )


def _not_his_own(login: Person, address: str) -> Reply | None:
    """Why a login may not send as `address`, "" for the null reverse-path."""
    if not login.addresses:
        text = f"{login.name} has no mail address to send from; ask the administrator for one"
    elif addresses.canonical(address) in map(addresses.canonical, login.addresses):
        return None
    else:
        text = f"a login sends from its own addresses only; write MAIL FROM:<{login.addresses[0]}>"
    return Reply(code=553, status="5.7.1", text=text, reason="not-allowed")


def wanted(transaction: Transaction, argument: str) -> Wanted | Reply:
    """RCPT TO: what is asked for, to be looked up; or the reply to it."""
    try:
        path, parameters = addresses.parse_rcpt_to(argument, utf8=transaction.smtputf8)
    except PermanentFailure as failure:
        return Reply(code=501, status=failure.status, text=failure.text, reason="malformed")
    if parameters:  # DSN and the like are not advertised
        return Reply(code=555, status="5.5.4", text=f"unknown parameter {min(parameters)[:40]}", reason="malformed")
    given = path.address if path.domain else f"{path.local}@{transaction.site.settings.domains[0]}"
    if path.domain.lower() not in ("", *transaction.site.settings.domains):
        return Reply(code=550, status="5.7.1", text="relaying denied", reason="relaying-denied")
    key = addresses.canonical(given)
    if any(known.key == key for known in transaction.recipients):
        return RECIPIENT_OK
    if not transaction.room:
        return Reply(
            code=452, status="4.5.3", text="too many recipients, send the rest again", reason="too-many-recipients"
        )
    return Wanted(address=given, key=key, sender=transaction.reverse_path, declared=transaction.declared)
