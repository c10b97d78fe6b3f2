"""Putting another store in the place of one, whole or not at all, with the old one kept beside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from db.errors import StoreError
from db.store.commit_numbers import file_and_log_belong, new_lineage
from db.store.connect import connect
from db.store.engine import immutable_uri, store_errors_explained
from db.store.file_watch import never_close
from db.store.migrate import known_revisions
from db.store.migrations.known import HEAD
from db.store.schema_check import APPLICATION_ID, check, revision_of
from db.store.snapshot import problems_of
from db.store.store import Store

BESIDE = ("-wal", "-shm")


def check_backup(copy: Path, name: str) -> None:
    """Raise `StoreError` unless the file `copy`, called `name` by the person, is a whole store of
    this program, of a schema that it knows."""
    try:
        with closing(connect(copy, immutable_uri(copy))) as connection:
            (ours,) = connection.execute("PRAGMA application_id").fetchone()
            if ours != APPLICATION_ID:
                raise StoreError(f"{name} is no backup of this program; nothing was restored.")
            check(connection, name)
            revision = revision_of(connection)
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{name} is damaged or no backup of this program ({error}); nothing was restored."
        ) from error
    if revision not in known_revisions():
        raise StoreError(
            f"{name} was written by a newer version of this program (schema {revision}); update "
            "the program. Nothing was restored."
        )
    if revision == HEAD:
        Store.open(copy).close()  # with all that is looked at there
    if problems := problems_of(copy, resting=True):
        raise StoreError(
            f"{name} is damaged ({problems[0]}), so nothing was restored; take another backup."
        )


def mark_anew(copy: Path) -> None:
    """Have a copied store numbered anew, so that it is told from all others with its past."""
    with store_errors_explained(copy), closing(connect(copy, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {new_lineage()}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def exchange(path: Path, new: Path, keep_as: Path) -> bool:
    """Give the store at `path` the content of the file `new`, which takes its name.

    The old one is kept as `keep_as`, with its log where that could not be moved into it; False
    where there was none. Raises `StoreError` where somebody has it open; all is as it was then.
    """
    if path.is_symlink():
        raise StoreError(f"{path} is a link to another place; restore where the store really lies.")
    if not path.exists():
        _move_logs(path, keep_as)
        new.replace(path)
        return False
    if not path.is_file():
        raise StoreError(f"{path} is no file; move it away and run this again.")
    with _nobody_else(path):
        try:
            keep_as.hardlink_to(path)  # so that the name is never without a store
        except OSError:
            path.rename(keep_as)
        _move_logs(path, keep_as)
        new.replace(path)
    return True


def _move_logs(path: Path, keep_as: Path) -> None:
    """Have the log beside the store that it belongs to; an empty one is of no use."""
    for end in BESIDE:
        old = path.with_name(f"{path.name}{end}")
        with suppress(FileNotFoundError):
            if end == "-shm" or not old.stat().st_size:
                old.unlink()
            else:
                old.rename(keep_as.with_name(f"{keep_as.name}{end}"))


@contextmanager
def _nobody_else(path: Path) -> Iterator[None]:
    """Hold the store alone, its log moved into it if the two belong together and can be read."""
    together = file_and_log_belong(path)
    connection = connect(path, timeout=1, isolation_level=None)
    try:
        _take(connection, path, together)
        yield
    except BaseException:
        if not together:  # as long as it has its name SQLite would move a strange log into it
            never_close(connection)
        else:
            connection.close()
        raise
    connection.close()


def _take(connection: sqlite3.Connection, path: Path, together: bool) -> None:
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        if together:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(
                f"{path} is open in another program; close the app and every command that uses it, "
                "and run this again."
            ) from error
        # A damaged one: it is kept as it is, and no program can have opened it.


def sync_folder(folder: Path) -> None:
    """Have the disk take the new names, where it can be told to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
