"""What was said already while a long file is read: kept on disk, so that memory stays flat."""

from __future__ import annotations

import sqlite3
from types import TracebackType

_CACHE_KB = 16_384


class FirstScores:
    """The first score that was said of each image by each scorer, in a file that goes by itself."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        self._file.execute(
            "CREATE TABLE said (image, scorer, score, place, PRIMARY KEY (image, scorer))"
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
        """The score and place that were said first; `None` if these are."""
        added = self._file.execute(
            "INSERT OR IGNORE INTO said VALUES (?, ?, ?, ?)", (image, scorer, score, place)
        )
        if added.rowcount:
            return None
        found: tuple[float, str] = self._file.execute(
            "SELECT score, place FROM said WHERE image = ? AND scorer = ?", (image, scorer)
        ).fetchone()
        return found
