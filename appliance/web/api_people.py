"""`/api/v1/people`: our own users, for administrators.

Security: only administrators do anything here, and none can lock all of them out; a password is told once.  Whoever
would change his own has to prove the old one, and does that at the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from appliance import described
from appliance.web.body import Body, Password, left_out, part
from appliance.web.login import Administrator
from appliance.web.problem import WRONG_BODY, problems
from appliance.web.site import Here
from mailstore.directory.records import Person

router = part("/people", "people", 403)
_ONE = problems(404, 422)

Addresses = Annotated[list[str], Field(min_length=1)]


class NewPerson(Body):
    """A user to be made."""

    name: str
    addresses: Addresses
    password: str = Field("", description="empty: one is made up")
    full_name: str = ""
    administrator: bool = False
    groups: list[str] = Field(default_factory=list, description="for rules like group:teachers")


class PersonChange(Body):
    """What is to be known of a user; what is left out stays as it is."""

    addresses: Addresses = left_out()
    full_name: str = left_out()
    administrator: bool = left_out()
    groups: list[str] = left_out("all groups that he is in")
    revision: str = Field("", description="the revision that was read; another one now is a conflict (409)")


@router.get("")
async def list_people(person: Administrator, site: Here) -> Sequence[described.DescribedPerson]:
    """Our own users, by name."""
    return [described.person(one) for one in await site.register.listed(person)]


@router.post("", status_code=201, responses=problems(*WRONG_BODY))
async def add_person(person: Administrator, site: Here, new: NewPerson) -> Password:
    """Make a user, with a made-up password if none is given."""
    made = Person(name=new.name.lower(), **new.given("name", "password"))
    password = await site.register.add(person, made, new.password)
    site.refresh()
    return Password(password=password)


@router.get("/{name}", responses=_ONE)
async def get_person(person: Administrator, site: Here, name: str) -> described.DescribedPerson:
    """One user."""
    return described.person(await site.register.person(person, name))


@router.patch("/{name}", responses=_ONE | problems(409, *WRONG_BODY))
async def change_person(
    person: Administrator, site: Here, name: str, change: PersonChange
) -> described.DescribedPerson:
    """Change what is known of a user."""
    changed = await site.register.change(person, name, change.revision, change.given("revision"))
    site.refresh()
    return described.person(changed)


@router.delete("/{name}", status_code=204, responses=_ONE | problems(400))
async def remove_person(person: Administrator, site: Here, name: str) -> None:
    """Take a user away, with the mail that waits for him."""
    await site.register.remove(person, name)
    site.refresh()


@router.post("/{name}/password", responses=_ONE | problems(400))
async def make_password(person: Administrator, site: Here, name: str) -> Password:
    """Give a user a made-up password; whoever is logged in by the old one is out."""
    password = await site.register.set_password(person, name)
    site.refresh()
    return Password(password=password)
