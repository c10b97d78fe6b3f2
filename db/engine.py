"""Connections to a store's file, and what can go wrong with it in a sentence each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from db.errors import StoreError

PATIENCE_SECONDS = 30.0
_CACHE_KIB = 32 * 1024


def open_engine(path: Path, patience: float, *, foreign_keys: bool = True) -> Engine:
    """An engine whose transactions are SQLite's own: DEFERRED ones to read.

    For writers, `engine.execution_options(begin="IMMEDIATE")` takes the write lock at the start,
    waiting for it up to `patience` seconds: a lock wanted later can't always be waited for.
    """
    url = URL.create("sqlite", database=str(path))
    # Threads beyond the pool wait for SQLite's lock, not for a free connection.
    engine = create_engine(url, max_overflow=-1, connect_args={"timeout": patience})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # Transactions begin where we say, not where the driver guesses.
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
        # An acknowledged hand score survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


_SENTENCES = {
    sqlite3.SQLITE_BUSY: "{path} is locked by another program; close that one and try again.",
    sqlite3.SQLITE_LOCKED: "{path} is locked by another program; close that one and try again.",
    sqlite3.SQLITE_NOTADB: "{path} is damaged or not a store of this program; restore a copy.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged; restore a copy of it.",
    sqlite3.SQLITE_FULL: "The disk that holds {path} is full; make room and try again.",
    sqlite3.SQLITE_READONLY: "{path} can't be written; give yourself write permission on it.",
    sqlite3.SQLITE_CANTOPEN: "{path} can't be opened; check that its folder is yours to write.",
    sqlite3.SQLITE_IOERR: "{path} can't be read or written; check its disk.",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the disk or another program did to the file into a `StoreError`."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        sentence = _SENTENCES.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
        if sentence is None:
            raise
        raise StoreError(sentence.format(path=path)) from error
