from __future__ import annotations

import pytest

from mailstore.failure import PermanentFailure
from printerbridge.virtual_device import CONDITIONS, Device
from printerbridge.virtual_panel import Panel
from printerbridge.virtual_personality import PERSONALITIES, personality
from printerbridge.virtual_pjl import Broken, Command


def made(kind: str = "plain", *lines: str) -> Panel:
    panel = Panel(Device(), personality(kind))
    talk(panel, *lines)
    return panel


def talk(panel: Panel, *lines: str) -> str:
    return b"".join(panel.answer(Command(verb=line.split()[0], rest=line.partition(" ")[2])) for line in lines).decode()


def test_the_panel_answers() -> None:
    device = Device()
    device.pages = 7
    panel = Panel(device, personality("plain"))
    assert talk(panel, "ECHO one two") == "@PJL ECHO one two\r\n\f"
    assert talk(panel, "INFO ID") == '@PJL INFO ID\r\n"PRINTPOST VIRTUAL PRINTER"\r\n\f'
    assert talk(panel, "INFO STATUS") == '@PJL INFO STATUS\r\nCODE=10001\r\nDISPLAY="READY"\r\nONLINE=TRUE\r\n\f'
    assert talk(panel, "INFO PAGECOUNT") == "@PJL INFO PAGECOUNT\r\nPAGECOUNT=7\r\n\f"
    assert talk(panel, "INFO FILESYS") == '@PJL INFO FILESYS\r\n"?"\r\n\f'
    assert talk(panel, "SET COPIES=2", "COMMENT hello", "FSDELETE NAME=x") == ""


def test_job_status_only_while_asked_for() -> None:
    panel = made()
    assert talk(panel, 'JOB NAME="quiet"', "EOJ") == ""
    assert talk(panel, "USTATUS JOB = ON", 'JOB NAME = "a"') == '@PJL USTATUS JOB\r\nSTART\r\nNAME="a"\r\n\f'
    assert b"".join(panel.page() for _ in range(3)) == b""
    assert talk(panel, "EOJ") == '@PJL USTATUS JOB\r\nEND\r\nNAME="a"\r\nPAGES=3\r\nRESULT=OK\r\n\f'
    assert talk(panel, "EOJ") == ""
    assert talk(panel, "USTATUSOFF", 'JOB NAME="b"', "EOJ") == ""


def test_the_end_of_a_job_bears_the_name_of_its_eoj() -> None:
    panel = made("plain", "USTATUS JOB = ON", 'JOB NAME="begun"')
    assert 'NAME="done"' in talk(panel, 'EOJ NAME="done"')


def test_device_status_only_while_asked_for() -> None:
    device = Device()
    panel = Panel(device, personality("plain"))
    device.fare("media-empty")
    assert panel.fares() == b""
    talk(panel, "USTATUS DEVICE=VERBOSE")
    told = b'@PJL USTATUS DEVICE\r\nCODE=41213\r\nDISPLAY="LOAD PAPER"\r\nONLINE=FALSE\r\n\x0c'
    assert panel.fares() == told
    assert "CODE=41213" in talk(panel, "INFO STATUS")


def test_a_recovery_job_counts_the_pages_it_leaves_out() -> None:
    """As in the example of HP's manual, page 7-45: 100 pages, of which 75 are printed again."""
    panel = made("plain", "USTATUS JOB = ON", "USTATUS PAGE = ON", 'JOB NAME = "again" START = 26')
    assert panel.wanted[0] == 26
    panel.skip(25)
    told = [panel.page() for _ in range(75)]
    assert (told[0], told[-1]) == (b"@PJL USTATUS PAGE\r\n26\r\n\x0c", b"@PJL USTATUS PAGE\r\n100\r\n\x0c")
    assert "PAGES=75\r\n" in talk(panel, "EOJ")
    assert panel.wanted[0] == 1


def test_a_range_of_pages_goes_on_over_the_documents_of_a_job() -> None:
    panel = made("plain", "JOB START=3 END=5")
    assert panel.wanted == (3, 5)
    panel.skip(2)
    panel.page()
    assert panel.wanted == (1, 2)


@pytest.mark.parametrize(
    ("asked", "seconds"), [("TIMED = 30", 30), ("TIMED=4", 0), ("TIMED=301", 0), ("TIMED=x", 0), ("TIMED=0", 0)]
)
def test_timed_status_in_the_manuals_bounds(asked: str, seconds: int) -> None:
    panel = made("plain", f"USTATUS {asked}")
    assert panel.timed == seconds
    assert panel.timed_status().startswith(b"@PJL USTATUS TIMED\r\nCODE=10001\r\n")


def test_a_client_cannot_forge_the_end_of_a_reply() -> None:
    assert talk(made(), "ECHO a\x0c\r@PJL b\x1b") == "@PJL ECHO a@PJL b\r\n\f"


CANCELED = Broken(result="USER_CANCELED")


def test_a_cancel_at_the_panel() -> None:
    panel = made("plain", "USTATUS JOB=ON", 'JOB NAME="a"')
    assert panel.break_off(CANCELED) == b'@PJL USTATUS JOB\r\nCANCELED\r\nNAME="a"\r\n\x0c'
    assert "RESULT=USER_CANCELED" in talk(panel, "EOJ")


def test_a_cancel_before_the_job_began_is_that_jobs() -> None:
    panel = made("plain", "USTATUS JOB=ON")
    assert panel.break_off(CANCELED) == b""
    assert talk(panel, 'JOB NAME="a"').endswith('CANCELED\r\nNAME="a"\r\n\x0c')
    assert "PAGES=0\r\nRESULT=USER_CANCELED" in talk(panel, "EOJ")


def test_what_personalities_leave_out() -> None:
    old = made("no-result", "USTATUS JOB=ON", 'JOB NAME="a"')
    assert old.break_off(CANCELED) == b""
    assert talk(old, "EOJ") == '@PJL USTATUS JOB\r\nEND\r\nNAME="a"\r\nPAGES=0\r\n\f'
    assert talk(made("bare-count"), "INFO PAGECOUNT") == "@PJL INFO PAGECOUNT\r\n0\r\n\f"
    assert talk(made("no-form-feed"), "ECHO x") == "@PJL ECHO x\r\n"
    assert talk(made("phaser"), "ECHO x", "INFO ID") == ""


def test_job_lines_that_are_dropped() -> None:
    short = made("short-lines", "USTATUS JOB=ON")
    assert talk(short, 'JOB NAME="a" DISPLAY="b"', "EOJ") == ""
    assert talk(short, f'JOB NAME="{"n" * 80}"', "EOJ") == ""
    assert 'END\r\nNAME="a = b"' in talk(short, 'JOB NAME="a = b"', "EOJ")


def test_a_postscript_printer_says_what_is_wrong() -> None:
    device = Device()
    panel = Panel(device, personality("phaser"))
    device.fare("media-empty")
    assert panel.fares() == b"%%[ PrinterError: out of paper ]%%\r\n"
    device.fare("")
    assert panel.fares() == b""


def test_every_condition_that_stops_has_words() -> None:
    assert all(one.said and one.bit is not None for one in CONDITIONS.values() if one.stops)


def test_every_personality_names_its_source() -> None:
    assert all(one.source and one.what for one in PERSONALITIES.values())


def test_unknown_names_are_told_with_the_right_ones() -> None:
    with pytest.raises(PermanentFailure, match="no-form-feed"):
        personality("sphinx")
    with pytest.raises(PermanentFailure, match="door-open"):
        Device().fare("bored")
