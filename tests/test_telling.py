"""Occurrences of a real store become mails in its queue, for the people whom a real directory names at that moment."""

from __future__ import annotations

import asyncio
import email
import email.policy
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from appliance import episodes, telling
from appliance.episodes import Episode, Failures, Kind, Standing
from appliance.relay import Relay
from appliance.telling import Teller, letterhead
from mailstore.config import ConfigError, Settings
from mailstore.directory.ldap import LdapDirectory, embedded
from mailstore.directory.records import Hold, Person, Printer
from mailstore.job import DeliveryProof, Event
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.outbox import Occasion, Occurrence, QueuedMail
from mailstore.store.papers import DocumentRecord, Fate
from mailstore.store.splitting import Part, SplitLimits
from mailstore.store.sql import SqlStore, open_store
from tests.directory_server import RunningDirectory, running_directory, short_folder

DEVICE = "device:socket://192.0.2.7:9100"
PRINTER = Printer(
    name="phaser360",
    addresses=("phaser360@example.com", "colour@example.com"),
    uri="socket://192.0.2.7:9100",
    service_person=("sam@example.com",),
    key_user=("kim@example.com",),
    tell_printed=True,
)
LETTER = b"Subject: Report\r\nMessage-ID: <1@client.example.com>\r\n\r\ntext\r\n"
SETTINGS: dict[str, Any] = {"site": {"hostname": "mail.example.com", "domains": ("example.com",)}}


# -- episodes


def stopped(number: int, at: float, *reasons: str) -> Occurrence:
    return Occurrence(id=number, at=at, occasion=Occasion.STOPPED, printer="p", job_id=0, reasons=reasons, detail="")


def clear(number: int, at: float, *reasons: str) -> Occurrence:
    return replace(stopped(number, at, *reasons), occasion=Occasion.CLEAR)


NOBODY_TOLD: Standing = {}
_WORDS = {
    (Kind.TROUBLE, False): "stopped",
    (Kind.TROUBLE, True): "clear",
    (Kind.WARNING, False): "warning",
    (Kind.WARNING, True): "warning over",
}


def look(
    standing: Standing, occurrences: Sequence[Occurrence], now: float
) -> tuple[Standing, list[tuple[str, tuple[str, ...]]], list[int], float]:
    """A look that tells sam@example.com: the standing after it, what was told, what is done, and when the next is."""
    verdict = episodes.judge(standing, occurrences, now)
    after = dict(verdict.standing)
    for news in verdict.news:
        if not news.over:
            after[news.kind] = replace(after[news.kind], told={"sam@example.com": "<1@x>"})
    told = [(_WORDS[news.kind, news.over], news.reasons) for news in verdict.news]
    return after, told, [one.id for one in verdict.done], verdict.due


@pytest.mark.parametrize(
    ("reason", "patience"),
    [
        ("media-empty-error", 5.0),
        ("media-jam", 5.0),
        ("connecting-to-device", 120.0),
        ("timed-out", 120.0),
    ],
)
def test_trouble_must_last(reason: str, patience: float) -> None:
    events = [stopped(1, 1000.0, reason)]
    standing, told, done, due = look(NOBODY_TOLD, events, 1000.0 + patience - 0.1)
    assert (told, done, due) == ([], [], 1000.0 + patience)
    _, told, done, due = look(standing, events, 1000.0 + patience)
    assert (told, done, due) == ([("stopped", episodes.keywords([reason]))], [1], float("inf"))


def test_trouble_that_is_over_before_that_is_told_to_nobody() -> None:
    assert look(NOBODY_TOLD, [stopped(1, 1000.0, "media-empty"), clear(2, 1004.0, "media-empty")], 1100.0)[1:3] == (
        [],
        [1, 2],
    )
    standing = look(NOBODY_TOLD, [stopped(1, 1000.0, "media-empty")], 1001.0)[0]
    assert look(standing, [stopped(1, 1000.0, "media-empty"), clear(2, 1004.0, "media-empty")], 1004.0)[1:3] == (
        [],
        [1, 2],
    )


@pytest.mark.parametrize("reason", ["paused", "none", "toner-low-report", "spool-area-full"])
def test_what_is_no_trouble_is_done_with_at_once(reason: str) -> None:
    standing, told, done, _ = look(NOBODY_TOLD, [stopped(1, 1000.0, reason)], 1000.0)
    assert (told, done) == ([], [1])
    assert look(standing, [clear(2, 2000.0, reason)], 2000.0)[1:3] == ([], [2])
    assert look(NOBODY_TOLD, [clear(2, 2000.0, reason)], 2000.0)[1:3] == ([], [2])


def test_the_all_clear_goes_to_whoever_heard_of_it() -> None:
    standing, *_ = look(NOBODY_TOLD, [stopped(1, 1000.0, "media-empty")], 1010.0)
    verdict = episodes.judge(standing, [clear(2, 1300.0, "media-empty")], 1300.0)
    (news,) = verdict.news
    assert (news.told, news.began) == ({"sam@example.com": "<1@x>"}, 1000.0)
    assert verdict.standing == {Kind.TROUBLE: Episode(last={"media-empty": 1010.0}), Kind.WARNING: Episode()}


def test_an_all_clear_whose_trouble_was_told_before_a_restart_is_told() -> None:
    (news,) = episodes.judge(NOBODY_TOLD, [clear(2, 1300.0, "media-empty")], 1300.0).news
    assert (news.told, news.began) == ({}, 0.0)


def test_a_further_reason_is_told_and_the_old_one_not_again() -> None:
    standing, *_ = look(NOBODY_TOLD, [stopped(1, 1000.0, "media-empty")], 1010.0)
    more = [stopped(2, 1020.0, "media-empty", "door-open")]
    standing, told, done, due = look(standing, more, 1021.0)
    assert (told, done, due) == ([], [], 1025.0)
    standing, told, done, _ = look(standing, more, 1025.0)
    assert (told, done) == ([("stopped", ("door-open",))], [2])
    assert look(standing, [stopped(3, 1040.0, "media-empty")], 2000.0)[1:3] == ([], [3])


def test_a_reason_that_lasts_counts_from_its_first_moment() -> None:
    events = [stopped(1, 1000.0, "media-empty"), stopped(2, 1004.0, "media-empty", "timed-out")]
    standing, told, done, due = look(NOBODY_TOLD, events, 1006.0)
    assert (told, done, due) == ([("stopped", ("media-empty",))], [1], 1124.0)
    assert look(standing, events[1:], 1124.0)[1:3] == ([("stopped", ("timed-out",))], [2])


def test_a_printer_that_falters_is_told_of_once_an_hour() -> None:
    standing, mails = NOBODY_TOLD, 0
    for minute in range(0, 180, 2):
        at = 1000.0 + 60 * minute
        events = [stopped(minute, at, "door-open")]
        standing, told, done, _ = look(standing, events, at + 50)
        events = [*(one for one in events if one.id not in done), clear(minute + 1, at + 60, "door-open")]
        standing, more, done, due = look(standing, events, at + 60)
        assert (len(done), due) == (len(events), float("inf"))
        mails += len(told) + len(more)
    assert mails == 6  # three hours, each with its all-clear


def test_trouble_that_comes_again_and_stays_is_told_after_the_hour() -> None:
    standing, *_ = look(NOBODY_TOLD, [stopped(1, 1000.0, "door-open")], 1010.0)
    standing, *_ = look(standing, [clear(2, 1100.0, "door-open")], 1100.0)
    again = [stopped(3, 1200.0, "door-open")]
    standing, told, done, due = look(standing, again, 1300.0)
    assert (told, done, due) == ([], [], 1010.0 + 3600)
    assert look(standing, again, due)[1] == [("stopped", ("door-open",))]


def test_a_clock_that_was_wrong_silences_nobody() -> None:
    future = 1000.0 + 365 * 86400
    standing, *_ = look(NOBODY_TOLD, [stopped(1, future, "door-open")], future + 10)
    standing, *_ = look(standing, [clear(2, future + 20, "door-open")], future + 20)
    again = [stopped(3, future + 30, "door-open")]  # the clock is put right now
    standing, told, done, due = look(standing, again, 1000.0)
    assert (told, done, due) == ([], [], 1005.0)
    assert look(standing, again, 1005.0)[1] == [("stopped", ("door-open",))]


LOW = "toner-low-warning"


def test_what_only_warns_is_told_once_a_day_and_never_as_trouble() -> None:
    standing, told, done, due = look(NOBODY_TOLD, [stopped(1, 1000.0, LOW)], 1059.0)
    assert (told, done, due) == ([], [], 1060.0)
    standing, told, done, due = look(standing, [stopped(1, 1000.0, LOW)], due)
    assert (told, done, due) == ([("warning", ("toner-low",))], [1], float("inf"))
    standing, told, *_ = look(standing, [clear(2, 2000.0, LOW)], 2000.0)
    assert told == [("warning over", ("toner-low",))]
    again = [stopped(3, 3000.0, LOW)]
    standing, told, done, due = look(standing, again, 4000.0)
    assert (told, done, due) == ([], [], 1060.0 + 86400)
    assert look(standing, again, due)[1:3] == ([("warning", ("toner-low",))], [3])
    assert look(standing, [*again, clear(4, 5000.0, LOW)], 5000.0)[1:3] == ([], [3, 4])  # nobody heard of this one


def test_trouble_that_ends_is_told_though_a_warning_stays() -> None:
    both = [stopped(1, 1000.0, "media-empty", LOW)]
    standing, told, done, due = look(NOBODY_TOLD, both, 1010.0)
    assert (told, done, due) == ([("stopped", ("media-empty",))], [], 1060.0)
    standing, told, done, _ = look(standing, both, 1060.0)
    assert (told, done) == ([("warning", ("toner-low",))], [1])
    standing, told, done, _ = look(standing, [stopped(2, 1100.0, LOW)], 1100.0)
    assert (told, done) == ([("clear", ("media-empty",))], [2])
    assert look(standing, [clear(3, 1200.0, LOW)], 1200.0)[1] == [("warning over", ("toner-low",))]


def test_in_quiet_hours_nothing_begins_and_nothing_ends() -> None:
    standing, *_ = look(NOBODY_TOLD, [stopped(1, 1000.0, "media-empty", LOW)], 1100.0)
    quiet = stopped(2, 2000.0, "shutdown-report")
    standing, told, done, due = look(standing, [quiet], 2000.0)
    assert (told, done, due) == ([], [2], float("inf"))
    odd = stopped(3, 2100.0, "shutdown-report", "door-open")
    standing, told, done, _ = look(standing, [odd], 9000.0)
    assert (told, done) == ([], [3])
    _, told, *_ = look(standing, [stopped(4, 40000.0, "media-empty", LOW)], 41000.0)
    assert told == []  # as before the night
    _, told, *_ = look(standing, [clear(4, 40000.0, "shutdown-report")], 40000.0)
    assert told == [("clear", ("media-empty",)), ("warning over", ("toner-low",))]


def test_a_night_that_nobody_was_told_of_ends_without_a_word() -> None:
    standing, *_ = look(NOBODY_TOLD, [stopped(1, 1000.0, "shutdown-report")], 1000.0)
    assert look(standing, [clear(2, 2000.0, "shutdown-report")], 2000.0)[1:3] == ([], [2])


def test_of_many_failed_jobs_the_first_few_are_told_and_then_the_rest() -> None:
    failures, told = Failures(), 0
    for number in range(50):
        failures, now_told = episodes.one_failed(failures, stopped(number, 1000.0), 1000.0 + number)
        told += now_told
    assert told == episodes.FAILED_JOBS
    assert episodes.the_rest(failures, 1050.0)[1] is None
    failures, latest, more = episodes.the_rest(failures, 1000.0 + episodes.FAILED_WITHIN)
    assert (latest and latest.id, more) == (49, 39)
    assert episodes.the_rest(failures, 1e9)[1] is None  # once


# -- the task


@dataclass(kw_only=True)
class House:
    """A store, a directory, and a teller whose clock the test sets ahead."""

    store: SqlStore
    directory: LdapDirectory
    server: RunningDirectory
    ahead: float = 0.0
    rung: list[float] = field(default_factory=list)

    def teller(self, **settings: Any) -> Teller:
        return Teller(
            Settings(**(SETTINGS | settings)),
            self.store,
            self.directory,
            queued=lambda: self.rung.append(self.clock()),
            clock=self.clock,
        )

    def clock(self) -> float:
        return time.time() + self.ahead

    async def job(self, octets: bytes = LETTER, *, hold: Hold = Hold.NONE, **changes: Any) -> int:
        """An accepted job."""
        envelope: dict[str, Any] = {
            "reverse_path": "ada@example.com",
            "client_ip": "192.0.2.1",
            "helo": "client.example.com",
            "trust": "insider",
            "answerable": True,
            "name": "Report",
            "header_message_id": "<1@client.example.com>",
            "documents": 1,
        }
        draft = await self.store.draft()
        draft.write(octets)
        one = Recipient(maildrop="phaser360", address="phaser360@example.com", quota=10**9, fields=b"", hold=hold)
        (number,) = await self.store.accept(draft, Envelope(**(envelope | changes)), [one])
        return number

    async def end(self, number: int, event: Event, *reasons: str) -> None:
        lease = await self.store.acquire(DEVICE, "bridge", 60.0)
        assert lease is not None
        if event is Event.DOUBT:
            assert await self.store.sending(lease, number, 0)
            assert await self.store.move(lease, number, event, reasons=reasons, detail="cut off")
        else:
            assert await self.store.claim(lease, number, ["job-transforming"])
            assert await self.store.end(lease, number, event, reasons=reasons, proof=DeliveryProof.NONE, detail="why")
        await self.store.release(lease)

    async def failed(self, octets: bytes = LETTER, **changes: Any) -> int:
        number = await self.job(octets, **changes)
        await self.end(number, Event.ABORT, "aborted-by-system", "document-format-error")
        return number

    async def queue(self) -> list[QueuedMail]:
        """What the queue got since the last time."""
        mails = list(await self.store.take_outgoing("test", 1000, 60.0))
        for mail in mails:
            assert await self.store.outgoing_done(mail, "taken by the test")
        return mails

    async def recipients(self) -> list[str]:
        return sorted(mail.recipient for mail in await self.queue())


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with running_directory(tmp_path) as server:
        with short_folder() as runtime:
            store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=runtime)
            try:
                await server.appliance.add(PRINTER, None)
                yield House(store=store, directory=server.appliance, server=server)
            finally:
                await store.close()


def read(mail: QueuedMail) -> EmailMessage:
    message = email.message_from_bytes(mail.octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_service_and_sender_hear_of_a_failed_job_once(house: House) -> None:
    number = await house.failed()
    teller = house.teller()
    await teller.look()
    mails = {mail.recipient: mail for mail in await house.queue()}
    assert sorted(mails) == ["ada@example.com", "sam@example.com"]
    answer = read(mails["ada@example.com"])
    assert (answer["auto-submitted"], answer["references"]) == ("auto-replied", "<1@client.example.com>")
    assert f"Job {number} could not be printed: the document is damaged." in answer.get_content()
    assert "It can be printed again until" not in answer.get_content()  # the document itself is damaged
    told = read(mails["sam@example.com"])
    assert told["auto-submitted"] == "auto-generated"
    assert "It can be printed again until" in told.get_content()
    assert {mail.job_id for mail in mails.values()} == {number}
    assert len(house.rung) == 1
    await teller.look()
    assert await house.queue() == []
    assert await house.store.occurrences(10) == []
    assert len(house.rung) == 1


@pytest.mark.parametrize("answerable", [True, False])
async def test_what_of_a_job_did_not_print_is_told_once(house: House, answerable: bool) -> None:
    await house.directory.replace(replace(PRINTER, tell_printed=answerable))  # which tells nobody a second time
    number = await house.job(answerable=answerable)
    fates = (Fate.PRINTED, Fate.FAILED, Fate.LEFT_OUT)
    await house.store.record_documents(
        number,
        [
            DocumentRecord(number=place, name=f"{fate}.pdf", format="application/pdf", pages=1, fate=fate, detail="so")
            for place, fate in enumerate(fates, 1)
        ],
    )
    await house.end(number, Event.COMPLETE, "job-completed-with-errors")
    teller = house.teller()
    await teller.look()
    mails = {mail.recipient: read(mail) for mail in await house.queue()}
    assert sorted(mails) == ["ada@example.com"] * answerable + ["sam@example.com"]
    for mail in mails.values():
        assert mail["subject"] == "Not all printed on phaser360: Report"
        assert 'Document  2, "failed.pdf": so\n' in mail.get_content().replace("\r\n", "\n")
    await teller.look()
    assert await house.queue() == []
    assert await house.store.occurrences(10) == []


async def test_both_hear_of_an_uncertain_job(house: House) -> None:
    await house.end(await house.job(), Event.DOUBT, "job-suspended", "x-delivery-unknown")
    await house.teller().look()
    assert await house.recipients() == ["ada@example.com", "sam@example.com"]


async def test_a_held_job_is_told_to_its_sender_and_to_whom_he_is_to_ask(house: House) -> None:
    await house.directory.replace(replace(PRINTER, key_user=("kim@example.com",)))
    teller = house.teller()
    numbers = [await house.job() for _ in range(3)]
    for number in numbers:
        assert await house.store.hold_for_limit(number, "it would pass the limit of 10 pages a day")
    await teller.look()
    queue = await house.queue()
    assert sorted(mail.recipient for mail in queue) == [*["ada@example.com"] * 3, "kim@example.com"]
    assert all("10 pages a day" in " ".join(read(mail).get_content().split()) for mail in queue)
    assert await house.store.unhold(numbers[0], "kim")
    house.ahead = episodes.FAILED_WITHIN + 1
    await teller.look()
    (rest,) = await house.queue()
    assert (rest.recipient, rest.job_id) == ("kim@example.com", numbers[2])
    assert "Another job was held there" in read(rest).get_content()


@pytest.mark.parametrize("answerable", [True, False])
async def test_split_mail_that_is_given_up_is_told_once(house: House, answerable: bool) -> None:
    """Its parts are gone by then; whether a program sent it was looked at when they came."""
    envelope = Envelope(
        reverse_path="ada@example.com", client_ip="192.0.2.1", helo="client.example.com", trust="verified",
        answerable=answerable, name="Report", proof="spf", proved="ada@example.com",
    )  # fmt: skip
    recipient = Recipient(maildrop="phaser360", address="phaser360@example.com", quota=10**9, fields=b"")
    limits = SplitLimits(parts=10, octets=10**6, seconds=60.0)
    for number in (1, 3):
        draft = await house.store.draft()
        draft.write(LETTER)
        split = await house.store.accept_part(
            draft, envelope, recipient, Part(id="big.1@client.example.com", number=number, total=3), limits
        )
    detail = "the split mail with the id big.1@client.example.com was not printed: part 2 did not come in time"
    assert await house.store.give_up_split(split.job_id, ["aborted-by-system"], detail)
    await house.teller().look()
    mails = await house.queue()
    assert sorted(mail.recipient for mail in mails) == ["ada@example.com"] * answerable + ["sam@example.com"]
    assert all(detail in " ".join(read(mail).get_content().split()) for mail in mails)


async def test_the_code_of_a_job_that_was_moved_meanwhile_is_told_with_where_it_prints(house: House) -> None:
    upstairs = replace(PRINTER, name="upstairs", addresses=("upstairs@example.com",), location="by the window")
    await house.directory.add(upstairs, None)
    to = Recipient(maildrop="upstairs", address="", quota=10**9, fields=b"", hold=Hold.CODE)
    number = await house.job(hold=Hold.CODE)
    assert await house.store.move_job(number, to, "kim")
    limited = await house.job()
    assert await house.store.hold_for_limit(limited, "too long")
    assert await house.store.move_job(limited, to, "kim")
    await house.teller().look()
    told = [read(mail) for mail in await house.queue()]
    assert ["upstairs" in mail["Subject"] and "upstairs, by the window" in mail.get_content() for mail in told] == [
        True,
        True,
    ]
    for job_id, mail in zip((number, limited), told, strict=True):
        job = await house.store.job(job_id)
        assert job is not None
        assert f"{job.release_code[:4]} {job.release_code[4:]}" in mail.get_content()


async def test_nobody_hears_of_a_job_that_was_released_at_once(house: House) -> None:
    number = await house.job()
    assert await house.store.hold_for_limit(number, "too long")
    assert await house.store.unhold(number, "kim")
    await house.teller().look()
    assert await house.queue() == []
    assert await house.store.occurrences(10) == []


async def test_job_printed_is_told_where_the_entry_says_so(house: House) -> None:
    await house.end(await house.job(), Event.COMPLETE, "job-completed-successfully")
    await house.teller().look()
    assert await house.recipients() == ["ada@example.com"]
    await house.directory.replace(replace(PRINTER, tell_printed=False))
    await house.end(await house.job(), Event.COMPLETE, "job-completed-successfully")
    await house.teller().look()
    assert await house.recipients() == []
    assert await house.store.occurrences(10) == []


@pytest.mark.parametrize(
    ("octets", "changes"),
    [
        (LETTER, {"answerable": False}),
        (LETTER, {"reverse_path": ""}),
        (LETTER, {"reverse_path": "colour+duplex@example.com"}),
        (b"Auto-Submitted: auto-generated\r\n" + LETTER, {}),
        (b"X: " + b"y" * 150_000 + b"\r\nAuto-Submitted: auto-replied\r\n" + LETTER, {}),
        (b"List-Id: <list.example.com>\r\n" + LETTER, {}),
    ],
    ids=["stranger", "null", "a-printer-of-ours", "automatic", "automatic-far-down", "list"],
)
async def test_who_is_not_answered(house: House, octets: bytes, changes: dict[str, Any]) -> None:
    await house.failed(octets, **changes)
    await house.teller().look()
    assert await house.recipients() == ["sam@example.com"]


async def test_no_notice_is_printed(house: House) -> None:
    await house.directory.replace(replace(PRINTER, service_person=("colour@example.com", "sam@example.com")))
    await house.failed(answerable=False)
    await house.teller().look()
    assert await house.recipients() == ["sam@example.com"]


async def test_a_change_of_the_service_person_counts_for_the_next_notice(house: House) -> None:
    teller = house.teller()
    await house.failed(answerable=False)
    await teller.look()
    assert await house.recipients() == ["sam@example.com"]
    await house.directory.replace(replace(PRINTER, service_person=("grace@example.com",)))
    await house.failed(answerable=False)
    await teller.look()
    assert await house.recipients() == ["grace@example.com"]


async def test_postmaster_hears_of_a_printer_that_has_nobody(house: House) -> None:
    await house.directory.replace(replace(PRINTER, service_person=(), key_user=()))
    await house.failed(answerable=False)
    await house.teller().look()
    assert await house.recipients() == ["postmaster@example.com"]


async def test_trouble_and_all_clear_of_a_printer(house: House) -> None:
    teller = house.teller()
    await house.store.set_condition("phaser360", "stopped", ["media-empty-error"], "tray 1 is empty")
    assert 0 < await teller.look() <= 5
    assert await house.queue() == []
    house.ahead = 6
    await teller.look()
    mails = await house.queue()
    assert sorted(mail.recipient for mail in mails) == ["kim@example.com", "sam@example.com"]
    first = {mail.recipient: read(mail) for mail in mails}
    assert "tray 1 is empty" in first["sam@example.com"].get_content()
    await house.directory.replace(replace(PRINTER, service_person=("grace@example.com",)))
    await house.store.set_condition("phaser360", "idle", [], "")
    await teller.look()
    mails = await house.queue()
    assert sorted(mail.recipient for mail in mails) == ["kim@example.com", "sam@example.com"]  # who heard of it
    for mail in mails:
        assert read(mail)["references"] == first[mail.recipient]["message-id"]
    assert await house.store.occurrences(10) == []


async def test_trouble_that_is_not_ripe_outlives_the_process(house: House) -> None:
    await house.store.set_condition("phaser360", "stopped", ["connecting-to-device"], "no answer")
    await house.teller().look()
    house.ahead = 121
    await house.teller().look()
    assert await house.recipients() == ["kim@example.com", "sam@example.com"]


async def test_occurrences_of_a_printer_that_is_gone_are_dropped(house: House) -> None:
    await house.failed()
    await house.store.set_condition("phaser360", "stopped", ["media-empty"], "")
    await house.directory.remove("phaser360")
    await house.teller().look()
    assert await house.queue() == []
    assert await house.store.occurrences(10) == []


async def test_with_the_directory_down_everything_waits(house: House) -> None:
    await house.failed()
    await house.server.server.stop()
    fresh = embedded(house.server.folder, house.server.runtime, "appliance")  # remembers nothing
    teller = Teller(Settings(**SETTINGS), house.store, fresh)
    await teller.look()
    assert await house.queue() == []
    assert len(await house.store.occurrences(10)) == 1
    await house.server.server.start()
    async with asyncio.timeout(20):  # the client tries again when it thinks fit
        while not (await house.store.outgoing()).waiting:
            await teller.look()
            await asyncio.sleep(0.02)
    assert await house.recipients() == ["ada@example.com", "sam@example.com"]
    await fresh.close()


async def test_more_than_one_look_can_hold_is_told_in_several(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LIMIT", 2)
    await house.store.set_condition("phaser360", "stopped", ["timed-out"], "")  # keeps a place for two minutes
    for _ in range(5):
        await house.failed(answerable=False)
    teller = house.teller()
    for _ in range(6):
        await teller.look()
    assert await house.recipients() == ["sam@example.com"] * 5


async def test_of_many_failed_jobs_every_sender_hears_and_service_does_not_drown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "FAILED_JOBS", 2)
    teller = house.teller()
    for number in range(5):
        await house.failed(name=f"Report {number}")
    await teller.look()
    assert await house.recipients() == ["ada@example.com"] * 5 + ["sam@example.com"] * 2
    assert await house.store.occurrences(10) == []
    house.ahead = episodes.FAILED_WITHIN + 1
    await teller.look()
    (mail,) = await house.queue()
    assert mail.recipient == "sam@example.com"
    assert read(mail)["subject"] == "Not printed on phaser360: Report 4 and 2 more"
    assert "2 other jobs failed there within the hour before: printpost job list --printer phaser360" in " ".join(
        read(mail).get_content().split()
    )
    await teller.look()
    assert await house.queue() == []


async def test_a_notice_that_was_forwarded_to_a_printer_begins_no_loop(house: House) -> None:
    await house.failed(answerable=False)
    teller = house.teller()
    await teller.look()
    (mail,) = await house.queue()
    forwarded = read(mail)["message-id"]
    await house.failed(mail.octets, reverse_path="", answerable=False, header_message_id=forwarded)
    await teller.look()
    assert await house.queue() == []
    assert await house.store.occurrences(10) == []


async def test_a_mail_that_cannot_be_read_is_not_answered_and_holds_nothing_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.failed(LETTER + b"x" * 300_000)

    def no_more(*_: Any, **__: Any) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("mailstore.store.blobs.os.open", no_more)
    await house.teller().look()
    monkeypatch.undo()
    assert await house.recipients() == ["sam@example.com"]
    assert await house.store.occurrences(10) == []


async def test_a_ring_is_heard(house: House) -> None:
    teller = house.teller()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(teller.run())
        await house.failed(answerable=False)
        teller.ring()
        async with asyncio.timeout(4):  # the look without a ring is later
            while not house.rung:  # noqa: ASYNC110 - nothing else tells us
                await asyncio.sleep(0.01)
        running.cancel()
    assert await house.recipients() == ["sam@example.com"]


async def test_from_a_failed_job_to_the_mailbox(house: House) -> None:
    sam = Person(name="sam", addresses=("sam@example.com",))
    settings = Settings(**SETTINGS)
    async with house.server.people() as people, asyncio.TaskGroup() as tasks:
        await people.add(sam, "correct horse battery staple")
        relay = Relay(settings, house.store, people)
        teller = Teller(settings, house.store, house.directory, queued=relay.ring)
        running = [tasks.create_task(one.run()) for one in (relay, teller)]
        number = await house.failed(answerable=False)
        teller.ring()
        async with asyncio.timeout(10):
            while not (found := await _maildrop(house.store, sam)):  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.01)
        for task in running:
            task.cancel()
    assert found[0].startswith(b"Return-Path: <>\r\nDelivered-To: sam@example.com\r\nFrom: ")
    assert f"Job {number} could not be printed".encode() in found[0]
    assert (await house.store.trace(number))[-1].text == "notice to sam@example.com is in the mailbox"


async def _maildrop(store: SqlStore, person: Person) -> list[bytes]:
    held = await store.open_maildrop(person.maildrop, "test", 60.0)
    assert held is not None
    mails = [b"".join([block async for block in held.read(entry)]) for entry in held.entries]
    await held.close()
    return mails


# -- the letterhead


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("postmaster@example.com", "")),
        ({"relay": {"from": "printers@example.com"}}, ("printers@example.com", "")),
        ({"web": {"listen": "192.0.2.1:8025"}}, ("postmaster@example.com", "https://mail.example.com:8025")),
        (
            {"web": {"listen": "0.0.0.0:443", "names": ["print.example.com"]}},
            ("postmaster@example.com", "https://print.example.com:443"),
        ),
        ({"web": {"names": ["print.example.com"]}}, ("postmaster@example.com", "https://print.example.com")),
        ({"web": {"listen": "[::1]:8025"}}, ("postmaster@example.com", "")),
    ],
)
def test_the_letterhead(settings: dict[str, Any], expected: tuple[str, str]) -> None:
    head = letterhead(Settings(**(SETTINGS | settings)))
    assert (head.sender, head.page) == expected
    assert (head.hostname, head.postmaster) == ("mail.example.com", "postmaster@example.com")


@pytest.mark.parametrize("sender", ["printers", "Printers <p@example.com>", "p@example.com\r\nBcc: e@example.com"])
def test_a_sender_that_is_no_address_is_refused(sender: str) -> None:
    with pytest.raises(ConfigError, match=r"\[relay\] from"):
        letterhead(Settings(**(SETTINGS | {"relay": {"from": sender}})))
