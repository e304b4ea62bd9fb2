"""Coverage-guided fuzzing of everything that reads strangers' octets: `make fuzz`.

`targets/NAME.py` has `check(octets)`, which raises (mostly AssertionError) where what a parser promises does not hold,
and maybe `WORDS`, from which the fuzzer composes.  `corpus/NAME/` holds a few inputs made by hand to begin with, and
`regressions/NAME/` every input that was ever a finding.  The unit tests run all of them without the fuzzer.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in (FOLDER / "targets").glob("[a-z]*.py"))


def target(name: str) -> Callable[[bytes], None]:
    """The function of that name's file.  Imports what it tests, not before."""
    check: Callable[[bytes], None] = import_module(f"tests.fuzz.targets.{name}").check
    return check


def words(name: str) -> tuple[bytes, ...]:
    """What the fuzzer should know of the grammar."""
    found: tuple[bytes, ...] = getattr(import_module(f"tests.fuzz.targets.{name}"), "WORDS", ())
    return found


def inputs(name: str) -> list[Path]:
    """The inputs that are kept, by hand and as findings."""
    folders = (FOLDER / "corpus" / name, FOLDER / "regressions" / name)
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())


def pieces(octets: bytes) -> list[bytes]:
    """A stream as the network may cut it: the first four octets tell the lengths of the pieces, in turn.

    Up to 127 is that many octets (nothing for 0), more is the same in units of 64.
    """
    lengths = [length if length < 128 else (length - 127) * 64 for length in octets[:4]]
    stream = octets[4:]
    if not any(lengths):
        return [stream]
    cut, at, turn = [], 0, 0
    while at < len(stream):
        length = lengths[turn % len(lengths)]
        cut.append(stream[at : at + length])
        at, turn = at + length, turn + 1
    return cut
