"""What is known of the sender of one mail, found out as the verdicts on it want it, and what they say.

Security: a stranger makes us ask the DNS and the directory.  Each is asked once for a mail, and only where the answer
could change a verdict (`policy.Want`); both have deadlines of their own.  Of a client of the site, and of a login,
nothing is asked: the network and the password have said all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from appliance import policy
from appliance.peer import plain_ip
from appliance.policy import Facts, Verdict, Want
from appliance.proof.result import Result, SpfFinding
from appliance.smtp.client import Client
from appliance.smtp.destination import Destination
from appliance.smtp.reply import Reply
from appliance.smtp.site import Site
from mailstore import address as addresses
from mailstore.directory.records import Printer


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Of the sender of one mail.  `facts` are those of all its recipients, so none of them has a token."""

    site: Site
    client: Client
    reverse_path: str
    facts: Facts
    spf: SpfFinding | None = None  # once it was asked for

    @property
    def examined(self) -> bool:
        """Whether signatures say more of him than is known already."""
        return not self.client.inside

    async def judge(self, printer: Printer, members: Sequence[Printer], *, token: bool) -> Verdict:
        """What can be said now.  An open verdict waits for the header or for the end.

        Raises `TransientFailure` where the directory does not answer.
        """
        while True:
            verdict = policy.judge(printer, self._of_recipient(token=token), members)
            if Want.SPF in verdict.wants and self.facts.spf is None:
                await self.asked_spf()
            elif Want.GROUPS in verdict.wants and self.facts.groups is None:
                self.facts = replace(self.facts, groups=await self._groups())
            else:
                return verdict

    def judge_author(self, recipient: Destination, author: str) -> Verdict:
        """What waited for the header, once it has named its author ("" for none or several)."""
        assert recipient.printer is not None
        self.facts = replace(self.facts, author=author)
        return policy.judge(recipient.printer, self._of_recipient(token=bool(recipient.capability)), recipient.members)

    def _of_recipient(self, *, token: bool) -> Facts:
        return replace(self.facts, token=True) if token else self.facts

    async def asked_spf(self) -> SpfFinding | None:
        """SPF of the reverse-path, asked for if it was not; None where it does not apply."""
        if self.facts.spf is None:
            self.spf = await self.site.mailauth.spf(plain_ip(self.client.ip), self.client.helo, self.reverse_path)
            self.facts = replace(self.facts, spf=self.spf.result)
        return self.spf

    async def _groups(self) -> frozenset[str]:
        people = self.site.people
        return await people.groups(addresses.canonical(self.reverse_path)) if people else frozenset()


def gather(site: Site, client: Client, reverse_path: str) -> Evidence:
    """What is known when MAIL has been said."""
    login = client.login.addresses if client.login else ()
    # SPF speaks of who connects: not of a client of ours, and not of a mail server in front.
    applies = bool(reverse_path) and not client.inside and not site.settings.smtp.behind
    facts = Facts(
        sender=reverse_path,
        ip=plain_ip(client.ip),
        insider=client.insider,
        login=frozenset(map(addresses.canonical, login)),
        spf=None if applies else Result.NONE,
    )
    return Evidence(site=site, client=client, reverse_path=reverse_path, facts=facts)


def refused(verdict: Verdict) -> Reply:
    """The reply to a sender who may not print, or of whom it cannot be said for now."""
    if verdict.status.startswith("4"):
        return Reply(code=451, status=verdict.status, text=verdict.sentence, reason="dns")
    return Reply(code=550, status=verdict.status, text=verdict.sentence, reason="not-allowed")
