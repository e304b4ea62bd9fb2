"""Defences that no other test misses when they are off: see `tests.mutants`."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.pop3.connection import Limits as Pop3Limits
from appliance.smtp.intake import Intake
from appliance.smtp.limits import Limits
from mailstore.store.contract import Role
from mailstore.store.sql import open_store
from tests.pop3_house import client, running_pop3


async def test_a_header_without_end_is_refused_before_it_ends(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=tmp_path / "run")
    draft = await store.draft()
    intake = Intake(draft, trace=b"Received: x\r\n", hostname="mail.example.com", limits=Limits(header=1000))
    for _ in range(50):
        intake.write(b"X-Filler: " + b"x" * 88 + b"\r\n")
    assert intake.failure is not None
    assert intake.failure.status == "5.3.4"
    assert draft.octets == 0
    await draft.discard()
    await store.close()


@pytest.mark.slow
async def test_a_reader_that_stalls_gives_its_maildrop_back(tmp_path: Path) -> None:
    async with running_pop3(tmp_path) as house:
        name = await house.printer()
        await house.mail(name, b"Subject: x\r\n\r\n" + b"x" * 20_000_000)
        async with house.serving(Pop3Limits(autologout=0.5)) as service, client(service, name) as printer:
            assert not await house.free(name)
            await printer.say("RETR 1")  # and nothing is read of it
            await house.becomes_free(name, 10)
