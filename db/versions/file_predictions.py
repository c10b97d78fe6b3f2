"""What versions predicted for files, in the project or not, so that what is interrupted goes on.

A file of its own beside the store. Nothing else knows of it: it may be removed at any time, and
one that is damaged is made anew.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from db.errors import StoreError
from db.store.connect import connect
from db.store.engine import PATIENCE_SECONDS, is_write_error, primary_code, store_errors_explained
from db.store.regular_files import check_folder, check_store_files, created

VERSIONS_KEPT = 3
_FORMAT = 1
_PRIVATE_FOLDER = 0o700
_AT_ONCE = 5000
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS version (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, used INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS predicted (
    version INTEGER NOT NULL, file BLOB NOT NULL, prediction REAL NOT NULL,
    PRIMARY KEY (version, file)
) WITHOUT ROWID;
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
_OURS = [" ".join(part.split()) for part in _SCHEMA.split(";") if "TABLE" in part]
_KEEP = "INSERT OR REPLACE INTO predicted VALUES (?, ?, ?)"


class _UnexpectedTables(Exception):
    """The file has other tables than are made here."""


def file_key(path: str, mtime_ns: int, size_bytes: int) -> bytes:
    """Return a name of 16 bytes for a file as it is now: a changed one has another."""
    text = f"{mtime_ns} {size_bytes} {path}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).digest()


class FilePredictions:
    """What one version predicted, 0–1, by `file_key`; for the thread that opened it."""

    def __init__(self, connection: sqlite3.Connection, path: Path, version: int) -> None:
        self._connection, self._path, self._version = connection, path, version

    def get(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        """Return those of `keys` that it predicted."""
        predictions: dict[bytes, float] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            query = (
                f"SELECT file, prediction FROM predicted WHERE version = ? AND file IN ({marks})"
            )
            with store_errors_explained(self._path):
                rows = self._connection.execute(query, (self._version, *part)).fetchall()
            predictions |= {
                key: each for key, each in rows if type(each) is float and 0 <= each <= 1
            }
        return predictions

    def put(self, new: Mapping[bytes, float]) -> None:
        """Keep these from now on, whatever happens next; on a full disk they are let go."""
        rows = [(self._version, key, prediction) for key, prediction in new.items()]
        try:
            with store_errors_explained(self._path), self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_KEEP, rows)
        except StoreError as error:
            if not is_write_error(error.__cause__):
                raise


def is_predicted(path: Path, key: bytes) -> bool:
    """Return whether any version that is kept in `path` predicted the file of this key."""
    query = "SELECT 1 FROM predicted WHERE version IN (SELECT id FROM version) AND file = ?"
    with suppress(StoreError, sqlite3.DatabaseError):
        check_store_files(path)
        if path.is_file():
            with closing(connect(path, timeout=PATIENCE_SECONDS)) as kept:
                return kept.execute(query, (key,)).fetchone() is not None
    return False


@contextmanager
def open_file_predictions(path: Path, version: str) -> Iterator[FilePredictions]:
    """Open the predictions kept in `path` for the version of that name; the last used are kept.

    Where nothing can be written, nothing is kept beyond this. Raises `StoreError` for a file that
    is locked.
    """
    with store_errors_explained(path):
        connection, version_id = _opened(path, version)
    with store_errors_explained(path), closing(connection):
        yield FilePredictions(connection, path, version_id)


def _opened(path: Path, version: str) -> tuple[sqlite3.Connection, int]:
    try:
        if not check_folder(path.parent):
            path.parent.mkdir(_PRIVATE_FOLDER)
        return _of_version(_whole(path), version)
    except (OSError, StoreError, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.DatabaseError) and not is_write_error(error):
            raise
        return _of_version(_connected(Path(":memory:")), version)


def _of_version(connection: sqlite3.Connection, name: str) -> tuple[sqlite3.Connection, int]:
    try:
        return connection, _version_id(connection, name)
    except BaseException:
        connection.close()
        raise


def _whole(path: Path) -> sqlite3.Connection:
    check_store_files(path)
    with suppress(FileExistsError):
        os.close(created(path, 0o666 & path.parent.stat().st_mode))
    try:
        return _connected(path)
    except (sqlite3.DatabaseError, _UnexpectedTables) as error:
        if not isinstance(error, _UnexpectedTables) and primary_code(error) not in _DAMAGED:
            raise
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    connection = connect(path, timeout=PATIENCE_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (written,) = connection.execute("PRAGMA user_version").fetchone()
        # Somebody else's triggers would run at each write.
        if written not in (0, _FORMAT) or _tables(connection) not in ([], _OURS):
            raise _UnexpectedTables
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Return what made each object of the file, in the order of `_SCHEMA`."""
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    return [" ".join(sql.split()).replace("TABLE ", "TABLE IF NOT EXISTS ", 1) for (sql,) in rows]


def _version_id(connection: sqlite3.Connection, name: str) -> int:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        (turn,) = connection.execute("SELECT coalesce(max(used), 0) + 1 FROM version").fetchone()
        connection.execute(
            "INSERT INTO version (name, used) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET used = excluded.used",
            (name, turn),
        )
        old = connection.execute(
            "SELECT id FROM version ORDER BY used DESC LIMIT -1 OFFSET ?", (VERSIONS_KEPT,)
        ).fetchall()
        connection.executemany("DELETE FROM predicted WHERE version = ?", old)
        connection.executemany("DELETE FROM version WHERE id = ?", old)
        (version_id,) = connection.execute(
            "SELECT id FROM version WHERE name = ?", (name,)
        ).fetchone()
    return int(version_id)
