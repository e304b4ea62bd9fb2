"""How printers differ in what they say: each a row, by a name of its own, with the source that tells of such a printer.

Nothing here is a model's name: what counts is the oddity, and one printer may have several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailstore.failure import PermanentFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Personality:
    """What a printer says, and what it leaves out.

    `pjl`: it understands PJL at all; `answers`: it says anything on the back channel.  Of PJL: `page_count`, its answer
    to INFO PAGECOUNT; `result` and `form_feed`, whether messages have them; `job_line`, longer JOB lines are dropped
    (0: none are), with `one_option` those with two options too; `cancels`, it says at once that somebody canceled;
    `overlaps`, the next job's START comes before this one's END.  `postscript`: its status is PostScript's, also on
    Ctrl-T.  `waits`: it closes when the paper is out.  By SNMP: `error_octets`, how long hrPrinterDetectedErrorState
    is; `integer_count`, its page counter is an INTEGER; `commands`, the languages of its device id.
    """

    model: str
    what: str
    source: str
    pjl: bool = True
    answers: bool = True
    page_count: str = "PAGECOUNT={}"
    result: bool = True
    form_feed: bool = True
    job_line: int = 0
    one_option: bool = False
    cancels: bool = True
    overlaps: bool = False
    postscript: bool = False
    waits: bool = False
    error_octets: int = 2
    integer_count: bool = False
    commands: tuple[str, ...] = ("PJL", "POSTSCRIPT", "PDF", "PCL")


_MANUAL: Final = "HP, Printer Job Language Technical Reference Manual"

PERSONALITIES: Final[dict[str, Personality]] = {
    "plain": Personality(
        model="PRINTPOST VIRTUAL PRINTER",
        what="says all that PJL has words for",
        source=f"{_MANUAL}, chapter 7 (USTATUS JOB, PAGE, TIMED and DEVICE); RESULT as later LaserJets add it",
    ),
    "no-result": Personality(
        model="PRINTPOST VIRTUAL PRINTER 4",
        what="a job's END has NAME and PAGES but no RESULT, and a cancel is not told apart",
        source=f"{_MANUAL}, the examples of chapter 7, pages 7-38 and 7-45",
        result=False,
        cancels=False,
        error_octets=1,
    ),
    "silent": Personality(
        model="PRINTPOST VIRTUAL CLONE",
        what="swallows PJL and never answers; its detected errors are an empty string",
        source="clones, as PyKota's time-outs around every PJL question tell of them (accounters/pjl.py)",
        answers=False,
        error_octets=0,
    ),
    "bare-count": Personality(
        model="PRINTPOST VIRTUAL COUNTER",
        what="answers INFO PAGECOUNT with a bare number; its SNMP counter is an INTEGER",
        source="PyKota, accounters/pjl.py, which reads both forms; apple/cups issue 3610 for the INTEGER",
        page_count="{}",
        integer_count=True,
        error_octets=1,
    ),
    "short-lines": Personality(
        model="PRINTPOST VIRTUAL SHORT",
        what="drops JOB lines that are longer than 80 octets or have two options",
        source="apple/cups issue 3125: jobs whose JOB line had a long NAME and DISPLAY were lost",
        job_line=80,
        one_option=True,
    ),
    "no-form-feed": Personality(
        model="PRINTPOST VIRTUAL LINES",
        what="leaves out the form feed behind its messages",
        source=f"the opposite of {_MANUAL}, chapter 7, which ends every message by one; readers must bear it",
        form_feed=False,
    ),
    "overlapping": Personality(
        model="PRINTPOST VIRTUAL PIPELINE",
        what="says the next job's START before this one's END",
        source=f"{_MANUAL}, page 7-38: the next job is processed before the last page of this one is printed",
        overlaps=True,
    ),
    "phaser": Personality(
        model="PRINTPOST VIRTUAL PHASER",
        what="knows no PJL; PostScript's back channel, status on Ctrl-T, and it closes when the paper is out",
        source="AppSocket as the ifhp HOWTO tells it, section 4.11; messages as in Adobe's PostScript printers",
        pjl=False,
        postscript=True,
        waits=True,
        error_octets=1,
        commands=("POSTSCRIPT",),
    ),
}
"""Every personality by name."""


def personality(name: str) -> Personality:
    """The personality of this name.  Raises `PermanentFailure` ("5.5.4") with the list of names."""
    if name not in PERSONALITIES:
        raise PermanentFailure("5.5.4", f"personality {name!r} is unknown; there are: {', '.join(PERSONALITIES)}")
    return PERSONALITIES[name]
