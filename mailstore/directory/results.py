"""LDAP result codes (RFC 4511 section 4.1.9 and appendix A) as failures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from mailstore.failure import Failure, PermanentFailure, TransientFailure

Result = Mapping[str, Any]
"""ldap3's answer to a request: `result` is the code, `description` its name, `message` the server's words."""

SIZE_LIMIT_EXCEEDED = 4
NO_SUCH_OBJECT = 32
ALREADY_EXISTS = 68
_SUCCESS = 0
_UNDEFINED_ATTRIBUTE = 17
_NO_RIGHTS = 50
_BUSY = frozenset({3, 11, 51, 52, 80})  # timeLimitExceeded, adminLimitExceeded, busy, unavailable, other
_BAD_ENTRY = frozenset({16, 17, 19, 20, 21, 34, 64, 65, 67, 69, 71})  # it breaks the schema or a constraint
_NOT_BOUND = frozenset({NO_SUCH_OBJECT, 48, 49, _NO_RIGHTS, 53})  # wrong password, no password, no such entry, locked


class Refused(Exception):
    """The server answered, and the answer was no."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"{result['description']} {result.get('message') or ''}".strip())
        self.code: int = result["result"]

    def failure(self) -> Failure:
        if self.code in _BUSY:
            return TransientFailure("4.4.3", "the directory is busy")
        if self.code == SIZE_LIMIT_EXCEEDED:
            return TransientFailure("4.3.5", "the directory shows us not all entries: raise our bind DN's size limit")
        if self.code == _NO_RIGHTS:
            return PermanentFailure("5.7.0", "the directory does not allow this: bind as an identity that may write")
        if self.code in _BAD_ENTRY and "unique" in str(self):
            return PermanentFailure("5.1.1", "an address or the name is taken by another printer or user")
        if self.code == _UNDEFINED_ATTRIBUTE and "printpost" in str(self).lower():
            return PermanentFailure(
                "5.5.4",
                "the directory has the schema of an earlier Printpost: restart printpost up, or load today's"
                f" printpost.ldif into a directory of your own ({self})",
            )
        if self.code in _BAD_ENTRY:
            return PermanentFailure("5.5.4", f"the directory does not take the entry: {self}")
        return TransientFailure("4.3.5", f"the directory is not set up as expected: {self}")


def succeeded(result: Result) -> None:
    """Raises `Refused` unless the request was carried out."""
    if result["result"] != _SUCCESS:
        raise Refused(result)


def bound(result: Result) -> bool:
    """Whether a bind was accepted.  Raises `Refused` if that remains unknown."""
    if result["result"] in _NOT_BOUND:
        return False
    succeeded(result)
    return True


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns `Refused` into a failure."""
    try:
        yield
    except Refused as refused:
        raise refused.failure() from refused
