"""What defends jobs that wait for somebody."""

from __future__ import annotations

from typing import Final

from tests.mutants import Defence

WAITING: Final = (
    Defence(
        name="codes are counted over all clients",
        why="A botnet has as many clients as it likes, and would try every code.",
        file="appliance/releasing.py",
        text="        self._left -= 1",
        instead="        self._left -= 0",
        test="tests/test_releasing.py::test_a_botnet_cannot_walk_the_codes",
    ),
    Defence(
        name="nobody uses up what all clients have",
        why="One computer could keep everybody elsewhere from releasing his job.",
        file="appliance/releasing.py",
        text="        return own, self._outside",
        instead="        return (self._outside,)",
        test="tests/test_releasing.py::test_one_client_outside_does_not_use_up_what_all_have",
    ),
    Defence(
        name="a link releases nothing",
        why="Programs that look at mail open its links, and nobody stands at the printer then.",
        file="appliance/web/release.py",
        text='@router.post("/release/now")',
        instead='@router.api_route("/release/now", methods=["GET", "POST"])',
        test="tests/test_releasing.py::test_a_link_opened_by_a_program_releases_nothing",
    ),
    Defence(
        name="only who was proved releases his job",
        why="Somebody whose address was merely claimed would let a stranger's document out.",
        file="appliance/rights.py",
        text="own(person, job) and bool(job.login or job.answerable) and",
        instead="own(person, job) and",
        test="tests/test_hold.py::test_who_may_release",
    ),
    Defence(
        name="no sender passes his own limit of pages",
        why="A limit that everybody can waive for himself is none.",
        file="appliance/rights.py",
        text=' and "account-limit-reached" not in job.reasons',
        instead="",
        test="tests/test_hold.py::test_who_may_release",
    ),
    Defence(
        name="what people look at is not printed again behind their backs",
        why="A job that was released once would come out as often as its sender likes.",
        file="appliance/desk.py",
        text="            if printer.hold is Hold.ALL:",
        instead="            if False:",
        test="tests/test_hold.py::test_the_owner_releases_what_has_a_code_and_nothing_else",
    ),
    Defence(
        name="who moves a job operates both printers",
        why="Somebody could let everybody's documents come out where he stands.",
        file="appliance/moving.py",
        text="        demand(person, Act.OPERATE, target)",
        instead="        pass",
        test="tests/test_moving.py::test_where_it_cannot_go",
    ),
    Defence(
        name="a move does not get round the print firewall",
        why="A printer that polls gets its mail as it came, and must not get a stranger's by a detour.",
        file="appliance/moving.py",
        text="            if not target.takes_raw(job.trust):",
        instead="            if False:",
        test="tests/test_moving.py::test_what_may_not_pass_raw_does_not_get_to_a_printer_that_polls",
    ),
    Defence(
        name="after a start nothing is given up at once",
        why="After days without power every job would be gone before the printer had its chance.",
        file="appliance/expiry.py",
        text="        if self._monotonic() < self._settled:",
        instead="        if False:",
        test="tests/test_expiry.py::test_after_a_start_the_printer_has_its_chance_first",
    ),
    Defence(
        name="a clock that leaps makes no job old",
        why="A clock that is put right by years would throw everything away that waits.",
        file="appliance/expiry.py",
        text="            at -= leapt",
        instead="            at -= 0",
        test="tests/test_expiry.py::test_a_clock_that_leaps_ahead_throws_nothing_away",
    ),
)
