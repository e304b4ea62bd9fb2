"""Defences that no other test misses when they are off: see `tests.mutants`."""

from __future__ import annotations

from pathlib import Path

from appliance.smtp.intake import Intake
from appliance.smtp.limits import Limits
from mailstore.store.contract import Role
from mailstore.store.sql import open_store


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
