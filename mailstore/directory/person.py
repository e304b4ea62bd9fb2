"""A person's record and the LDAP entries it is made of: our own users', and those of a site's directory.

Our own is an `inetOrgPerson` (RFC 2798) with `inetLocalMailRecipient` and our `printpostPerson`.  In a site's directory
the name is `uid` or Active Directory's `sAMAccountName`, the addresses are `mail` and the "smtp:" values of Exchange's
`proxyAddresses`.

Security: a login may send mail as each of its addresses, and its name names its maildrop.  What cannot be read is left
out, and an entry without a usable name is nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mailstore.directory.records import Person
from mailstore.directory.values import (
    MalformedEntry,
    Source,
    check,
    check_each,
    read_flag,
    read_group,
    read_own_address,
    read_quota,
    read_text,
    read_user_name,
)
from mailstore.failure import PermanentFailure

OBJECT_CLASSES = ("inetOrgPerson", "inetLocalMailRecipient", "printpostPerson")
ATTRIBUTES = ("uid", "cn", "mail", "mailLocalAddress", "printpostAdministrator", "printpostQuota", "printpostGroup")
"""What a search for our own users asks for."""
SITE_ATTRIBUTES = ("uid", "sAMAccountName", "cn", "displayName", "mail", "proxyAddresses")
"""What a search in a site's directory asks for."""

_QUOTA = Person(name="", addresses=()).quota


@dataclass(frozen=True, slots=True)
class FoundPerson:
    dn: str
    person: Person


def to_attributes(person: Person) -> dict[str, list[str]]:
    """The entry's attributes but for `objectClass` and `userPassword`.  An empty list means: not there.

    `person` must have gone through `checked`.
    """
    full_name = person.full_name or person.name
    return {
        "uid": [person.name],
        "cn": [full_name],
        "sn": [full_name.split()[-1]],
        "mail": [person.addresses[0]],
        "mailLocalAddress": list(person.addresses),
        "printpostAdministrator": ["TRUE"] if person.administrator else [],
        "printpostQuota": [str(person.quota)],
        "printpostGroup": list(person.groups),
    }


def from_attributes(attributes: Mapping[str, Sequence[bytes]]) -> Person:
    """One of our own users.  Raises `MalformedEntry` if there is no usable name or address, or an unusable group."""
    source = Source({name.lower(): values for name, values in attributes.items()})
    name = source.must("uid", read_user_name)
    addresses = source.each("mail", read_own_address) + source.each("mailLocalAddress", read_own_address)
    if not addresses:
        raise MalformedEntry("neither mail nor mailLocalAddress holds an address")
    full_name = source.one("cn", read_text, "")
    return Person(
        name=name,
        addresses=tuple(dict.fromkeys(addresses)),
        full_name="" if full_name == name else full_name,
        administrator=source.one("printpostAdministrator", read_flag, False),
        quota=source.one("printpostQuota", read_quota, _QUOTA),
        # One that is left out could be one that is denied.
        groups=tuple(source.must_each("printpostGroup", read_group)),
    )


def from_site(attributes: Mapping[str, Sequence[bytes]], administrators: Collection[str]) -> Person:
    """Somebody of a site's directory; `administrators` are names in lower case.

    Raises `MalformedEntry` if there is no usable name.
    """
    source = Source({name.lower(): values for name, values in attributes.items()})
    names = source.each("uid", read_user_name) or source.each("sAMAccountName", read_user_name)
    if not names:
        raise MalformedEntry("neither uid nor sAMAccountName holds a name that can be a user's")
    addresses = source.each("mail", read_own_address) + source.each("proxyAddresses", _read_proxy_address)
    return Person(
        name=names[0],
        addresses=tuple(dict.fromkeys(addresses)),
        full_name=source.one("displayName", read_text, "") or source.one("cn", read_text, ""),
        administrator=names[0] in administrators,
        local=False,
    )


def checked(person: Person) -> Person:
    """The same person as it will be stored: lower case, nothing twice.

    Raises `PermanentFailure` ("5.1.3" addresses, "5.5.4" all else) that says what to write instead.
    """
    if not person.local:
        raise PermanentFailure("5.5.4", f"{person.name} is in the site's own directory: change the entry there")
    if not person.addresses:
        raise PermanentFailure("5.1.3", f"user {person.name} needs an address, such as --mail ada@example.com")
    name = check(person.name, read_user_name)
    full_name = check(person.full_name, read_text)
    return replace(
        person,
        name=name,
        addresses=check_each(person.addresses, read_own_address, "5.1.3"),
        full_name="" if full_name == name else full_name,
        quota=check(str(person.quota), read_quota),
        groups=check_each(person.groups, read_group),
    )


def _read_proxy_address(value: str) -> str:
    kind, _, address = value.partition(":")
    if kind.lower() != "smtp":
        raise ValueError("not an address of mail")
    return read_own_address(address)
