"""What versions predict, and what they predicted for images held out of their training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from sqlalchemy import LargeBinary, bindparam, exists, func, insert, select, update
from sqlalchemy.orm import Session

from db.query_parts import (
    Ids,
    Query,
    concatenated_columns,
    driver_rows,
    id_array,
    is_in,
    numbers,
    packed,
    python_ids,
)
from db.records import Predictions
from db.store.schema import EmbeddingRow, OutOfFoldRow, PredictionRow, VersionRow, VersionScoreRow
from db.store.store import Store

EXCEED = np.dtype("<f2")
BRACKETS = 10
_UNKNOWN = np.full(BRACKETS, np.nan, dtype=EXCEED).tobytes()


# So that whoever keeps predictions in memory knows when there are others.
_ANOTHER_BATCH = (
    update(VersionRow.__table__)  # type: ignore[arg-type]
    .where(VersionRow.id == bindparam("version"))
    .values(batches=VersionRow.batches + 1)
)


_PUT = """INSERT INTO predictions (version_id, image_id, score, exceed) VALUES (?, ?, ?, ?)
    ON CONFLICT (version_id, image_id)
    DO UPDATE SET score = excluded.score, exceed = excluded.exceed"""
_HELD_SECONDS = 0.02  # about how long a transaction keeps others from writing
_FIRST, _FEWEST, _MOST = 1000, 250, 20_000  # rows of a transaction


def put_predictions(store: Store, version_id: int, new: Predictions) -> None:
    """Keep predictions; one kept before is replaced.

    A person who scores meanwhile hardly waits: each transaction is short, and the next one leaves
    others as long to write theirs. `without_prediction` tells what is left after an interruption.
    """
    # In the order of their index every transaction changes few of its pages, else nearly all.
    ranked = np.argsort(new.scores, kind="stable")
    start, size = 0, _FIRST
    while start < len(new):
        rows = list(_rows(version_id, new, ranked[start : start + size]))
        with store.transaction() as session:
            began = time.perf_counter()
            connection = session.connection()
            connection.exec_driver_sql(_PUT, rows)
            connection.execute(_ANOTHER_BATCH, {"version": version_id})
        held = time.perf_counter() - began
        start += size
        size = int(np.clip(size * np.clip(_HELD_SECONDS / held, 0.5, 2), _FEWEST, _MOST))
        if start < len(new):
            # Whoever waits for SQLite's lock looks for it now and then, and must find it free.
            time.sleep(held)


def keep_out_of_fold(session: Session, version_id: int, new: Predictions) -> None:
    """Part of the transaction that adds the version; `new.folds` must be there."""
    if new.folds is None:
        raise ValueError("out-of-fold predictions need their folds")
    folds = python_ids(new.folds)
    made = _rows(version_id, new, np.arange(len(new)))
    names = ("version_id", "image_id", "score", "exceed", "fold")
    rows = [
        dict(zip(names, (*row, fold), strict=True)) for row, fold in zip(made, folds, strict=True)
    ]
    if rows:
        session.execute(insert(OutOfFoldRow.__table__), rows)  # type: ignore[arg-type]


def predictions(store: Store, version_id: int, ids: Ids | None = None) -> Predictions:
    """Return what the version predicts: for all images by rising id, or for `ids` in their order.

    Images without a prediction are left out.
    """
    if ids is None:
        return _all(store, version_id)
    requested = python_ids(ids)
    query = select(PredictionRow.image_id, PredictionRow.score, PredictionRow.exceed).where(
        PredictionRow.version_id == version_id, is_in(PredictionRow.image_id, requested)
    )
    with store.reading() as session:
        rows = driver_rows(session, query)
    rows_by_id = {row[0]: row for row in rows}
    return _arrays([rows_by_id[i] for i in requested if i in rows_by_id])


def scores(store: Store, version_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ids (n,) int64, rising, and predictions (n,) float32, 0–1, of all images."""
    query = select(PredictionRow.image_id, PredictionRow.score)
    with store.reading() as session:
        columns = concatenated_columns(session, _of_version(query, version_id))
    return numbers(columns[0], np.int64), numbers(columns[1], np.float32)


def _all(store: Store, version_id: int) -> Predictions:
    exceed = func.coalesce(PredictionRow.exceed, _UNKNOWN, type_=LargeBinary).label("exceed")
    query = select(PredictionRow.image_id, PredictionRow.score, exceed)
    with store.reading() as session:
        columns = concatenated_columns(session, _of_version(query, version_id))
    ids, scores = numbers(columns[0], np.int64), numbers(columns[1], np.float32)
    exceeds = packed(columns[2], len(ids), BRACKETS, EXCEED)
    if np.isnan(exceeds[:, 0]).all():
        return Predictions(ids, scores)
    return Predictions(ids, scores, exceeds.astype(np.float32))


def _of_version(query: Query, version_id: int) -> Query:
    its_own = PredictionRow.version_id == version_id
    return query.where(its_own).order_by(PredictionRow.image_id)


def out_of_fold(store: Store, version_id: int, ids: Ids | None = None) -> Predictions:
    """Return the version's predictions, with folds, for the images it was trained on, by rising id.

    For those of `ids` only, if given.
    """
    query = (
        select(OutOfFoldRow.image_id, OutOfFoldRow.score, OutOfFoldRow.exceed, OutOfFoldRow.fold)
        .where(OutOfFoldRow.version_id == version_id)
        .order_by(OutOfFoldRow.image_id)
    )
    if ids is not None:
        query = query.where(is_in(OutOfFoldRow.image_id, python_ids(ids)))
    with store.reading() as session:
        rows = driver_rows(session, query)
    arrays = _arrays(rows)
    folds = id_array([row[3] for row in rows])
    return Predictions(arrays.image_ids, arrays.scores, arrays.exceed, folds)


def without_prediction(store: Store, version_id: int, encoder_id: int) -> np.ndarray:
    """Return ids (n,) int64, rising, of images with an embedding but no prediction by this
    version.
    """
    predicted = exists().where(
        PredictionRow.version_id == version_id, PredictionRow.image_id == EmbeddingRow.image_id
    )
    query = (
        select(EmbeddingRow.image_id)
        .where(EmbeddingRow.encoder_id == encoder_id, ~predicted.correlate(EmbeddingRow))
        .order_by(EmbeddingRow.image_id)
    )
    with store.reading() as session:
        if _has_predicted_all(session, version_id, encoder_id):
            return id_array([])
        return numbers(concatenated_columns(session, query)[0], np.int64)


def has_predicted_all(store: Store, version_id: int, encoder_id: int) -> bool:
    """Return whether every image with an embedding has a prediction by this version."""
    with store.reading() as session:
        return _has_predicted_all(session, version_id, encoder_id)


def _has_predicted_all(session: Session, version_id: int, encoder_id: int) -> bool:
    # Counting takes a tenth of looking at each of a million, and only embedded images are
    # predicted: of neither is ever one removed.
    embedded = select(func.count()).where(EmbeddingRow.encoder_id == encoder_id)
    predicted = select(func.count()).where(PredictionRow.version_id == version_id)
    return session.scalars(embedded).one() <= session.scalars(predicted).one()


def trained_on(store: Store, version_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ids (n,) int64, rising, and hand scores (n,) float64, 0–10, of the training set."""
    query = (
        select(VersionScoreRow.image_id, VersionScoreRow.value)
        .where(VersionScoreRow.version_id == version_id)
        .order_by(VersionScoreRow.image_id)
    )
    with store.reading() as session:
        rows = driver_rows(session, query)
    values = np.array([value for _, value in rows], dtype=np.float64)
    return id_array([image_id for image_id, _ in rows]), values


def _rows(
    version_id: int, new: Predictions, places: np.ndarray
) -> Iterator[tuple[int, int, float, bytes | None]]:
    """(version id, image id, score, exceed) of the predictions at `places`."""
    ids, scores = python_ids(new.image_ids[places]), new.scores[places].tolist()
    exceed = [None] * len(ids) if new.exceed is None else _packed(new.exceed[places])
    return zip(repeat(version_id, len(ids)), ids, scores, exceed, strict=True)


def _packed(exceed: np.ndarray) -> list[bytes | None]:
    packed = exceed.astype(EXCEED).tobytes()
    size = BRACKETS * EXCEED.itemsize
    known = ~np.isnan(exceed).any(axis=1)
    return [packed[i * size : (i + 1) * size] if k else None for i, k in enumerate(known.tolist())]


def _arrays(rows: Sequence[tuple[Any, ...]]) -> Predictions:
    ids = id_array([row[0] for row in rows])
    scores = np.array([row[1] for row in rows], dtype=np.float32)
    if not any(row[2] is not None for row in rows):
        return Predictions(ids, scores)
    joined = b"".join(row[2] or _UNKNOWN for row in rows)
    exceed = packed(joined, len(rows), BRACKETS, EXCEED)
    return Predictions(ids, scores, exceed.astype(np.float32))


def prediction_batches(store: Store, version_id: int) -> int:
    """Return how often predictions of the version were kept: it grows whenever there are others."""
    query = select(VersionRow.batches).where(VersionRow.id == version_id)
    with store.reading() as session:
        return session.scalar(query) or 0
