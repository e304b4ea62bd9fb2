"""`/api/v1/printers`: printers, their settings, and what keeps them going.

Security: how a printer fares everybody who is logged in may see; its settings only whoever operates it.  The desk asks
for every right; bodies are checked by their models, values by the directory's readers.  A printer's SNMP community is
shown only to whoever may change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from appliance import described
from appliance.rights import Act, may
from appliance.supposing import Supposed
from appliance.web.body import Body, MadeJob, Password, left_out, part
from appliance.web.login import Me
from appliance.web.problem import WRONG_BODY, problems
from appliance.web.site import Here, Site
from mailstore.address import parse_path
from mailstore.directory.entry import with_limits
from mailstore.directory.records import NO_LIMITS, Hold, Language, Person, Printer, Raw, Snmp, WhenUncertain
from mailstore.directory.records import Body as LetterBody
from mailstore.directory.serving import PERIODS, read_period
from mailstore.directory.values import check, read_ticket

router = part("/printers", "printers")
_ONE = problems(404, 422)
LimitName = Literal["jobs", "octets", "pages", "sender-jobs", "sender-octets", "sender-pages", "job-pages"]
_MINE = _ONE | problems(403)
Period = int | str
"""Seconds, or like "90s", "15m", "8h" or "7d"."""


class PrinterSettings(Body):
    """Settings of a printer; what is left out stays as it is."""

    addresses: list[str] = left_out()
    uri: str = left_out('socket://HOST:9100, or "" for a printer that polls by POP3')
    languages: list[Language] = left_out()
    allow: list[str] = left_out("all rules that let senders print")
    deny: list[str] = left_out("all rules that keep senders out")
    sysadmin: list[str] = left_out("addresses of those who may change its settings")
    service_person: list[str] = left_out("addresses of those who hear of trouble")
    key_user: list[str] = left_out("addresses of those who look after it")
    poll_interval: int = left_out("seconds")
    plain_from: list[str] = left_out("networks from which it may log in without TLS")
    quota: int = left_out("octets that may wait in its maildrop")
    when_uncertain: WhenUncertain = left_out()
    tell_printed: bool = left_out("tell senders that their jobs were printed")
    pjl: bool = left_out("it speaks PJL and is asked how it fares")
    members: list[str] = left_out("names of the printers of the group that this is; a printer has none")
    limits: dict[LimitName, Annotated[int, Field(ge=0)]] = left_out(
        "all limits: jobs and octets count by the hour, pages by the day, job-pages of one job; 0 is none"
    )
    unverified_ok: bool = left_out("senders that are allowed need not prove that they sent")
    raw: Raw = left_out("whose PostScript and PDF reach it as they came; on a printer that polls, whose mail it gets")
    unfiltered: Raw = left_out("whose printer commands (PJL, PCL) reach it, every one of them")
    body: LetterBody = left_out("when the letter itself prints")
    color: bool = left_out("it prints in colour")
    max_copies: int = left_out("copies that one mail may ask for; 0 for any number")
    media: list[str] = left_out("paper it has, a4, letter or PWG self-describing names, the usual one first")
    ticket: str = left_out('how jobs print that say nothing else, like "duplex copies=2"; "" for nothing')
    confidential: bool = left_out("no pictures of its pages are kept")
    half_close: bool = left_out("our side of its connection is closed behind the document")
    end_wait: Period = left_out("how long to wait for its end since it was last heard of: seconds, or like 90s")
    stall_limit: Period = left_out("when a job that does not get on is given up: seconds, or like 1d")
    pjl_one_option: bool = left_out("its PJL takes one option a line")
    ps_echo: bool = left_out("its PostScript answers at its port, and is asked when it is done")
    count_pages: bool = left_out("count its pages by SNMP where nothing better tells that a job is out")
    snmp: Snmp = left_out("in which version of SNMP it is asked how it fares")
    snmp_community: str = left_out("the community by which it answers")
    snmp_port: int = left_out("the UDP port of its SNMP agent")
    status_interval: Period = left_out("how often it is asked how it fares: seconds, or like 60s")
    quiet_hours: list[str] = left_out("when it is left alone, like 22:00-06:00 or sat,sun 00:00-24:00")
    hold: Hold = left_out("jobs wait until somebody releases them, or until their sender types in a code")
    hold_expiry: Period = left_out("when a job that nobody released is given up: seconds, or like 8h")
    expiry: Period = left_out("when a job that cannot be printed is given up: seconds, or like 7d")
    location: str = left_out()
    model: str = left_out()
    network_address: str = left_out()
    netmask: str = left_out()
    gateway: str = left_out()
    hardware_address: str = left_out()

    def settings(self, *without: str) -> dict[str, Any]:
        """What was sent, as fields of a `Printer`.  Raises `PermanentFailure` for what is no ticket or no period."""
        given = self.given(*without)
        if "limits" in given:
            given["limits"] = with_limits(NO_LIMITS, given["limits"])
        if "ticket" in given:
            given["ticket"] = check(given["ticket"], read_ticket)
        for name in PERIODS.keys() & given.keys():
            given[name] = check(str(given[name]), partial(read_period, name=name))
        return given


class PrinterChange(PrinterSettings):
    """A change of settings that were read before."""

    revision: str = Field("", description="the revision that was read; another one now is a conflict (409)")


class NewPrinter(PrinterSettings):
    """A printer to be made.  Without `addresses` it gets its name at each of our domains."""

    name: str
    password: str = left_out("its POP3 password, if it polls; without one it has none yet")


class Verdict(BaseModel):
    """Whether a sender may print, and why."""

    allowed: bool
    uncertain: bool  # the DNS would have to answer first
    sentence: str


@router.get("")
async def list_printers(person: Me, site: Here) -> Sequence[described.DescribedPrinter]:
    """All printers, by name."""
    return [described.printer(one) for one in await site.desk.printers(person, reports=True)]


@router.post("", status_code=201, responses=problems(403, *WRONG_BODY))
async def add_printer(person: Me, site: Here, new: NewPrinter) -> described.DescribedPrinterFile:
    """Make a printer.  Nobody may print on it without a rule."""
    name = new.name.lower()
    given = new.settings("name", "password")
    given.setdefault("addresses", tuple(f"{name}@{domain}" for domain in site.settings.domains))
    password = new.password if "password" in new.model_fields_set else None
    made = await site.desk.add(person, Printer(name=name, **given), password)
    site.refresh()
    return await _file(person, site, made.name)


@router.get("/{name}", responses=_ONE)
async def get_printer(person: Me, site: Here, name: str) -> described.DescribedPrinterFile | described.DescribedPrinter:
    """One printer; with its settings for whoever operates it."""
    standing = await site.desk.printer(person, name)
    if may(person, Act.OPERATE, standing.printer):
        return described.printer_file(standing, community=may(person, Act.SET, standing.printer))
    return described.printer(standing)


@router.patch("/{name}", responses=_MINE | problems(409, *WRONG_BODY))
async def change_printer(person: Me, site: Here, name: str, change: PrinterChange) -> described.DescribedPrinterFile:
    """Change settings.  They count from the next mail, poll and notice on."""
    await site.desk.change(person, name, change.revision, change.settings("revision"))
    site.refresh()
    return await _file(person, site, name)


async def _file(person: Person, site: Site, name: str) -> described.DescribedPrinterFile:
    standing = await site.desk.printer(person, name)
    return described.printer_file(standing, community=may(person, Act.SET, standing.printer))


@router.delete("/{name}", status_code=204, responses=_MINE)
async def remove_printer(person: Me, site: Here, name: str) -> None:
    """Take a printer away; jobs that wait for it are canceled."""
    await site.desk.remove(person, name)
    site.refresh()


@router.post("/{name}/password", responses=_MINE | problems(400))
async def make_printers_password(person: Me, site: Here, name: str) -> Password:
    """Give a printer that polls a made-up POP3 password."""
    password = await site.desk.new_password(person, name)
    site.refresh()
    return Password(password=password)


@router.post("/{name}/pause", status_code=204, responses=_MINE)
async def pause_printer(person: Me, site: Here, name: str) -> None:
    """Send it nothing more: mail is taken and waits."""
    await site.desk.set_paused(person, name, True)


@router.post("/{name}/resume", status_code=204, responses=_MINE)
async def resume_printer(person: Me, site: Here, name: str) -> None:
    """Send to it again."""
    await site.desk.set_paused(person, name, False)


@router.post("/{name}/refuse", status_code=204, responses=_MINE)
async def refuse_mail(person: Me, site: Here, name: str) -> None:
    """Take no more mail for it: what waits is printed."""
    await site.desk.set_accepting(person, name, False)


@router.post("/{name}/accept", status_code=204, responses=_MINE)
async def accept_mail(person: Me, site: Here, name: str) -> None:
    """Take mail for it again."""
    await site.desk.set_accepting(person, name, True)


@router.post("/{name}/test-page", status_code=201, responses=_MINE)
async def print_test_page(person: Me, site: Here, name: str) -> MadeJob:
    """Print a page about the printer."""
    return MadeJob(job=await site.desk.test_page(person, name))


@router.get("/{name}/why", responses=_MINE | problems(400))
async def may_print(
    person: Me,
    site: Here,
    name: str,
    sender: Annotated[str, Query(max_length=320, description="the envelope sender; empty: the null reverse-path")],
    ip: Annotated[str, Query(max_length=64, description="where it comes from; empty: the site's networks")] = "",
    login: Annotated[bool, Query(description="sent with a login whose address this is")] = False,
    author: Annotated[
        str | None, Query(max_length=320, description="of the From field; empty: none or several; absent: the sender")
    ] = None,
    signed: Annotated[bool, Query(description="signed with DKIM by the author's domain")] = False,
    given_away: Annotated[bool, Query(description="sent to an address that was given away, and stands")] = False,
) -> Verdict:
    """Whether a sender may print: what SMTP would say."""
    if sender or login:
        sender = parse_path(f"<{sender}>", utf8=True, null_allowed=False).address
    if author:
        author = parse_path(f"<{author}>", utf8=True, null_allowed=False).address
    supposed = Supposed(sender=sender, ip=ip, login=login, author=author, signed=signed, given_away=given_away)
    answer = await site.desk.try_sender(person, name, supposed)
    return Verdict(allowed=answer.allowed, uncertain=answer.uncertain, sentence=answer.sentence)
