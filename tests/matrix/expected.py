"""What is expected in each cell: without PJL (False), and of a printer that speaks it (True).

Each was thought through before it was written down here.  Where a printer that took everything says nothing more, the
proof says so: `closed` and `acked` promise no paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tests.matrix.cells import CONNECT, EOF, FIRST, LAST, MIDDLE, Expected


def _told(state: str, reasons: str, proof: str = "none", attempts: int = 1, *, after: str = "") -> Expected:
    """What is said in the end, `after` it stood for a reason of the printer's."""
    waits = "pending" if after == "connecting-to-device" else "processing-stopped"
    stands = waits if after else ""
    return Expected(stands=stands, printer=after, state=state, reasons=reasons, proof=proof, attempts=attempts)


_DONE_CLOSED_AFTER_TIMED_OUT = _told("completed", "job-completed-successfully", "closed", after="timed-out")
_DONE_ACKED = _told("completed", "job-completed-successfully", "acked")
_DONE_CLOSED_AFTER_CONNECTING_TO_DEVICE = _told(
    "completed", "job-completed-successfully", "closed", after="connecting-to-device"
)
_DONE_CLOSED_SECOND_TRY = _told("completed", "job-completed-successfully", "closed", 2)
_DOUBT = _told("processing-stopped", "job-suspended x-delivery-unknown")
_DONE_CLOSED = _told("completed", "job-completed-successfully", "closed")
_CANCELED_AFTER_TIMED_OUT = _told("canceled", "job-canceled-by-user", after="timed-out")
_WAITS_AFTER_CONNECTING_TO_DEVICE = _told("pending", "resources-are-not-ready", "none", 0, after="connecting-to-device")
_ABORTED_GIVEN_UP = _told("aborted", "aborted-by-system job-canceled-after-timeout")
_DONE_JOB_END_AFTER_TIMED_OUT = _told("completed", "job-completed-successfully", "job-end", after="timed-out")
_DONE_ACKED_WARNED = _told("completed", "job-completed-with-warnings", "acked")
_DONE_JOB_END = _told("completed", "job-completed-successfully", "job-end")
_DONE_JOB_END_AFTER_MEDIA_EMPTY = _told("completed", "job-completed-successfully", "job-end", after="media-empty")
_DONE_JOB_END_AFTER_CONNECTING_TO_DEVICE = _told(
    "completed", "job-completed-successfully", "job-end", after="connecting-to-device"
)
_DONE_JOB_END_SECOND_TRY = _told("completed", "job-completed-successfully", "job-end", 2)
_ABORTED = _told("aborted", "aborted-by-system")
_CANCELED_AT_DEVICE = _told("canceled", "job-canceled-at-device")

_WHOLE, _NOTHING = "printed", "nothing"

_Rows = Mapping[tuple[str, str], tuple[Expected, str]]

_PLAIN: _Rows = {
    ("stall", CONNECT): (_DONE_CLOSED_AFTER_TIMED_OUT, _WHOLE),
    ("stall", FIRST): (_DONE_CLOSED_AFTER_TIMED_OUT, _WHOLE),
    ("stall", MIDDLE): (_DONE_CLOSED_AFTER_TIMED_OUT, _WHOLE),
    ("stall", LAST): (_DONE_ACKED, _WHOLE),
    ("stall", EOF): (_DONE_ACKED, _WHOLE),
    ("media-empty", CONNECT): (_DONE_CLOSED_AFTER_TIMED_OUT, _WHOLE),
    ("media-empty", FIRST): (_DONE_CLOSED_AFTER_TIMED_OUT, _WHOLE),
    ("media-empty", MIDDLE): (_DONE_CLOSED_AFTER_TIMED_OUT, _WHOLE),
    ("media-empty", LAST): (_DONE_ACKED, _WHOLE),
    ("media-empty", EOF): (_DONE_ACKED, _WHOLE),
    ("vanish", CONNECT): (_DONE_CLOSED_AFTER_CONNECTING_TO_DEVICE, _WHOLE),
    ("vanish", FIRST): (_DONE_CLOSED_AFTER_TIMED_OUT, _WHOLE),
    ("vanish", MIDDLE): (_DONE_CLOSED_AFTER_TIMED_OUT, _WHOLE),
    ("vanish", LAST): (_DONE_ACKED, _WHOLE),
    ("vanish", EOF): (_DONE_ACKED, _WHOLE),
    ("reset", CONNECT): (_DONE_CLOSED_SECOND_TRY, _WHOLE),
    ("reset", FIRST): (_DOUBT, _NOTHING),
    ("reset", MIDDLE): (_DOUBT, "part: 2 pages"),
    ("reset", LAST): (_DOUBT, _WHOLE),
    ("reset", EOF): (_DOUBT, _WHOLE),
    ("close-early", CONNECT): (_DOUBT, _NOTHING),
    ("close-early", FIRST): (_DOUBT, _NOTHING),
    ("close-early", MIDDLE): (_DOUBT, "part: 2 pages"),
    ("close-early", LAST): (_DONE_CLOSED, _WHOLE),
    ("close-early", EOF): (_DONE_CLOSED, _WHOLE),
    ("power-cycle", CONNECT): (_DONE_CLOSED_SECOND_TRY, _WHOLE),
    ("power-cycle", FIRST): (_DOUBT, _NOTHING),
    ("power-cycle", MIDDLE): (_DOUBT, _NOTHING),
    ("power-cycle", LAST): (_DOUBT, _NOTHING),
    ("power-cycle", EOF): (_DOUBT, _NOTHING),
    ("idle-timeout", CONNECT): (_DOUBT, _NOTHING),
    ("idle-timeout", FIRST): (_DOUBT, _NOTHING),
    ("idle-timeout", MIDDLE): (_DOUBT, "part: 2 pages"),
    ("idle-timeout", LAST): (_DONE_CLOSED, _WHOLE),
    ("idle-timeout", EOF): (_DONE_CLOSED, _WHOLE),
    ("chatter", CONNECT): (_DONE_CLOSED, _WHOLE),
    ("chatter", FIRST): (_DONE_CLOSED, _WHOLE),
    ("chatter", MIDDLE): (_DONE_CLOSED, _WHOLE),
    ("chatter", LAST): (_DONE_CLOSED, _WHOLE),
    ("chatter", EOF): (_DONE_CLOSED, _WHOLE),
    ("swallow", CONNECT): (_DONE_CLOSED_SECOND_TRY, _WHOLE),
    ("swallow", FIRST): (_DOUBT, _NOTHING),
    ("swallow", MIDDLE): (_DOUBT, _NOTHING),
    ("swallow", LAST): (_DOUBT, _NOTHING),
    ("swallow", EOF): (_DOUBT, _NOTHING),
    ("mute", CONNECT): (_DONE_CLOSED, _WHOLE),
    ("mute", FIRST): (_DONE_CLOSED, _WHOLE),
    ("mute", MIDDLE): (_DONE_CLOSED, _WHOLE),
    ("mute", LAST): (_DONE_CLOSED, _WHOLE),
    ("mute", EOF): (_DONE_CLOSED, _WHOLE),
    ("job-error", FIRST): (_DONE_CLOSED, _NOTHING),
    ("job-error", MIDDLE): (_DONE_CLOSED, "part: 2 pages"),
    ("job-error", LAST): (_DONE_CLOSED, "part: 4 pages"),
    ("panel-cancel", FIRST): (_DONE_CLOSED, _NOTHING),
    ("panel-cancel", MIDDLE): (_DONE_CLOSED, "part: 2 pages"),
    ("panel-cancel", LAST): (_DONE_CLOSED, "part: 4 pages"),
    ("cancel", CONNECT): (_CANCELED_AFTER_TIMED_OUT, _NOTHING),
    ("cancel", FIRST): (_CANCELED_AFTER_TIMED_OUT, _NOTHING),
    ("cancel", MIDDLE): (_CANCELED_AFTER_TIMED_OUT, "part: 2 pages"),
    ("cancel", LAST): (_DONE_ACKED, _WHOLE),
    ("cancel", EOF): (_DONE_ACKED, _WHOLE),
    ("give-up", CONNECT): (_WAITS_AFTER_CONNECTING_TO_DEVICE, _NOTHING),
    ("give-up", FIRST): (_ABORTED_GIVEN_UP, _NOTHING),
    ("give-up", MIDDLE): (_ABORTED_GIVEN_UP, "part: 2 pages"),
    ("give-up", LAST): (_DONE_ACKED, _WHOLE),
    ("give-up", EOF): (_DONE_ACKED, _WHOLE),
    ("refuse", CONNECT): (_DONE_CLOSED_AFTER_CONNECTING_TO_DEVICE, _WHOLE),
    ("engaged", CONNECT): (_DONE_CLOSED, _WHOLE),
    ("slow", CONNECT): (_DONE_CLOSED, _WHOLE),
    ("half-close", EOF): (_DONE_CLOSED, _NOTHING),
    ("never-close", EOF): (_DONE_ACKED, _WHOLE),
}

_PJL: _Rows = {
    ("stall", CONNECT): (_DONE_JOB_END_AFTER_TIMED_OUT, _WHOLE),
    ("stall", FIRST): (_DONE_JOB_END_AFTER_TIMED_OUT, _WHOLE),
    ("stall", MIDDLE): (_DONE_JOB_END_AFTER_TIMED_OUT, _WHOLE),
    ("stall", LAST): (_DONE_ACKED_WARNED, _WHOLE),
    ("stall", EOF): (_DONE_JOB_END, _WHOLE),
    ("media-empty", CONNECT): (_DONE_JOB_END_AFTER_TIMED_OUT, _WHOLE),
    ("media-empty", FIRST): (_DONE_JOB_END_AFTER_MEDIA_EMPTY, _WHOLE),
    ("media-empty", MIDDLE): (_DONE_JOB_END_AFTER_MEDIA_EMPTY, _WHOLE),
    ("media-empty", LAST): (_DONE_JOB_END_AFTER_MEDIA_EMPTY, _WHOLE),
    ("media-empty", EOF): (_DONE_JOB_END, _WHOLE),
    ("vanish", CONNECT): (_DONE_JOB_END_AFTER_CONNECTING_TO_DEVICE, _WHOLE),
    ("vanish", FIRST): (_DONE_JOB_END_AFTER_TIMED_OUT, _WHOLE),
    ("vanish", MIDDLE): (_DONE_JOB_END_AFTER_TIMED_OUT, _WHOLE),
    ("vanish", LAST): (_DONE_JOB_END_AFTER_TIMED_OUT, _WHOLE),
    ("vanish", EOF): (_DONE_JOB_END, _WHOLE),
    ("reset", CONNECT): (_DONE_JOB_END_SECOND_TRY, _WHOLE),
    ("reset", FIRST): (_DOUBT, _NOTHING),
    ("reset", MIDDLE): (_DOUBT, "part: 1 page"),
    ("reset", LAST): (_DOUBT, _WHOLE),
    ("reset", EOF): (_DONE_JOB_END, _WHOLE),
    ("close-early", CONNECT): (_DOUBT, _NOTHING),
    ("close-early", FIRST): (_DOUBT, _NOTHING),
    ("close-early", MIDDLE): (_DOUBT, "part: 1 page"),
    ("close-early", LAST): (_DONE_ACKED_WARNED, _WHOLE),
    ("close-early", EOF): (_DONE_JOB_END, _WHOLE),
    ("power-cycle", CONNECT): (_DONE_JOB_END_SECOND_TRY, _WHOLE),
    ("power-cycle", FIRST): (_DOUBT, _NOTHING),
    ("power-cycle", MIDDLE): (_DOUBT, _NOTHING),
    ("power-cycle", LAST): (_DOUBT, _NOTHING),
    ("power-cycle", EOF): (_DONE_JOB_END, "part: 4 pages"),
    ("idle-timeout", CONNECT): (_DOUBT, _NOTHING),
    ("idle-timeout", FIRST): (_DOUBT, _NOTHING),
    ("idle-timeout", MIDDLE): (_DOUBT, "part: 1 page"),
    ("idle-timeout", LAST): (_DONE_ACKED_WARNED, _WHOLE),
    ("idle-timeout", EOF): (_DONE_JOB_END, _WHOLE),
    ("chatter", CONNECT): (_DONE_JOB_END, _WHOLE),
    ("chatter", FIRST): (_DONE_JOB_END, _WHOLE),
    ("chatter", MIDDLE): (_DONE_JOB_END, _WHOLE),
    ("chatter", LAST): (_DONE_JOB_END, _WHOLE),
    ("chatter", EOF): (_DONE_JOB_END, _WHOLE),
    ("swallow", CONNECT): (_DONE_JOB_END_SECOND_TRY, _WHOLE),
    ("swallow", FIRST): (_DOUBT, _NOTHING),
    ("swallow", MIDDLE): (_DOUBT, _NOTHING),
    ("swallow", LAST): (_DOUBT, _NOTHING),
    ("swallow", EOF): (_DOUBT, _NOTHING),
    ("mute", CONNECT): (_DONE_CLOSED, _WHOLE),
    ("mute", FIRST): (_DONE_CLOSED, _WHOLE),
    ("mute", MIDDLE): (_DONE_CLOSED, _WHOLE),
    ("mute", LAST): (_DONE_CLOSED, _WHOLE),
    ("mute", EOF): (_DONE_JOB_END, _WHOLE),
    ("job-error", FIRST): (_ABORTED, _NOTHING),
    ("job-error", MIDDLE): (_ABORTED, "part: 1 page"),
    ("job-error", LAST): (_ABORTED, "part: 4 pages"),
    ("panel-cancel", FIRST): (_CANCELED_AT_DEVICE, _NOTHING),
    ("panel-cancel", MIDDLE): (_CANCELED_AT_DEVICE, "part: 1 page"),
    ("panel-cancel", LAST): (_CANCELED_AT_DEVICE, "part: 4 pages"),
    ("cancel", CONNECT): (_CANCELED_AFTER_TIMED_OUT, _NOTHING),
    ("cancel", FIRST): (_CANCELED_AFTER_TIMED_OUT, _NOTHING),
    ("cancel", MIDDLE): (_CANCELED_AFTER_TIMED_OUT, "part: 1 page"),
    ("cancel", LAST): (_DONE_ACKED_WARNED, _WHOLE),
    ("cancel", EOF): (_DONE_JOB_END, _WHOLE),
    ("give-up", CONNECT): (_WAITS_AFTER_CONNECTING_TO_DEVICE, _NOTHING),
    ("give-up", FIRST): (_ABORTED_GIVEN_UP, _NOTHING),
    ("give-up", MIDDLE): (_ABORTED_GIVEN_UP, "part: 1 page"),
    ("give-up", LAST): (_ABORTED_GIVEN_UP, _WHOLE),
    ("give-up", EOF): (_DONE_JOB_END, _WHOLE),
    ("refuse", CONNECT): (_DONE_JOB_END_AFTER_CONNECTING_TO_DEVICE, _WHOLE),
    ("engaged", CONNECT): (_DONE_JOB_END, _WHOLE),
    ("slow", CONNECT): (_DONE_JOB_END, _WHOLE),
    ("half-close", EOF): (_DONE_JOB_END, "part: 4 pages"),
    ("never-close", EOF): (_DONE_JOB_END, _WHOLE),
}


def _cells(rows: _Rows) -> Mapping[tuple[str, str], Expected]:
    return {cell: replace(told, paper=paper) for cell, (told, paper) in rows.items()}


OR: Final[Mapping[tuple[str, str, bool], Expected]] = {
    # It closes while our last words are on their way to it: they may meet a reset, or it may not have spoken yet.
    ("close-early", LAST, True): replace(_DONE_ACKED, paper=_WHOLE),
    ("idle-timeout", LAST, True): replace(_DOUBT, paper=_WHOLE),
}
"""How a cell may end, too."""

EXPECTED: Final[Mapping[bool, Mapping[tuple[str, str], Expected]]] = {False: _cells(_PLAIN), True: _cells(_PJL)}
