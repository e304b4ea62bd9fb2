"""A mail that came long ago, judged once more: by what was proved of it then, and by the rules of today.

Recorded of a mail is the one proof that counted and the address that it proved; what else it may have proved is
forgotten, and counts no more.

Security: a proof counts for the address that it proved and for no other.  Who has a login is known by the addresses
that he has now, and a capability address has to stand now.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from dataclasses import replace

from appliance import policy
from appliance.peer import Network, plain_ip, within
from appliance.policy import Facts, Trust, Verdict, Want
from appliance.proof.fields import author as author_of
from appliance.proof.result import Proven, Result
from mailstore.address import canonical, split_subaddress
from mailstore.directory.contract import Directory, People
from mailstore.directory.records import Person, Printer
from mailstore.job import Job, Proof
from mailstore.store.contract import Store

_HEADER = 1 << 20
"""Octets in which the header of what is kept has ended; those that come in may have fewer."""


def recalled(
    *,
    sender: str,
    ip: str,
    proof: Proof,
    proved: str,
    author: str,
    login: Collection[str] = (),
    token: bool = False,
    networks: Collection[Network] = (),
) -> Facts:
    """What was known of a mail with this From author ("" for none or several).

    `proof` proved the canonical address `proved`, be that its envelope's sender or its author.  Of the author it proves
    something only where he is the same, or by SPF of his very domain.  `login` are the addresses of who logged in,
    `networks` are `policy.insiders`: a login counts before the network, but may have come from there too.
    """
    envelope, client = canonical(sender), plain_ip(ip)
    here = bool(author) and author.rpartition("@")[2] == envelope.rpartition("@")[2]
    signed = proof if proof in (Proof.DKIM, Proof.ARC) and proved == author else Proof.NONE
    spf = proof is Proof.SPF  # of the envelope, also where it proved an author who is aligned with that
    return Facts(
        sender=sender,
        ip=client,
        insider=proof is Proof.NETWORK or (proof is Proof.LOGIN and within(client, networks)),
        login=frozenset(map(canonical, login)),
        token=token,
        spf=Result.PASS if spf else Result.NONE,
        author=author,
        message=Proven(
            author=signed or (Proof.SPF if spf and (here or proved == author) else Proof.NONE),
            envelope=signed if author == envelope else Proof.NONE,
            envelope_domain=signed if here else Proof.NONE,
        ),
    )


async def judged(rules: Printer, members: Collection[Printer], facts: Facts, people: People | None) -> Verdict:
    """The verdict, with the groups of the sender, where they count.  Raises `TransientFailure`."""
    verdict = policy.judge(rules, facts, members)
    if Want.GROUPS in verdict.wants:
        groups = await people.groups(canonical(facts.sender)) if people else frozenset()
        verdict = policy.judge(rules, replace(facts, groups=groups), members)
    return verdict


async def judged_again(
    job: Job,
    printer: Printer,
    person: Person,
    *,
    store: Store,
    directory: Directory,
    people: People | None,
    networks: Collection[Network],
) -> Verdict:
    """Whether `person`, whose own the job is, could have it printed on `printer` by the rules of today.

    Those are the group's that it was sent to, as long as the printer is in it.  Raises `Failure`.
    """
    entry = await directory.printer_by_address(split_subaddress(canonical(job.recipient))[0])
    rules = entry if entry is not None and printer.name in entry.members else printer
    facts = recalled(
        sender=job.sender,
        ip=job.client_ip,
        proof=_proof(job),
        proved=job.proved or canonical(job.sender),
        author=await _author(store, job.id),
        login=person.addresses if job.login else (),
        token=await stands(store, rules, job.capability, time.time()),
        networks=networks,
    )
    return await judged(rules, [printer], facts, people)


def _proof(job: Job) -> Proof:
    """Of a job from before proofs were recorded there is its trust."""
    if job.proof or job.trust != Trust.INSIDER:
        return job.proof
    return Proof.LOGIN if job.login else Proof.NETWORK


async def stands(store: Store, printer: Printer, capability: int, now: float) -> bool:
    """Whether the address that was given away still is; how many jobs it had is no matter: this one was counted."""
    known = [one for one in await store.capabilities(printer.name) if one.id == capability] if capability else []
    return any(not one.revoked_at and not 0 < one.expires_at <= now for one in known)


async def _author(store: Store, job_id: int) -> str:
    block = bytearray()
    async with contextlib.aclosing(store.read(job_id)) as blocks:  # type: ignore[type-var]
        async for octets in blocks:
            begun = max(len(block) - 3, 0)
            block += octets
            end = block.find(b"\r\n\r\n", begun)
            if end >= 0:
                return author_of(bytes(block[: end + 2]))
            if len(block) > _HEADER:
                return ""
    return author_of(bytes(block))
