"""Split mail from the door to the job: put together in any order, and judged as a whole by every rule."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.partial import Assembler
from mailstore.directory.records import Printer
from mailstore.job import Job, JobState, Proof
from mailstore.partial import Joiner
from mailstore.store.contract import Envelope, Recipient
from mailstore.store.outbox import Occasion
from mailstore.store.splitting import Part, SplitLimits, SplitMail
from tests.smtp_client import Site, site, wire

BODY = "Subject: plan\r\nContent-Type: text/plain\r\nMessage-ID: <whole@example.com>\r\n\r\none\r\ntwo\r\nthree\r\n"
LIMITS = SplitLimits(parts=200, octets=1 << 22, seconds=3600)
_serial = itertools.count()

RULED = (
    Printer(name="open", addresses=("open@example.com",), allow=("*",)),
    Printer(name="authors", addresses=("authors@example.com",), allow=("from:ada@example.com",)),
    Printer(name="lovelace", addresses=("lovelace@example.com",), allow=("from:ada.lovelace@example.com",)),
    Printer(name="noboss", addresses=("noboss@example.com",), allow=("*",), deny=("from:boss@example.com",)),
    Printer(name="net", addresses=("net@example.com",), allow=("ip:192.0.2.0/24",)),
    Printer(name="staff", addresses=("staff@example.com",), allow=("authenticated",)),
    Printer(name="polls", addresses=("polls@example.com",), allow=("*",)),
)


@contextlib.asynccontextmanager
async def split_house(folder: Path) -> AsyncIterator[tuple[Site, Assembler]]:
    async with site(folder) as house:
        for printer in RULED:
            uri = "" if printer.name == "polls" else "socket://192.0.2.7:9100"
            await house.directory.add(Printer(**{**_fields(printer), "uri": uri}), None)
        yield house, Assembler(house.settings(), house.store, house.directory, house.people)


def _fields(printer: Printer) -> dict[str, Any]:
    return {name: getattr(printer, name) for name in ("name", "addresses", "allow", "deny")}


def parts_of(
    whole: str, count: int, mark: str, *, outer: Sequence[str] = (), author: str = "ada@example.com"
) -> list[bytes]:
    """The mail in `count` pieces, each in a mail of its own; `outer` are further fields of these."""
    lines = whole.splitlines(keepends=True)
    cuts = [len(lines) * number // count for number in range(count + 1)]
    return [
        (
            f"From: {author}\r\nTo: open@example.com\r\nSubject: [{number}/{count}]\r\nMIME-Version: 1.0\r\n"
            + "".join(f"{field}\r\n" for field in outer)
            + f'Content-Type: message/partial; id="{mark}"; number={number}; total={count}\r\n\r\n'
            + "".join(lines[cuts[number - 1] : cuts[number]])
        ).encode()
        for number in range(1, count + 1)
    ]


INSIDE = {"client_ip": "127.0.0.1", "trust": "insider", "proof": Proof.NETWORK}
BY_SPF = {"client_ip": "198.51.100.7", "trust": "verified", "proof": Proof.SPF}
BY_DKIM = {"client_ip": "198.51.100.7", "trust": "verified", "proof": Proof.DKIM}
# A list's or a program's envelope, in one domain with the author, who is proved by the SPF of it.
ALIGNED = BY_SPF | {"reverse_path": "bounce@example.com", "proved": "ada@example.com"}
BY_OTHER = BY_SPF | {"reverse_path": "bounce@example.net", "proved": "bounce@example.net"}
BY_RELAXED = BY_SPF | {"reverse_path": "bounce@mail.example.com", "proved": "ada@example.com"}
BY_ROOT: dict[str, Any] = {
    "trust": "insider",
    "client_ip": "127.0.0.1",
    "proof": Proof.LOGIN,
    "login": "root",
    "reverse_path": "root@example.com",
}
BY_EVE = BY_DKIM | {"reverse_path": "eve@example.com"}
NOBODY = {"trust": "insider", "client_ip": "198.51.100.8", "proof": Proof.LOGIN, "login": "nobody"}
BY_LOGIN = {"client_ip": "198.51.100.8", "trust": "insider", "proof": Proof.LOGIN, "login": "ada"}


async def keep(
    house: Site, octets: bytes, number: int, total: int, mark: str, printer: str = "open", **said: Any
) -> SplitMail:
    """Take a part in as the door does."""
    sender = said.pop("reverse_path", "ada@example.com")
    capability = said.pop("capability", 0)
    envelope = Envelope(
        **{"reverse_path": sender, "helo": "client", "proved": sender, "name": "part"} | (said or INSIDE)
    )
    draft = await house.store.draft()
    draft.write(octets)
    recipient = Recipient(
        maildrop=printer,
        address=f"{printer}@example.com",
        quota=1 << 30,
        fields=b"Return-Path: <x>\r\n",
        capability=capability,
    )
    part = Part(id=mark, number=number, total=total)
    return await house.store.accept_part(draft, envelope, recipient, part, LIMITS)


async def job_of(house: Site, number: int) -> Job:
    job = await house.store.job(number)
    assert job is not None
    return job


async def octets_of(house: Site, number: int) -> bytes:
    return b"".join([block async for block in house.store.read(number)])


def expected(parts: Sequence[bytes]) -> bytes:
    joiner, whole = Joiner(1 << 16), b""
    for part in parts:
        joiner.begin()
        whole += joiner.feed(part)
    return whole + joiner.end()


async def test_a_split_mail_prints_as_one_job(tmp_path: Path) -> None:
    async with split_house(tmp_path) as (house, assembler), house.receiver() as receiver:
        parts = parts_of(BODY, 3, "plan@example.com")
        jobs = set()
        for part in (parts[2], parts[0], parts[1]):
            async with wire(receiver) as client:
                await client.reply()
                answer = await client.mail(part, "open@example.com")
                assert answer.startswith("250 2.0.0 "), answer
            await assembler.look()
            (job,) = await house.store.jobs(printer="open")
            jobs.add(job.id)
            if part is not parts[1]:
                assert (job.state, job.reasons) == (JobState.PENDING_HELD, ("job-incoming",))
        assert len(jobs) == 1
        assert (job.state, job.name, job.documents, job.trust, job.proof) == (
            JobState.PENDING, "plan", 1, "insider", Proof.NETWORK,
        )  # fmt: skip
        assert job.header_message_id == "<whole@example.com>"
        whole = await octets_of(house, job.id)
        assert whole.startswith(b"Received: from ")
        assert whole.endswith(
            b"Content-Type: text/plain\r\nMessage-ID: <whole@example.com>\r\n\r\none\r\ntwo\r\nthree\r\n"
        )
        assert b"message/partial" not in whole
        assert not await house.store.split_mails()


async def test_the_bell_is_rung_by_the_store(tmp_path: Path) -> None:
    async with split_house(tmp_path) as (house, assembler):
        task = asyncio.create_task(assembler.run())
        hear = asyncio.create_task(_hear(house, assembler))
        try:
            for number, part in enumerate(parts_of(BODY, 2, "x"), 1):
                split = await keep(house, part, number, 2, "x")
            async with asyncio.timeout(10):
                while (await job_of(house, split.job_id)).state is not JobState.PENDING:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            hear.cancel()


async def _hear(house: Site, assembler: Assembler) -> None:
    async for _ in house.store.rings():
        assembler.ring()


async def test_what_stays_incomplete_is_given_up_and_one_notice_names_it(tmp_path: Path) -> None:
    async with split_house(tmp_path) as (house, _):
        (first, _) = parts_of(BODY, 2, "late@example.com")
        split = await keep(house, first, 1, 2, "late@example.com")
        assert split.until > 0
        later = Assembler(house.settings(), house.store, house.directory, house.people, clock=lambda: split.until + 1)
        await later.look()
        await later.look()
        job = await job_of(house, split.job_id)
        assert job.state is JobState.ABORTED
        assert "late@example.com" in job.detail
        assert "1 of its 2 parts did not come in time" in job.detail
        told = [one for one in await house.store.occurrences(10) if one.job_id == job.id]
        assert [(one.occasion, one.detail) for one in told] == [(Occasion.ABORTED, job.detail)]


@pytest.mark.parametrize(
    ("whole", "printer", "why"),
    [
        ("Content-Type: image/x-unknown\r\n\r\nx\r\n", "open", "nothing"),
        ("Content-Type: application/vnd.hp-pcl\r\n\r\n\x1bEx\r\n", "open", "cannot be made into anything"),
        ("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", "open", "delivery reports"),
        ("Content-Type: message/partial; id=y; number=1; total=1\r\n\r\nx\r\n", "open", "part of another"),
    ],
)
async def test_a_whole_that_is_refused_in_one_piece_is_refused_in_parts(
    tmp_path: Path, whole: str, printer: str, why: str
) -> None:
    async with split_house(tmp_path) as (house, assembler):
        for number, part in enumerate(parts_of(whole, 2, "bad@example.com"), 1):
            split = await keep(house, part, number, 2, "bad@example.com", printer)
        await assembler.look()
        job = await job_of(house, split.job_id)
        assert job.state is JobState.ABORTED
        assert why in job.detail
        assert "bad@example.com" in job.detail
        assert not await house.store.split_mails()


async def test_rules_that_changed_meanwhile_count(tmp_path: Path) -> None:
    async with split_house(tmp_path) as (house, assembler):
        for number, part in enumerate(parts_of(BODY, 2, "x"), 1):
            split = await keep(house, part, number, 2, "x")
        entry = await house.directory.printer("open")
        assert entry is not None
        await house.directory.replace(Printer(**_fields(entry) | {"deny": ("ada@example.com",), "uri": entry.uri}))
        house.directory.forget()
        await assembler.look()
        assert (await job_of(house, split.job_id)).state is JobState.ABORTED


@pytest.mark.parametrize(
    ("printer", "one", "other", "author", "trust"),
    [
        ("open", INSIDE, BY_SPF, "ada@example.com", "verified"),
        ("open", BY_SPF, INSIDE, "ada@example.com", "verified"),
        ("open", BY_LOGIN, INSIDE, "ada@example.com", "insider"),
        ("open", BY_DKIM, BY_SPF, "ada@example.com", "verified"),
        ("staff", BY_LOGIN, INSIDE, "ada@example.com", ""),
        ("staff", BY_LOGIN, BY_LOGIN, "ada@example.com", "insider"),
        ("net", BY_SPF, BY_SPF, "ada@example.com", ""),
        ("authors", BY_SPF, BY_SPF, "ada@example.com", "verified"),
        ("authors", ALIGNED, ALIGNED, "ada@example.com", "verified"),
        ("authors", BY_RELAXED, BY_RELAXED, "ada@example.com", "verified"),
        ("authors", BY_RELAXED, BY_RELAXED, "boss@mail.example.org", ""),
        ("authors", BY_OTHER, BY_OTHER, "ada@example.com", ""),
        ("authors", BY_ROOT, BY_ROOT, "ada@example.com", "insider"),
        ("authors", BY_ROOT | {"client_ip": "198.51.100.8"}, BY_ROOT, "ada@example.com", ""),
        ("lovelace", BY_LOGIN, BY_LOGIN, "ada.lovelace@example.com", "insider"),
        ("staff", BY_LOGIN, NOBODY, "ada@example.com", ""),
        ("authors", BY_LOGIN, BY_LOGIN, "boss@example.com", ""),
        ("authors", BY_DKIM, BY_DKIM, "boss@example.com", ""),
        ("authors", BY_EVE, BY_EVE, "ada@example.com", ""),
        ("noboss", INSIDE, INSIDE, "boss@example.com", ""),
        ("noboss", INSIDE, INSIDE, "bob@example.com", "insider"),
        ("polls", INSIDE, BY_SPF, "ada@example.com", ""),
        ("polls", INSIDE, BY_LOGIN, "ada@example.com", "insider"),
    ],
)
async def test_the_whole_is_trusted_no_more_than_its_least_part(
    tmp_path: Path, printer: str, one: dict[str, Any], other: dict[str, Any], author: str, trust: str
) -> None:
    async with split_house(tmp_path) as (house, assembler):
        pieces = parts_of(BODY, 2, "x", author=author)
        await keep(house, pieces[0], 1, 2, "x", printer, **one)
        split = await keep(house, pieces[1], 2, 2, "x", printer, **other)
        await assembler.look()
        job = await job_of(house, split.job_id)
        if trust:
            assert (job.state, job.trust) == (JobState.PENDING, trust)
        else:
            assert job.state is JobState.ABORTED


@pytest.mark.parametrize(("over", "state"), [(False, JobState.PENDING), (True, JobState.ABORTED)])
async def test_by_a_capability_address_the_whole_prints_while_it_stands(
    tmp_path: Path, *, over: bool, state: JobState
) -> None:
    async with split_house(tmp_path) as (house, assembler):
        made = await house.store.add_capability("staff", b"x" * 32, made_by="ada", max_jobs=1)
        by_token: dict[str, Any] = BY_SPF | {"proof": Proof.TOKEN, "capability": made.id}
        for number, part in enumerate(parts_of(BODY, 2, "x"), 1):
            split = await keep(house, part, number, 2, "x", "staff", **by_token)
        if over:
            await house.store.revoke_capability(made.id, "ada")
        await assembler.look()
        job = await job_of(house, split.job_id)
        assert (job.state, job.trust, job.proof) == (state, "verified", Proof.TOKEN)


async def test_an_address_that_became_another_printers_prints_nowhere(tmp_path: Path) -> None:
    async with split_house(tmp_path) as (house, assembler):
        for number, part in enumerate(parts_of(BODY, 2, "x"), 1):
            split = await keep(house, part, number, 2, "x")
        entries = [await house.directory.printer(name) for name in ("open", "noboss")]
        for entry, addresses in zip(
            entries, (("other@example.com",), ("noboss@example.com", "open@example.com")), strict=True
        ):
            assert entry is not None
            await house.directory.replace(replace(entry, addresses=addresses))
        house.directory.forget()
        await assembler.look()
        job = await job_of(house, split.job_id)
        assert job.state is JobState.ABORTED
        assert "is no address of open any more" in job.detail


async def test_what_one_part_needs_on_its_way_the_whole_needs(tmp_path: Path) -> None:
    async with split_house(tmp_path) as (house, assembler):
        label = "Content-Transfer-Encoding: binary\r\nMessage-ID:"
        whole = BODY.replace("two\r\n", "two\nthree\nfour\n").replace("Message-ID:", label)
        pieces = parts_of(whole, 2, "x")
        await keep(house, pieces[0], 1, 2, "x", "polls", **INSIDE, body="7BIT")
        split = await keep(
            house, pieces[1], 2, 2, "x", "polls", **INSIDE, body="BINARYMIME", smtputf8=True, pop3_octets=9
        )
        await assembler.look()
        job = await job_of(house, split.job_id)
        assert job.state is JobState.PENDING, job.detail
        maildrop = await house.store.open_maildrop("polls", "session", 60)
        assert maildrop is not None
        (entry,) = maildrop.entries
        fetched = b"".join([block async for block in maildrop.read(entry)])
        assert b"Content-Transfer-Encoding: base64\r\n" in fetched  # lines for POP3, which knows no other
        assert entry.size == len(fetched)
        assert entry.smtputf8
        await maildrop.close()


async def test_our_own_trace_field_makes_no_part_too_much(tmp_path: Path) -> None:
    """What has as many hops as there may be, and as long a header, has more of both once the door has taken it."""
    async with split_house(tmp_path) as (house, assembler), house.receiver() as receiver:
        outer = ["Received: from a by b; today"] * 50
        for part in parts_of(BODY, 2, "x", outer=[*outer, "X-Long: " + "\r\n ".join(["x" * 900] * 285)]):
            async with wire(receiver) as client:
                await client.reply()
                answer = await client.mail(part, "open@example.com")
                assert answer.startswith("250 2.0.0 accepted as part"), answer
        await assembler.look()
        (job,) = await house.store.jobs(printer="open")
        assert job.state is JobState.PENDING, job.detail


@pytest.mark.parametrize("poison", ["a bug", "no room"])
async def test_one_that_cannot_be_put_together_keeps_nobody_waiting(tmp_path: Path, poison: str) -> None:
    """It is tried again later and later, and given up when its time is over; the others do not notice."""
    async with split_house(tmp_path) as (house, _):
        now = [time.time()]
        assembler = Assembler(house.settings(), house.store, house.directory, house.people, clock=lambda: now[0])
        said = INSIDE | ({"body": "no body"} if poison == "a bug" else {})
        (part,) = parts_of(BODY, 1, "bad@example.com")
        bad = await keep(house, part, 1, 1, "bad@example.com", "noboss", **said)
        if poison == "no room":
            await keep(house, b"x" * 1000, 1, 2, "big", "noboss")
            entry = await house.directory.printer("noboss")
            assert entry is not None
            await house.directory.replace(replace(entry, quota=1100))
            house.directory.forget()
        (part,) = parts_of(BODY, 1, "good@example.com")
        good = await keep(house, part, 1, 1, "good@example.com")

        async def tries() -> int:
            with structlog.testing.capture_logs() as logs:
                await assembler.look()
            return sum(line["event"] == "split mail waits" for line in logs)

        assert await tries() == 1
        assert (await job_of(house, good.job_id)).state is JobState.PENDING
        assert await tries() == 0
        waits = [30, 60, 120, 240, 480, 900, 900]
        for seconds in waits:
            now[0] += seconds - 1
            assert await tries() == 0
            now[0] += 1
            assert await tries() == 1
        now[0] -= 86400  # a clock that is set back does not make it wait for a day
        assert await tries() == 1
        now[0] += 2 * 86400
        assert await tries() == 0
        job = await job_of(house, bad.job_id)
        assert job.state is JobState.ABORTED
        assert job.detail.count("bad@example.com") == 1


async def test_what_was_canceled_while_it_was_put_together_makes_nothing(tmp_path: Path) -> None:
    async with split_house(tmp_path) as (house, assembler):
        whole = BODY + "line\r\n" * 200_000
        for number, part in enumerate(parts_of(whole, 2, "x"), 1):
            split = await keep(house, part, number, 2, "x")
        looking = asyncio.create_task(assembler.look())
        await asyncio.sleep(0)
        assert not looking.done()
        assert await house.store.cancel(split.job_id, "ada")
        await looking
        assert (await job_of(house, split.job_id)).state is JobState.CANCELED
        assert await house.store.standing("open") == (True, 0)
        assert not await house.store.occurrences(10)


_OUTER = st.lists(
    st.sampled_from(
        [
            "From: boss@example.com", "Sender: boss@example.com", "Auto-Submitted: auto-replied", "X-Any: thing",
            "Auto-Submitted: auto-generated", "Delivered-To: noboss@example.com", "Reply-To: boss@example.com",
            "Content-Description: From: boss@example.com", "Subject: From: boss@example.com",
        ]
    ),
    max_size=3,
)  # fmt: skip
_INNER = st.lists(
    st.sampled_from(
        [
            "From: ada@example.com", "From: boss@example.com", "Content-Type: text/plain", "Auto-Submitted: no",
            "Content-Type: multipart/report; boundary=b", "Content-Type: message/partial; id=z; number=1",
            "Content-Type: image/x-unknown", "Delivered-To: other@example.com", "Subject: x", "MIME-Version: 1.0",
        ]
    ),
    max_size=4,
)  # fmt: skip


@pytest.mark.slow
def test_no_order_and_no_mix_of_headers_prints_what_the_rules_forbid(tmp_path: Path) -> None:
    """The whole in parts prints where the door takes the same octets in one piece, and nowhere else."""

    async def try_all() -> None:
        async with split_house(tmp_path) as (house, assembler), house.receiver() as receiver:

            async def in_one_piece(printer: str, octets: bytes) -> bool:
                async with wire(receiver) as client:
                    await client.reply()
                    await client.ask("EHLO client.example.com")
                    await client.ask("MAIL FROM:<ada@example.com>")
                    if not (await client.ask(f"RCPT TO:<{printer}@example.com>")).startswith("250"):
                        return False
                    await client.ask("DATA")
                    await client.send(octets.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                    return (await client.reply()).startswith("250 2.0.0 accepted as job")

            async def in_parts(printer: str, parts: Sequence[bytes], order: Sequence[int]) -> bool:
                mark = f"{next(_serial)}@example.com"
                for number in order:
                    split = await keep(house, parts[number], number + 1, len(parts), mark, printer)
                await assembler.look()
                return (await job_of(house, split.job_id)).state is JobState.PENDING

            loop = asyncio.get_running_loop()

            @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
            @given(
                st.sampled_from([printer.name for printer in RULED]),
                _OUTER,
                _INNER,
                st.sampled_from(["ada@example.com", "boss@example.com", "ada@example.com, boss@example.com"]),
                st.permutations(range(3)),
                st.randoms(),
            )
            def attempt(
                printer: str, outer: list[str], inner: list[str], author: str, order: list[int], chance: Any
            ) -> None:
                # Each attempt is a mail of its own: nothing is a duplicate.
                body = f"number {next(_serial)} {chance.random()}\r\nmore\r\n"
                whole = "".join(f"{field}\r\n" for field in inner) + "\r\n" + body
                parts = parts_of(whole, 3, "x", outer=outer, author=author)
                alone = asyncio.run_coroutine_threadsafe(in_one_piece(printer, expected(parts)), loop).result(30)
                split = asyncio.run_coroutine_threadsafe(in_parts(printer, parts, order), loop).result(30)
                assert split == alone
                seen[alone] += 1

            seen = {True: 0, False: 0}
            await asyncio.to_thread(attempt)
            assert min(seen.values()) > 5, seen

    asyncio.run(try_all())
