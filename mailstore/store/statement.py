"""SQL written once in SQLAlchemy Core, compiled once to text, and run on the plain driver.

SQLAlchemy's execution costs several times what SQLite itself needs for a small statement, so it only writes the text.
Every statement says what both SQLite and PostgreSQL understand; a test compiles each one for both.

Security: what strangers say reaches the database as parameters only, never as text of a statement; what neither
database can hold (half a surrogate pair, NUL) is replaced by `storable` before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.expression import ClauseElement

_DIALECT = sqlite.dialect(paramstyle="qmark")

OTHER_DIALECTS: list[sa.Dialect] = []
"""For which every statement has to compile too, for the test that says so: what was written is not kept for it."""


class Statement:
    """One statement: its `text` for SQLite, and `bound`, what stands for its marks by name.

    The driver asks SQLite for each parameter's name and looks that up, which took a tenth of what a mail costs.
    `construct` is what it was written as, `columns` those that an INSERT fills; their names are then its parameters.
    """

    __slots__ = ("bound", "names", "text")

    def __init__(self, construct: ClauseElement, *columns: str) -> None:
        for other in OTHER_DIALECTS:
            construct.compile(dialect=other, column_keys=columns or None)
        compiled = construct.compile(dialect=_DIALECT, column_keys=columns or None)
        assert isinstance(compiled, SQLCompiler)
        bound = [name for name, bind in compiled.binds.items() if not bind.required]
        assert not bound, f"a value instead of a parameter or a word: {bound}"
        self.text = str(compiled)
        self.names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self.bound = _in_order(self.names)


def _in_order(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return (lambda values: (values[names[0]],)) if names else (lambda _: ())


def given(name: str, kind: type[sa.types.TypeEngine[Any]] | None = None) -> sa.BindParameter[Any]:
    """A parameter.  In an UPDATE its name must not be a column's."""
    return sa.bindparam(name, type_=kind() if kind else None)


def word(value: StrEnum | str) -> ColumnElement[Any]:
    """A constant keyword in the text, so that the planner sees that a partial index fits."""
    assert value.replace("-", "").replace(":", "").isalnum() or not value
    return sa.literal_column(f"'{value}'")


def number(value: int) -> ColumnElement[Any]:
    """A constant number in the text."""
    return sa.literal_column(str(value))


def storable(text: str) -> str:
    """Text that every database takes: without NUL, and with "?" for what is no character."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return text.encode("utf-8", "replace").decode().replace("\0", "")
