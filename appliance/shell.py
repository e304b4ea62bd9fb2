"""What all commands share: the configuration they got, how they open store and directory, how they show things.

Errors are one sentence on stderr that says what to do, and a status of sysexits(3).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from appliance.web.words import clock as clock
from mailstore import config
from mailstore.directory.contract import Directory, People
from mailstore.header import clean
from mailstore.store.contract import Role, Store

_LINE = 100_000  # characters, of a list of rules say

T = TypeVar("T")


@dataclass(slots=True)
class Context:
    """The options before the command."""

    file: Path | None = None

    def settings(self) -> config.Settings:
        """Raises `ConfigError`."""
        return config.load(self.file)[0]


@contextlib.asynccontextmanager
async def opened_store(settings: config.Settings) -> AsyncIterator[Store]:
    """The store, as a tool beside the processes that run."""
    from mailstore.store.sql import open_store  # its imports take longer than most commands

    store = await open_store(
        settings.store.folder, role=Role.TOOL, keep=settings.store.keep, reserve=settings.store.reserve
    )
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def opened(settings: config.Settings) -> AsyncIterator[tuple[Store, Directory]]:
    """The store and the directory; an embedded directory that does not run is run for so long."""
    from mailstore.directory.opening import open_directory

    async with opened_store(settings) as store, open_directory(settings, "appliance") as directory:
        yield store, directory


@contextlib.asynccontextmanager
async def opened_people(settings: config.Settings) -> AsyncIterator[tuple[Store, People]]:
    """The store and people, as `opened`."""
    from mailstore.directory.opening import open_people

    async with opened_store(settings) as store, open_people(settings) as people:
        yield store, people


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end."""
    return asyncio.run(work)


def fail(sentence: str, status: int) -> NoReturn:
    """End the command with one sentence on stderr."""
    print(f"printpost: {sentence}", file=sys.stderr)  # noqa: T201
    raise SystemExit(status)


def show_json(value: object) -> None:
    """Print a value for scripts."""
    json.dump(value, sys.stdout, indent=2, default=str, ensure_ascii=False)
    sys.stdout.write("\n")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    """Print rows for people, or the sentence `nothing` if there are none."""
    from rich.console import Console  # a server, which is started by the same commands, need not hold it
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 240)
    if not rows:
        console.print(nothing)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_line(cell)) for cell in row))
    console.print(table)


def _line(value: object) -> str:
    """Without what a terminal would obey: much of what is shown strangers and printers said."""
    return clean(str(value), _LINE)


def show_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Print one thing's fields for people; empty ones are left out."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        text = _line(", ".join(map(str, value)) if isinstance(value, tuple | list) else value)
        if text and value is not None:
            print(f"{name:<{width}}  {text}")  # noqa: T201


def moment(seconds: float) -> str | None:
    """A time for scripts: RFC 3339 in UTC, None where it is not reached."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None


def as_dict(record: Any) -> dict[str, Any]:
    """A record as its fields."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def read_password(what: str = "password") -> str:
    """The next line of standard input."""
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail(f"no {what} came on standard input; pipe it in, as in: echo SECRET | printpost ...", os.EX_DATAERR)
    return password
