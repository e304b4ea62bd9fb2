"""The defences, each switched off in turn: `make mutants`.  A test must miss it, or it is no defence but a hope.

A `Defence` names the line that defends, what stands there when it does not, and the test that must fail then.  The
lists are `mail`, `smtp`, `proof`, `split`, `pop3`, `store`,
`papers`, `waiting` and `house`; `docs/defences.md` is written from them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Defence:
    """`text` stands exactly once in `file`; `instead` leaves a program that runs and does not defend.

    `why` is a sentence for an administrator.  `test` is a pytest id, of one case where there are several.
    """

    name: str
    why: str
    file: str
    text: str
    instead: str
    test: str
