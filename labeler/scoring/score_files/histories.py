"""Histories that this program exported: every hand score, with scorer, time and reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from labeler.core.files.csv_reader import header_of
from labeler.scoring.score_files.statements import (
    BROKEN,
    NAMELESS,
    NO_NUMBER,
    NO_PATH,
    ReaderNotes,
    ReadOptions,
    RecordedScore,
    Statement,
    StatementError,
    Statements,
    read_score,
    short,
    utc_time,
)
from labeler.scoring.score_files.tables import Row, table_rows

# Columns that together identify a history of this program.
MARKS = ("event", "scorer", "score", "at", "undone_at")
NESTED = "history"
HASH = "hash"  # of the image's content


def is_history(file: Path) -> bool:
    """Return whether it is a CSV file with the columns of a history."""
    return file.suffix.lower() == ".csv" and set(MARKS) <= set(header_of(file))


def has_histories(file: Path) -> bool:
    """Return whether a Parquet or JSON lines file has a column with each image's history."""
    first = next(table_rows(file, [("path", "file_name")], (NESTED,)), None)
    if file.suffix.lower() == ".csv" or first is None:
        return False
    nested = first.cells.get(NESTED)
    return isinstance(nested, list) and all(
        isinstance(each, dict) and set(MARKS) <= set(each) for each in nested
    )


def read_history(file: Path, reading: ReadOptions, notes: ReaderNotes) -> Statements:  # noqa: ARG001
    """Yield a statement for each hand score, also for undone ones, in the file's order."""
    for row in table_rows(file, [("path", "file_name")], (NESTED, HASH)):
        try:
            yield from _statements(row, reading)
        except StatementError as error:
            yield error.at(row.number)


def _statements(row: Row, reading: ReadOptions) -> Iterator[Statement]:
    name = (reading.path_column or "").lower()
    path = row.text((name, "path", "file_name"))
    if not path.strip():
        raise StatementError(NO_PATH, "there is no path in this line.")
    if NESTED not in row.cells:
        yield _statement(row, path, row.cells)
        return
    nested = row.cells[NESTED] or []
    if not isinstance(nested, list):
        raise StatementError(BROKEN, "its history is no list; export the history again.")
    for cells in nested:
        yield _statement(row, path, cells)
    if not nested:
        yield Statement(row.number, (path,), None, content_hash=row.text((HASH,)) or None)


def _statement(row: Row, path: str, cells: Mapping[str, Any]) -> Statement:
    if not isinstance(cells, Mapping) or not set(MARKS) <= set(cells):
        raise StatementError(BROKEN, f"a history has {', '.join(MARKS)}; export the history again.")
    score = read_score(cells["score"])
    if score is None:
        raise StatementError(NO_NUMBER, "a history has no line without a score.")
    at = _time(cells["at"])
    if at is None:
        raise StatementError(BROKEN, f"{short(cells['at'])} is no time; export the history again.")
    prediction = _prediction(cells.get("shown_prediction"))
    return Statement(
        place=row.number,
        images=(path,),
        score=score,
        scorer=str(cells["scorer"] or NAMELESS),
        at=at,
        content_hash=row.text((HASH,)) or None,
        event=RecordedScore(
            event_id=str(cells["event"]),
            why=_text(cells.get("why")),
            queue=_text(cells.get("queue")),
            shown_prediction=prediction,
            undone_at=_time(cells["undone_at"]),
            at_least=_bound(cells.get("at_least")),
            below=_bound(cells.get("below")),
        ),
    )


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise StatementError(BROKEN, f"{short(value)} is no text; export the history again.")
    return value or None


def _prediction(value: Any) -> float | None:
    try:
        prediction = float(value) if value not in (None, "") else None
        return prediction if prediction is not None and 0 <= prediction <= 1 else None
    except (TypeError, ValueError, OverflowError):
        raise StatementError(
            BROKEN, f"{short(value)} is no prediction; export the history again."
        ) from None


def _bound(value: Any) -> float | None:
    """Return what a confirmation says; a history of before has none, and is as it was."""
    return None if value in (None, "") else read_score(value)


def _time(value: Any) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        return utc_time(value if isinstance(value, datetime) else str(value))
    except ValueError:
        raise StatementError(
            BROKEN, f"{short(value)} is no time; export the history again."
        ) from None
