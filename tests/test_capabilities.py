"""Addresses to give away: their times and tokens; who makes, sees and revokes them, with a real store and slapd."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import capabilities
from appliance.capabilities import Capabilities, Given, described, ends_in_words, new_token, until
from appliance.desk import COMMAND_LINE, Missing
from appliance.rights import NotAllowed
from mailstore.address import split_subaddress
from mailstore.directory.records import Person, Printer, Raw
from mailstore.failure import PermanentFailure
from mailstore.options import read, token_digest, without_token
from mailstore.store.admission import Capability
from tests.test_desk import EVERYBODY, GRACE, MALLORY, OFFICE, POLLS, ROOT, Place, place

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90m", 5400), ("1 minute", 60), ("12h", 43200), ("12 Hours", 43200), ("7d", 604800), ("1 day", 86400)),
        *((" 4w ", 2419200), ("2 weeks", 1209600), ("30 min", 1800)),
        *(("2026-11-23T13:00:00Z", 3600), ("2026-11-23t13:00z", 3600), ("2026-11-23 14:00+01:00", 3600)),
    ],
)
def test_when_it_ends(text: str, seconds: float) -> None:
    assert until(text, NOW) == NOW + seconds


def test_it_may_have_no_end() -> None:
    assert until("", NOW) == until("  ", NOW) == 0.0


def test_a_date_is_meant_with_its_whole_day_here() -> None:
    assert until("2026-12-31", NOW) == datetime(2027, 1, 1).astimezone().timestamp()
    assert until("2026-12-31 18:00", NOW) == datetime(2026, 12, 31, 18).astimezone().timestamp()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *(
            (word, "is no time")
            for word in ("soon", "0d", "-1d", "7", "d", "3 months", "1y", "7dd", "1.5h", "٣d", "18:00")
        ),
        *((word, "is no time") for word in ("2026-13-01", "31.12.2026", "1234567d", "2026-12-31\x00")),
        *((word, "is over already") for word in ("2026-11-01", "2026-11-23T11:59:59Z", "1970-01-01", "9999-12-30")),
        *((word, "hundred years") for word in ("999999d", "2200-01-01")),
    ],
)
def test_what_is_no_end(text: str, words: str) -> None:
    with pytest.raises(PermanentFailure, match=words) as failure:
        until(text, NOW)
    assert failure.value.status == "5.5.4"


def test_tokens_are_all_others_and_read_as_tokens() -> None:
    tokens = {new_token() for _ in range(200)}
    assert len(tokens) == 200
    for token in tokens:
        assert read((token,)).token == token
        assert without_token(f"p+{token}@example.com") == "p@example.com"
    assert {letter for token in tokens for letter in token} == set("abcdefghijklmnopqrstuvwxyz234567")


# -- with a store and a directory

Act = Callable[[Capabilities, Person], Awaitable[object]]
ACTS: dict[str, Act] = {
    "make": lambda those, who: those.make(who, "office"),
    "listed": lambda those, who: those.listed(who, "Office"),
    "one": lambda those, who: those.one(who, "office", 1),
    "revoke": lambda those, who: those.revoke(who, 1, "office"),
}
MAY = {COMMAND_LINE.name, ROOT.name, GRACE.name}  # of the printer, the SysAdmin


def of(here: Place) -> Capabilities:
    return Capabilities(here.store, here.directory)


def token_of(given: Given) -> str:
    return read(split_subaddress(given.address)[1]).token


def written(folder: Path) -> bytes:
    """All that stands in files."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_who_may_do_what(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await of(here).make(ROOT, "office")
        for act in ACTS.values():
            for person in EVERYBODY:
                if person.name in MAY:
                    await act(of(here), person)
                else:
                    with pytest.raises(NotAllowed):
                        await act(of(here), person)
        await of(here).make(ROOT, "office")
        for person in EVERYBODY:
            listed = await of(here).listed(person)
            assert bool(listed) is (person.name in MAY)
            if person.name not in MAY:  # to him it is like what is not there
                with pytest.raises(Missing):
                    await of(here).revoke(person, (await of(here).listed(ROOT))[0].id)


async def test_one_is_made_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        ends = time.time() + 3600
        given = await of(here).make(GRACE, "OFFICE", note=" a visitor ", expires_at=ends, max_jobs=3, max_pages=9)
        base, details = split_subaddress(given.address)
        assert (base, len(details)) == ("office@example.com", 1)
        known = await here.store.capability(token_digest(token_of(given).upper()))
        assert known == given.capability == (await of(here).listed(ROOT))[0]
        assert known is not None
        assert (known.printer, known.note, known.made_by) == ("office", "a visitor", "grace")
        assert (known.expires_at, known.max_jobs, known.max_pages) == (ends, 3, 9)
        assert (known.jobs, known.pages, known.why_not(time.time())) == (0, 0, "")
        assert await here.store.capability(token_digest(new_token())) is None
    assert given.capability.note.encode() in written(tmp_path)
    assert token_of(given).encode() not in written(tmp_path).lower()


async def test_revoking(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        first, second = [await of(here).make(GRACE, "office", note=note) for note in ("first", "second")]
        assert [one.note for one in await of(here).listed(GRACE, "office")] == ["second", "first"]
        was = await of(here).revoke(GRACE, first.capability.id)
        assert was == first.capability
        again = await of(here).revoke(ROOT, first.capability.id)
        assert (again.revoked_by, bool(again.revoked_at)) == ("grace", True)
        states = {one.note: one.why_not(time.time()) for one in await of(here).listed(ROOT)}
        assert states == {"second": "", "first": "it was revoked"}
        for number in (0, 77):
            with pytest.raises(Missing, match=str(number)):
                await of(here).revoke(ROOT, number)
        with pytest.raises(Missing):  # that is another printer's
            await of(here).revoke(ROOT, second.capability.id, "polls")
        with pytest.raises(Missing, match="no printer 'cellar'"):
            await of(here).make(ROOT, "cellar")


async def test_each_sees_those_of_his_printers(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.directory.add(replace(OFFICE, name="attic", addresses=("attic@example.com",), sysadmin=()), None)
        for name in ("attic", "office"):
            await of(here).make(ROOT, name)
        assert [one.printer for one in await of(here).listed(ROOT)] == ["office", "attic"]
        assert [one.printer for one in await of(here).listed(GRACE)] == ["office"]
        assert await of(here).listed(MALLORY) == []


async def test_a_printer_that_is_removed_takes_its_addresses_with_it(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        given = await of(here).make(ROOT, "office")
        await here.desk.remove(ROOT, "office")
        await here.desk.add(ROOT, OFFICE)
        known = await here.store.capability(token_digest(token_of(given)))
        assert known is None or known.why_not(time.time())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"note": "x" * 128}, "at most 127 octets"),
        ({"note": "two\nlines"}, "one line"),
        ({"max_jobs": -1}, "1 to 1000000"),
        ({"max_pages": 1_000_001}, "1 to 1000000"),
        ({"expires_at": 1.0}, "over already"),
    ],
)
async def test_what_cannot_be_meant(tmp_path: Path, wrong: dict[str, object], words: str) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(PermanentFailure, match=words) as failure:
            await of(here).make(ROOT, "office", **wrong)  # type: ignore[arg-type]
        assert failure.value.status == "5.5.4"
        assert await of(here).listed(ROOT) == []


async def test_an_address_has_room_for_a_token(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        long = Printer(name="a" * 38, addresses=(f"{'a' * 38}@example.com",), uri="socket://192.0.2.8:9100")
        await here.directory.add(long, None)
        with pytest.raises(PermanentFailure, match="alias of at most 37 letters"):
            await of(here).make(ROOT, long.name)
        await here.desk.change(ROOT, long.name, "", {"addresses": (*long.addresses, f"{'b' * 37}@example.com")})
        given = await of(here).make(ROOT, long.name)
        assert given.address.startswith("b" * 37 + "+")
        assert len(given.address.partition("@")[0]) == 64


async def test_a_printer_that_polls_must_take_such_mail(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(PermanentFailure, match="polls polls its mailbox") as failure:
            await of(here).make(ROOT, POLLS.name)
        assert failure.value.status == "5.5.1"
        group = Printer(name="both", addresses=("both@example.com",), members=("office", "polls"))
        await here.directory.add(group, None)
        with pytest.raises(PermanentFailure, match="polls polls its mailbox"):
            await of(here).make(ROOT, group.name)
        await here.desk.change(ROOT, POLLS.name, "", {"raw": Raw.VERIFIED})
        assert (await of(here).make(ROOT, POLLS.name)).address.startswith("polls+")
        assert (await of(here).make(ROOT, group.name)).capability.printer == "both"


async def test_there_is_an_end_to_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "MOST", 2)
    async with place(tmp_path) as here:
        first = await of(here).make(ROOT, "office")
        await of(here).make(ROOT, "office")
        with pytest.raises(PermanentFailure, match="revoke some first"):
            await of(here).make(ROOT, "office")
        await of(here).revoke(ROOT, first.capability.id)
        await of(here).make(ROOT, "office")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, "until it is revoked"),
        ({"max_jobs": 1}, "for 1 job"),
        ({"max_jobs": 3, "max_pages": 20}, "for 3 jobs, for 20 pages"),
        (
            {"expires_at": NOW, "max_pages": 1},
            f"until {datetime.fromtimestamp(NOW, UTC).astimezone():%Y-%m-%d %H:%M}, for 1 page",
        ),
    ],
)
def test_what_is_said_of_its_end(limits: dict[str, float], words: str) -> None:
    one = Capability(id=1, printer="office", note="", made_by="ada", created_at=NOW, **limits)  # type: ignore[arg-type]
    assert ends_in_words(one) == words


def test_what_scripts_are_told() -> None:
    one = Capability(id=1, printer="office", note="x", made_by="ada", created_at=NOW, expires_at=NOW + 5, jobs=2)
    told = described(one, NOW)
    assert (told["good"], told["why_not"], told["expires_at"]) == (True, "", "2026-11-23T12:00:05.000+00:00")
    assert described(one, NOW + 5)["why_not"] == "its time is over"
