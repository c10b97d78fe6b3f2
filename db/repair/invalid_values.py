"""Values that can't be: embeddings of another width or not finite, predictions outside 0–1.

Read piece by piece, so that memory stays flat whatever there is. What is dropped is computed anew
by the next embedding and predicting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sqlalchemy import ColumnElement, LargeBinary, case, cast, delete, func, select
from sqlalchemy.orm import Session

from db.images.embeddings import VECTOR, rows_at_once
from db.query_parts import NO_SYNC, concatenated_columns, id_array, is_in, numbers, unchecked_rows
from db.store.schema import EmbeddingRow, EncoderRow, OutOfFoldRow, PredictionRow, VersionRow
from db.store.store import Store
from db.versions.predictions import BRACKETS, EXCEED

Watch = Callable[[int], None]  # called with the number of rows that were looked at since
_VECTORS_AT_ONCE = 2048
_PREDICTIONS_AT_ONCE = 50_000
_DROPPED_AT_ONCE = 5000


def unwatched(more: int) -> None:
    """Do nothing: the progress of callers who don't watch."""


def totals(store: Store) -> tuple[int, int]:
    """Return how many embeddings there are, and how many predictions (out-of-fold ones, too)."""
    with store.reading() as session:
        counted = [
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (EmbeddingRow, PredictionRow, OutOfFoldRow)
        ]
    return counted[0], counted[1] + counted[2]


def bad_embeddings(store: Store, watch: Watch = unwatched) -> Iterator[tuple[int, int]]:
    """(encoder id, image id) of embeddings that are not of their encoder's width, or not finite."""
    with store.reading() as session:
        widths = dict(unchecked_rows(session, select(EncoderRow.id, EncoderRow.width)))
    at_once = rows_at_once(max(filter(_is_width, widths.values()), default=1), _VECTORS_AT_ONCE)
    # Of another length than its encoder's it need not be read, which may be a gigabyte.
    length = EncoderRow.width * VECTOR.itemsize
    fitting = case((func.length(EmbeddingRow.vector) == length, EmbeddingRow.vector))
    query = (
        select(EmbeddingRow.id, EmbeddingRow.encoder_id, EmbeddingRow.image_id, fitting)
        .outerjoin(EncoderRow, EncoderRow.id == EmbeddingRow.encoder_id)
        .order_by(EmbeddingRow.id)
    )
    last = -(2**63)
    while True:
        with store.reading() as session:
            piece = query.where(EmbeddingRow.id > last).limit(at_once)
            rows = unchecked_rows(session, piece)
        if not rows:
            return
        last = rows[-1][0]
        yield from ((row[1], row[2]) for row in _unusable(rows, widths))
        watch(len(rows))


def _unusable(
    rows: Sequence[tuple[int, int, int, bytes]], widths: dict[int, int]
) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield those of (number, encoder id, image id, vector) whose vector can't be used."""
    for encoder_id in {row[1] for row in rows}:
        own = [row for row in rows if row[1] == encoder_id]
        width = widths.get(encoder_id, 0)
        fitting = [row for row in own if _is_vector(row[3], width)]
        yield from (row for row in own if not _is_vector(row[3], width))
        if fitting:
            joined = b"".join(row[3] for row in fitting)
            values = np.frombuffer(joined, dtype=VECTOR).reshape(len(fitting), width)
            finite = np.isfinite(values).all(axis=1)
            yield from (fitting[place] for place in np.flatnonzero(~finite).tolist())


def _is_width(width: object) -> bool:
    return isinstance(width, int) and width > 0


def _is_vector(value: object, width: int) -> bool:
    return isinstance(value, bytes) and 0 < len(value) == width * VECTOR.itemsize


def drop_embeddings(store: Store, encoder_id: int, image_ids: Sequence[int]) -> None:
    """Drop these embeddings, and what was predicted from them."""
    versions = select(VersionRow.id).where(VersionRow.encoder_id == encoder_id)
    for start in range(0, len(image_ids), _DROPPED_AT_ONCE):
        ids = image_ids[start : start + _DROPPED_AT_ONCE]
        with store.transaction() as session:
            its_own = EmbeddingRow.encoder_id == encoder_id
            _run(session, delete(EmbeddingRow).where(its_own, _among(EmbeddingRow, ids)))
            by_them = PredictionRow.version_id.in_(versions)
            _run(session, delete(PredictionRow).where(by_them, _among(PredictionRow, ids)))


def bad_predictions(
    store: Store, version_id: int, *, out_of_fold: bool = False, watch: Watch = unwatched
) -> np.ndarray:
    """Return ids (n,) of images whose prediction by the version, or a bracket, is not from 0 to
    1.
    """
    table = OutOfFoldRow if out_of_fold else PredictionRow
    bad = [_outside(store, table, version_id)]
    last = -(2**63)
    while True:
        with store.reading() as session:
            ids, packed = _piece(session, table, version_id, last)
        if not len(ids):
            return np.unique(np.concatenate(bad))
        last = int(ids[-1])
        values = np.frombuffer(packed, dtype=EXCEED).reshape(len(ids), BRACKETS)
        bad.append(ids[~((values >= 0) & (values <= 1)).all(axis=1)])
        watch(len(ids))


def _outside(
    store: Store, table: type[PredictionRow | OutOfFoldRow], version_id: int
) -> np.ndarray:
    """Where the prediction is no number from 0 to 1, or there are not ten brackets."""
    wrong = ~table.score.between(0, 1) | (func.typeof(table.score) == "text")
    broken = table.exceed.is_not(None) & ~_is_whole(table)
    query = select(table.image_id).where(table.version_id == version_id, wrong | broken)
    with store.reading() as session:
        return id_array([row[0] for row in unchecked_rows(session, query)])


def _piece(
    session: Session, table: type[PredictionRow | OutOfFoldRow], version_id: int, after: int
) -> tuple[np.ndarray, bytes]:
    """Return the next images (n,) behind one id, and their brackets; zeros where they can't be
    read.
    """
    size = BRACKETS * EXCEED.itemsize
    whole = case((_is_whole(table), table.exceed), else_=bytes(size))
    query = (
        select(table.image_id, cast(whole, LargeBinary).label("exceed"))
        .where(table.version_id == version_id, table.image_id > after)
        .order_by(table.image_id)
        .limit(_PREDICTIONS_AT_ONCE)
    )
    ids, packed = concatenated_columns(session, query)
    assert not isinstance(packed, str)
    return numbers(ids, np.int64), packed or b""


def _is_whole(table: type[PredictionRow | OutOfFoldRow]) -> ColumnElement[bool]:
    size = BRACKETS * EXCEED.itemsize
    return (func.typeof(table.exceed) == "blob") & (func.length(table.exceed) == size)


def drop_predictions(store: Store, version_id: int, image_ids: Sequence[int]) -> None:
    its_own = PredictionRow.version_id == version_id
    for start in range(0, len(image_ids), _DROPPED_AT_ONCE):
        ids = image_ids[start : start + _DROPPED_AT_ONCE]
        with store.transaction() as session:
            _run(session, delete(PredictionRow).where(its_own, _among(PredictionRow, ids)))


def _among(table: type[EmbeddingRow | PredictionRow], ids: Sequence[int]) -> ColumnElement[bool]:
    return is_in(table.image_id, [int(image_id) for image_id in ids])


def _run(session: Session, statement: object) -> None:
    session.execute(statement, execution_options=NO_SYNC)  # type: ignore[call-overload]
