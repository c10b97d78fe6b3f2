"""Hand scores of which no number was said, only between which bounds they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from sqlalchemy import exists, select
from sqlalchemy.orm import aliased

from db.query_parts import driver_rows
from db.scores.aggregation import effective_bounds, is_typed, rule_in
from db.store.schema import ConfirmationRow, HandScoreRow, VersionScoreRow
from db.store.store import Store

# What is known of n hand scores: low <= score < high, or score = low = high for a typed one; (n,)
# float64 each, `high` infinite where nothing bounds it.
Bounds: TypeAlias = "tuple[np.ndarray, np.ndarray]"


def effective_confirmations(store: Store) -> dict[int, tuple[float | None, float | None]]:
    """Return (at least, below), 0–10, of each image whose hand score is a confirmation.

    None where that side is open.
    """
    with store.reading() as session:
        rows = driver_rows(session, effective_bounds(rule_in(session)))
    return {image_id: (at_least, below) for image_id, at_least, below in rows}


def bounds(store: Store, ids: np.ndarray, values: np.ndarray) -> Bounds:
    """Return the bounds, 0–10, of the hand scores `values` (n,) that count for `ids` (n,)."""
    found = effective_confirmations(store)
    return _placed([(i, *ends) for i, ends in found.items()], ids, values)


def bounds_trained_on(store: Store, version_id: int, ids: np.ndarray, values: np.ndarray) -> Bounds:
    """Return the bounds, 0–10, of the hand scores `values` (n,) that a version was trained on.

    A version keeps the numbers: what it learnt of an image was a confirmation if there is one with
    that number and no typed score with it.
    """
    typed = aliased(HandScoreRow)
    query = (
        select(HandScoreRow.image_id, ConfirmationRow.at_least, ConfirmationRow.below)
        .join(ConfirmationRow, ConfirmationRow.hand_score_id == HandScoreRow.id)
        .join(VersionScoreRow, VersionScoreRow.image_id == HandScoreRow.image_id)
        .where(
            VersionScoreRow.version_id == version_id,
            VersionScoreRow.value == HandScoreRow.value,
            ~exists()
            .where(
                typed.image_id == HandScoreRow.image_id,
                typed.value == HandScoreRow.value,
                is_typed(typed),
            )
            .correlate(HandScoreRow),
        )
        .order_by(HandScoreRow.id)
    )
    with store.reading() as session:
        rows = driver_rows(session, query)
    return _placed(rows, ids, values)


def _placed(rows: Sequence[tuple[Any, ...]], ids: np.ndarray, values: np.ndarray) -> Bounds:
    """Return the bounds of `values` (n,) of `ids` (n,): those of `rows`, else the values alone."""
    low, high = values.astype(np.float64), values.astype(np.float64)
    place_of = dict(zip(ids.tolist(), range(len(ids)), strict=True)) if rows else {}
    for image_id, at_least, below in rows:
        if (place := place_of.get(image_id)) is not None:
            low[place] = 0.0 if at_least is None else at_least
            high[place] = np.inf if below is None else below
    return low, high
