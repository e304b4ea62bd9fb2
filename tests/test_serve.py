"""The appliance's chores."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from appliance import serve
from mailstore.config import Settings, StoreSettings
from mailstore.job import DeliveryProof, Event
from mailstore.store import committer
from mailstore.store.contract import Role
from mailstore.store.sql import open_store
from tests.contracts.store import accept
from tests.directory_server import running_directory, short_folder
from tests.smtp_client import site, until, wire


async def test_a_sweep_that_fails_is_followed_by_one_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "SWEEP", 0.02)
    monkeypatch.setattr(committer, "BUSY_SECONDS", 0.0)
    store = await open_store(tmp_path / "store", role=Role.APPLIANCE, keep=-1, reserve=0, runtime=tmp_path / "run")
    (job,) = await accept(store, "phaser")
    lease = await store.acquire("device:test", "test", 60)
    assert lease is not None
    assert await store.end(lease, job, Event.CANCEL, reasons=[], proof=DeliveryProof.NONE)
    foreign = sqlite3.connect(tmp_path / "store" / "store.sqlite", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    sweeping = asyncio.create_task(serve._sweep(store))
    done, _ = await asyncio.wait([sweeping], timeout=0.2)
    assert not done
    foreign.execute("ROLLBACK")
    async with asyncio.timeout(10):
        while foreign.execute("SELECT place FROM message").fetchall() != [("gone",)]:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
    sweeping.cancel()
    await asyncio.wait([sweeping])
    foreign.close()
    await store.close()


@pytest.mark.slow
async def test_a_database_that_does_not_answer_for_a_while_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "LOOK", 0.01)
    async with site(tmp_path) as house, house.receiver() as receiver, wire(receiver) as client:
        kept = serve._Kept(store=house.store, directory=house.directory, people=house.people)
        heeding = asyncio.create_task(serve._heed(kept, lambda: None, lambda: None))
        foreign = sqlite3.connect(house.folder / "store.sqlite", isolation_level=None)
        for table in ("meta", "printer_state"):
            foreign.execute(f"ALTER TABLE {table} RENAME TO gone_{table}")
        await until(lambda: "no such table: meta" in caplog.text)
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<ada@example.com>")
        assert (await client.ask("RCPT TO:<colour@example.com>")).startswith("451 4.3.0 the store cannot be read")
        for table in ("meta", "printer_state"):
            foreign.execute(f"ALTER TABLE gone_{table} RENAME TO {table}")
        assert (await client.ask("RCPT TO:<colour@example.com>")).startswith("250")
        assert not heeding.done()
        heeding.cancel()
        await asyncio.wait([heeding])
        foreign.close()


async def test_a_chore_that_fails_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "AGAIN", 0.0)
    begun = 0

    async def chore() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise OSError(24, "Too many open files")

    async with asyncio.timeout(5):
        await serve._keep_at("chore", chore)
    assert begun == 3


async def test_a_chore_that_fails_when_it_is_to_end_has_ended() -> None:
    begun = asyncio.Event()

    async def fails() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("as a bug does")

    async def chore() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails())

    task = asyncio.create_task(serve._keep_at("chore", chore))
    await begun.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done


@pytest.mark.slow
async def test_the_first_password_is_said_though_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(committer, "BUSY_SECONDS", 0.0)
    async with running_directory(tmp_path) as server, server.people() as people:
        with short_folder() as runtime:
            store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=runtime)
            settings = Settings(store=StoreSettings(url=f"sqlite:{tmp_path / 'store'}"))
            foreign = sqlite3.connect(tmp_path / "store" / "store.sqlite", isolation_level=None)
            foreign.execute("BEGIN IMMEDIATE")
            kept = serve._Kept(store=store, directory=server.appliance, people=people)
            async with asyncio.timeout(10):
                await serve._welcome(settings, kept, "http://127.0.0.1:8025")
            foreign.close()
            await store.close()
        assert await people.verify("admin", capsys.readouterr().out.split()[-4]) is not None


async def test_no_listener_goes_on_while_another_uses_up_its_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "GRACE", 0.3)
    async with (
        site(tmp_path) as house,
        house.receiver() as one,
        house.receiver() as other,
        wire(one) as sending,
        wire(other) as also_sending,
    ):
        for client in (sending, also_sending):
            await client.reply()
            await client.to_data()
        began = asyncio.get_running_loop().time()
        closing = asyncio.create_task(serve._close([one, other]))
        await until(lambda: one.closing and other.closing)
        for receiver in (one, other):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*receiver.address)
        await closing
        assert asyncio.get_running_loop().time() - began < 0.55
