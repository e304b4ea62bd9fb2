"""Who may do what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.rights import Act, NotAllowed, demand, may, may_have, own
from mailstore.directory.records import Person, Printer
from mailstore.job import DeliveryProof, Job, JobState

PRINTER = Printer(
    name="phaser360",
    addresses=("phaser360@example.com",),
    sysadmin=("grace@example.com",),
    service_person=("ada@example.com", "shared@example.com"),
    key_user=("alan@example.com",),
)
OTHER = Printer(name="other", addresses=("other@example.com",))
JOB = Job(
    id=7, printer="phaser360", state=JobState.PENDING, reasons=("job-queued",), sender="eve@example.com", name="",
    message_id=1, octets=1, documents=1, pages=0, attempts=0, delivery_proof=DeliveryProof.NONE, trust="insider",
    detail="", received_at=1.0, processing_at=0.0, sending_at=0.0, completed_at=0.0, next_attempt_at=0.0,
)  # fmt: skip


def person(name: str, *addresses: str, administrator: bool = False) -> Person:
    return Person(name=name, addresses=addresses or (f"{name}@example.com",), administrator=administrator)


PEOPLE = {
    "administrator": (person("root", administrator=True), {Act.SEE, Act.OPERATE, Act.SET, Act.MANAGE}),
    "SysAdmin": (person("grace"), {Act.SEE, Act.OPERATE, Act.SET}),
    "Service": (person("ada"), {Act.SEE, Act.OPERATE}),
    "Service by an alias": (person("bob", "bob@example.com", "shared@example.com"), {Act.SEE, Act.OPERATE}),
    "Key User": (person("alan"), {Act.SEE, Act.OPERATE}),
    "nobody in particular": (person("eve"), {Act.SEE}),
    "without an address": (Person(name="grace", addresses=()), {Act.SEE}),
}


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("act", Act)
def test_what_each_may_do_with_a_printer(who: str, act: Act) -> None:
    somebody, allowed = PEOPLE[who]
    assert may(somebody, act, PRINTER) is (act in allowed)
    # Roles are a printer's own.
    assert may(somebody, act, OTHER) is (act is Act.SEE or somebody.administrator)
    assert may(somebody, act) is (act is Act.SEE or somebody.administrator)


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("act", Act)
def test_a_demand_is_refused_with_whom_to_ask(who: str, act: Act) -> None:
    somebody, allowed = PEOPLE[who]
    if act in allowed:
        demand(somebody, act, PRINTER)
        return
    with pytest.raises(NotAllowed) as refused:
        demand(somebody, act, PRINTER)
    assert refused.value.status == "5.7.1"
    assert refused.value.text == (
        f"{somebody.name} may not {act.value}; ask an administrator or a person of phaser360's entry"
    )
    with pytest.raises(NotAllowed, match=r"ask an administrator$"):
        demand(somebody, Act.MANAGE)


def test_a_job_is_its_senders() -> None:
    assert own(person("eve"), JOB)
    assert own(person("eve"), replace(JOB, sender="Eve@Example.COM"))
    assert own(person("eve", "eve@xn--bcher-kva.example"), replace(JOB, sender="eve@B\u00fccher.example"))
    assert not own(person("ada"), JOB)
    assert not own(Person(name="eve", addresses=()), JOB)


def test_the_null_sender_is_nobody() -> None:
    assert not own(person("eve"), replace(JOB, sender=""))
    assert not own(Person(name="", addresses=()), replace(JOB, sender=""))


def test_a_job_sent_under_a_login_is_that_logins_and_not_its_senders() -> None:
    assert own(person("alan"), replace(JOB, login="alan"))
    assert not own(person("eve"), replace(JOB, login="alan"))
    assert not own(person("EVE"), replace(JOB, login="eve"))


@pytest.mark.parametrize(
    ("who", "printer", "expected"),
    [
        (person("eve"), PRINTER, True),
        (person("eve"), None, True),
        (person("mallory"), PRINTER, False),
        (person("alan"), PRINTER, True),
        (person("alan"), None, False),
        (person("root", administrator=True), None, True),
    ],
)
def test_who_has_a_job_in_hand(who: Person, printer: Printer | None, expected: bool) -> None:
    assert may_have(who, JOB, printer) is expected
