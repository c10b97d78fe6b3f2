"""Copies of a store that is in use: as of one moment, whole, and checked.

The copy is made of the pages as they were when it began. What is written meanwhile goes to the
store's log beside it, so that nobody waits for the copy, and the copy not for them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from db.store.commit_numbers import new_lineage
from db.store.connect import Guarded, connect
from db.store.engine import PATIENCE_SECONDS, immutable_uri, primary_code, store_errors_explained
from db.store.regular_files import check_store_files, opened_or_created
from db.store.schema_check import APPLICATION_ID, unexpected_objects

# Called now and then with the pages done and all pages; may raise to stop the work.
Watch = Callable[[int, int], None]

_PAGES_AT_ONCE = 1024
_SYNCED_BYTES = 32 << 20  # so much is written before the disk is given time to take it
MOST_PROBLEMS = 100
_CHECK_KIB = 256 * 1024  # with SQLite's usual 2 MB the check takes a multiple of the time


def _unwatched(done: int, total: int) -> None:
    """For callers who don't watch."""


def copy_store(path: Path, to: Path, watch: Watch = _unwatched) -> None:
    """Copy the store at `path`, as last committed now, over the file `to`.

    Raises `StoreError` where either can't be read or written; `to` is worth nothing then.
    """
    check_store_files(path)
    check_store_files(to)
    emptied = opened_or_created(to)
    os.truncate(emptied, 0)
    os.close(emptied)
    with (
        store_errors_explained(path),
        closing(connect(path, timeout=PATIENCE_SECONDS)) as source,
    ):
        # Held to the end: a store that changes under the copy would let it begin anew each time.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with store_errors_explained(to), closing(connect(to)) as target:
            # Nobody reads it before it is whole, so it needs no way back.
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            with to.open("rb") as written:
                source.backup(
                    target, pages=_PAGES_AT_ONCE, progress=_spread(watch, written.fileno(), source)
                )
                # Told from the store itself wherever it is put: see db/store/commit_numbers.py.
                target.execute(f"PRAGMA user_version = {new_lineage()}")
                os.fsync(written.fileno())


def _spread(
    watch: Watch, descriptor: int, source: sqlite3.Connection
) -> Callable[[int, int, int], None]:
    """Tell how far the copy is, and have the disk take what was written bit by bit.

    Else the first score that is kept afterwards would wait for gigabytes to be written.
    """
    (page_size,) = source.execute("PRAGMA page_size").fetchone()
    pages, synced = _SYNCED_BYTES // page_size, 0

    def stepped(_status: int, remaining: int, total: int) -> None:
        nonlocal synced
        done = total - remaining
        if done - synced >= pages:
            os.fsync(descriptor)
            synced = done
        watch(done, total)

    return stepped


def problems_of(path: Path, watch: Watch = _unwatched, *, resting: bool = False) -> list[str]:
    """Return what SQLite finds wrong in the file at `path`, at most `MOST_PROBLEMS` lines; none is
    good.

    `resting` files are used by nobody, and are looked at without anything being put beside them.
    `watch` is told nothing but that the work goes on (0 of 0). Raises `StoreError` for a file that
    can't be read at all.
    """
    with store_errors_explained(path), closing(_opened(path, resting)) as connection:
        try:
            connection.execute(f"PRAGMA cache_size = {-_CHECK_KIB}")
            with _watched(connection, watch):
                rows = connection.execute(f"PRAGMA integrity_check({MOST_PROBLEMS})").fetchall()
        except sqlite3.DatabaseError as error:
            # Some damage it tells, over other damage it stumbles.
            if primary_code(error) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_INTERRUPT):
                raise
            return [str(error)]
    return [str(row[0]) for row in rows if row[0] != "ok"]


def unexpected_objects_of(path: Path) -> list[str]:
    """Return what lies in the file's schema that this program never makes, each in some words.

    None of it is run. Raises `StoreError` for a file that can't be read at all; one that is damaged
    so that its schema can't be told has none.
    """
    check_store_files(path)
    with (
        store_errors_explained(path),
        closing(connect(path, timeout=PATIENCE_SECONDS)) as connection,
    ):
        try:
            (ours,) = connection.execute("PRAGMA application_id").fetchone()
            return unexpected_objects(connection) if ours == APPLICATION_ID else []
        except sqlite3.DatabaseError as error:
            if primary_code(error) == sqlite3.SQLITE_CORRUPT:
                return []
            raise


def _opened(path: Path, resting: bool) -> Guarded:
    check_store_files(path)
    return connect(path, immutable_uri(path) if resting else None, timeout=PATIENCE_SECONDS)


@contextmanager
def _watched(connection: Guarded, watch: Watch) -> Iterator[None]:
    """Let `watch` look in while one long statement runs, and raise what it raises."""
    raised: list[BaseException] = []

    def look() -> bool:
        try:
            watch(0, 0)
        except BaseException as error:
            raised.append(error)
        return bool(raised)

    connection.watch(look)
    try:
        yield
    except sqlite3.OperationalError:
        if raised:
            raise raised[0] from None
        raise
    finally:
        connection.unwatch()
