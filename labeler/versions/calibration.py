"""Calibrate a version on hand scores: the spread of its residuals, and the weight of each opinion.

Only predictions count that were made without the image's hand score: those out of fold, and all of
a version made elsewhere, which was trained on none.
"""

from __future__ import annotations

import numpy as np

import db.scores.confirmations
import db.versions.predictions
from db.images.arrays import SortedIds
from db.records import Predictions
from labeler.collection.arrays import Collection, Floats, Ids
from labeler.core.project import Project
from labeler.versions.snapshot import ReviewSnapshot
from model.estimators.ordinal import LEVELS
from model.evaluation.censoring import side_is_known
from model.review import suspicion


def pass_probability(
    project: Project,
    version_id: int,
    predictions: Floats,
    exceed: Floats,
    threshold: float,
    *,
    published_spread: float | None = None,
) -> Floats:
    """Return the probability (n,), 0–1, that each image's hand score would pass the threshold.

    `predictions` (n,) are the head's, 0–1; `exceed` (n, 10) the second opinion's, rows of NaN
    without one. `published_spread` is the residuals' spread of a version made elsewhere.
    """
    spread, weights = out_of_fold_calibration(project, version_id, threshold)
    spread = spread if published_spread is None else published_spread
    return suspicion.chance_of_passing(predictions, exceed, threshold, spread, weights)


def published_head_spread(snapshot: ReviewSnapshot) -> float | None:
    """Return the residuals' spread, 0–1, of a version made elsewhere; None for one trained here.

    It is measured on all hand scores.
    """
    if not snapshot.version.is_foreign:
        return None
    count = int(
        (~np.isnan(snapshot.hand_scores) & ~np.isnan(snapshot.collection.predictions)).sum()
    )
    # Measured anew when there are twice as many hand scores: each time a million images are put in
    # order again.
    stamp = snapshot.collection, count.bit_length()
    return snapshot.project.cache.get(
        "spread on all scores", snapshot.version.id, stamp, lambda: _residual_spread(snapshot)
    )


def out_of_fold(project: Project, version_id: int, collection: Collection) -> Floats:
    """Return the out-of-fold predictions (n,), 0–1, of the collection; NaN where none is."""

    def spread() -> Floats:
        predictions = _out_of_fold_predictions(project, version_id)
        return collection.spread(predictions.image_ids, predictions.scores)

    return project.cache.get("out-of-fold column", version_id, collection, spread)


def second_opinions(project: Project, version_id: int, ids: Ids) -> Floats:
    """Return out-of-fold second opinions (n, 10) of `ids` (n,); rows of NaN where none is."""
    predictions, opinions = (
        _out_of_fold_predictions(project, version_id),
        np.full((len(ids), LEVELS), np.nan),
    )
    if predictions.exceed is not None:
        rows, has_opinion = SortedIds(predictions.image_ids).places(ids)
        opinions[has_opinion] = predictions.exceed[rows]
    return opinions


def _out_of_fold_predictions(project: Project, version_id: int) -> Predictions:
    """Return the version's predictions for images held out of its training; they never change."""
    return project.cache.get(
        "out-of-fold predictions",
        version_id,
        None,
        lambda: db.versions.predictions.out_of_fold(project.store, version_id),
        newest=2,
    )


def _residual_spread(snapshot: ReviewSnapshot) -> float:
    collection = snapshot.collection
    hand_scores = np.where(snapshot.is_typed, snapshot.hand_scores, np.nan) / 10
    both = ~np.isnan(hand_scores) & ~np.isnan(collection.predictions)
    return suspicion.residual_spread(collection.predictions[both], hand_scores[both])


def out_of_fold_calibration(
    project: Project, version_id: int, threshold: float
) -> tuple[float, suspicion.StackingWeights]:
    """Return the spread of the out-of-fold residuals, 0–1, and the weights of both opinions."""
    return project.cache.get(
        "proved",
        (version_id, threshold),
        None,
        lambda: _fit_calibration(project, version_id, threshold),
        newest=8,
    )


def _fit_calibration(
    project: Project, version_id: int, threshold: float
) -> tuple[float, suspicion.StackingWeights]:
    held_out = _out_of_fold_predictions(project, version_id)
    ids, values = db.versions.predictions.trained_on(project.store, version_id)
    _, rows, where = np.intersect1d(
        held_out.image_ids, ids, assume_unique=True, return_indices=True
    )
    predicted, scores = held_out.scores[rows].astype(np.float64), values[where] / 10
    exceed = np.full((len(rows), 10), np.nan) if held_out.exceed is None else held_out.exceed[rows]
    bounds = db.scores.confirmations.bounds_trained_on(project.store, version_id, ids, values)
    low, high = (each[where] / 10 for each in bounds)
    typed, on = low == high, side_is_known(low, high, threshold)
    spread = suspicion.residual_spread(predicted[typed], scores[typed])
    return spread, suspicion.fit_stacking_weights(
        predicted[on], exceed[on].astype(np.float64), scores[on], threshold, spread
    )
