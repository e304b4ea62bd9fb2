"""A maildrop as one session sees it: numbered from 1, some marked as deleted (RFC 1939 section 4).  Pure.

Security: the numbers are a client's.  Each is checked here against what is there and not deleted, and nowhere else is a
number turned into an entry, so 0 and what lies behind the end never reach the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailstore.store.contract import Entry


class NoSuchMessage(Exception):
    """Answered by -ERR and this text."""


class Messages:
    """The entries at the session's start and the marks since.  Sizes in octets with CRLF, not dot-stuffed."""

    __slots__ = ("_all", "_deleted", "_entries", "_octets")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._deleted: set[int] = set()
        self._octets = self._all = sum(entry.size for entry in entries)

    def __len__(self) -> int:
        """How many are not deleted."""
        return len(self._entries) - len(self._deleted)

    @property
    def octets(self) -> int:
        """The size of those that are not deleted."""
        return self._octets

    @property
    def deleted(self) -> Sequence[Entry]:
        """What UPDATE has to remove."""
        return [self._entries[number - 1] for number in sorted(self._deleted)]

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        """Number and entry of those that are not deleted."""
        return ((n, entry) for n, entry in enumerate(self._entries, 1) if n not in self._deleted)

    def entry(self, number: int) -> Entry:
        """Raises `NoSuchMessage`."""
        if not 1 <= number <= len(self._entries):
            raise NoSuchMessage(f"no such message, there are {len(self._entries)} in the maildrop")
        if number in self._deleted:
            raise NoSuchMessage(f"message {number} is deleted")
        return self._entries[number - 1]

    def delete(self, number: int) -> None:
        """Raises `NoSuchMessage`."""
        self._octets -= self.entry(number).size
        self._deleted.add(number)

    def reset(self) -> None:
        """RSET: take the marks away."""
        self._deleted.clear()
        self._octets = self._all
