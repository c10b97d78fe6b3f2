"""Connections to a store's file, and what can go wrong with it in a sentence each."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from db.errors import ReplacedError, StoreError
from db.store.connect import Guarded, connect
from db.store.file_watch import FileWatch, never_close
from db.store.regular_files import check_store_files

PATIENCE_SECONDS = 30.0
_Kind = TypeVar("_Kind", bound=Guarded)
_CACHE_KIB = 32 * 1024
# With less room than this SQLite can't make the files that it needs beside a store.
_LITTLE_ROOM = 128 * 1024


def open_engine(
    path: Path, patience: float, *, foreign_keys: bool = True, watch: FileWatch | None = None
) -> Engine:
    """Return an engine whose transactions are SQLite's own: DEFERRED ones to read.

    For writers, `engine.execution_options(begin="IMMEDIATE")` takes the write lock at the start,
    waiting for it up to `patience` seconds: a lock wanted later can't always be waited for. A store
    that lies where nothing can be written, on a full disk for one, can still be read.
    """
    url = URL.create("sqlite", database=str(path))
    # Threads beyond the pool wait for SQLite's lock, not for a free connection.
    engine = create_engine(url, max_overflow=-1, creator=lambda: _connection(path, patience, watch))

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # Transactions begin where we say, not where the driver guesses.
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
        # An acknowledged hand score survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")
        if watch is not None:  # the log is moved into the file by `Store`, which looks first
            connection.execute("PRAGMA wal_autocheckpoint = 0")

    @event.listens_for(engine, "checkin")
    def _given_back(connection: Any, record: Any) -> None:
        # Once there is room again the next reader must see what is written then.
        if isinstance(connection, _ImmutableConnection):
            record.invalidate()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        driver_connection(connection).begin_counting()
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def driver_connection(connection: Connection) -> Guarded:
    """Return SQLite's own connection below SQLAlchemy's."""
    driven = connection.connection.driver_connection
    assert isinstance(driven, Guarded)
    return driven


class _ImmutableConnection(Guarded):
    """To a store that nobody can be writing in: nothing is put beside it."""


class _WatchedConnection(Guarded):
    """To a store that is looked at; closed only while that is the one that was opened.

    As the last one to be closed it would move the log into whatever lies there now.
    """

    file_watch: FileWatch | None = None

    def close(self) -> None:
        if self.file_watch is None or not self.file_watch.stopped:
            super().close()
        elif self.in_transaction:
            self.rollback()


def is_watched(connection: object) -> bool:
    """Return whether a driver's connection is one to a store that can be written."""
    return isinstance(connection, _WatchedConnection)


def _connection(path: Path, patience: float, watch: FileWatch | None) -> sqlite3.Connection:
    """Return a connection that has seen the store; raises what SQLite does where there can be
    none.
    """
    check_store_files(path)
    if watch is not None:
        watch.refuse_stopped()
    try:
        before = path.stat().st_ino
        connection = _opened(path, _address(path, "mode=rw"), patience, _WatchedConnection)
        if path.stat().st_ino != before:
            never_close(connection)
            raise ReplacedError(f"{path} was replaced while it was opened; try again.")
        if watch is not None:
            connection.file_watch = watch
            watch.connected(connection)
        return connection
    except sqlite3.OperationalError as error:
        if not is_write_error(error) or not _rests(path):
            raise
        return _opened(path, immutable_uri(path), patience, _ImmutableConnection)


def immutable_uri(path: Path) -> str:
    """Return the address of a file that nobody writes: nothing is locked, or put beside it."""
    return _address(path, "mode=ro&immutable=1")


def _address(path: Path, how: str) -> str:
    return f"{path.absolute().as_uri()}?{how}"


def _opened(path: Path, address: str, patience: float, kind: type[_Kind]) -> _Kind:
    connection = connect(
        path,
        address,
        kind=kind,
        timeout=patience,
        check_same_thread=False,  # the pool gives it to one thread at a time
    )
    assert isinstance(connection, kind)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _rests(path: Path) -> bool:
    """Return whether all that was ever written is in the file itself, and nothing can be written
    now.

    Whoever has it open for writing has a log beside it; the last one to close it takes that along.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        if not path.stat().st_size or (log.exists() and log.stat().st_size):
            return False
    except OSError:
        return False
    return _is_full(path) or not os.access(path.parent, os.W_OK)


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _LITTLE_ROOM
    except OSError:
        return False


_UNWRITTEN = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
)
_FULL = "The disk that holds {path} is full; make room on it and try again."
_TOO_LARGE = (
    "{path} holds a value that is too large to be one of this program's; run: labeler doctor "
    "--repair"
)
_OVERFLOW = "integer overflow"  # of a sum, which has no code of its own
_SENTENCES = {
    sqlite3.SQLITE_BUSY: "{path} is locked by another program; close that one and try again.",
    sqlite3.SQLITE_LOCKED: "{path} is locked by another program; close that one and try again.",
    sqlite3.SQLITE_NOTADB: "{path} is damaged or not a store of this program; restore a copy.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged; restore a backup of it, or run: labeler doctor",
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: "{path} can't be written; give yourself write permission on it and on "
    "its folder, or see to it that its disk is not read-only.",
    sqlite3.SQLITE_CANTOPEN: "{path} can't be opened; check that it and its folder are there and "
    "yours to write.",
    sqlite3.SQLITE_IOERR: "{path} can't be read or written; check its disk.",
    sqlite3.SQLITE_INTERRUPT: "{path} is damaged: reading it comes to no end; restore a backup of "
    "it, or run: labeler doctor",
    sqlite3.SQLITE_TOOBIG: _TOO_LARGE,
    sqlite3.SQLITE_NOMEM: "There is not enough memory for what {path} holds; close other programs, "
    "and if that is not it, run: labeler doctor",
}


@contextmanager
def store_errors_explained(path: Path) -> Iterator[None]:
    """Turn what the disk or another program did to the file into a `StoreError`."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        code = primary_code(cause)
        # On a full disk SQLite tells of one only where it writes the store or its log.
        sentence = _FULL if is_write_error(cause) and _is_full(path) else _SENTENCES.get(code)
        if code == sqlite3.SQLITE_ERROR and str(cause) == _OVERFLOW:
            sentence = _TOO_LARGE
        if sentence is None:
            raise
        raise StoreError(sentence.format(path=path)) from error


def is_write_error(error: BaseException | None) -> bool:
    """Return whether SQLite could not write, or not make the files that it needs beside a store."""
    cause = error.orig if isinstance(error, DatabaseError) else error
    return primary_code(cause) in _UNWRITTEN


def primary_code(error: BaseException | None) -> int:
    """Return SQLite's primary error code; 0 for an error that isn't SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
