"""Printed again: by what was proved when the mail came, and by the rules of today."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.rights import NotAllowed
from mailstore.directory.records import Person, Printer
from mailstore.job import DeliveryProof, Event, Proof
from mailstore.store.contract import Envelope, Recipient
from tests.test_desk import OFFICE, ROOT, Place, place

EVE = Person(name="eve", addresses=("eve@example.com", "e@example.com"))
EVES, OUTSIDE = "eve@example.com", "192.0.2.99"
GROUP = Printer(name="all", addresses=("all@example.com",), members=("office",), allow=("@example.com",))


async def printed(here: Place, author: str = EVES, to: str = "office@example.com", **said: Any) -> int:
    """A job of Eve's that came in some way, and was printed."""
    draft = await here.store.draft()
    draft.write(f"Received: from here\r\nFrom: Eve <{author}>\r\nSubject: a job\r\n\r\nText\r\n".encode())
    capability = said.pop("capability", 0)
    known: dict[str, Any] = {"client_ip": OUTSIDE, "trust": "verified", "proved": EVES if said.get("proof") else ""}
    envelope = Envelope(reverse_path=EVES, helo="localhost", documents=1, **known | said)
    recipient = Recipient(maildrop="office", address=to, quota=1 << 20, fields=b"", capability=capability)
    number = (await here.store.accept(draft, envelope, [recipient]))[0]
    lease = await here.store.acquire("device:socket://192.0.2.7:9100", "bridge", 60)
    assert lease is not None
    assert await here.store.claim(lease, number, ["job-printing"])
    assert await here.store.sending(lease, number, 0)
    assert await here.store.end(lease, number, Event.COMPLETE, reasons=["x"], proof=DeliveryProof.JOB_END)
    await here.store.release(lease)
    return number


async def again(here: Place, number: int) -> bool:
    try:
        return await here.desk.print_again(EVE, number) > number
    except NotAllowed:
        return False


LOGIN: dict[str, Any] = {"proof": Proof.LOGIN, "login": "eve", "trust": "insider"}
NETWORK: dict[str, Any] = {"proof": Proof.NETWORK, "client_ip": "127.0.0.1", "trust": "insider"}
SPF: dict[str, Any] = {"proof": Proof.SPF}
DKIM: dict[str, Any] = {"proof": Proof.DKIM}
NOTHING: dict[str, Any] = {"trust": "stranger"}
OLDER: dict[str, Any] = {"login": "eve", "trust": "insider"}  # from before proofs were recorded


@pytest.mark.parametrize(
    ("came", "allow", "deny", "allowed"),
    [
        (LOGIN, ("authenticated",), (), True),
        (OLDER, ("authenticated",), (), True),
        (NETWORK, ("authenticated",), (), False),
        (SPF, ("authenticated",), (), False),
        (LOGIN, (EVES,), (), True),
        (NETWORK, (EVES,), (), True),
        (SPF, (EVES,), (), True),
        (DKIM, (EVES,), (), True),
        (NOTHING, (EVES,), (), False),
        (NOTHING, (f"ip:{OUTSIDE}",), (), True),
        (NOTHING, ("ip:192.0.2.1",), (), False),
        (SPF, ("*",), (f"ip:{OUTSIDE}",), False),
        (SPF, (f"from:{EVES}",), (), True),
        (SPF | {"author": "ada@example.com"}, ("from:ada@example.com",), (), True),  # SPF of the very domain
        (SPF | {"author": "ada@example.org"}, ("from:ada@example.org",), (), False),
        (DKIM | {"author": "ada@example.org"}, (EVES,), (), False),
        (DKIM | {"author": "ada@example.org", "proved": "ada@example.org"}, ("from:ada@example.org",), (), True),
        (LOGIN | {"author": "e@example.com"}, ("from:e@example.com",), (), True),
        (LOGIN | {"author": "ada@example.com"}, ("from:ada@example.com",), (), False),
        (LOGIN | {"author": "ada@example.com"}, ("*",), ("from:ada@example.com",), False),
        (LOGIN, ("*",), (EVES,), False),
        (LOGIN, (), (), False),
    ],
)
async def test_by_the_rules_of_today(
    came: dict[str, Any], allow: tuple[str, ...], deny: tuple[str, ...], allowed: bool, tmp_path: Path
) -> None:
    async with place(tmp_path) as here:
        number = await printed(here, **came)
        await here.desk.change(ROOT, "office", "", {"allow": allow, "deny": deny})
        assert await again(here, number) is allowed


async def test_a_groups_rules_count_for_what_came_by_it(tmp_path: Path) -> None:
    """As long as there is the group and the printer is in it."""
    async with place(tmp_path) as here:
        await here.directory.add(GROUP, None)
        await here.desk.change(ROOT, "office", "", {"allow": ()})
        number = await printed(here, to="all+duplex@example.com", **SPF)
        assert await again(here, number)
        assert not await again(here, await printed(here, **SPF))
        await here.desk.change(ROOT, "all", "", {"deny": (EVES,)})
        assert not await again(here, number)
        await here.desk.change(ROOT, "all", "", {"deny": (), "members": ("polls",)})
        assert not await again(here, number)
        await here.directory.replace(replace(OFFICE, allow=(EVES,)))
        assert await again(here, number)


async def test_a_printer_that_polls_gets_what_it_takes_raw(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        verified, inside = await printed(here, **SPF), await printed(here, **NETWORK)
        await here.desk.change(ROOT, "office", "", {"uri": ""})
        assert not await again(here, verified)
        assert await again(here, inside)


async def test_a_capability_address_has_to_stand(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        given = await here.store.add_capability("office", hashlib.sha256(b"x").digest(), made_by="root", max_jobs=1)
        await here.desk.change(ROOT, "office", "", {"allow": ()})
        number = await printed(here, proof=Proof.TOKEN, capability=given.id, proved="")
        assert await again(here, number)  # it was counted when it came
        assert await here.store.revoke_capability(given.id, "root")
        with pytest.raises(NotAllowed, match=f"job {number} is not printed again: this sender may not print here"):
            await here.desk.print_again(EVE, number)
