"""What a document of the corpus is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailstore.document_format import DocumentFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`make` gives its octets; of those with `words` the words are looked for, all others are compared by pixels."""

    make: Callable[[], bytes]
    format: DocumentFormat
    charset: str = "utf-8"
    words: tuple[str, ...] = ()
    tolerance: float = 0.0  # more than what programs usually are apart in drawing the same
    name: str = ""
    whole: Callable[[], bytes] | None = None  # the same before it was damaged

    @property
    def label(self) -> str:
        return self.name or self.make.__name__.lstrip("_").replace("_", "-")


def run(argv: Sequence[str], folder: Path, octets: bytes = b"") -> bytes:
    """What a program that makes documents writes to its output."""
    finished = subprocess.run(argv, cwd=folder, input=octets, capture_output=True, check=False, timeout=60)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout
