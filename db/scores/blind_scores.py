"""The first score of each image that was typed before its prediction was seen.

Scores that follow a prediction lean towards it, and where only what disagrees with the model is
scored again, what is left agrees too well: judged by these first scores, a model is not flattered.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, exists, func, or_, select, text
from sqlalchemy.orm import aliased

from db.query_parts import driver_rows, id_array
from db.records import REVIEW_QUEUES
from db.scores.aggregation import is_typed, rule_in
from db.store.schema import TYPED, HandScoreRow
from db.store.store import Store


def first_blind_scores(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Return ids (n,) int64, rising, and the first blind hand scores (n,) float64, 0–10.

    Blind is a score typed outside the review queues without the prediction on the screen, by
    somebody who had not scored the image with it before, an undone score included; not one that was
    taken back, imported, or a confirmation. Where one person's scores count, only theirs.
    """
    earlier = aliased(HandScoreRow)
    had_seen = exists().where(
        earlier.image_id == HandScoreRow.image_id,
        earlier.scorer.is_not_distinct_from(HandScoreRow.scorer),
        earlier.id < HandScoreRow.id,
        _with_prediction(earlier),
    )
    blind: list[Any] = [
        text(TYPED),
        is_typed(),
        ~_with_prediction(),
        ~had_seen.correlate(HandScoreRow),
    ]
    with store.reading() as session:
        rule = rule_in(session)
        if rule.kind == "person":
            blind.append(HandScoreRow.scorer.is_not_distinct_from(rule.person))
        first = select(func.min(HandScoreRow.id)).where(*blind).group_by(HandScoreRow.image_id)
        query = select(HandScoreRow.image_id, HandScoreRow.value)
        query = query.where(HandScoreRow.id.in_(first)).order_by(HandScoreRow.image_id)
        rows = driver_rows(session, query)
    values = np.array([value for _, value in rows], dtype=np.float64)
    return id_array([image_id for image_id, _ in rows]), values


def _with_prediction(row: Any = HandScoreRow) -> ColumnElement[bool]:
    """Return whether the prediction, or that the model may be wrong, was on the screen."""
    in_review = func.coalesce(row.queue, "").in_(REVIEW_QUEUES)
    return or_(row.shown_prediction.is_not(None), in_review)
