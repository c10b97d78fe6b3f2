"""The first score of each image in a long file: kept on disk, so that memory stays flat."""

from __future__ import annotations

import sqlite3
from types import TracebackType

_CACHE_KB = 16_384


class FirstScores:
    """The first score of each image by each scorer, in a file that the system removes."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        self._file.execute(
            "CREATE TABLE first (image, scorer, score, place, PRIMARY KEY (image, scorer))"
            " WITHOUT ROWID"
        )
        self._file.execute("BEGIN")

    def __enter__(self) -> FirstScores:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(
        self, image: int | str, scorer: str, score: float, place: str
    ) -> tuple[float, str] | None:
        """Return the score and place that were added first; None if these are the first."""
        added = self._file.execute(
            "INSERT OR IGNORE INTO first VALUES (?, ?, ?, ?)", (image, scorer, score, place)
        )
        if added.rowcount:
            return None
        first: tuple[float, str] = self._file.execute(
            "SELECT score, place FROM first WHERE image = ? AND scorer = ?", (image, scorer)
        ).fetchone()
        return first
