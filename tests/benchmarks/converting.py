"""`python -m tests.benchmarks.converting [--quick]`: how long a PDF takes to become PostScript or PCL XL.

Ours is the whole of `printerbridge.convert`, sandbox and page count included.  Beside it what CUPS would run (the
filters of cups-filters, as a queue without a driver gets them) and plain Ghostscript, in the same run and by turns.
The documents have 40 pages of A4, once text and lines, once the same with transparency.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.convert import convert
from tests import documents

FILTERS = Path("/usr/lib/cups/filter")
A4 = "iso_a4_210x297mm"
_TIMEOUT = 300.0
_JOB = ("1", "ada", "report", "1", "")  # what CUPS tells a filter: job, user, title, copies, options


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    seconds: float
    octets: int


def _ours(language: Language) -> Callable[[Path, Path], Took]:
    def take(source: Path, folder: Path) -> Took:
        begun = time.perf_counter()
        made = asyncio.run(
            convert(source, DocumentFormat.PDF, [language], folder=folder, media=A4, as_is=False, timeout=_TIMEOUT)
        )
        took = time.perf_counter() - begun
        assert made.pages > 0
        octets = made.path.stat().st_size
        made.path.unlink()
        return Took(seconds=took, octets=octets)

    return take


def _program(*argv: str) -> Callable[[Path, Path], Took]:
    def take(source: Path, folder: Path) -> Took:
        target = folder / "peer"
        begun = time.perf_counter()
        with target.open("wb") as output:
            subprocess.run(
                [*argv, str(source)],
                stdout=output,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "CUPS_SERVERBIN": str(FILTERS.parent), "TMPDIR": str(folder)},
                timeout=_TIMEOUT,
                check=True,
            )
        took = time.perf_counter() - begun
        octets = target.stat().st_size
        assert octets > 10_000
        return Took(seconds=took, octets=octets)

    return take


def _ghostscript(device: str) -> Callable[[Path, Path], Took]:
    return _program("gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", f"-sDEVICE={device}", "-r600", "-sOutputFile=-")


def _filter(name: str) -> Callable[[Path, Path], Took] | None:
    path = FILTERS / name
    return _program(str(path), *_JOB) if path.exists() else None


WAYS: dict[str, dict[str, Callable[[Path, Path], Took] | None]] = {
    "PostScript": {
        "ours": _ours(Language.POSTSCRIPT),
        "cups-filters": _filter("pdftops"),
        "Ghostscript": _ghostscript("ps2write"),
    },
    "PCL XL": {
        "ours": _ours(Language.PCLXL),
        "cups-filters": _filter("gstopxl"),
        "Ghostscript": _ghostscript("pxlmono"),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.converting", description="Conversions by peers.")
    parser.add_argument("--quick", action="store_true", help="ten pages, once")
    parser.add_argument("--rounds", type=int, default=3, help="of which the medians are told (3)")
    wanted = parser.parse_args()
    pages, rounds = (10, 1) if wanted.quick else (40, wanted.rounds)
    print(f"{pages} pages, medians of {rounds}; seconds, and MB made")
    print(f"{'':<26} {'ours':>14} {'cups-filters':>14} {'Ghostscript':>14} {'ratios':>14}")
    with tempfile.TemporaryDirectory(prefix="pp-converting-") as name:
        folder = Path(name)
        for what, transparent in (("text", False), ("transparency", True)):
            source = folder / f"{what}.pdf"
            source.write_bytes(documents.pdf(pages, transparent=transparent))
            for language, ways in WAYS.items():
                _tell(f"{what} to {language}", _measured(ways, source, folder, rounds))


def _measured(
    ways: dict[str, Callable[[Path, Path], Took] | None], source: Path, folder: Path, rounds: int
) -> dict[str, Took]:
    took: dict[str, list[Took]] = defaultdict(list)
    for _ in range(rounds):  # by turns, so that a slow minute of the machine meets all
        for name, way in ways.items():
            if way is not None:
                took[name].append(way(source, folder))
    return {
        name: Took(seconds=statistics.median(one.seconds for one in each), octets=each[-1].octets)
        for name, each in took.items()
    }


def _tell(title: str, took: dict[str, Took]) -> None:
    ours = took["ours"]
    cells = [
        f"{took[name].seconds:7.2f} {took[name].octets / 1e6:6.1f}" if name in took else "not there"
        for name in ("ours", "cups-filters", "Ghostscript")
    ]
    ratios = " ".join(f"{each.seconds / ours.seconds:.1f}x" for name, each in took.items() if name != "ours")
    print(f"{title:<26} " + " ".join(f"{cell:>14}" for cell in cells) + f" {ratios:>14}", flush=True)


if __name__ == "__main__":
    main()
