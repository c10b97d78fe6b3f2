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

import db.health
from db.engine import explained
from db.errors import StoreError
from db.page_scan import Value, rows_of
from db.plain_files import check_store_files
from db.records import REASONS_TO_SCORE
from db.schema import Base, HandScoreRow
from db.store import Store

Row = tuple[Any, ...]
Watch = Callable[[str], None]  # called with the name of the table that is being read

FileState = tuple[int, int, int, int]  # which file, its bytes, when written; bytes of its log

_AT_ONCE = 2000
_LONGEST_SKIP = 1 << 40
# Ids looked up one by one in a stretch that can't be read at once, and behind the last one known.
_MOST_PROBED, _MOST_BEHIND = 2_000_000, 50_000
_MADE_ANEW = "image_counts"  # by the triggers


@dataclass
class Salvaged:
    """How many rows of each table were read; `cut` tables were not read to their end.

    `from_pages` of the hand scores were found only page by page. `state` is that of the damaged
    file when it was read.
    """

    kept: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    from_pages: int = 0
    state: FileState = (0, 0, 0, 0)


def salvage(path: Path, to: Path, watch: Watch = lambda _: None) -> Salvaged:
    """Make a new store at `to` of what can be read of the damaged one at `path`, which nobody
    else may have open. Before the one takes the place of the other: `check_unchanged`.

    Raises `StoreError` if another program has it open, or not even its tables can be told.
    """
    found = Salvaged()
    with closing(Store.create(to)) as store:
        with (
            closing(_opened_alone(path)) as damaged,
            explained(to),
            closing(sqlite3.connect(to)) as new,
        ):
            new.execute("PRAGMA foreign_keys = OFF")
            for table in Base.metadata.sorted_tables:
                if table.name != _MADE_ANEW:
                    watch(table.name)
                    _take(damaged, new, table.name, found)
            new.commit()
            found.state = _settled(damaged, path)
        # SQLite passes over rows without a word where a page leads to a wrong one.
        watch("hand_scores page by page")
        found.from_pages = _scores_from_pages(path, to)
        found.kept["hand_scores"] = found.kept.get("hand_scores", 0) + found.from_pages
        watch("what follows from them")
        for ailment in db.health.AILMENTS:
            if db.health.find(store, ailment):
                db.health.mend(store, ailment)
    return found


def check_unchanged(path: Path, found: Salvaged) -> None:
    """Raise `StoreError` if somebody has the damaged store open or has written to it since."""
    with closing(_opened_alone(path)):
        if _state(path) != found.state:
            raise StoreError(
                f"{path} was written while it was read, and stays as it is; close the app and "
                "every command that uses it, and run this again."
            )


def _settled(damaged: sqlite3.Connection, path: Path) -> FileState:
    """The state of the file once all of its log is in it, where the page scan looks for it."""
    with suppress(sqlite3.DatabaseError):
        damaged.execute("COMMIT")
        damaged.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return _state(path)


def _state(path: Path) -> FileState:
    told, log = path.stat(), path.with_name(f"{path.name}-wal")
    waiting = log.stat().st_size if log.exists() else 0
    return told.st_ino, told.st_size, told.st_mtime_ns, waiting


def _opened_alone(path: Path) -> sqlite3.Connection:
    """A connection beside which there is none, in this or another process."""
    check_store_files(path)
    connection = sqlite3.connect(path, timeout=1, isolation_level=None)
    try:
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


def _take(
    damaged: sqlite3.Connection, new: sqlite3.Connection, table: str, found: Salvaged
) -> None:
    columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
    try:
        there = {row[1] for row in damaged.execute(f"PRAGMA table_info({table})")}
    except sqlite3.DatabaseError:
        there = set()
    columns = [name for name in columns if name in there]
    if not columns:
        found.cut.append(table)
        return
    marks = ", ".join("?" * len(columns))
    # What breaks a constraint is no row that the store ever took.
    put = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})"
    keyed = Base.metadata.tables[table].dialect_options["sqlite"]["with_rowid"]
    reading = _Reading(damaged, table, columns)
    rows = reading.by_number() if keyed else reading.from_both_ends()
    found.kept[table] = 0
    while batch := list(islice(rows, _AT_ONCE)):
        found.kept[table] += new.executemany(put, batch).rowcount
    if reading.cut:
        found.cut.append(table)


def _scores_from_pages(path: Path, to: Path) -> int:
    """Add the hand scores that only their own pages still tell; returns how many."""
    table = HandScoreRow.__table__
    names = [column.name for column in table.columns]
    put = f"INSERT OR IGNORE INTO hand_scores VALUES ({', '.join('?' * len(names))})"
    rows = (
        (number, *values[1:])
        for number, values in rows_of(path, len(names))
        if _is_hand_score(values)
    )
    with explained(to), closing(sqlite3.connect(to)) as new:
        added = new.executemany(put, rows).rowcount
        new.commit()
    return added


def _is_hand_score(values: list[Value]) -> bool:
    """Whether these are a row of hand_scores, by what each column holds."""
    _, event_id, image_id, value, why, scorer, at = values[:7]
    texts = isinstance(event_id, str) and isinstance(at, str) and at[4:5] == at[7:8] == "-"
    numbers = isinstance(image_id, int) and isinstance(value, (int, float)) and 0 <= value <= 10
    return texts and numbers and why in REASONS_TO_SCORE and isinstance(scorer, str | None)


class _Reading:
    """One table, as far as it can be read; `cut` if something could not."""

    def __init__(self, connection: sqlite3.Connection, table: str, columns: list[str]) -> None:
        self._connection = connection
        self._listed, self._table, self.cut = ", ".join(columns), table, False

    def by_number(self) -> Iterator[Row]:
        """The rows by rising id. Behind a place that can't be read it goes on further and further
        on, and then looks up one by one what was skipped.
        """
        last, skip, skipping = 0, 1, False
        query = f"SELECT id, {self._listed} FROM {self._table} WHERE id >= ? ORDER BY id"
        if self._table == "settings" or not self._has_ids():
            yield from self.from_both_ends()
            return
        start = -(1 << 62)
        while skip < _LONGEST_SKIP:
            try:
                for row in self._connection.execute(query, (start,)):
                    if skipping:
                        yield from self._one_by_one(last + 1, row[0])
                        skipping = False
                    yield row[1:]
                    last, skip = row[0], 1
            except sqlite3.DatabaseError:
                self.cut = skipping = True
                start, skip = last + 1 + skip, skip * 2
            else:
                break
        if skipping:
            yield from self._one_by_one(last + 1, min(start, last + _MOST_BEHIND))

    def _one_by_one(self, first: int, end: int) -> Iterator[Row]:
        query = f"SELECT {self._listed} FROM {self._table} WHERE id = ?"
        for number in range(first, min(end, first + _MOST_PROBED)):
            with suppress(sqlite3.DatabaseError):
                yield from self._connection.execute(query, (number,)).fetchall()

    def _has_ids(self) -> bool:
        return "id" in Base.metadata.tables[self._table].columns

    def from_both_ends(self) -> Iterator[Row]:
        """The rows by their key, from the first on and, if that breaks off, from the last back."""
        key = ", ".join(column.name for column in Base.metadata.tables[self._table].primary_key)
        back = ", ".join(f"{name} DESC" for name in key.split(", "))
        for order in (key, back):
            query = f"SELECT {self._listed} FROM {self._table} ORDER BY {order}"
            try:
                yield from self._connection.execute(query)
            except sqlite3.DatabaseError:
                self.cut = True
            else:
                return
