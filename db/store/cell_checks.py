"""Cells that can't be read, wherever in a store they lie."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from typing import Any

from sqlalchemy import Column, Table

from db.errors import shown
from db.store.column_types import Blob, BoundedInteger, BoundedReal, Checked
from db.store.schema import Base

Row = dict[str, Any]


class UnreadableCells:
    """A row with values that can't be read: which, as `table row: column is value`."""

    def __init__(self, table: Table, key: tuple[Any, ...], row: Row, columns: list[str]) -> None:
        self.table, self.key, self.row, self.columns = table, key, row, columns

    def lines(self) -> Iterator[str]:
        named = ", ".join(map(shown, self.key))
        for name in self.columns:
            yield f"{self.table.name} {named}: {name} is {shown(self.row[name])}"


def unreadable_cells(connection: sqlite3.Connection) -> Iterator[UnreadableCells]:
    """Yield every row of the store that has any, table by table."""
    for table in Base.metadata.sorted_tables:
        yield from _odd_in(connection, table)


def first_unreadable_row(connection: sqlite3.Connection, place: str) -> str | None:
    """Return which row has an unreadable value in "table.column"; None where none can be
    told.
    """
    name, _, column = place.partition(".")
    if name not in Base.metadata.tables:
        return None
    rows = _odd_in(connection, Base.metadata.tables[name])
    each = next((each for each in rows if column in each.columns), None)
    return None if each is None else ", ".join(map(shown, each.key))


def is_sound(table: Table, row: Row) -> bool:
    """Return whether a row that is read somewhere else can be put into a store as it is."""
    return not unreadable_columns(table, row) and (table.name != "sources" or is_band(row))


def unreadable_columns(table: Table, row: Row) -> list[str]:
    """Return the columns of the row whose values can't be read."""
    return [name for name, check in _checks(table) if name in row and not check(row[name])]


def _odd_in(connection: sqlite3.Connection, table: Table) -> Iterator[UnreadableCells]:
    names = [column.name for column in table.columns]
    numbered = table.dialect_options["sqlite"]["with_rowid"]
    keys = ["rowid"] if numbered else [column.name for column in table.primary_key]
    query = f"SELECT {', '.join(keys + names)} FROM {table.name}{_suspicious(table)}"
    checks = [(len(keys) + names.index(name), check) for name, check in _checks(table)]
    with closing(connection.cursor()) as cursor:
        for values in cursor.execute(query):
            if all(check(values[place]) for place, check in checks):
                continue
            row = dict(zip(names, values[len(keys) :], strict=True))
            yield UnreadableCells(table, values[: len(keys)], row, unreadable_columns(table, row))


@cache
def _checks(table: Table) -> list[tuple[str, Callable[[Any], bool]]]:
    return [
        (column.name, _check(column, column.type))
        for column in table.columns
        if isinstance(column.type, Checked) and not _is_elsewhere(column)
    ]


def _is_elsewhere(column: Column[Any]) -> bool:
    """Return what db/repair/invalid_values.py looks at."""
    return isinstance(column.type, Blob) or column.name == "score"


def _check(column: Column[Any], kind: Checked) -> Callable[[Any], bool]:
    optional, is_sound = bool(column.nullable), kind.is_sound
    return lambda value: optional if value is None else is_sound(value)


def _suspicious(table: Table) -> str:
    """Return SQL that passes over the sound rows of tables of numbers, which are the long ones."""
    conditions = []
    for name, _ in _checks(table):
        kind = table.columns[name].type
        if type(kind) is BoundedInteger:
            conditions.append(f"typeof({name}) != 'integer'")
        elif type(kind) is BoundedReal:
            low, high = max(kind.low, -1.7e308), min(kind.high, 1.7e308)
            conditions.append(f"typeof({name}) != 'real' OR {name} NOT BETWEEN {low} AND {high}")
        else:
            return ""
    return f" WHERE {' OR '.join(conditions)}" if conditions else ""


def is_band(row: Row) -> bool:
    low, high = row.get("expect_low"), row.get("expect_high")
    return low is high if low is None or high is None else bool(low <= high)
