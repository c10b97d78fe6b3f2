"""The images that a review may show, as arrays: small enough to rank anew for every page."""

from __future__ import annotations

import json

import numpy as np
from sqlalchemy import func, select, text

from db.schema import WAITING, HandScoreRow, ImageRow, PredictionRow
from db.store import Store


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
