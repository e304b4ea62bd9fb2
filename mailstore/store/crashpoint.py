"""Where the kill tests end the process.

`CRASH_AT` in the environment, read once at start, names a point, e.g. `1-before-sync`; the process ends there as if
killed: no handler, no flush, no unlock but the kernel's.  Unset, a point is one comparison of strings.

Points: `1-before-octets` and `1-after-octets` (around the sync of the octets outside the database), and for each
instant n that is committed `n-before-sync` (rows written, not committed) and `n-after-sync` (committed, nobody told).
Besides the four of a job there are `part` (instant 1 of a part of a split mail), `whole` (the whole in the place of its
parts), `wish` (somebody's wish granted), `told` (an occurrence turned into mails) and `delivered` (such a mail done
with).
"""

from __future__ import annotations

import os

_CRASH_AT = os.environ.get("CRASH_AT", "")


def crash_point(name: str) -> None:
    if name == _CRASH_AT:
        os._exit(137)
