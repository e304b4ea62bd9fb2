"""Who a recipient is: a printer, one of our own people, or the postmaster; and whether this client may write to him.

Security: there is no relaying to switch off.  A recipient is somebody whom the directory has under one of our domains,
looked up by an address that the grammar let through, or it is refused; nothing else can enter a transaction.  Strangers
cannot tell people from nobody: without a login they are not even looked up.  Nor can they tell a token that never was
from one that is over, and each wrong one makes them slower, as a wrong password does.  The postmaster has to be
reachable for everybody (RFC 5321 section 4.5.1), so what he gets is small and rare; strangers use up neither what
people of the site may send him nor the last of his room.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import structlog

from appliance import groups
from appliance.peer import plain_ip
from appliance.smtp.client import Client
from appliance.smtp.destination import TOO_OFTEN, Destination, Wanted
from appliance.smtp.evidence import Evidence, refused
from appliance.smtp.limits import Allowance
from appliance.smtp.reply import Reply, refusal
from appliance.smtp.site import Site
from mailstore import address as addresses
from mailstore import options
from mailstore.directory.records import NO_LIMITS, Person, Printer
from mailstore.failure import Failure
from mailstore.parameters import RcptParameters
from mailstore.store.admission import Capability

ROLES: Final = frozenset({"postmaster", "abuse"})  # RFC 5321 section 4.5.1, RFC 2142 section 4
NO_TOKEN: Final = Reply(
    code=550, status="5.7.1", text="this address does not let anybody print (any more)", reason="not-allowed"
)

log = structlog.get_logger()


async def find(evidence: Evidence, wanted: Wanted) -> Destination | Reply:
    """The recipient, or why he is refused."""
    try:
        return await _find(evidence, wanted)
    except Failure as failure:
        return refusal(failure, permanent=550)


async def _find(evidence: Evidence, wanted: Wanted) -> Destination | Reply:
    site, client = evidence.site, evidence.client
    if wanted.key.rpartition("@")[0] in ROLES:
        return await _postmaster(site, client, wanted)
    plain, details = addresses.split_subaddress(wanted.key)
    printer = await site.directory.printer_by_address(plain)
    if printer is not None:
        return await _printer(evidence, wanted, printer, options.read(details))
    if client.login is None:
        return Reply(code=550, status="5.1.1", text="no such printer here", reason="unknown-recipient")
    assert site.people is not None
    person = await site.people.person_by_address(plain)
    if person is None or not person.local:  # the others have a mail server of their own
        return Reply(code=550, status="5.1.1", text="no such printer or person here", reason="unknown-recipient")
    return await _person(site, wanted, person)


async def _printer(
    evidence: Evidence, wanted: Wanted, printer: Printer, said: options.Subaddress
) -> Destination | Reply:
    site = evidence.site
    capability = None
    if said.token:
        capability = await _capability(site, evidence.client, printer, said.token)
        if capability is None:
            return NO_TOKEN
    members = await groups.members(site.directory, printer)
    if not members:
        return Reply(code=550, status="5.1.1", text="this group has no printer now", reason="unknown-recipient")
    sender = addresses.split_subaddress(addresses.canonical(evidence.reverse_path))[0]
    if any(sender in one.addresses for one in (printer, *members)):
        return Reply(code=550, status="5.4.6", text="a printer does not print for itself: a mail loop", reason="loop")
    verdict = await evidence.judge(printer, members, token=capability is not None)
    if verdict.allowed is False:
        return refused(verdict)
    for member in members:
        if full := await _no_room(site, member, wanted.declared):
            return full
    for limited in (printer, *members) if printer.is_group else members:
        if enough := await _no_more(site, limited, verdict.proved, wanted.declared):
            return enough
    # The reserve of disk is asked for by DATA, before the client sends anything.
    return Destination(
        address=options.without_token(wanted.address),
        key=wanted.key,
        said=_without_token(wanted.said) if wanted.said.orcpt else wanted.said,
        printer=printer,
        members=members,
        verdict=verdict,
        options=said.options,
        capability=capability.id if capability else 0,
    )


def _without_token(said: RcptParameters) -> RcptParameters:
    return replace(said, orcpt=options.without_token(said.orcpt))


async def _capability(site: Site, client: Client, printer: Printer, token: str) -> Capability | None:
    """What the token lets its holder do, if it does; a wrong one is a guess like that of a password.

    Raises `TransientFailure` after too many of them.
    """
    async with site.guesses.trying(client.ip, f"+{printer.name}") as trial:
        known = await site.store.capability(options.token_digest(token))
        if known is None or known.printer != printer.name or known.why_not(time.time()):
            log.info("token refused", client=client.ip, printer=printer.name, capability=known.id if known else 0)
            return None
        trial.right()
        return known


async def _no_room(site: Site, printer: Printer, declared: int) -> Reply | None:
    if declared > printer.quota:
        return Reply(code=552, status="5.2.3", text="larger than this printer's mailbox", reason="quota")
    accepting, octets = await site.store.standing(printer.name)
    if not accepting:
        return Reply(code=450, status="4.2.1", text="the printer takes no jobs now", reason="not-accepting")
    if octets + declared > printer.quota:
        return Reply(code=452, status="4.2.2", text="the printer's mailbox is full", reason="quota")
    return None


async def _no_more(site: Site, printer: Printer, proved: str, declared: int) -> Reply | None:
    """Which limit of an hour, its own or the group's that it is, one more job would pass; the store asks again when the
    message has come."""
    if (limits := printer.limits) == NO_LIMITS:
        return None
    for whom, sender, most_jobs, most_octets in (
        ("everybody together", "", limits.jobs, limits.octets),
        ("one sender", proved, limits.sender_jobs, limits.sender_octets),
    ):
        if not (most_jobs or most_octets) or (whom == "one sender" and not sender):
            continue
        if most_octets and declared > most_octets:
            text = f"larger than all that the printer takes from {whom} in an hour"
            return Reply(code=552, status="5.3.4", text=text, reason="too-large")
        used = await site.store.usage(printer.name, sender)
        for what, most, would in (("jobs", most_jobs, used.jobs + 1), ("octets", most_octets, used.octets + declared)):
            if most and would > most:
                text = f"the printer takes no more {what} from {whom} within this hour, try again later"
                return Reply(code=450, status="4.7.1", text=text, reason="limit-reached")
    return None


async def _person(site: Site, wanted: Wanted, person: Person) -> Destination | Reply:
    if wanted.declared > person.quota:
        return Reply(code=552, status="5.2.3", text="larger than this person's mailbox", reason="quota")
    _, octets = await site.store.standing(person.maildrop)
    if octets + wanted.declared > person.quota:
        return Reply(code=452, status="4.2.2", text="this person's mailbox is full", reason="quota")
    return Destination(address=wanted.address, key=wanted.key, said=wanted.said, people=(person,))


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
        said=wanted.said,
        people=tuple(with_room),
        postmaster=True,
    )


def allowance(site: Site, client: Client) -> Allowance:
    """What mail to the postmaster is counted in."""
    return site.postmaster if client.inside else site.postmaster_strangers
