"""One word of what several tell: who counts, what covers what, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.condition import PRINTER_REASONS, all_in_words, in_words, keyword, why
from mailstore.failure import TransientFailure
from mailstore.store.contract import Store
from printerbridge.conditions import WELL, Condition, Conditions, Source, merged

LINE, SNMP, QUIET = Source.LINE, Source.SNMP, Source.QUIET


def condition(state: str, reasons: str = "", text: str = "") -> Condition:
    return Condition(state=state, reasons=tuple(reasons.split()), text=text)


EMPTY = condition("stopped", "media-empty", "by SNMP")
UNREACHABLE = condition("stopped", "connecting-to-device", "by the line")
LOW = condition("idle", "toner-low-warning", "low")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, WELL),
        ({LINE: UNREACHABLE}, UNREACHABLE),
        ({SNMP: EMPTY}, EMPTY),
        # Who knows why is heard, and not who only sees how it looks from outside.
        ({LINE: UNREACHABLE, SNMP: EMPTY}, EMPTY),
        ({LINE: condition("stopped", "timed-out"), SNMP: EMPTY}, EMPTY),
        ({LINE: EMPTY, SNMP: condition("stopped", "offline other")}, EMPTY),
        (
            {LINE: UNREACHABLE, SNMP: condition("stopped", "offline", "off")},
            condition("stopped", "connecting-to-device offline", "by the line"),
        ),
        # What only warns explains no standstill.
        ({LINE: UNREACHABLE, SNMP: LOW}, condition("stopped", "connecting-to-device toner-low-warning", "by the line")),
        # Once each, as severe as anybody says.
        ({LINE: condition("idle", "media-empty-warning", "w"), SNMP: EMPTY}, EMPTY),
        ({LINE: EMPTY, SNMP: condition("idle", "media-empty-report")}, EMPTY),
        ({LINE: condition("processing"), SNMP: LOW}, condition("processing", "toner-low-warning", "low")),
        ({LINE: condition("processing"), SNMP: EMPTY}, EMPTY),
        ({LINE: condition("idle", "none"), SNMP: condition("idle")}, WELL),
        # The worst first, and the text is about it.
        (
            {
                LINE: condition("stopped", "media-low-warning door-open", "line"),
                SNMP: condition("stopped", "media-jam", "snmp"),
            },
            condition("stopped", "door-open media-jam media-low-warning", "line"),
        ),
        (
            {LINE: condition("stopped", "media-jam"), SNMP: condition("stopped", "media-jam", "snmp")},
            condition("stopped", "media-jam", "snmp"),
        ),
        # Whoever switched it off knows.
        (
            {QUIET: condition("stopped", "paused", "quiet"), LINE: UNREACHABLE, SNMP: EMPTY},
            condition("stopped", "paused", "quiet"),
        ),
    ],
)
def test_what_several_tell(told: dict[Source, Condition], expected: Condition) -> None:
    for order in itertools.permutations(told):
        assert merged({source: told[source] for source in order}) == expected


REASONS = st.builds(
    lambda word, severity: f"{word}{severity}",
    st.sampled_from(sorted(PRINTER_REASONS.keys() - {"none"})),
    st.sampled_from(["", "-error", "-warning", "-report"]),
)
CONDITIONS = st.builds(
    lambda state, reasons, text: Condition(state=state, reasons=tuple(reasons), text=text),
    st.sampled_from(["idle", "processing", "stopped"]),
    st.lists(REASONS, max_size=4, unique_by=keyword),
    st.sampled_from(["", "a", "b"]),
)
VAGUE = {"connecting-to-device", "offline", "other", "printer-stopped", "timed-out"}


@given(told=st.dictionaries(st.sampled_from(list(Source)), CONDITIONS), data=st.data())
def test_order_does_not_matter_nothing_is_lost_and_quiet_covers(
    told: dict[Source, Condition], data: st.DataObject
) -> None:
    one = merged(told)
    assert merged({source: told[source] for source in data.draw(st.permutations(list(told)))}) == one
    if QUIET in told:
        assert one == told[QUIET]
        return
    kept = [keyword(reason) for reason in one.reasons]
    assert len(set(kept)) == len(kept)
    said = {keyword(reason) for source in told.values() for reason in source.reasons}
    assert set(kept) <= said
    assert said - set(kept) <= VAGUE
    worst = {keyword(reason) for source in told.values() for reason in source.reasons if reason == keyword(reason)}
    if said - set(kept):  # they were covered by an error that says more
        assert any(
            not reason.endswith(("-warning", "-report")) and keyword(reason) not in VAGUE for reason in one.reasons
        )
    for bare in worst & set(kept):
        assert not any(f"{bare}{severity}" in one.reasons for severity in ("-warning", "-report"))
    assert (one.state == "stopped") == any(source.state == "stopped" for source in told.values())
    assert one.text in {source.text for source in told.values()} | {""}
    assert merged({LINE: one}).reasons == one.reasons  # telling it again changes nothing


class Writing:
    """The one call of a store that conditions make, with what was written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Condition]] = []
        self.full = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def set_condition(self, printer: str, state: str, reasons: Sequence[str], detail: str) -> None:
        await self.gate.wait()
        if self.full:
            raise TransientFailure("4.3.1", "the disk is full")
        self.written.append((printer, Condition(state=state, reasons=tuple(reasons), text=detail)))


def writing() -> tuple[Conditions, Writing]:
    store = Writing()
    return Conditions(cast("Store", cast("Any", store))), store


async def test_it_is_written_once_and_cleared_when_nobody_says_otherwise() -> None:
    conditions, store = writing()
    for _ in range(3):
        await conditions.tell(["phaser"], SNMP, EMPTY)
        await conditions.tell(["phaser"], LINE, UNREACHABLE)
    assert store.written == [("phaser", EMPTY)]
    await conditions.tell(["phaser"], SNMP)
    await conditions.tell(["phaser"], LINE)
    assert store.written[1:] == [("phaser", UNREACHABLE), ("phaser", WELL)]
    assert conditions.of("phaser") == WELL


async def test_what_an_earlier_process_left_is_cleared_by_the_first_word() -> None:
    conditions, store = writing()
    await conditions.tell(["phaser", "laser"], SNMP)
    await conditions.tell(["phaser", "laser"], SNMP)
    assert store.written == [("phaser", WELL), ("laser", WELL)]


async def test_what_could_not_be_written_is_written_with_the_next_word() -> None:
    conditions, store = writing()
    store.full = True
    with pytest.raises(TransientFailure):
        await conditions.tell(["phaser", "laser"], SNMP, EMPTY)
    assert conditions.of("laser") == EMPTY
    store.full = False
    await conditions.tell(["phaser", "laser"], SNMP, EMPTY)
    assert store.written == [("phaser", EMPTY), ("laser", EMPTY)]


async def test_who_tells_while_another_is_written_is_not_lost() -> None:
    conditions, store = writing()
    store.gate.clear()
    telling = [
        asyncio.create_task(conditions.tell(["phaser"], LINE, UNREACHABLE)),
        asyncio.create_task(conditions.tell(["phaser"], SNMP, EMPTY)),
    ]
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(*telling)
    assert store.written[-1] == ("phaser", EMPTY)


async def test_printers_that_are_not_served_are_forgotten() -> None:
    conditions, store = writing()
    await conditions.tell(["phaser", "laser"], SNMP, EMPTY)
    conditions.forget_but(["laser"])
    assert conditions.of("phaser") == WELL
    await conditions.tell(["laser"], SNMP, EMPTY)
    await conditions.tell(["phaser"], SNMP, EMPTY)
    assert [printer for printer, _ in store.written] == ["phaser", "laser", "phaser"]


def test_reasons_have_words() -> None:
    assert in_words("media-empty") == in_words("media-empty-warning") == "the paper is used up"
    assert in_words("x-service-requested") == "the printer asks for service"
    assert in_words("alert-of-tomorrow-report") == "alert of tomorrow"
    assert all_in_words(["none", "media-jam", "toner-low-warning"]) == "paper is jammed; the toner is low"
    assert keyword("-warning") == "-warning"


@pytest.mark.parametrize(
    ("reasons", "detail", "said"),
    [
        ((), "", ""),
        ((), "it is odd", "it is odd"),
        (("media-empty",), "", "the paper is used up"),
        (("media-empty",), "the printer says: LOAD PAPER", "the paper is used up (the printer says: LOAD PAPER)"),
        (("media-empty",), *2 * ("the paper is used up (its panel: LOAD)",)),
    ],
)
def test_why_says_nothing_twice(reasons: tuple[str, ...], detail: str, said: str) -> None:
    assert why(reasons, detail) == said
