"""The first user of a new site, and passwords for whoever has none yet."""

from __future__ import annotations

import secrets

from mailstore.directory.contract import People
from mailstore.directory.records import Person
from mailstore.failure import PermanentFailure

_NAMES = ("admin", "administrator", "printpost")
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else


def made_up_password() -> str:
    """Four groups of five characters that can be read out and typed: 99 bits."""
    return "-".join("".join(secrets.choice(_READABLE) for _ in range(5)) for _ in range(4))


async def first_administrator(people: People, domain: str) -> tuple[str, str] | None:
    """Make an administrator if there is no own user at all; his name and password, else None.

    A name that a printer bears is left to it.  To be called in our turn, by one process.
    """
    if await people.people():
        return None
    password = made_up_password()
    for name in _NAMES:
        person = Person(name=name, addresses=(f"{name}@{domain}",), full_name="Administrator", administrator=True)
        try:
            await people.add(person, password)
        except PermanentFailure as taken:
            if taken.status != "5.1.1":
                raise
        else:
            return name, password
        people.forget()
        if await people.people():
            return None  # somebody else was quicker
    raise PermanentFailure(
        "5.1.1", f"printers are named {', '.join(_NAMES)}: make an administrator by printpost user add NAME"
    )
