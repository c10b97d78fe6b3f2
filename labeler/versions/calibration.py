"""What a version has proved on hand scores: how far its predictions are off, and whom to believe.

Judged are predictions made without having seen the score: those out of fold, and of a version made
elsewhere, which has seen none, all.
"""

from __future__ import annotations

import numpy as np

import db.scores.hand_scores
import db.versions.predictions
from db.images.arrays import SortedIds
from db.records import Predictions
from labeler.collection.arrays import Collection, Floats, Ids
from labeler.core.project import Project
from labeler.versions.snapshot import ReviewSnapshot
from model.estimators.ordinal import LEVELS
from model.review import suspicion


def pass_probability(
    project: Project,
    version_id: int,
    predictions: Floats,
    exceed: Floats,
    threshold: float,
    *,
    its_spread: float | None = None,
) -> Floats:
    """Chance (n,) that each truly passes, as head and second opinion have proved out of fold.

    `its_spread` is how far the predictions of a version made elsewhere are off.
    """
    spread, weighing = proved(project, version_id, threshold)
    spread = spread if its_spread is None else its_spread
    return suspicion.chance_of_passing(predictions, exceed, threshold, spread, weighing)


def published_head_spread(now: ReviewSnapshot) -> float | None:
    """How far the predictions of a version made elsewhere are off, by all hand scores; None for
    one that was trained here.
    """
    if not now.version.is_foreign:
        return None
    known = int((~np.isnan(now.hand_scores) & ~np.isnan(now.collection.predictions)).sum())
    # Measured anew when there are twice as many hand scores: each time a million images are put in
    # order again.
    stamp = now.collection, known.bit_length()
    return now.project.cache.get(
        "spread on all scores", now.version.id, stamp, lambda: _spread_on_all(now)
    )


def out_of_fold(project: Project, version_id: int, everything: Collection) -> Floats:
    """Out-of-fold predictions (n,), NaN where there are none."""

    def spread() -> Floats:
        made = _unseen(project, version_id)
        return everything.spread(made.image_ids, made.scores)

    return project.cache.get("out-of-fold column", version_id, everything, spread)


def second_opinions(project: Project, version_id: int, ids: Ids) -> Floats:
    """Out-of-fold second opinions (n, 10) of `ids` (n,), rows of NaN where there are none."""
    made, found = _unseen(project, version_id), np.full((len(ids), LEVELS), np.nan)
    if made.exceed is not None:
        rows, known = SortedIds(made.image_ids).places(ids)
        found[known] = made.exceed[rows]
    return found


def _unseen(project: Project, version_id: int) -> Predictions:
    """What the version predicted for images held out of its training; it never changes."""
    return project.cache.get(
        "out-of-fold predictions",
        version_id,
        None,
        lambda: db.versions.predictions.out_of_fold(project.store, version_id),
        newest=2,
    )


def _spread_on_all(now: ReviewSnapshot) -> float:
    everything = now.collection
    given = everything.spread(*db.scores.hand_scores.effective(now.project.store)) / 10
    known = ~np.isnan(given) & ~np.isnan(everything.predictions)
    return suspicion.residual_spread(everything.predictions[known], given[known])


def proved(
    project: Project, version_id: int, threshold: float
) -> tuple[float, suspicion.StackingWeights]:
    """The out-of-fold residuals' spread, and how much head and second opinion count."""
    return project.cache.get(
        "proved",
        (version_id, threshold),
        None,
        lambda: _prove(project, version_id, threshold),
        newest=8,
    )


def _prove(
    project: Project, version_id: int, threshold: float
) -> tuple[float, suspicion.StackingWeights]:
    made = _unseen(project, version_id)
    ids, values = db.versions.predictions.trained_on(project.store, version_id)
    _, rows, where = np.intersect1d(made.image_ids, ids, assume_unique=True, return_indices=True)
    predicted, scores = made.scores[rows].astype(np.float64), values[where] / 10
    exceed = np.full((len(rows), 10), np.nan) if made.exceed is None else made.exceed[rows]
    spread = suspicion.residual_spread(predicted, scores)
    return spread, suspicion.fit_stacking_weights(
        predicted, exceed.astype(np.float64), scores, threshold, spread
    )
