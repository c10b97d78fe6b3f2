"""Reading what can be read of a damaged store into a new one.

Table by table, around the pages that can't be read. Hand scores that nothing leads to any more are
looked for on all pages of the file; what the store keeps twice is made anew from the rest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Table

import db.repair.consistency
import db.repair.unreadable_values
import db.store.cell_checks
from db.errors import StoreError
from db.repair.page_scan import rows_of
from db.store.cell_checks import Row as OwnRow
from db.store.connect import Guarded, connect
from db.store.engine import store_errors_explained
from db.store.regular_files import check_store_files
from db.store.schema import Base
from db.store.store import Store

Row = tuple[Any, ...]
Watch = Callable[[str], None]  # called with the name of the table that is being read

FileState = tuple[int, int, int, int]  # which file, its bytes, when written; bytes of its log

_AT_ONCE = 2000
_LONGEST_SKIP = 1 << 40
# Ids looked up one by one in a stretch that can't be read at once, and behind the last one known.
_MOST_PROBED, _MOST_BEHIND = 2_000_000, 50_000
_LONGEST = 64 << 20  # bytes of a row: none that the store ever took has more
_SMALLEST = 4  # bytes of a row
_SCORES = "hand_scores"
_MOST_TABLES = 10_000
_NUMBERS = {"rowid", "oid", "_rowid_"}  # what a row's own number is asked for by
_MADE_ANEW = "image_counts"  # by the triggers


@dataclass
class RecoveredRows:
    """How many rows of each table were read; `cut` tables were not read to their end.

    `from_pages` of the hand scores were found only page by page. `state` is that of the damaged
    file when it was read.
    """

    kept: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    from_pages: int = 0
    state: FileState = (0, 0, 0, 0)


def recover_rows(path: Path, to: Path, watch: Watch = lambda _: None) -> RecoveredRows:
    """Make a new store at `to` of what can be read of the damaged one at `path`, which nobody
    else may have open. Before the one takes the place of the other: `check_unchanged`.

    Raises `StoreError` if another program has it open, or not even its tables can be told.
    """
    result = RecoveredRows()
    with closing(Store.create(to)) as store:
        with (
            closing(_opened_alone(path)) as damaged,
            store_errors_explained(to),
            closing(connect(to)) as new,
        ):
            new.execute("PRAGMA foreign_keys = OFF")
            tables = _tables_in(damaged)
            for table in Base.metadata.sorted_tables:
                if table.name != _MADE_ANEW:
                    watch(table.name)
                    _take(damaged, new, table, tables, result)
            new.commit()
            result.state = _settled(damaged, path)
        # SQLite passes over rows without a word where a page leads to a wrong one.
        # A table of a stranger's with as many columns may hold others than were ever given.
        if tables <= Base.metadata.tables.keys() | {"alembic_version"} or _SCORES in result.cut:
            watch("hand_scores page by page")
            result.from_pages = _scores_from_pages(path, to)
        result.kept["hand_scores"] = result.kept.get("hand_scores", 0) + result.from_pages
        watch("what follows from them")
        for check in db.repair.consistency.CONSISTENCY_CHECKS:
            if db.repair.consistency.find(store, check):
                db.repair.consistency.repair(store, check)
    return result


def check_unchanged(path: Path, found: RecoveredRows) -> None:
    """Raise `StoreError` if somebody has the damaged store open or has written to it since."""
    with closing(_opened_alone(path)):
        if _state(path) != found.state:
            raise StoreError(
                f"{path} was written while it was read, and stays as it is; close the app and "
                "every command that uses it, and run this again."
            )


def _settled(damaged: sqlite3.Connection, path: Path) -> FileState:
    """Return the state of the file once all of its log is in it, where the page scan looks for
    it.
    """
    with suppress(sqlite3.DatabaseError):
        damaged.execute("COMMIT")
        damaged.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return _state(path)


def _state(path: Path) -> FileState:
    status, log = path.stat(), path.with_name(f"{path.name}-wal")
    waiting = log.stat().st_size if log.exists() else 0
    return status.st_ino, status.st_size, status.st_mtime_ns, waiting


def _opened_alone(path: Path) -> Guarded:
    """Return a connection beside which there is none, in this or another process."""
    check_store_files(path)
    connection = connect(path, timeout=1, isolation_level=None)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    try:
        # Has SQLite pass over what in the schema makes no sense. Nothing is written.
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise StoreError(
                f"{path} is open in another program; close the app and every command that uses it, "
                "and run this again."
            ) from error
        raise StoreError(
            f"Nothing can be read of {path} ({error}); restore a backup of it."
        ) from error
    return connection


def _tables_in(damaged: sqlite3.Connection) -> set[str]:
    """Return the names of what are tables, and neither views nor what a module makes up."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%TABLE%'"
    names: set[str] = set()
    with suppress(sqlite3.DatabaseError):
        for (name,) in islice(damaged.execute(query), _MOST_TABLES):
            names.add(name)
    return names


def _take(
    damaged: Guarded, new: sqlite3.Connection, table: Table, tables: set[str], result: RecoveredRows
) -> None:
    columns = _columns_of(damaged, table) if table.name in tables else []
    if not columns:
        result.cut.append(table.name)
        return
    damaged.begin_counting()
    keyed = table.dialect_options["sqlite"]["with_rowid"]
    reading = _TableReader(damaged, table.name, columns)
    rows = reading.by_number() if keyed else reading.from_both_ends()
    most = damaged.size() // _SMALLEST  # else some are read again and again
    result.kept[table.name] = 0
    batches = islice(rows, most)
    lacking = dict.fromkeys(_needed(table) - set(columns))
    while batch := [
        dict(zip(columns, row, strict=True)) | lacking for row in islice(batches, _AT_ONCE)
    ]:
        result.kept[table.name] += _put(damaged, new, table, batch)
    if reading.cut or next(rows, None) is not None:
        result.cut.append(table.name)


def _columns_of(damaged: sqlite3.Connection, table: Table) -> list[str]:
    """Return those of ours that are there, and are kept rather than worked out."""
    try:
        columns = damaged.execute(f"PRAGMA table_xinfo({table.name})").fetchall()
    except sqlite3.DatabaseError:
        return []
    names = {name for _, name, *_, hidden in columns if not hidden}
    return [] if names & _NUMBERS else [each.name for each in table.columns if each.name in names]


def _needed(table: Table) -> set[str]:
    """Return the columns without which there is no row."""
    return {
        each.name
        for each in table.columns
        if not (each.nullable or each.server_default or each.primary_key)
    }


def _put(damaged: Guarded, new: sqlite3.Connection, table: Table, rows: list[OwnRow]) -> int:
    """Add the rows, those with odd values as `db.repair.unreadable_values` mends them; returns how
    many.
    """
    names = list(rows[0])
    marks = ", ".join("?" * len(names))
    put = f"INSERT OR IGNORE INTO {table.name} ({', '.join(names)}) VALUES ({marks})"
    sound = [row for row in rows if db.store.cell_checks.is_sound(table, row)]
    added = new.executemany(put, [tuple(row.values()) for row in sound]).rowcount if sound else 0
    for row in rows:
        if not db.store.cell_checks.is_sound(table, row):
            mended = db.repair.unreadable_values.repaired(damaged, table, row)
            added += mended is not None and db.repair.unreadable_values.put(new, table, mended)
    return added


def _scores_from_pages(path: Path, to: Path) -> int:
    """Add the hand scores that only their own pages still tell; returns how many."""
    table = Base.metadata.tables[_SCORES]
    names = [column.name for column in table.columns]
    put = f"INSERT OR IGNORE INTO hand_scores VALUES ({', '.join('?' * len(names))})"
    rows = (
        (number, *values[1:])
        for number, values in rows_of(path, len(names))
        if db.store.cell_checks.is_sound(
            table, dict(zip(names, (number, *values[1:]), strict=True))
        )
    )
    with store_errors_explained(to), closing(connect(to)) as new:
        added = new.executemany(put, rows).rowcount
        new.commit()
    return added


class _RowsRepeat(Exception):
    """A page leads to rows that came already."""


class _TableReader:
    """One table, as far as it can be read; `cut` if something could not."""

    def __init__(self, connection: sqlite3.Connection, table: str, columns: list[str]) -> None:
        self._connection = connection
        self._listed, self._table, self.cut = ", ".join(columns), table, False
        self._probes = _MOST_PROBED

    def by_number(self) -> Iterator[Row]:
        """Yield the rows by rising id. Behind a place that can't be read it goes on further and
        further on, and then looks up one by one what was skipped.
        """
        last, skip, skipping, first = 0, 1, False, True
        query = (
            f"SELECT rowid, {self._listed} FROM {self._table} NOT INDEXED"
            " WHERE rowid >= ? ORDER BY rowid"
        )
        if self._table == "settings" or not self._has_ids():
            yield from self.from_both_ends()
            return
        start = -(1 << 62)
        while skip < _LONGEST_SKIP:
            try:
                for row in self._connection.execute(query, (start,)):
                    if not first and row[0] <= last:
                        raise _RowsRepeat
                    first = False
                    if skipping:
                        yield from self._one_by_one(last + 1, row[0])
                        skipping = False
                    yield row[1:]
                    last, skip = row[0], 1
            except (sqlite3.DatabaseError, _RowsRepeat) as error:
                if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR and first:
                    yield from self.from_both_ends()  # no row has a number of its own
                    return
                self.cut = skipping = True
                start, skip = last + 1 + skip, skip * 2
            else:
                break
        if skipping:
            yield from self._one_by_one(last + 1, min(start, last + _MOST_BEHIND))

    def _one_by_one(self, first: int, end: int) -> Iterator[Row]:
        query = f"SELECT {self._listed} FROM {self._table} NOT INDEXED WHERE rowid = ?"
        for number in range(first, min(end, first + self._probes)):
            self._probes -= 1
            with suppress(sqlite3.DatabaseError):
                yield from self._connection.execute(query, (number,)).fetchall()

    def _has_ids(self) -> bool:
        return "id" in Base.metadata.tables[self._table].columns

    def from_both_ends(self) -> Iterator[Row]:
        """Yield the rows by their key, from the first on and, if that breaks off, from the last
        back.
        """
        key = ", ".join(column.name for column in Base.metadata.tables[self._table].primary_key)
        back = ", ".join(f"{name} DESC" for name in key.split(", "))
        for order in (key, back):
            query = f"SELECT {self._listed} FROM {self._table} NOT INDEXED ORDER BY {order}"
            try:
                yield from self._connection.execute(query)
            except sqlite3.DatabaseError:
                self.cut = True
            else:
                return
