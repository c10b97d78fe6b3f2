"""The one way to open an SQLite file: nothing that lies in it runs, and no statement has no end.

A file that was handed on may hold what nobody here wrote. Its text may be no UTF-8 (then it comes
as file names do, with lone surrogates), and its pages may lead in circles.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

_LOOKS = 100_000  # steps of SQLite's own between two looks at what is left of them
# Steps of a transaction: far more than any of ours takes on a file of that size, and an end of
# those that would go round in circles.
_STEPS, _STEPS_A_BYTE = 100_000_000, 20
_TRIGGERS_DEEP = 3
# A disk may pack what it keeps, and count it late.
_PACKED, _LITTLE = 16, 64 << 20


class _StepLimit:
    """Those of SQLite's own that a transaction has left."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.left = 0

    def begin(self) -> None:
        self.left = _STEPS + _STEPS_A_BYTE * _bytes_of(self.path)

    def take(self, look: Callable[[], bool]) -> bool:
        """Return whether SQLite is to stop."""
        self.left -= _LOOKS
        return self.left < 0 or look()


class Guarded(sqlite3.Connection):
    """A connection whose transactions have an end; `begin_counting` says that one begins."""

    _steps = _StepLimit(None)

    def guard(self, path: Path | None) -> None:
        self._steps = _StepLimit(path)
        self.begin_counting()
        self.watch(_go_on)

    def size(self) -> int:
        """Return the bytes of the file and its log."""
        return _bytes_of(self._steps.path)

    def begin_counting(self) -> None:
        self._steps.begin()

    def watch(self, look: Callable[[], bool]) -> None:
        """Have `look` called now and then while a statement runs, which ends where it is True."""
        self.set_progress_handler(partial(self._steps.take, look), _LOOKS)

    def unwatch(self) -> None:
        self.watch(_go_on)


def _go_on() -> bool:
    return False


def connect(
    path: Path | str,
    address: str | None = None,
    *,
    kind: type[Guarded] = Guarded,
    timeout: float = 30.0,
    **how: Any,
) -> Guarded:
    """Return a connection to the file at `path` (by `address`, a URI, where that is given).

    `how` goes to `sqlite3.connect`.
    """
    connection = sqlite3.connect(
        address or str(path), uri=address is not None, timeout=timeout, factory=kind, **how
    )
    assert isinstance(connection, Guarded)
    try:
        _guard(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _guard(connection: Guarded, path: Path | str) -> None:
    # Views, triggers and the like may not call what is more than arithmetic.
    connection.execute("PRAGMA trusted_schema = OFF")
    # A page whose cells lie outside of it is damage, not memory to be read.
    connection.execute("PRAGMA cell_size_check = ON")
    if hasattr(connection, "setconfig"):  # from Python 3.12 on
        connection.setconfig(getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE"), True)  # noqa: B009
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, _TRIGGERS_DEEP)
    connection.text_factory = text_of
    connection.guard(Path(path) if str(path) not in ("", ":memory:") else None)


def text_of(data: bytes) -> str:
    """Text as it lies; bytes that are no UTF-8 become lone surrogates, as in names of files."""
    return data.decode("utf-8", "surrogateescape")


def _bytes_of(path: Path | None) -> int:
    """Of the file and its log, but for holes: one may say that it is as large as it likes."""
    total = 0
    for each in () if path is None else (path, path.with_name(f"{path.name}-wal")):
        with suppress(OSError):
            status = each.stat()
            taken = getattr(status, "st_blocks", status.st_size) * 512
            total += min(status.st_size, _PACKED * taken + _LITTLE)
    return total
