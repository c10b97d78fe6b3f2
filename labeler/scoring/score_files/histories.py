"""Histories that this program exported: every hand score ever given, by whom, when and why."""

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
    NotTaken,
    ReaderNotes,
    ReadOptions,
    RecordedScore,
    Statement,
    Statements,
    read_score,
    short,
    utc_time,
)
from labeler.scoring.score_files.tables import Row, table_rows

# Of these the history of another program would hardly have all.
MARKS = ("event", "scorer", "score", "at", "undone_at")
NESTED = "history"
HASH = "hash"  # of the image's content


def is_history(file: Path) -> bool:
    """Whether a CSV file is one; a file that can't be read is none."""
    return file.suffix.lower() == ".csv" and set(MARKS) <= set(header_of(file))


def has_histories(file: Path) -> bool:
    """Whether a Parquet or JSON lines file has a column with the history of each image."""
    first = next(table_rows(file, [("path", "file_name")], (NESTED,)), None)
    if file.suffix.lower() == ".csv" or first is None:
        return False
    nested = first.cells.get(NESTED)
    return isinstance(nested, list) and all(
        isinstance(each, dict) and set(MARKS) <= set(each) for each in nested
    )


def read_history(file: Path, reading: ReadOptions, told: ReaderNotes) -> Statements:  # noqa: ARG001
    """A statement for each hand score, undone ones too, in the order in which they came."""
    for row in table_rows(file, [("path", "file_name")], (NESTED, HASH)):
        try:
            yield from _statements(row, reading)
        except NotTaken as error:
            yield error.at(row.number)


def _statements(row: Row, reading: ReadOptions) -> Iterator[Statement]:
    name = (reading.path_column or "").lower()
    path = row.text((name, "path", "file_name"))
    if not path.strip():
        raise NotTaken(NO_PATH, "there is no path in this line.")
    if NESTED not in row.cells:
        yield _statement(row, path, row.cells)
        return
    nested = row.cells[NESTED] or []
    if not isinstance(nested, list):
        raise NotTaken(BROKEN, "its history is no list; export the history again.")
    for cells in nested:
        yield _statement(row, path, cells)
    if not nested:
        yield Statement(row.number, (path,), None, content_hash=row.text((HASH,)) or None)


def _statement(row: Row, path: str, cells: Mapping[str, Any]) -> Statement:
    if not isinstance(cells, Mapping) or not set(MARKS) <= set(cells):
        raise NotTaken(BROKEN, f"a history has {', '.join(MARKS)}; export the history again.")
    score = read_score(cells["score"])
    if score is None:
        raise NotTaken(NO_NUMBER, "a history has no line without a score.")
    at = _time(cells["at"])
    if at is None:
        raise NotTaken(BROKEN, f"{short(cells['at'])} is no time; export the history again.")
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
        ),
    )


def _text(told: Any) -> str | None:
    if told is not None and not isinstance(told, str):
        raise NotTaken(BROKEN, f"{short(told)} is no text; export the history again.")
    return told or None


def _prediction(told: Any) -> float | None:
    try:
        value = float(told) if told not in (None, "") else None
        return value if value is not None and 0 <= value <= 1 else None
    except (TypeError, ValueError, OverflowError):
        raise NotTaken(
            BROKEN, f"{short(told)} is no prediction; export the history again."
        ) from None


def _time(told: Any) -> datetime | None:
    if told in (None, ""):
        return None
    try:
        return utc_time(told if isinstance(told, datetime) else str(told))
    except ValueError:
        raise NotTaken(BROKEN, f"{short(told)} is no time; export the history again.") from None
