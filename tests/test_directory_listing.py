"""All printers, read again only where their stamps changed.  The server is one that answers as ldap3 would tell it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from structlog.testing import capture_logs

from mailstore.directory.listing import WHOLE, Listing, followed

Entry = dict[str, Any]


class Server:
    """Entries by name, as (stamp, location); it counts what it is asked for."""

    def __init__(self, count: int) -> None:
        self.entries: dict[str, tuple[str, str]] = {f"p{number}": ("1", "here") for number in range(count)}
        self.stamped = True
        self.uri = ""
        self.whole = self.single = 0
        self.listing = Listing()
        self.now = 1000.0

    def everything(self, wanted: Sequence[str]) -> Iterator[Entry]:
        self.whole += len(wanted) > 1
        return (self._entry(name, wanted) for name in list(self.entries))

    def one(self, dn: str, wanted: Sequence[str]) -> Entry | None:
        self.single += 1
        name = dn.removeprefix("uid=")
        return self._entry(name, wanted) if name in self.entries else None

    def _entry(self, name: str, wanted: Sequence[str]) -> Entry:
        stamp, location = self.entries[name]
        held = {"uid": name, "mail": f"{name}@example.com", "printer-location": location, "printer-uri": self.uri}
        if self.stamped:
            held["entryCSN"] = stamp
        raw = {key: [value.encode()] for key, value in held.items() if key in wanted and value}
        return {"dn": f"uid={name}", "raw_attributes": raw}

    def look(self) -> dict[str, str]:
        self.whole = self.single = 0
        self.listing = followed(self.listing, self.now, self.everything, self.one)
        return {printer.name: printer.location for printer in self.listing.printers}

    @property
    def work(self) -> tuple[int, int]:
        return self.whole, self.single


def test_what_did_not_change_is_not_read_again() -> None:
    server = Server(50)
    assert len(server.look()) == 50
    assert server.work == (1, 0)
    before = server.listing
    server.look()
    assert server.work == (0, 0)
    assert server.listing is before


def test_changed_new_and_gone_printers() -> None:
    server = Server(50)
    server.look()
    server.entries["p7"] = ("2", "there")
    server.entries["a"] = ("2", "new")
    del server.entries["p8"]
    assert server.look() == {name: location for name, (_, location) in sorted(server.entries.items())}
    assert server.work == (0, 2)
    del server.entries["p9"]
    assert "p9" not in server.look()
    assert server.work == (0, 0)


def test_a_stamp_may_go_back() -> None:
    server = Server(3)
    server.look()
    server.entries["p1"] = ("0", "restored")
    assert server.look()["p1"] == "restored"


def test_a_printer_that_goes_while_it_is_read() -> None:
    server = Server(3)
    server.look()
    server.entries["p1"] = ("2", "there")
    listing = followed(server.listing, server.now, server.everything, lambda _dn, _wanted: None)
    assert [printer.name for printer in listing.printers] == ["p0", "p2"]


def test_many_changes_are_read_at_once() -> None:
    server = Server(200)
    server.look()
    server.entries = dict.fromkeys(server.entries, ("2", "there"))
    assert set(server.look().values()) == {"there"}
    assert server.work == (1, 0)


def test_a_server_without_stamps_is_read_whole() -> None:
    server = Server(5)
    server.stamped = False
    for location in ("here", "there"):
        server.entries = dict.fromkeys(server.entries, ("1", location))
        assert set(server.look().values()) == {location}
        assert server.work == (1, 0)


def test_a_server_that_shows_its_stamps_no_more() -> None:
    server = Server(5)
    server.look()
    server.stamped = False
    for location in ("there", "elsewhere", "back"):
        server.entries = dict.fromkeys(server.entries, ("1", location))
        assert set(server.look().values()) == {location}
    assert server.work == (1, 0)


def test_after_an_hour_stamps_are_not_trusted() -> None:
    server = Server(5)
    server.look()
    server.entries["p1"] = ("1", "shown to us only now")
    server.now += WHOLE - 1
    assert server.look()["p1"] == "here"
    server.now += 2
    assert server.look()["p1"] == "shown to us only now"
    assert server.work == (1, 0)


def test_a_damaged_entry_is_told_once_while_it_stays_so() -> None:
    server = Server(1)
    server.uri = "http://192.0.2.7/"
    with capture_logs() as told:
        assert server.look() == server.look() == {}
        assert len(told) == 1
        server.entries["p0"] = ("2", "here")
        server.uri = ""
        assert server.look() == {"p0": "here"}
