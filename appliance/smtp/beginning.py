"""The arguments of MAIL and RCPT, read and judged: what begins a transaction, and what is asked for in it.

Security: addresses and parameters are a stranger's and are read by the grammars of `mailstore.address` and
`mailstore.parameters` alone.  A recipient stands under one of our domains or is refused, whatever its parameters say; a
login sends from its own addresses and from no other.
"""

from __future__ import annotations

from appliance.smtp.client import Client
from appliance.smtp.destination import Wanted
from appliance.smtp.evidence import gather
from appliance.smtp.reply import Reply
from appliance.smtp.site import Site
from appliance.smtp.transaction import RECIPIENT_OK, Transaction, too_large
from mailstore import address as addresses
from mailstore.directory.records import Person
from mailstore.failure import PermanentFailure
from mailstore.parameters import UnknownParameter, parse_mail_from, parse_rcpt_to


def begin(site: Site, client: Client, argument: str) -> Transaction | Reply:
    """MAIL FROM: the transaction, or why there is none."""
    try:
        path, said = parse_mail_from(argument, extended=client.extended)
    except PermanentFailure as failure:
        return _malformed(failure)
    if client.login is not None and (refused := _not_his_own(client.login, path.address)):
        return refused
    if said.size > client.max_size:
        return too_large(client.max_size)
    return Transaction(
        site=site,
        client=client,
        evidence=gather(site, client, path.address),
        reverse_path=path.address,
        declared=said.size,
        body=said.body,
        smtputf8=said.smtputf8,
        envid=said.envid,
        ret=said.ret,
        # RFC 4954 section 5: of a client that is not trusted to say it, it is taken as if it were "<>".  Nobody is told
        # of it but whoever reads the job's record: it is a claim and proves nothing.
        submitter=said.submitter if client.inside or not said.submitter else "<>",
    )


def _malformed(failure: PermanentFailure) -> Reply:
    code = 555 if isinstance(failure, UnknownParameter) else 501
    return Reply(code=code, status=failure.status, text=failure.text, reason="malformed")


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
        path, said = parse_rcpt_to(argument, extended=transaction.client.extended, utf8=transaction.smtputf8)
    except PermanentFailure as failure:
        return _malformed(failure)
    given = path.address if path.domain else f"{path.local}@{transaction.site.settings.domains[0]}"
    key = addresses.canonical(given)
    if key.rpartition("@")[2] not in transaction.site.settings.domains:
        return Reply(code=550, status="5.7.1", text="relaying denied", reason="relaying-denied")
    if any(known.key == key for known in transaction.recipients):
        return RECIPIENT_OK
    if not transaction.room:
        return Reply(
            code=452, status="4.5.3", text="too many recipients, send the rest again", reason="too-many-recipients"
        )
    return Wanted(address=given, key=key, declared=transaction.declared, said=said)
