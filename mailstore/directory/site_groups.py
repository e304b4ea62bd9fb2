"""The groups that somebody of the site's own directory is in.

Active Directory, FreeIPA, and OpenLDAP with its overlay tell them in `memberOf` of the person's entry; elsewhere the
groups are sought that name the person: `groupOfNames` and `groupOfUniqueNames` (RFC 4519) by DN, `posixGroup` (RFC
2307) by user name.  A group's name is the `cn` of its entry.  Only the groups that name the person himself count, not
groups of groups, and no primary group.  In Active Directory nothing is sought: what it would be sought by has no index.

Security: a group may be one that is denied.  So whoever is in more than can be listed is in none that is known, and
that is a failure, not an empty answer.  Values in filters are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from mailstore.directory.cache import Unusable
from mailstore.directory.results import Result
from mailstore.directory.server import LdapServer, Reader, escaped
from mailstore.directory.values import read_group

MOST = 1000  # groups of one person
_DEADLINE = 6.0  # seconds
_PERSON = ("memberOf", "uid", "sAMAccountName")
_BY_DN = (("groupOfNames", "member"), ("groupOfUniqueNames", "uniqueMember"))
_RDN = re.compile(r"\s*cn\s*=\s*((?:\\.|[^\\,+])*)(?:[,+]|\Z)", re.IGNORECASE | re.DOTALL)
_ESCAPED = re.compile(rb"\\([0-9a-fA-F]{2}|.)", re.DOTALL)
_SUFFIX = re.compile(r"(?:(?:dc|o|c)\s*=[^,]*,\s*)*(?:dc|o|c)\s*=[^,]*\Z", re.IGNORECASE)


class SiteGroups:
    """Groups anywhere in the tree of which `base` is a part."""

    def __init__(self, server: LdapServer, base: str) -> None:
        self._server = server
        self._base = tree(base)

    async def of(self, dn: str) -> frozenset[str]:
        """The names of the groups of the person with this DN, lower case.

        Raises `Unusable` where there are too many, `TransientFailure` if the directory does not answer.
        """
        return await self._server.looked(lambda reader: self._read(reader, dn), deadline=_DEADLINE)

    def _read(self, reader: Reader, dn: str) -> frozenset[str]:
        person = reader.one(dn, "(objectClass=*)", _PERSON)
        if person is None:
            return frozenset()
        attributes = {name.lower(): values for name, values in person["raw_attributes"].items()}
        names = told(attributes)
        if not attributes.get("samaccountname"):
            names += self._naming(reader, dn, attributes.get("uid", ()))
        return frozenset(names)

    def _naming(self, reader: Reader, dn: str, user_names: list[bytes]) -> Iterator[str]:
        """The groups that name the person."""
        value = escaped(dn)
        conditions = [f"(&(objectClass={kind})({attribute}={value}))" for kind, attribute in _BY_DN]
        for user_name in user_names:
            member = escaped(user_name.decode("utf-8", "replace"))
            conditions.append(f"(&(objectClass=posixGroup)(memberUid={member}))")
        found = list(islice(reader.everything(self._base, f"(|{''.join(conditions)})", ("cn",)), MOST + 1))
        if len(found) > MOST:
            raise _too_many()
        for entry in found:
            yield from _common_names(entry)


def told(attributes: Mapping[str, Sequence[bytes]]) -> list[str]:
    """The groups that a person's entry tells, the names of attributes in lower case.  Raises `Unusable`."""
    member_of = [octets.decode("utf-8", "replace") for octets in attributes.get("memberof", ())]
    # Active Directory gives many values in ranges, the first of them by another name (MS-ADTS 3.1.1.3.1.3.3).
    if len(member_of) > MOST or any(name.startswith("memberof;") for name in attributes):
        raise _too_many()
    return [name for value in member_of if (name := named_by(value))]


def tree(base: str) -> str:
    """What `base` ends with that names an organisation: groups are rarely kept below the entry of the people."""
    found = _SUFFIX.search(base)
    return found[0].strip() if found else base


def named_by(dn: str) -> str:
    """The name of the group with this DN (RFC 4514); "" if its first part is no `cn`, or cannot be a group's name."""
    found = _RDN.match(dn)
    octets = _ESCAPED.sub(_unescaped, found[1].strip().encode()) if found else b""
    return _name(octets)


def _too_many() -> Unusable:
    return Unusable(f"the site's directory has somebody in more than {MOST} groups")


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if len(match[1]) == 2 else match[1]


def _common_names(entry: Result) -> Iterator[str]:
    for name, values in entry["raw_attributes"].items():
        if name.lower() == "cn":
            yield from filter(None, map(_name, values))


def _name(octets: bytes) -> str:
    try:
        return read_group(octets.decode("utf-8"))
    except ValueError:  # no rule can name it either
        return ""
