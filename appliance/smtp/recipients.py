"""Who a recipient is: a printer, one of our own people, or the postmaster; and whether this client may write to him.

Security: there is no relaying to switch off.  A recipient is somebody whom the directory has under one of our domains,
looked up by an address that the grammar let through, or it is refused; nothing else can enter a transaction.  Strangers
cannot tell people from nobody: without a login they are not even looked up.  The postmaster has to be reachable for
everybody (RFC 5321 section 4.5.1), so what he gets is small and rare; strangers use up neither what people of the site
may send him nor the last of his room.
"""

from __future__ import annotations

import time
from typing import Final

from appliance import policy
from appliance.peer import plain_ip
from appliance.proof.result import Result
from appliance.smtp.client import Client
from appliance.smtp.destination import TOO_OFTEN, Destination, Wanted
from appliance.smtp.limits import Allowance
from appliance.smtp.reply import Reply, refusal
from appliance.smtp.site import Site
from mailstore import address as addresses
from mailstore.directory.records import Person, Printer
from mailstore.failure import Failure

ROLES: Final = frozenset({"postmaster", "abuse"})  # RFC 5321 section 4.5.1, RFC 2142 section 4


async def find(site: Site, client: Client, wanted: Wanted) -> Destination | Reply:
    """The recipient, or why he is refused."""
    try:
        return await _find(site, client, wanted)
    except Failure as failure:
        return refusal(failure, permanent=550)


async def _find(site: Site, client: Client, wanted: Wanted) -> Destination | Reply:
    if wanted.key.rpartition("@")[0] in ROLES:
        return await _postmaster(site, client, wanted)
    plain, _ = addresses.split_subaddress(wanted.key)
    printer = await site.directory.printer_by_address(plain)
    if printer is not None:
        return await _printer(site, client, wanted, printer)
    if client.login is None:
        return Reply(code=550, status="5.1.1", text="no such printer here", reason="unknown-recipient")
    assert site.people is not None
    person = await site.people.person_by_address(plain)
    if person is None or not person.local:  # the others have a mail server of their own
        return Reply(code=550, status="5.1.1", text="no such printer or person here", reason="unknown-recipient")
    return await _person(site, client, wanted, person)


async def _printer(site: Site, client: Client, wanted: Wanted, printer: Printer) -> Destination | Reply:
    verdict = policy.judge(
        printer,
        policy.Facts(
            sender=wanted.sender,
            ip=plain_ip(client.ip),
            insider=client.insider,
            # `transaction.begin` let him have no other sender
            login=frozenset((addresses.canonical(wanted.sender),)) if client.login else frozenset(),
            spf=Result.NONE,
        ),
    )
    if not verdict.allowed:
        text = verdict.sentence if verdict.allowed is False else policy.NOT_PROVED
        return Reply(code=550, status="5.7.1", text=text, reason="not-allowed")
    if wanted.declared > printer.quota:
        return Reply(code=552, status="5.2.3", text="larger than this printer's mailbox", reason="quota")
    accepting, octets = await site.store.standing(printer.name)
    if not accepting:
        return Reply(code=450, status="4.2.1", text="the printer takes no jobs now", reason="not-accepting")
    if octets + wanted.declared > printer.quota:
        return Reply(code=452, status="4.2.2", text="the printer's mailbox is full", reason="quota")
    # The reserve of disk is asked for by DATA, before the client sends anything.
    return Destination(address=wanted.address, key=wanted.key, trust=verdict.trust, said=wanted.said, printer=printer)


async def _person(site: Site, client: Client, wanted: Wanted, person: Person) -> Destination | Reply:
    if wanted.declared > person.quota:
        return Reply(code=552, status="5.2.3", text="larger than this person's mailbox", reason="quota")
    _, octets = await site.store.standing(person.maildrop)
    if octets + wanted.declared > person.quota:
        return Reply(code=452, status="4.2.2", text="this person's mailbox is full", reason="quota")
    return Destination(address=wanted.address, key=wanted.key, trust=_trust(client), said=wanted.said, people=(person,))


async def _postmaster(site: Site, client: Client, wanted: Wanted) -> Destination | Reply:
    limit = site.limits.postmaster_octets
    if wanted.declared > limit:
        text = f"a message to the postmaster may have {limit} octets at most"
        return Reply(code=552, status="5.3.4", text=text, reason="too-large")
    if not allowance(site, client).left(plain_ip(client.ip), time.monotonic()):
        return TOO_OFTEN
    known = await site.people.people() if site.people else ()
    administrators = [person for person in known if person.administrator]
    if not administrators:
        return Reply(code=451, status="4.3.5", text="there is no postmaster yet, try again later", reason="directory")
    with_room = []
    for person in administrators:
        _, octets = await site.store.standing(person.maildrop)
        # Strangers may not fill it: what Printpost itself tells an administrator must still find room.
        if octets + limit <= (person.quota if client.inside else person.quota // 2):
            with_room.append(person)
    if not with_room:
        return Reply(code=452, status="4.2.2", text="the postmaster's mailbox is full", reason="quota")
    return Destination(
        address=wanted.address,
        key=wanted.key,
        trust=_trust(client),
        said=wanted.said,
        people=tuple(with_room),
        postmaster=True,
    )


def _trust(client: Client) -> policy.Trust:
    return policy.Trust.INSIDER if client.inside else policy.Trust.STRANGER


def allowance(site: Site, client: Client) -> Allowance:
    """What mail to the postmaster is counted in."""
    return site.postmaster if client.inside else site.postmaster_strangers
