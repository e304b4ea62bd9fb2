"""A page counter that has to rise: what is waited for, how long, and what proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from mailstore.directory.records import Printer
from mailstore.report import PrinterReport
from printerbridge.appsocket import GivenUp
from printerbridge.counting import Counting
from printerbridge.mib import Look
from printerbridge.patience import Patience, of_printer

PRINTER = Printer(name="laser", addresses=("laser@example.com",), uri="socket://192.0.2.7:9100")
QUICK = Patience(give_up=5.0, end=0.2)


class Answers:
    """What a printer answers to one look after the other, the last one for ever."""

    def __init__(self, looks: Sequence[Look | None]) -> None:
        self._looks: Iterator[Look | None] = iter(looks)
        self._last: Look | None = None
        self.asked = 0

    async def look(self, printer: Printer, *, seconds: float = 2.0) -> Look | None:
        assert printer is PRINTER
        assert seconds > 0
        self.asked += 1
        self._last = next(self._looks, self._last)
        return self._last


def idle(pages: int | None) -> Look:
    return Look(state="idle", pages=pages)


def busy(pages: int) -> Look:
    return Look(state="processing", pages=pages)


JAM = Look(state="stopped", reasons=("media-jam",), text="paper is jammed", pages=101)


async def unknown(name: str) -> PrinterReport | None:
    return None if name else PrinterReport(printer=name, asked_at=1.0)


async def risen(looks: Sequence[Look | None], patience: Patience = QUICK) -> tuple[bool, list[str], Answers]:
    """Of a job with three pages and a counter that began at 100; what was told of trouble."""
    told: list[str] = []
    answers = Answers(looks)

    async def stands(look: Look | None) -> None:
        told.append(look.text if look else "")

    counting = Counting(answers, 0.01, unknown)
    async with asyncio.timeout(5):
        out = await counting.risen(PRINTER, 100, 3, patience, stands=stands, over=asyncio.Event())
    return out, told, answers


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([idle(103)], True),
        ([idle(100), busy(101), busy(103), idle(103)], True),
        ([None, busy(102), None, idle(104)], True),  # somebody else's page, and an answer that was lost
        ([idle(100)], False),  # idle alone proves nothing
        ([idle(102)], False),
        ([busy(103)], False),  # it prints still
        ([idle(None)], False),
        ([None], False),
    ],
)
async def test_pages_are_out_when_the_counter_says_so_and_the_printer_is_idle(
    looks: list[Look | None], expected: bool
) -> None:
    out, told, _ = await risen(looks)
    assert out is expected
    assert told == []


@pytest.mark.parametrize(("look", "began"), [(idle(100), 100), (JAM, 101), (busy(100), None), (None, None)])
async def test_pages_of_a_printer_that_prints_already_prove_nothing(look: Look | None, began: int | None) -> None:
    """It may be another one's job, or one of ours whose pages nobody could count."""
    counting = Counting(Answers([look]), 0.01, unknown)
    await counting.begin(PRINTER, 3)
    await counting.ready()
    assert counting.began == began
    counting.forget()


async def test_a_page_is_a_sign_of_life() -> None:
    slowly = [look for pages in (100, 101, 102) for look in [busy(pages)] * 12]  # each shorter than the patience
    out, _, answers = await risen([*slowly, idle(103)], Patience(end=0.4))
    assert out
    assert answers.asked == 37


async def test_trouble_is_told_and_waited_for() -> None:
    out, told, _ = await risen([busy(101), *[JAM] * 30, idle(103)])  # longer than a printer that says nothing
    assert out
    assert told == ["paper is jammed", ""]


async def test_trouble_without_end_is_given_up() -> None:
    with pytest.raises(GivenUp, match=r"waited \(paper is jammed\) for .* with 1 of its pages counted"):
        await risen([JAM], Patience(give_up=0.2, end=5.0))


async def test_a_counter_that_does_not_keep_up_is_given_a_moment_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("printerbridge.counting._MOMENT", 0.05)

    async def stands(look: Look | None) -> None:
        raise AssertionError(look)

    time = asyncio.get_running_loop().time
    took = []
    counting = Counting(Answers([*[idle(100)] * 200]), 0.01, unknown)
    for _ in range(2):
        began = time()
        assert not await counting.risen(PRINTER, 100, 3, Patience(end=0.5), stands=stands, over=asyncio.Event())
        took.append(time() - began)
    assert took[0] > 0.5 > 0.3 > took[1]


async def test_who_stops_waits_no_longer() -> None:
    async def stands(look: Look | None) -> None:
        raise AssertionError(look)

    over = asyncio.Event()
    counting = Counting(Answers([busy(100)]), 10.0, unknown)
    async with asyncio.timeout(2):
        waiting = asyncio.create_task(
            counting.risen(PRINTER, 100, 3, Patience(), stands=stands, over=over), name="waiting"
        )
        await asyncio.sleep(0)
        over.set()
        assert not await waiting


async def test_nobody_is_asked_where_it_could_prove_nothing() -> None:
    quiet = Printer(name="laser", addresses=("laser@example.com",), count_pages=False)
    nobody = Counting(None, 1.0, unknown)
    await nobody.begin(PRINTER, 3)
    assert nobody.began is None
    answers = Answers([idle(100)])
    counting = Counting(answers, 1.0, unknown)
    for printer, pages in ((PRINTER, 0), (quiet, 3), (None, 3)):
        await counting.begin(printer, pages)
        await asyncio.sleep(0)
    assert answers.asked == 0
    await counting.begin(PRINTER, 3)
    await counting.ready()
    assert counting.began == 100
    counting.forget()
    assert counting.began is None


class Slow(Answers):
    """Its answer takes a while."""

    async def look(self, printer: Printer, *, seconds: float = 2.0) -> Look | None:
        await asyncio.sleep(0.05)
        return await super().look(printer, seconds=seconds)


@pytest.mark.parametrize(("answered", "expected"), [(1.0, 100), (0.0, None), (None, 100)])
async def test_only_one_that_answers_is_waited_for(answered: float | None, expected: int | None) -> None:
    async def report(name: str) -> PrinterReport | None:
        return None if answered is None else PrinterReport(printer=name, asked_at=1.0, answered_at=answered)

    counting = Counting(Slow([idle(100)]), 1.0, report)
    await counting.begin(PRINTER, 3)
    await counting.ready()
    assert counting.began == expected
    await counting.begin(PRINTER, 3)  # which is cut off
    await asyncio.sleep(0.1)
    await counting.begin(PRINTER, 3)
    await counting.ready()
    assert counting.began == 100  # now it is known to answer


async def test_one_that_answers_slowly_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a counter that was read while the job was sent is none of before."""
    monkeypatch.setattr("printerbridge.counting._SOON_SECONDS", 0.01)

    async def report(name: str) -> PrinterReport | None:
        return PrinterReport(printer=name, asked_at=1.0, answered_at=1.0)

    counting = Counting(Slow([idle(100)]), 1.0, report)
    await counting.begin(PRINTER, 3)
    await counting.ready()
    assert counting.began == 100
    for _ in range(2):
        await counting.begin(PRINTER, 3)
        with pytest.raises(StopIteration):
            counting.ready().send(None)  # it does not wait at all
        await asyncio.sleep(0.1)
        assert counting.began is None


def test_an_entry_says_how_long_it_is_waited_for_where_it_says_anything() -> None:
    ours = Patience(end=1.0, give_up=2.0)
    assert of_printer(ours, PRINTER) is ours
    impatient = Printer(name="laser", addresses=("laser@example.com",), end_wait=300, stall_limit=600)
    assert of_printer(ours, impatient) == Patience(end=300.0, give_up=600.0)
    half = Printer(name="laser", addresses=("laser@example.com",), stall_limit=600)
    assert of_printer(ours, half) == Patience(end=1.0, give_up=600.0)
