"""The two ways in which work fails: try again later, or never.

Each border translates them once: SMTP into a reply, POP3 into `-ERR`, the bridge into a job state.  Anything else that
is raised is a bug and belongs to the one handler of its task.
"""

from __future__ import annotations


class Failure(Exception):
    """Work that did not succeed, told so that a stranger may read it.

    `status` is an enhanced status code of RFC 3463 ("4.3.1"); `text` one sentence without a final full stop that holds
    nothing private; `reason` the `job-state-reasons` keyword (RFC 8011, 5.3.8) that a job gets from it, if any.
    """

    def __init__(self, status: str, text: str, *, reason: str = "") -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text
        self.reason = reason


class TransientFailure(Failure):
    """It may work later: 4xx to an SMTP client, [SYS/TEMP] to a POP3 client, back-off in the bridge."""


class PermanentFailure(Failure):
    """It will never work as asked: 5xx, [SYS/PERM], job `aborted`."""
