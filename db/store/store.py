"""One SQLite file that holds everything a person has done, and the transactions on it."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.errors import ReplacedError, StoreError, UnreadableValue
from db.store.cell_checks import first_unreadable_row
from db.store.commit_numbers import file_and_log_belong, following, log_of, new_lineage
from db.store.connect import connect
from db.store.engine import (
    PATIENCE_SECONDS,
    driver_connection,
    is_watched,
    open_engine,
    store_errors_explained,
)
from db.store.file_watch import FileWatch
from db.store.migrate import bring_up_to_date
from db.store.migrations.known import HEAD
from db.store.regular_files import check_store_files, created_anew
from db.store.schema import SettingRow
from db.store.schema_check import APPLICATION_ID, check, revision_of

PAGE_SIZE = 8192
# Seconds between two looks at what others may be moving.
_PAUSES = (0.02, 0.05, 0.1, 0.0)
# With so much in it the log is moved into the file: what SQLite takes for its default, 1000 pages.
_LONG_LOG = 1000 * PAGE_SIZE


class Store:
    """An open store. Safe to share between threads: every transaction has a connection of its own.

    Writers wait up to `patience` seconds for those in this process, and then as long for others';
    readers wait for nobody and see the store as last committed when they began.
    """

    def __init__(self, path: Path, patience: float = PATIENCE_SECONDS) -> None:
        """For `create` and `open`, which see to it that the file is a store."""
        self.path = path
        self._watch = FileWatch(path, HEAD)
        self._engine = open_engine(path, patience, watch=self._watch)
        self._writer = self._engine.execution_options(begin="IMMEDIATE")
        self._patience = patience
        self._turn = threading.Lock()
        self._long_log = _LONG_LOG

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
        check_log(path)
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
        """Read and write: committed at the end, rolled back whole if anything is raised.

        Raises `ReplacedError` where the file or its log is not the one that was opened, also after
        the commit: what was written is in the store that lies at `path`, or not acknowledged.
        """
        with (
            self._in_turn(),
            store_errors_explained(self.path),
            Session(self._writer, autoflush=False) as session,
        ):
            since = self._begin()
            driver = driver_connection(
                session.connection()
            )  # Takes the write lock before the first read.
            number, changes = self._look(session.connection(), since), driver.total_changes
            with _naming_unreadable_rows(session):
                yield session
                session.flush()
            changed = driver.total_changes != changes
            if changed:
                number = following(number)
                driver.execute(f"PRAGMA user_version = {number}")
            session.commit()
            if changed and is_watched(driver):
                self._watch.committed(number, self._latest)
                if self._watch.log_size > self._long_log:
                    self._empty_log()

    @property
    def is_stopped(self) -> bool:
        """Return whether the file isn't the one that was opened; nothing is written then."""
        return self._watch.stopped

    def _begin(self) -> int:
        self._watch.refuse_stopped()
        return self._watch.number

    def _look(self, connection: Connection, since: int) -> int:
        """See to it that the store is the one that was opened; the number of its last commit."""
        driver = driver_connection(connection)
        if not is_watched(driver):
            return 0
        return self._watch.look(driver, lambda: revision_of(driver), since)

    def _latest(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())

    def checkpoint(self) -> bool:
        """Move what the log holds into the file, so that the file alone is the store.

        Waits for nobody: False where somebody reads or writes at this moment.
        """
        if not self._turn.acquire(blocking=False):
            return False
        try:
            self._watch.refuse_stopped()
            with store_errors_explained(self.path):
                return self._empty_log()
        finally:
            self._turn.release()

    def _empty_log(self) -> bool:
        """In our turn. Without success the next try is made when the log has grown by as much."""
        with closing(self._engine.raw_connection()) as pooled:
            driver = pooled.driver_connection
            if not isinstance(driver, sqlite3.Connection) or not is_watched(driver):
                return False
            driver.execute("PRAGMA busy_timeout = 0")
            try:
                self._look_between(driver)
                # The first leaves room for writers, and little to do for the second.
                for how in ("PASSIVE", "TRUNCATE"):
                    busy, _, _ = driver.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
                    self._look_between(driver)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in (
                    sqlite3.SQLITE_BUSY,
                    sqlite3.SQLITE_LOCKED,
                ):
                    raise
                busy = True
            finally:
                driver.execute(f"PRAGMA busy_timeout = {int(1000 * self._patience)}")
        self._long_log = self._watch.log_size + _LONG_LOG if busy else _LONG_LOG
        return not busy

    def _look_between(self, driver: sqlite3.Connection) -> None:
        since = self._watch.number
        driver.execute("BEGIN")
        try:
            self._watch.look(driver, lambda: revision_of(driver), since)
        finally:
            driver.execute("ROLLBACK")

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
        """Yield one consistent view of the store; what is written meanwhile is not seen."""
        with (
            store_errors_explained(self.path),
            Session(self._engine, autoflush=False) as session,
            _naming_unreadable_rows(session),
        ):
            since = self._begin()
            self._look(session.connection(), since)
            yield session

    def setting(self, name: str) -> str | None:
        """Return the setting's value, `None` where it was never set."""
        with self.reading() as session:
            return session.scalar(select(SettingRow.value).where(SettingRow.name == name))

    def set_setting(self, name: str, value: str) -> None:
        statement = insert(SettingRow).values(name=name, value=value)
        with self.transaction() as session:
            session.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
            )

    def keep_setting(self, name: str, value: str) -> str:
        """Set it where it is not set; return what it is now, the same to all who ask at once."""
        statement = insert(SettingRow).values(name=name, value=value)
        with self.transaction() as session:
            session.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
            kept = select(SettingRow.value).where(SettingRow.name == name)
            return str(session.scalar(kept))

    def close(self) -> None:
        """Give back the connections; a closed store opens new ones when used again.

        The last one to close a store moves its log into the file. Where that is another one now,
        all stay open to the end of the process.
        """
        with suppress(StoreError, SQLAlchemyError):
            if self._watch.number and not self._watch.stopped:
                with self.reading():
                    pass
        self._engine.dispose()
        if not self._watch.stopped:
            self._watch.forget()


def check_log(path: Path) -> None:
    """Raise `ReplacedError` where the log beside a store is not of the same moment as its file.

    Before it is opened: SQLite would read both as one, and close them as one.
    """
    for wait in _PAUSES:  # others may be moving the log at this moment
        if file_and_log_belong(path):
            return
        time.sleep(wait)
    raise ReplacedError(
        f"{path} and {log_of(path).name} beside it are not of the same moment: the folder was "
        "copied while the app was open, or one of the two was put there alone. Copy it again with "
        "the app closed, restore a backup (labeler backup makes one while the app is open), or use "
        "the file without its log: labeler doctor --repair"
    )


@contextmanager
def _naming_unreadable_rows(session: Session) -> Iterator[None]:
    """Have a value that can't be read told with the row that it is of."""
    try:
        yield
    except UnreadableValue as error:
        row = first_unreadable_row(driver_connection(session.connection()), error.place)
        raise UnreadableValue(error.place, error.value, row) from error


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
    with store_errors_explained(path), closing(connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {new_lineage()}")
        connection.execute("PRAGMA journal_mode = WAL")


def _revision_of_a_store(connection: Connection, path: Path) -> str | None:
    if connection.exec_driver_sql("PRAGMA application_id").scalar() != APPLICATION_ID:
        raise StoreError(f"{path} is not a store of this program; choose another project folder.")
    driven = driver_connection(connection)
    check(driven, path)
    return revision_of(driven)
