"""The desk: who may do what, and what it then does, against a real store and a real slapd."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance import job_file, testpage
from appliance.desk import COMMAND_LINE, Conflict, Desk, Missing, Standing, TooLate
from appliance.rights import NotAllowed
from appliance.supposing import Supposed
from mailstore.config import Settings
from mailstore.directory.contract import Directory
from mailstore.directory.records import Hold, Language, Person, Printer
from mailstore.directory.slapd import EmbeddedDirectory
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, Event, JobState
from mailstore.store.contract import Envelope, Lease, PrinterState, Recipient, Role, Store, Waiting
from mailstore.store.sql import open_store
from tests.directory_server import running_directory, short_folder

ROOT = Person(name="root", addresses=("root@example.com",), administrator=True)
GRACE = Person(name="grace", addresses=("grace@example.com",))  # SysAdmin
ADA = Person(name="ada", addresses=("ada@example.com",))  # Service
ALAN = Person(name="alan", addresses=("alan@example.com",))  # Key User
EVE = Person(name="eve", addresses=("eve@example.com",))  # has a job
MALLORY = Person(name="mallory", addresses=("mallory@example.com",))
EVERYBODY = (COMMAND_LINE, ROOT, GRACE, ADA, ALAN, EVE, MALLORY)
OFFICE = Printer(
    name="office",
    addresses=("office@example.com",),
    uri="socket://192.0.2.7:9100",
    allow=("@example.com",),
    sysadmin=("grace@example.com",),
    service_person=("ada@example.com",),
    key_user=("alan@example.com",),
)
POLLS = Printer(
    name="polls",
    addresses=("polls@example.com",),
    languages=(Language.TEXT,),
    allow=("ada@example.com",),
    sysadmin=("grace@example.com",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A desk with everything behind it."""

    desk: Desk
    store: Store
    directory: Directory
    slapd: EmbeddedDirectory

    async def mail(
        self, printer: str = "office", sender: str = "eve@example.com", login: str = "", address: str = ""
    ) -> int:
        draft = await self.store.draft()
        draft.write(b"Subject: a job\r\n\r\nText\r\n")
        envelope = Envelope(
            reverse_path=sender, client_ip="127.0.0.1", helo="localhost", trust="insider", login=login, documents=1
        )
        to = address or f"{printer}@example.com"
        recipient = Recipient(maildrop=printer, address=to, quota=1 << 20, fields=b"")
        return (await self.store.accept(draft, envelope, [recipient]))[0]

    async def drawn(self) -> int:
        """A job of which there is a picture."""
        number = await self.mail()
        assert await self.store.keep_thumbnail(number, 1, 1, b"PNG")
        return number

    async def state(self, number: int) -> JobState:
        job = await self.store.job(number)
        assert job is not None
        return job.state

    async def ended(self, **more: Any) -> int:
        """A job that the bridge has printed."""
        number, lease = await self._sent(**more)
        reasons = ["job-completed-successfully"]
        assert await self.store.end(lease, number, Event.COMPLETE, reasons=reasons, proof=DeliveryProof.JOB_END)
        await self.store.release(lease)
        return number

    async def doubtful(self, **more: Any) -> int:
        """A job of which nobody knows whether it was printed."""
        number, lease = await self._sent(**more)
        assert await self.store.move(lease, number, Event.DOUBT, reasons=["job-suspended", "x-delivery-unknown"])
        await self.store.release(lease)
        return number

    async def _sent(self, **more: Any) -> tuple[int, Lease]:
        number = await self.mail(**more)
        lease = await self.store.acquire("device:socket://192.0.2.7:9100", "bridge", 60)
        assert lease is not None
        assert await self.store.claim(lease, number, ["job-printing"])
        assert await self.store.sending(lease, number, 0)
        return number, lease


@contextlib.asynccontextmanager
async def place(folder: Path, **settings: Any) -> AsyncIterator[Place]:
    made = Settings(
        **{
            "site": {"hostname": "mail.example.com", "domains": ["example.com"]},
            "store": {"url": f"sqlite:{folder}", "reserve": 0},
            **settings,
        }
    )
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_directory(folder))
        runtime = stack.enter_context(short_folder())
        store = await open_store(folder, role=Role.APPLIANCE, reserve=0, runtime=runtime)
        stack.push_async_callback(store.close)
        for printer in (OFFICE, POLLS):
            await server.appliance.add(printer, None if printer.uri else "correct horse")
        desk = Desk(made, store, server.appliance)
        yield Place(desk=desk, store=store, directory=server.appliance, slapd=server.server)


Act = Callable[[Place, Person], Awaitable[object]]


def _new(name: str) -> Printer:
    return replace(POLLS, name=name, addresses=(f"{name}@example.com",))


# Who may, by the first letter of the command line, root, grace, ada, alan, eve and mallory.
TABLE: dict[str, tuple[Act, str]] = {
    "printers": (lambda here, who: here.desk.printers(who), "crgaaem"),
    "printer": (lambda here, who: here.desk.printer(who, "office"), "crgaaem"),
    "try_sender": (lambda here, who: here.desk.try_sender(who, "office", Supposed(sender="ada@example.com")), "crgaa"),
    "add": (lambda here, who: here.desk.add(who, _new(f"attic{len(who.name)}")), "cr"),
    "remove": (lambda here, who: here.desk.remove(who, "office"), "cr"),
    "change": (lambda here, who: here.desk.change(who, "office", "", {"location": "attic"}), "crg"),
    "new_password": (lambda here, who: here.desk.new_password(who, "polls"), "crg"),
    "set_paused": (lambda here, who: here.desk.set_paused(who, "office", True), "crgaa"),
    "set_accepting": (lambda here, who: here.desk.set_accepting(who, "office", False), "crgaa"),
    "test_page": (lambda here, who: here.desk.test_page(who, "office"), "crgaa"),
}
ON_JOBS: dict[str, tuple[Callable[[Place, Person, int], Awaitable[object]], str, str]] = {
    "job": (lambda here, who, n: here.desk.job(who, n), "mail", "crgaae"),
    "picture": (lambda here, who, n: here.desk.picture(who, n, 1, 1), "drawn", "crgaae"),
    "cancel": (lambda here, who, n: here.desk.cancel(who, n), "mail", "crgaae"),
    "hold": (lambda here, who, n: here.desk.hold(who, n), "mail", "crgaa"),
    "decide": (lambda here, who, n: here.desk.decide(who, n, printed=True), "doubtful", "crgaae"),
    "print_again": (lambda here, who, n: here.desk.print_again(who, n), "ended", "crgaae"),
}


async def test_no_page_is_seen_where_nobody_knows_whether_it_is_confidential(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        job = await here.store.job(await here.drawn())
        assert job is not None
        assert await job_file.pictures(here.store, job, OFFICE) == [(1, 1)]
        assert await job_file.pictures(here.store, job, None) == ()


@pytest.mark.parametrize("act", TABLE)
async def test_who_may(act: str, tmp_path: Path) -> None:
    """Those who may not are asked first, so that nothing was changed when the others try."""
    call, allowed = TABLE[act]
    async with place(tmp_path) as here:
        before = await here.directory.printer("office")
        for who, may in _in_turn(allowed):
            if may:
                with contextlib.suppress(Missing):  # removed by the one before
                    await call(here, who)
                continue
            with pytest.raises(NotAllowed, match="may not"):
                await call(here, who)
            assert await here.directory.printer("office") == before
            assert await here.store.printer_state("office") == PrinterState(printer="office")
            assert await here.store.jobs() == []


@pytest.mark.parametrize("act", ON_JOBS)
async def test_who_may_with_a_job(act: str, tmp_path: Path) -> None:
    call, made, allowed = ON_JOBS[act]
    async with place(tmp_path) as here:
        for who, may in _in_turn(allowed):
            number = await getattr(here, made)()
            before = await here.state(number)
            if may:
                await call(here, who, number)
                continue
            # What is none of his business is told like what is not there; his own he may not hold.
            with pytest.raises(NotAllowed if who is EVE else Missing):
                await call(here, who, number)
            assert await here.state(number) is before


def _in_turn(allowed: str) -> list[tuple[Person, bool]]:
    letters = "crgaaem"
    found = []
    for who, letter in zip(EVERYBODY, letters, strict=True):
        found.append((who, letter in allowed))
    return sorted(found, key=lambda pair: pair[1])


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(Missing, match="there is no printer 'attic'"):
            await here.desk.printer(EVE, "attic")
        for number in (7, 0, -1, 1 << 80):
            with pytest.raises(Missing, match=f"there is no job {number}"):
                await here.desk.job(ROOT, number)
        with pytest.raises(Missing):
            await here.desk.jobs(ROOT, "attic")


async def test_names_are_compared_without_case(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        assert (await here.desk.printer(EVE, "OFFICE")).printer == OFFICE


@pytest.mark.parametrize(
    ("state", "waiting", "condition"),
    [
        (PrinterState(printer="p"), {}, "idle"),
        (PrinterState(printer="p"), {JobState.PROCESSING: 1}, "processing"),
        (PrinterState(printer="p", state="stopped"), {JobState.PROCESSING: 1}, "stopped"),
        (PrinterState(printer="p", paused=True), {JobState.PENDING: 3}, "stopped"),
        (PrinterState(printer="p", state="processing"), {}, "processing"),
    ],
)
def test_a_standing_says_how_the_printer_fares(state: PrinterState, waiting: dict[str, int], condition: str) -> None:
    row = Waiting(printer="p", states=waiting, messages=0, octets=0, oldest=0.0, last_completed=0.0)
    standing = Standing(printer=POLLS, state=state, waiting=row if waiting else None)
    assert standing.condition == condition
    assert standing.jobs_waiting == sum(waiting.values())


# -- settings


async def test_a_change_counts_at_once_and_is_announced(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before = await here.store.generation()
        seen = (await here.desk.printer(GRACE, "office")).printer.revision
        changed = await here.desk.change(GRACE, "office", seen, {"location": " Attic ", "poll_interval": 300})
        assert (changed.location, changed.poll_interval) == ("Attic", 300)
        here.directory.forget()
        assert await here.directory.printer("office") == changed
        assert await here.store.generation() > before


async def test_nothing_changed_is_nothing_announced(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before = await here.store.generation()
        assert await here.desk.change(ROOT, "office", OFFICE.revision, {"location": ""}) == OFFICE
        assert await here.store.generation() == before


async def test_whoever_saw_another_revision_is_told(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.desk.change(ROOT, "office", OFFICE.revision, {"location": "attic"})
        with pytest.raises(Conflict, match="somebody else changed office meanwhile") as conflict:
            await here.desk.change(GRACE, "office", OFFICE.revision, {"model": "Phaser"})
        now = conflict.value.now
        assert isinstance(now, Printer)
        assert now.location == "attic"
        changed = await here.desk.change(GRACE, "office", now.revision, {"model": "Phaser"})
        assert (changed.location, changed.model) == ("attic", "Phaser")


async def test_another_order_of_values_is_no_change_and_another_first_address_is_one(tmp_path: Path) -> None:
    """LDAP promises no order, and a foreign client may have taken a value out and put it in again."""
    async with place(tmp_path) as here:
        two = {"allow": ("ada@example.com", "@example.com"), "addresses": ("office@example.com", "desk@example.com")}
        seen = (await here.desk.change(ROOT, "office", "", two)).revision
        turned = replace(OFFICE, allow=two["allow"][::-1], addresses=two["addresses"])
        await here.directory.replace(turned)
        changed = await here.desk.change(ROOT, "office", seen, {"location": "attic"})
        assert (changed.location, changed.allow) == ("attic", turned.allow)
        await here.directory.replace(replace(changed, addresses=two["addresses"][::-1]))
        with pytest.raises(Conflict):
            await here.desk.change(ROOT, "office", changed.revision, {"location": "cellar"})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"allow": ("nobody",)}, "is not a rule"),
        ({"deny": ("ip:300.0.0.0",)}, "names no network"),
        ({"uri": "http://192.0.2.7/"}, "write it like socket://"),
        ({"addresses": ()}, "needs an address"),
        ({"addresses": ("polls@example.com",)}, "polls@example.com"),
        ({"quota": 0}, "is not a quota"),
    ],
)
async def test_what_cannot_be_meant_is_not_stored(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(PermanentFailure, match=told):
            await here.desk.change(ROOT, "office", "", changes)
        here.directory.forget()
        assert await here.directory.printer("office") == OFFICE


async def test_a_new_printer(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        entry = replace(POLLS, name="attic", addresses=("Attic@Example.com",))
        made = await here.desk.add(ROOT, entry, "correct horse")
        assert made.addresses == ("attic@example.com",)
        assert await here.directory.verify("attic", "correct horse")
        with pytest.raises(PermanentFailure):
            await here.desk.add(ROOT, entry)
        with pytest.raises(PermanentFailure, match="is not a rule"):
            await here.desk.add(ROOT, replace(entry, name="cellar", allow=("nobody",)))


async def test_a_printer_that_goes_takes_its_waiting_jobs_along(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        number = await here.mail()
        await here.desk.remove(ROOT, "office")
        assert await here.state(number) is JobState.CANCELED
        with pytest.raises(Missing):
            await here.desk.printer(ROOT, "office")
        # The record stays for whoever sent it.
        assert (await here.desk.job(EVE, number)).own
        with pytest.raises(Missing):
            await here.desk.job(ADA, number)


async def test_a_new_password_is_the_only_one(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        password = await here.desk.new_password(ROOT, "polls")
        here.directory.forget()
        assert await here.directory.verify("polls", password)
        assert not await here.directory.verify("polls", "correct horse")


async def test_with_the_directory_down_nothing_changes_and_what_is_known_is_shown(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        number = await here.mail()
        await here.desk.printer(ROOT, "office")
        await here.slapd.stop()
        with pytest.raises(TransientFailure):
            await here.desk.change(ROOT, "office", "", {"location": "attic"})
        assert (await here.desk.printer(EVE, "office")).printer == OFFICE
        assert (await here.desk.job(EVE, number)).job.id == number
        assert [job.id for job in await here.desk.jobs(EVE)] == [number]
        # What the store alone knows is shown to whoever needs no role for it.
        other = await here.mail("polls")
        assert (await here.desk.job(ROOT, other)).operated
        assert not (await here.desk.job(EVE, other)).operated
        with pytest.raises(TransientFailure):
            await here.desk.job(MALLORY, other)


# -- jobs


async def test_everybody_sees_the_jobs_that_are_his_business(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        eves, adas = await here.mail(), await here.mail("polls", sender="ada@example.com")

        async def seen(who: Person, printer: str = "") -> list[int]:
            return [job.id for job in await here.desk.jobs(who, printer)]

        assert await seen(ROOT) == [adas, eves]
        assert await seen(EVE) == [eves]
        assert await seen(ADA) == [adas, eves]
        assert await seen(MALLORY) == []
        assert await seen(ADA, "office") == [eves]
        assert await seen(ALAN, "polls") == []


async def test_older_jobs_and_those_in_a_state(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        numbers = [await here.mail() for _ in range(4)]
        await here.desk.cancel(ROOT, numbers[1])
        for who in (ROOT, EVE):
            newest = await here.desk.jobs(who, limit=2)
            assert [job.id for job in newest] == numbers[:1:-1]
            older = await here.desk.jobs(who, limit=2, before=newest[-1].id)
            assert [job.id for job in older] == numbers[1::-1]
            canceled = await here.desk.jobs(who, states={JobState.CANCELED})
            assert [job.id for job in canceled] == [numbers[1]]


async def test_wishes_are_in_the_trace_with_who_wanted_them(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        number = await here.mail()
        await here.desk.hold(ALAN, number)
        assert await here.state(number) is JobState.PENDING_HELD
        await here.desk.unhold(ADA, number)
        assert await here.state(number) is JobState.PENDING
        await here.desk.cancel(EVE, number)
        assert await here.state(number) is JobState.CANCELED
        trace = " ".join(event.text for event in (await here.desk.job(EVE, number)).trace)
        assert [name in trace for name in ("alan", "ada", "eve")] == [True, True, True]


async def test_a_wish_that_comes_too_late_says_why(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        number = await here.ended()
        for wish, told in (
            (here.desk.cancel(EVE, number), "it has ended"),
            (here.desk.hold(ADA, number), "only a job that waits can be held"),
            (here.desk.unhold(ADA, number), "it is not held"),
            (here.desk.decide(EVE, number, printed=True), "it is not in doubt"),
        ):
            with pytest.raises(TooLate, match=f"job {number} stays as it is: {told}"):
                await wish


async def test_a_job_in_doubt_is_decided(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        printed, again = await here.doubtful(), await here.doubtful()
        await here.desk.decide(EVE, printed, printed=True)
        assert await here.state(printed) is JobState.COMPLETED
        await here.desk.decide(ADA, again, printed=False)
        assert await here.state(again) is JobState.PENDING


async def test_print_again_while_it_is_kept(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        number = await here.ended()
        file = await here.desk.job(EVE, number)
        assert file.kept_until > file.job.completed_at
        made = await here.desk.print_again(EVE, number)
        assert made > number
        assert await here.state(made) is JobState.PENDING
        assert (await here.desk.job(EVE, made)).kept_until == 0.0
        waiting = await here.mail()
        with pytest.raises(PermanentFailure):
            await here.desk.print_again(EVE, waiting)


async def test_the_rules_of_today_count_for_printing_again(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        number = await here.ended()
        await here.desk.change(ROOT, "office", "", {"deny": ("eve@example.com",)})
        with pytest.raises(NotAllowed, match=f"job {number} is not printed again"):
            await here.desk.print_again(EVE, number)
        await here.desk.print_again(ADA, number)  # who operates the printer decides


# -- the test page and the verdict


async def test_the_test_page_goes_the_way_of_every_job(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        number = await here.desk.test_page(ADA, "office")
        job = await here.store.job(number)
        assert job is not None
        assert (job.state, job.printer, job.name, job.login) == ("pending", "office", testpage.SUBJECT, "ada")
        assert (job.sender, job.answerable, job.documents) == ("", False, 1)
        octets = b"".join([block async for block in here.store.read(number)])
        assert octets.startswith(b"From: Printpost <postmaster@example.com>\r\n")
        assert (await here.desk.job(ADA, number)).own
        assert job.waived  # no limit of pages holds it
        polled = await here.store.job(await here.desk.test_page(COMMAND_LINE, "polls"))
        assert polled is not None
        assert polled.reasons == ("job-fetchable",)
        assert polled.login == ""


async def test_a_test_page_fills_the_maildrop_like_any_mail(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.desk.change(ROOT, "office", "", {"quota": 100})
        with pytest.raises(PermanentFailure, match="larger than the mailbox"):
            await here.desk.test_page(ROOT, "office")
        assert await here.store.jobs() == []
        await here.desk.change(ROOT, "office", "", {"quota": 5000})
        await here.desk.test_page(ROOT, "office")
        with pytest.raises(TransientFailure, match="full"):
            await here.desk.test_page(ROOT, "office")
        assert len(await here.store.jobs()) == 1


@pytest.mark.parametrize(
    ("sender", "where", "allowed"),
    [
        ("ada@example.com", {}, True),
        ("ada@example.org", {}, False),
        ("ada@example.com", {"ip": "203.0.113.9"}, False),
        ("ada@example.com", {"login": True}, True),
        ("ada@example.org", {"login": True}, False),
    ],
)
async def test_the_verdict_on_a_sender(sender: str, where: dict[str, Any], allowed: bool, tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        answer = await here.desk.try_sender(ALAN, "office", Supposed(sender=sender, **where))
        assert answer.allowed is allowed
        assert sender in answer.sentence
        assert ("@example.com allows it" in answer.sentence) is allowed


@pytest.mark.parametrize(
    ("where", "says"),
    [({}, "its sender is told no code"), ({"login": True}, "its sender is told the code"), ({"ip": "203.0.113.9"}, "")],
)
async def test_the_verdict_says_that_a_job_would_wait(where: dict[str, Any], says: str, tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.desk.change(ROOT, "office", "", {"hold": Hold.CODE})
        answer = await here.desk.try_sender(ALAN, "office", Supposed(sender="ada@example.com", **where))
        assert says in answer.sentence
        assert ("; it waits at office then" in answer.sentence) is answer.allowed is bool(says)


async def test_paused_and_accepting_are_two_things(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.desk.set_paused(ADA, "office", True)
        await here.desk.set_accepting(ADA, "office", False)
        standing = await here.desk.printer(EVE, "office")
        assert (standing.state.paused, standing.state.accepting, standing.condition) == (True, False, "stopped")
        await here.desk.set_paused(ADA, "office", False)
        standing = await here.desk.printer(EVE, "office")
        assert (standing.state.paused, standing.state.accepting, standing.condition) == (False, False, "idle")
