"""`/api/v1`: the same things as the pages, as JSON, for scripts.

A script logs in with each request by HTTP Basic (RFC 7617), a page by its cookie.  Errors are `{"detail": "..."}` with
the sentence that a page would show.  The OpenAPI document is `/api/v1/openapi.json`.

Security: whoever is logged in may call everything here; what he may do is the desk's to say, as for pages.  Bodies are
bounded by the guard and checked by their models, which refuse keys that they do not know.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from appliance import described
from appliance.rights import Act, demand
from appliance.web.login import Me
from appliance.web.site import Here
from mailstore.directory.records import Language, Person, Printer, WhenUncertain

router = APIRouter(prefix="/api/v1", tags=["printers", "jobs", "people"])


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PrinterChanges(_Body):
    """Settings of a printer; what is left out stays as it is."""

    addresses: list[str] | None = None
    uri: str | None = Field(None, description='socket://HOST:9100, or "" for a printer that polls by POP3')
    languages: list[Language] | None = None
    allow: list[str] | None = Field(None, description="all rules that let senders print")
    deny: list[str] | None = None
    sysadmin: list[str] | None = None
    service_person: list[str] | None = None
    key_user: list[str] | None = None
    poll_interval: int | None = None
    plain_from: list[str] | None = None
    quota: int | None = None
    when_uncertain: WhenUncertain | None = None
    tell_printed: bool | None = None
    pjl: bool | None = None
    location: str | None = None
    model: str | None = None
    network_address: str | None = None
    netmask: str | None = None
    gateway: str | None = None
    hardware_address: str | None = None

    def given(self) -> dict[str, Any]:
        """The fields that were sent, as those of a `Printer`."""
        sent = self.model_dump(exclude_unset=True, exclude_none=True, exclude={"name", "password", "revision"})
        return {name: tuple(value) if isinstance(value, list) else value for name, value in sent.items()}


class PrinterChange(PrinterChanges):
    """A change of settings that were read before."""

    revision: str = Field("", description="the revision that was read; another one now is a conflict (409)")


class NewPrinter(PrinterChanges):
    """A printer to be made."""

    name: str
    password: str | None = Field(None, description="its POP3 password, if it polls")


class Switch(_Body):
    """Yes or no."""

    on: bool


class Decision(_Body):
    """What became of a job in doubt."""

    printed: bool = Field(description="true: it counts as printed; false: it prints again under a banner")


class NewPerson(_Body):
    """A user to be made."""

    name: str
    addresses: list[str] = Field(min_length=1)
    password: str = Field("", description="empty: one is made up")
    full_name: str = ""
    administrator: bool = False


class PersonChange(_Body):
    """What is to be known of a user; what is left out stays as it is."""

    addresses: list[str] | None = Field(None, min_length=1)
    full_name: str | None = None
    administrator: bool | None = None
    revision: str = Field("", description="the revision that was read; another one now is a conflict (409)")

    def given(self) -> dict[str, Any]:
        """The fields that were sent, as those of a `Person`."""
        sent = self.model_dump(exclude_unset=True, exclude_none=True, exclude={"revision"})
        return {name: tuple(value) if isinstance(value, list) else value for name, value in sent.items()}


class Made(BaseModel):
    """The number of the job that was made."""

    job: int


class Secret(BaseModel):
    """A password that is told only now."""

    password: str


class Verdict(BaseModel):
    """Whether a sender may print, and why."""

    allowed: bool
    sentence: str


@router.get("/openapi.json", include_in_schema=False)
async def openapi() -> dict[str, Any]:
    """This API as an OpenAPI document."""
    return get_openapi(
        title="Printpost",
        version=importlib.metadata.version("printpost"),
        description="Printers with e-mail addresses: settings, state, jobs and users.",
        routes=router.routes,
    )


@router.get("/me")
async def me(person: Me) -> described.DescribedPerson:
    """Who is logged in."""
    return described.person(person)


# -- printers


@router.get("/printers")
async def printers(person: Me, site: Here) -> Sequence[described.DescribedPrinter]:
    """All printers, by name."""
    return [described.printer(one) for one in await site.desk.printers(person)]


@router.post("/printers", status_code=201)
async def add_printer(person: Me, site: Here, new: NewPrinter) -> described.DescribedPrinterFile:
    """Make a printer.  Without `addresses` it gets its name at each of our domains."""
    name = new.name.lower()
    fields = {"addresses": tuple(f"{name}@{domain}" for domain in site.settings.domains)} | new.given()
    made = await site.desk.add(person, Printer(name=name, **fields), new.password)
    site.refresh()
    return described.printer_file(await site.desk.printer(person, made.name))


@router.get("/printers/{name}")
async def printer(person: Me, site: Here, name: str) -> described.DescribedPrinterFile:
    """One printer with its settings, for whoever may operate it."""
    standing = await site.desk.printer(person, name)
    demand(person, Act.OPERATE, standing.printer)
    return described.printer_file(standing)


@router.patch("/printers/{name}")
async def change_printer(person: Me, site: Here, name: str, change: PrinterChange) -> described.DescribedPrinterFile:
    """Change settings."""
    await site.desk.change(person, name, change.revision, change.given())
    site.refresh()
    return described.printer_file(await site.desk.printer(person, name))


@router.delete("/printers/{name}", status_code=204)
async def remove_printer(person: Me, site: Here, name: str) -> None:
    """Take a printer away; jobs that wait for it are canceled."""
    await site.desk.remove(person, name)
    site.refresh()


@router.post("/printers/{name}/password")
async def new_printer_password(person: Me, site: Here, name: str) -> Secret:
    """Give a printer a made-up POP3 password."""
    return Secret(password=await site.desk.new_password(person, name))


@router.put("/printers/{name}/paused", status_code=204)
async def pause(person: Me, site: Here, name: str, switch: Switch) -> None:
    """Whether jobs are sent to it."""
    await site.desk.set_paused(person, name, switch.on)


@router.put("/printers/{name}/accepting", status_code=204)
async def accept(person: Me, site: Here, name: str, switch: Switch) -> None:
    """Whether mail for it is taken."""
    await site.desk.set_accepting(person, name, switch.on)


@router.post("/printers/{name}/test-page", status_code=201)
async def test_page(person: Me, site: Here, name: str) -> Made:
    """Print a page about the printer."""
    return Made(job=await site.desk.test_page(person, name))


@router.get("/printers/{name}/why")
async def why(
    person: Me,
    site: Here,
    name: str,
    sender: Annotated[str, Query(max_length=320)],
    ip: Annotated[str, Query(max_length=64, description="where it comes from; empty: the site's networks")] = "",
    login: Annotated[bool, Query(description="sent with a login whose address this is")] = False,
) -> Verdict:
    """Whether a sender may print: what SMTP would say."""
    allowed, sentence = await site.desk.try_sender(
        person, name, sender, client_ip=ip, authenticated=sender if login else ""
    )
    return Verdict(allowed=allowed, sentence=sentence)


# -- jobs


@router.get("/jobs")
async def jobs(
    person: Me, site: Here, printer: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Sequence[described.DescribedJob]:
    """The newest jobs that one may see, newest first."""
    return [described.job(one) for one in await site.desk.jobs(person, printer, limit)]


@router.get("/jobs/{number}")
async def job(person: Me, site: Here, number: int) -> described.DescribedJobFile:
    """One job with its trace."""
    found = await site.desk.job(person, number)
    return described.job_file(found.job, found.trace, found.kept_until)


@router.post("/jobs/{number}/cancel", status_code=204)
async def cancel(person: Me, site: Here, number: int) -> None:
    """Stop it, whatever it is doing."""
    await site.desk.cancel(person, number)


@router.post("/jobs/{number}/hold", status_code=204)
async def hold(person: Me, site: Here, number: int) -> None:
    """Let it wait until it is released."""
    await site.desk.hold(person, number)


@router.post("/jobs/{number}/release", status_code=204)
async def release(person: Me, site: Here, number: int) -> None:
    """Let a held job go on."""
    await site.desk.unhold(person, number)


@router.post("/jobs/{number}/decide", status_code=204)
async def decide(person: Me, site: Here, number: int, decision: Decision) -> None:
    """Say what became of a job of which nobody knows whether it was printed."""
    await site.desk.decide(person, number, printed=decision.printed)


@router.post("/jobs/{number}/print-again", status_code=201)
async def print_again(person: Me, site: Here, number: int) -> Made:
    """Print an ended job again, while its octets are kept."""
    return Made(job=await site.desk.print_again(person, number))


# -- people


@router.get("/people")
async def people(person: Me, site: Here) -> Sequence[described.DescribedPerson]:
    """Our own users, by name."""
    return [described.person(one) for one in await site.register.listed(person)]


@router.post("/people", status_code=201)
async def add_person(person: Me, site: Here, new: NewPerson) -> Secret:
    """Make a user, with a made-up password if none is given."""
    made = Person(
        name=new.name.lower(),
        addresses=tuple(new.addresses),
        full_name=new.full_name,
        administrator=new.administrator,
    )
    password = await site.register.add(person, made, new.password)
    site.refresh()
    return Secret(password=password)


@router.get("/people/{name}")
async def user(person: Me, site: Here, name: str) -> described.DescribedPerson:
    """One user."""
    return described.person(await site.register.person(person, name))


@router.patch("/people/{name}")
async def change_person(person: Me, site: Here, name: str, change: PersonChange) -> described.DescribedPerson:
    """Change what is known of a user."""
    changed = await site.register.change(person, name, change.revision, change.given())
    site.refresh()
    return described.person(changed)


@router.delete("/people/{name}", status_code=204)
async def remove_person(person: Me, site: Here, name: str) -> None:
    """Take a user away, with the mail that waits for him."""
    await site.register.remove(person, name)
    site.refresh()


@router.post("/people/{name}/password")
async def new_password(person: Me, site: Here, name: str) -> Secret:
    """Give a user a made-up password; whoever is logged in by the old one is out."""
    password = await site.register.set_password(person, name)
    site.refresh()
    return Secret(password=password)
