"""One SQLite file that holds everything a person has done, and the transactions on it."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from db.engine import PATIENCE_SECONDS, explained, open_engine
from db.errors import StoreError
from db.migrating import bring_up_to_date, revision_of
from db.migrations import HEAD
from db.plain_files import check_store_files, created_anew
from db.schema import SettingRow

# Kept in the file's header, so that another program's SQLite file is never taken for a store.
APPLICATION_ID = 0x5461_7374
PAGE_SIZE = 8192


class Store:
    """An open store. Safe to share between threads: every transaction has a connection of its own.

    Writers wait up to `patience` seconds for those in this process, and then as long for others';
    readers wait for nobody and see the store as last committed when they began.
    """

    def __init__(self, path: Path, patience: float = PATIENCE_SECONDS) -> None:
        """For `create` and `open`, which see to it that the file is a store."""
        self.path = path
        self._engine = open_engine(path, patience)
        self._writer = self._engine.execution_options(begin="IMMEDIATE")
        self._patience = patience
        self._turn = threading.Lock()

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, str] | None = None) -> Store:
        """Make an empty store with these settings, whole or not at all.

        Raises `StoreError` if `path` exists or can't be written.
        """
        if path.exists():
            raise StoreError(f"{path} exists already; open it, or choose another place.")
        _remove_killed(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            os.close(created_anew(part))
            _prepare(part)
            bring_up_to_date(part, PATIENCE_SECONDS)
            with closing(cls(part)) as store:
                for name, value in (settings or {}).items():
                    store.set_setting(name, value)
            part.replace(path)
        except OSError as error:
            raise StoreError(f"Can't make {path}: {error.strerror}.") from error
        finally:
            for suffix in ("", "-wal", "-shm"):
                part.with_name(f"{part.name}{suffix}").unlink(missing_ok=True)
        return cls(path)

    @classmethod
    def open(cls, path: Path, patience: float = PATIENCE_SECONDS) -> Store:
        """Open a store, bringing an older one up to date (a copy of it is made beside it first).

        Raises `StoreError` if the file is missing, is no store, is damaged, was written by a newer
        program, or stays locked by another one for `patience` seconds.
        """
        check_store_files(path)
        if not path.is_file():
            raise StoreError(f"There is no store at {path}; make a project with: labeler init DIR")
        store = cls(path, patience)
        try:
            with store.reading() as session:
                revision = _revision_of_a_store(session.connection(), path)
            if revision != HEAD:
                bring_up_to_date(path, patience)
        except BaseException:
            store.close()
            raise
        return store

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Read and write: committed at the end, rolled back whole if anything is raised."""
        with (
            self._in_turn(),
            explained(self.path),
            Session(self._writer, autoflush=False) as session,
        ):
            session.connection()  # Takes the write lock before the first read.
            yield session
            session.commit()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Threads here write one after the other: who waits for SQLite's lock only looks for it now
        and then, up to a tenth of a second apart, and whoever comes meanwhile goes first."""
        has_it = self._turn.acquire(timeout=self._patience)
        try:
            yield
        finally:
            if has_it:
                self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent view of the store; what is written meanwhile is not seen."""
        with explained(self.path), Session(self._engine, autoflush=False) as session:
            yield session

    def setting(self, name: str) -> str | None:
        """The setting's value, `None` where it was never set."""
        with self.reading() as session:
            return session.scalar(select(SettingRow.value).where(SettingRow.name == name))

    def set_setting(self, name: str, value: str) -> None:
        statement = insert(SettingRow).values(name=name, value=value)
        with self.transaction() as session:
            session.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
            )

    def close(self) -> None:
        """Give back the connections; a closed store opens new ones when used again."""
        self._engine.dispose()


def _remove_killed(path: Path) -> None:
    """Remove what programs have left that were killed while they made this store."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.(\d{{1,9}})\.part(-wal|-shm)?")
    for left in path.parent.iterdir() if path.parent.is_dir() else ():
        named = ours.fullmatch(left.name)
        if named and not _runs(int(named[1])):
            with suppress(OSError):
                left.unlink()


def _runs(pid: int) -> bool:
    if os.name != "posix":  # There this would end the process.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _prepare(path: Path) -> None:
    """What is fixed for the life of the file; the page size only while it is empty."""
    with explained(path), closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")


def _revision_of_a_store(connection: Connection, path: Path) -> str | None:
    if connection.exec_driver_sql("PRAGMA application_id").scalar() != APPLICATION_ID:
        raise StoreError(f"{path} is not a store of this program; choose another project folder.")
    return revision_of(connection)
