"""What versions predict, and what they predicted for images held out of their training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import exists, func, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session, aliased

from db.records import Predictions
from db.rows import Ids, id_array, is_among, plain_ids, plain_rows
from db.schema import EmbeddingRow, OutOfFoldRow, PredictionRow, VersionScoreRow
from db.store import Store

EXCEED = np.dtype("<f2")
BRACKETS = 10
_BATCH = 20_000


def put_predictions(store: Store, version_id: int, new: Predictions) -> None:
    """Keep predictions; one kept before is replaced.

    Written 20,000 at a time, each a transaction of its own, so that nobody who scores meanwhile
    waits for a million of them; `without_prediction` tells what is left after an interruption.
    """
    statement = upsert(PredictionRow.__table__)  # type: ignore[arg-type]
    statement = statement.on_conflict_do_update(
        index_elements=["version_id", "image_id"],
        set_={"score": statement.excluded.score, "exceed": statement.excluded.exceed},
    )
    for start in range(0, len(new), _BATCH):
        rows = list(_rows(version_id, new, slice(start, start + _BATCH)))
        with store.transaction() as session:
            session.execute(statement, rows)


def keep_out_of_fold(session: Session, version_id: int, new: Predictions) -> None:
    """Part of the transaction that adds the version; `new.folds` must be there."""
    if new.folds is None:
        raise ValueError("out-of-fold predictions need their folds")
    folds = plain_ids(new.folds)
    rows = [
        row | {"fold": fold}
        for row, fold in zip(_rows(version_id, new, slice(None)), folds, strict=True)
    ]
    if rows:
        session.execute(upsert(OutOfFoldRow.__table__), rows)  # type: ignore[arg-type]


def predictions(store: Store, version_id: int, ids: Ids | None = None) -> Predictions:
    """What the version predicts: for all images by rising id, or for `ids` in their order.

    Images without a prediction are left out.
    """
    query = select(PredictionRow.image_id, PredictionRow.score, PredictionRow.exceed).where(
        PredictionRow.version_id == version_id
    )
    if ids is None:
        with store.reading() as session:
            return _arrays(plain_rows(session, query.order_by(PredictionRow.image_id)))
    wanted = plain_ids(ids)
    with store.reading() as session:
        rows = plain_rows(session, query.where(is_among(PredictionRow.image_id, wanted)))
    found = {row[0]: row for row in rows}
    return _arrays([found[i] for i in wanted if i in found])


def out_of_fold(store: Store, version_id: int) -> Predictions:
    """The version's predictions, with folds, for the images it was trained on, by rising id."""
    query = (
        select(OutOfFoldRow.image_id, OutOfFoldRow.score, OutOfFoldRow.exceed, OutOfFoldRow.fold)
        .where(OutOfFoldRow.version_id == version_id)
        .order_by(OutOfFoldRow.image_id)
    )
    with store.reading() as session:
        rows = plain_rows(session, query)
    found = _arrays(rows)
    folds = id_array([row[3] for row in rows])
    return Predictions(found.image_ids, found.scores, found.exceed, folds)


def without_prediction(store: Store, version_id: int, encoder_id: int) -> np.ndarray:
    """Ids (n,) int64, rising, of images with an embedding but no prediction by this version."""
    predicted = exists().where(
        PredictionRow.version_id == version_id, PredictionRow.image_id == EmbeddingRow.image_id
    )
    query = (
        select(EmbeddingRow.image_id)
        .where(EmbeddingRow.encoder_id == encoder_id, ~predicted.correlate(EmbeddingRow))
        .order_by(EmbeddingRow.image_id)
    )
    with store.reading() as session:
        return id_array(session.scalars(query).all())


def trained_on(store: Store, version_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (n,) int64, rising, and hand scores (n,) float64, 0–10, of the training set."""
    query = (
        select(VersionScoreRow.image_id, VersionScoreRow.value)
        .where(VersionScoreRow.version_id == version_id)
        .order_by(VersionScoreRow.image_id)
    )
    with store.reading() as session:
        rows = plain_rows(session, query)
    values = np.array([value for _, value in rows], dtype=np.float64)
    return id_array([image_id for image_id, _ in rows]), values


def moved_most(
    store: Store, version_id: int, parent_id: int, limit: int
) -> list[tuple[int, float, float]]:
    """(image id, prediction by the parent, by the version), the largest change first."""
    after, before = aliased(PredictionRow), aliased(PredictionRow)
    query = (
        select(after.image_id, before.score, after.score)
        .join(before, before.image_id == after.image_id)
        .where(after.version_id == version_id, before.version_id == parent_id)
        .order_by(func.abs(after.score - before.score).desc(), after.image_id)
        .limit(limit)
    )
    with store.reading() as session:
        return [(image_id, old, new) for image_id, old, new in session.execute(query)]


def _rows(version_id: int, new: Predictions, part: slice) -> Iterator[dict[str, Any]]:
    ids, scores = plain_ids(new.image_ids[part]), new.scores[part].tolist()
    exceed = [None] * len(ids) if new.exceed is None else _packed(new.exceed[part])
    for image_id, score, packed in zip(ids, scores, exceed, strict=True):
        yield {"version_id": version_id, "image_id": image_id, "score": score, "exceed": packed}


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
    unknown = np.full(BRACKETS, np.nan, dtype=EXCEED).tobytes()
    joined = b"".join(row[2] or unknown for row in rows)
    exceed = np.frombuffer(joined, dtype=EXCEED).reshape(len(rows), BRACKETS)
    return Predictions(ids, scores, exceed.astype(np.float32))
