"""The images that a review may show, as arrays: read whole, kept by the caller while they hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Integer, cast, func, select, text

from db.rows import id_array, plain_rows
from db.schema import WAITING, HandScoreRow, ImageRow, PredictionRow
from db.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class ImageColumns:
    """Every image, by rising id; all arrays (n,)."""

    ids: np.ndarray  # int64
    sources: np.ndarray  # int64, source ids
    hashes: np.ndarray  # uint64, difference hashes, 0 where there is none
    fine: np.ndarray  # bool: readable and still there


def image_columns(store: Store) -> ImageColumns:
    """What does not change while hand scores come in; `image_stamp` tells when it has."""
    # Each column as one text: a row object for each of 100,000 images would take twice as long.
    wanted = (ImageRow.id, ImageRow.source_id, _whole(ImageRow.fingerprint), _is_fine())
    query = select(*(func.json_group_array(column) for column in wanted))
    with store.reading() as session:
        texts = session.execute(query).one()
    ids, sources, hashes, fine = (np.array(json.loads(each), dtype=np.int64) for each in texts)
    order = np.argsort(ids)
    return ImageColumns(
        ids[order], sources[order], hashes[order].view(np.uint64), fine[order].astype(bool)
    )


def image_stamp(store: Store) -> tuple[tuple[int, ...], ...]:
    """Changes when images come, go, or change their source; read from an index alone."""
    query = select(ImageRow.source_id, _is_fine(), func.count(), func.sum(ImageRow.id)).group_by(
        ImageRow.source_id, ImageRow.state
    )
    with store.reading() as session:
        return tuple(sorted(tuple(row) for row in plain_rows(session, query)))


def scored(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Ids (n,) int64, rising, and hand scores (n,) float64, 0–10: from an index alone."""
    query = select(ImageRow.id, ImageRow.hand_score).where(ImageRow.hand_score.is_not(None))
    with store.reading() as session:
        rows = plain_rows(session, query)
    ids = id_array([image_id for image_id, _ in rows])
    order = np.argsort(ids)
    return ids[order], np.array([value for _, value in rows], dtype=np.float64)[order]


def waiting(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Ids (n,) int64 and source ids (n,) int64 of the fine images without a hand score, by id."""
    # Each column as one text: a row object for each of 100,000 images would take a second.
    columns = [func.json_group_array(column) for column in (ImageRow.id, ImageRow.source_id)]
    with store.reading() as session:
        texts = session.execute(select(*columns).where(text(WAITING))).one()
    ids, sources = (np.array(json.loads(column), dtype=np.int64) for column in texts)
    order = np.argsort(ids)
    return ids[order], sources[order]


def prediction_count(store: Store, version_id: int) -> int:
    """How many images the version has predicted; it grows when new images are embedded."""
    query = select(func.count()).where(PredictionRow.version_id == version_id)
    with store.reading() as session:
        return session.scalar(query.select_from(PredictionRow)) or 0


def kept_by_hand(store: Store) -> set[int]:
    """Images whose present hand score a person has confirmed against the model's prediction."""
    query = (
        select(ImageRow.id)
        .join(HandScoreRow, HandScoreRow.image_id == ImageRow.id)
        .where(
            HandScoreRow.queue == "hand-score",
            HandScoreRow.why == "confirmation",
            HandScoreRow.undone_at.is_(None),
            HandScoreRow.value == ImageRow.hand_score,
        )
    )
    with store.reading() as session:
        return set(session.scalars(query))


def _whole(column: Any) -> Any:
    """The number as SQLite keeps it, 0 where there is none."""
    return func.coalesce(cast(column, BigInteger), 0)


def _is_fine() -> Any:
    return cast(ImageRow.state == "fine", Integer)
