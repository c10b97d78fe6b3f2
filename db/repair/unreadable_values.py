"""Values that can't be read, wherever in the store they lie: found, and made such as can be.

A bit that flipped, or a stranger's hand: SQLite keeps anything in any column. What is said by the
other values of a row is kept, hand scores above all; a row that means nothing without the value
goes. Embeddings and predictions are looked at for what they hold by db/repair/invalid_values.py.
"""

from __future__ import annotations

import random
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table

from db.store.cell_checks import (
    Row,
    UnreadableCells,
    is_band,
    is_sound,
    unreadable_cells,
    unreadable_columns,
)
from db.store.column_types import (
    LONGEST_MENDED,
    Blob,
    BoundedInteger,
    BoundedReal,
    BoundedText,
    Choice,
    FileNameText,
    JsonDocument,
    StrictBoolean,
    UtcTime,
)
from db.store.schema import Base

Cure = Callable[[sqlite3.Connection, Row], Any]
_GONE = object()  # in place of a value without which the row means nothing
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).isoformat(timespec="microseconds")
_TIMES = ("at", "created_at", "started_at")
_AT_ONCE = 20_000
_NEIGHBOURS = 20


def repair(connection: Connection, driven: sqlite3.Connection) -> None:
    """Make every value readable, in the transaction that is open."""
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    # Read before it is changed; where there are very many, again and again.
    while found := list(islice(unreadable_cells(driven), _AT_ONCE)):
        for each in found:
            _repair(driven, each)


def _repair(driven: sqlite3.Connection, each: UnreadableCells) -> None:
    where, key = _where(each)
    row = repaired(driven, each.table, each.row)
    if row is not None:
        changed = [name for name in row if row[name] is not each.row[name]]
        listed = ", ".join(f"{name} = ?" for name in changed)
        for offered in _offers(each.table, row, changed):
            with suppress(sqlite3.IntegrityError):
                values = [offered[name] for name in changed]
                driven.execute(f"UPDATE {each.table.name} SET {listed} WHERE {where}", values + key)
                return
    driven.execute(f"DELETE FROM {each.table.name} WHERE {where}", key)


def put(new: sqlite3.Connection, table: Table, row: Row) -> bool:
    """Add a repaired row to another store; return False where there is one of its kind already."""
    marks = ", ".join("?" * len(row))
    for offered in _offers(table, row, list(row)):
        with suppress(sqlite3.IntegrityError):
            statement = f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({marks})"
            new.execute(statement, list(offered.values()))
            return True
    return False


def _offers(table: Table, row: Row, changed: list[str]) -> Iterator[Row]:
    """Yield the row, and with names that no other row has."""
    yield row
    alone = [name for name in changed if table.columns[name].unique and isinstance(row[name], str)]
    if alone:
        yield row | {name: f"{row[name]} {secrets.token_hex(4)}" for name in alone}


def _where(each: UnreadableCells) -> tuple[str, list[Any]]:
    """Return SQL that tells the row, and its parameters; text that is no UTF-8 is told by its
    bytes.
    """
    if each.table.dialect_options["sqlite"]["with_rowid"]:
        return "rowid = ?", [each.key[0]]
    conditions, values = [], []
    for column, value in zip(each.table.primary_key, each.key, strict=True):
        conditions.append(f"typeof({column.name}) = typeof(?) AND")
        conditions.append(f"CAST({column.name} AS BLOB) IS CAST(? AS BLOB) AND")
        text = isinstance(value, str)
        values += ["" if text else value, _as_bytes(value) if text else value]
    return " ".join(conditions).removesuffix(" AND"), values


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def repaired(source: sqlite3.Connection, table: Table, row: Row) -> Row | None:
    """Return the row with values that can be read, as `source`, where it lies, tells; None if
    nothing is left that means anything.
    """
    mended = dict(row)
    for name in unreadable_columns(table, row):
        cure = _CURES.get(f"{table.name}.{name}")
        value = cure(source, mended) if cure else _usual(source, table, name, mended)
        if value is _GONE:
            return None
        mended[name] = value
    if table.name == "sources" and not is_band(mended):
        mended |= {"expect_low": None, "expect_high": None}
    return mended if is_sound(table, mended) else None


def _usual(source: sqlite3.Connection, table: Table, name: str, row: Row) -> Any:
    column, value = table.columns[name], row[name]
    kind = column.type
    if value is not None and isinstance(kind, FileNameText | BoundedText):
        return _words_of(kind, value)
    if column.nullable:
        return None
    if column.primary_key or column.foreign_keys or isinstance(kind, Choice | Blob):
        return _GONE
    return _time(source, table, name, row) if isinstance(kind, UtcTime) else _nothing(kind)


def _words_of(kind: FileNameText | BoundedText, value: Any) -> Any:
    """As much of it as is text."""
    if isinstance(kind, FileNameText):
        return kind.process_bind_param(kind.read(value), None)
    return _words(value)


def _nothing(kind: Any) -> Any:
    """Return what says least."""
    if isinstance(kind, BoundedInteger):
        return max(0, kind.low)
    if isinstance(kind, JsonDocument):
        return "{}" if kind.kind is dict else "[]"
    return 0 if isinstance(kind, BoundedReal | StrictBoolean) else ""


def _words(value: Any) -> str:
    if isinstance(value, str):
        value = _as_bytes_of_any(value)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text[:LONGEST_MENDED]


def _as_bytes_of_any(text: str) -> bytes:
    try:
        return _as_bytes(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _time(source: sqlite3.Connection, table: Table, name: str, row: Row) -> str:
    """Another time of the row, else that of a row before it: so their order stays."""
    is_sound = UtcTime().is_sound
    own = [row[each] for each in _TIMES if each != name and is_sound(row.get(each))]
    if own:
        return str(own[0])
    if not isinstance(row.get("id"), int):
        return _EPOCH
    query = f"SELECT {name} FROM {table.name} WHERE rowid < ? ORDER BY rowid DESC LIMIT ?"
    with suppress(sqlite3.DatabaseError):
        before = source.execute(query, (row["id"], _NEIGHBOURS)).fetchall()
        return next((kept for (kept,) in before if is_sound(kept)), _EPOCH)
    return _EPOCH


def _score(_source: sqlite3.Connection, row: Row) -> Any:
    """Return the score as a number, also where it was kept as text."""
    value = row["value"]
    if isinstance(value, bytes | str):
        with suppress(ValueError):
            value = float(value)
    return float(value) if BoundedReal(0, 10).is_sound(value) else _GONE


def _still_undone(_source: sqlite3.Connection, row: Row) -> Any:
    """When is not known, but that it was."""
    is_sound = UtcTime().is_sound(row["at"])
    return row["at"] if is_sound else _EPOCH


def _width(source: sqlite3.Connection, row: Row) -> int:
    """Of its embeddings."""
    query = "SELECT length(vector) / 4 FROM embeddings WHERE encoder_id = ? LIMIT 1"
    with suppress(sqlite3.DatabaseError):
        first = source.execute(query, (row["id"],)).fetchone()
        if first and isinstance(first[0], int) and first[0] > 0:
            return int(first[0])
    return 1


def _called(what: str) -> Cure:
    """Return the name as it can be read, else one by its number."""

    def named(_source: sqlite3.Connection, row: Row) -> str:
        return f"lost {what} {row.get('id')}"

    return named


def _is(value: Any) -> Cure:
    return lambda _source, _row: value


def _new_id(_source: sqlite3.Connection, _row: Row) -> str:
    return f"recovered-{secrets.token_hex(8)}"


_CURES: dict[str, Cure] = {
    "hand_scores.value": _score,
    "hand_scores.event_id": _new_id,
    "hand_scores.why": _is("first"),
    "hand_scores.undone_at": _still_undone,
    "skips.event_id": _new_id,
    "skips.undone_at": _still_undone,
    "images.state": _is("missing"),
    "images.source_id": _is(1),
    "images.shuffle": lambda _source, _row: random.getrandbits(31),
    "locations.source_id": _is(1),
    "sources.name": _called("source"),
    "encoders.identity": _called("encoder"),
    "encoders.width": _width,
    "versions.name": _called("version"),
    "versions.file": lambda _source, row: f"lost-{row.get('id')}.safetensors",
    "versions.encoder_id": _is(1),
    "versions.threshold": _is(0.5),
    "runs.state": _is("failed"),
    "rounds.threshold": _is(0.5),
    "rounds.finished_at": lambda source, row: _time(
        source, Base.metadata.tables["rounds"], "finished_at", row
    ),
}
