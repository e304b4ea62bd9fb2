"""What is wrong in the house, a sentence each, as the first page and the API say it.

Security: everybody who is logged in is told it, so it holds no job's name, no sender and no rule; what a mail server
said of a notice names its recipient, and is an administrator's to read.  What printers report is a stranger's text.
"""

from __future__ import annotations

from collections.abc import Sequence

from appliance.desk import Standing
from appliance.rights import Act, may
from appliance.web.pages import ago, sentence
from appliance.web.site import Site
from appliance.web.words import clock
from mailstore import condition
from mailstore.directory.records import Person

_SHOWN = 5  # printers named in one sentence


def itself_stopped(standing: Standing) -> bool:
    """Whether the printer itself stands; who paused it knows, and in quiet hours it is meant to."""
    reasons = standing.state.state_reasons
    meant = bool(reasons) and all(reason.endswith("-report") for reason in reasons)
    return standing.condition == "stopped" and not standing.state.paused and not meant


async def trouble(site: Site, person: Person, standings: Sequence[Standing]) -> list[str]:
    """What is wrong in the house, a sentence each."""
    found = []
    if await site.reach.silent():
        since = f"What you see is as of {clock(site.reach.last)}" if site.reach.last else "Nothing of it is known"
        found.append(f"The directory does not answer. {since}, and no setting can be changed until it does.")
    stopped = [one for one in standings if itself_stopped(one)]
    if stopped:
        named = ", ".join(f"{one.printer.name} ({_why_stopped(one)})" for one in stopped[:_SHOWN])
        more = f" and {len(stopped) - _SHOWN} more" if len(stopped) > _SHOWN else ""
        found.append(sentence(f"stopped: {named}{more}"))
    outgoing = await site.store.outgoing()
    if outgoing.waiting and outgoing.last_error:
        notices = "notice waits" if outgoing.waiting == 1 else "notices wait"
        why = f": {sentence(outgoing.last_error)}" if may(person, Act.MANAGE) else ". An administrator can see why."
        found.append(f"{outgoing.waiting} {notices} to be delivered, the oldest came {ago(outgoing.oldest)}{why}")
    free, reserve = await site.store.free_octets(), site.settings.store.reserve
    if free < 0:
        found.append("The disk is full: mail is refused until there is room.")
    elif free < reserve:
        found.append("The disk is nearly full: soon mail will be refused.")
    return found


def _why_stopped(standing: Standing) -> str:
    """Why a printer stands, in words."""
    return condition.all_in_words(standing.state.state_reasons) or standing.state.detail or "nobody knows why"
