"""Notice that a store's file or log was replaced, overwritten or removed while it is open.

SQLite doesn't: it goes on with what it has open and, as the last one to close it, moves its log
into whatever lies there then. So each transaction looks before its first row and after its commit,
and a store that is not the one that was opened any more is left as it lies, for good.
"""

from __future__ import annotations

import ctypes
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from db.errors import ReplacedError, StoreError
from db.store.commit_numbers import (
    Log,
    ahead,
    belong,
    first_number,
    last_number,
    log_of,
    number_in,
    read_log,
)

_LOOKS, _PAUSE = 4, 0.02  # others move the log between two of our looks: then the next one is right
_RESTART = (
    "Nothing is written to it any more. Close the app and every command that uses it, put the file "
    "in place with: labeler restore FILE, and start again."
)


class FileWatch:
    """What one store's connections have open, held against what lies under its path."""

    def __init__(self, path: Path, newest: str) -> None:
        """`newest` is the schema revision that this program writes."""
        self._path = path
        self._newest = newest
        self._lock = threading.Lock()
        self._connections: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()
        self._stopped: str | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew: all connections are closed."""
        self._file: tuple[int, int] | None = None  # device and inode
        self._shape: tuple[int, int] | None = None  # bytes, and when written
        self._log: Log | None = None
        self._number = 0  # of the latest commit that is known
        self._logged = 0  # of the one that was seen when `_log` was
        self._schema: int | None = None

    @property
    def number(self) -> int:
        """Return the number of the latest commit that was seen."""
        return self._number

    @property
    def log_size(self) -> int:
        """Return the bytes of the log when it was last checked."""
        return self._log.size if self._log else 0

    @property
    def stopped(self) -> bool:
        return self._stopped is not None

    def connected(self, connection: sqlite3.Connection) -> None:
        self._connections.add(connection)

    def refuse_stopped(self) -> None:
        """Raise again what a look has found; nothing is looked at."""
        if self._stopped is not None:
            raise ReplacedError(self._stopped)

    def look(
        self, connection: sqlite3.Connection, revision: Callable[[], str | None], since: int
    ) -> int:
        """Look within a transaction of `connection`; return the number of the commit that it sees.

        `since` is the `number` from before it began; `revision` reads the schema's. Raises
        `ReplacedError`, from then on always.
        """
        self.refuse_stopped()
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        with self._lock:
            self.refuse_stopped()
            self._same_schema(schema, revision)
            self._stop_if(lambda: self._trouble(number, since))
            if not self._number or (ahead(number, self._number) or 0) > 0:
                self._number = number
        return int(number)

    def committed(self, number: int, read_again: Callable[[], int]) -> None:
        """Look after the commit `number`; `read_again` reads which one is the latest by now.

        Raises `ReplacedError` where the commit does not lie under the store's path.
        """
        with self._lock:
            self.refuse_stopped()
            self._number = number
            self._stop_if(lambda: self._trouble(number, number, read_again))

    def _same_schema(self, schema: int, revision: Callable[[], str | None]) -> None:
        if self._schema not in (None, schema) and (now := revision()) != self._newest:
            self._stop(
                f"{self._path} was brought to schema {now} by another version of this program "
                f"(this one writes {self._newest}). Nothing is written to it any more by this one; "
                "close it and start the newer version."
            )
        self._schema = schema

    def _stop_if(self, trouble: Callable[[], str | None]) -> None:
        why = trouble()
        for _ in range(_LOOKS - 1):
            if why is None:
                return
            time.sleep(_PAUSE)
            why = trouble()
        if why is not None:
            self._stop(why)

    def _stop(self, why: str) -> None:
        self._stopped = why
        for connection in list(self._connections):
            never_close(connection)
        raise ReplacedError(why)

    def _trouble(
        self, number: int, since: int, read_again: Callable[[], int] | None = None
    ) -> str | None:
        """Return why the store is not the one that was opened; None where it is.

        `number` is that of the commit seen, or what `read_again` reads. The log is looked at before
        the file: what is moved from one to the other meanwhile makes the file newer.
        """
        try:
            read = read_log(self._path, self._log)
            now = self._path.stat()
        except FileNotFoundError:  # it may come back, as a folder that was moved away does
            raise ReplacedError(f"{self._path} is not there any more. {_RESTART}") from None
        except OSError as error:
            raise StoreError(
                f"{self._path} can't be read ({error.strerror}); check its disk."
            ) from error
        log, kept = read or (None, True)
        shape = now.st_size, now.st_mtime_ns
        if self._file is None:
            self._file = now.st_dev, now.st_ino
        elif (now.st_dev, now.st_ino) != self._file:
            return f"{self._path} was replaced by another file while it was open. {_RESTART}"
        elif self._log is None:  # SQLite writes the file itself
            return None
        elif log is None or not log.is_file_of(self._log):
            return f"{log_of(self._path)} was removed or replaced while it was in use. {_RESTART}"
        else:
            why = self._changed(log, kept, shape, number, since, read_again=read_again)
            if why is not None:
                return f"{why} {_RESTART}"
        self._shape, self._log, self._logged = shape, log, max(number, since)
        return None

    def _changed(
        self,
        log: Log,
        kept: bool,
        shape: tuple[int, int],
        number: int,
        since: int,
        *,
        read_again: Callable[[], int] | None,
    ) -> str | None:
        """Return what was written by somebody else into the files that are open."""
        assert self._log is not None
        if since and (ahead(number, since) or 0) < 0:
            return f"{self._path} was overwritten by an older copy while it was open."
        if shape != self._shape or log.size < self._log.size or self._begins_anew(log):
            return self._overwritten(read_again() if read_again else number, log)
        # A writer that was killed as it committed leaves frames that nobody counts and the next
        # one writes over; what was committed is still there then.
        if kept or not number or self._is_in_log(number):
            return None
        return f"{log_of(self._path)} was overwritten while it was in use."

    def _is_in_log(self, number: int) -> bool:
        """Return whether the log holds this commit, or a later one."""
        last = last_number(self._path)
        beyond = None if last is None else ahead(last, number)
        return beyond is not None and beyond >= 0

    def _begins_anew(self, log: Log) -> bool:
        return self._log is not None and bool(self._log.salts) and log.salts != self._log.salts

    def _overwritten(self, number: int, log: Log) -> str | None:
        """Return what was written by somebody else, where the file or the log has changed."""
        assert self._log is not None
        first = first_number(self._path)  # before the file, as above
        in_file = number_in(self._path)
        if in_file is None or not belong(in_file, first, number):
            return f"{self._path} was overwritten by another file while it was open."
        # A store of an older program has no numbers before the first commit of this one.
        landed = ahead(in_file, self._logged) if self._logged else 0
        emptied = log.size < self._log.size or self._begins_anew(log)
        if emptied and (landed is None or landed < 0):
            return f"{log_of(self._path)} was overwritten while it was in use."
        if not self._log.size and log.state == self._log.state and not (landed or 0) > 0:
            # Nothing came through the log, so nothing of ours has changed the file.
            return f"{self._path} was written by another program while it was open."
        return None


def never_close(connection: sqlite3.Connection) -> None:
    """Keep it to the end of the process, which gives back its locks and moves no log."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
