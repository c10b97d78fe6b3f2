"""Keep a version's predictions of all images in memory, sorted by image or by score."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import db.versions.predictions
from labeler.collection.arrays import Ids
from labeler.core.project import Project
from labeler.core.scale import band_ends

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SortedPredictions:
    """Image ids (n,) int64 and their predictions (n,) float32, 0–1."""

    ids: Ids
    scores: Scores

    def within(self, low: float, high: float) -> SortedPredictions:
        """Return the part whose predictions lie in the band (`band_ends`); needs rising scores."""
        least, most = band_ends(low, high)
        # As Python's numbers: the nearest float32 to a bound may lie beyond it.
        start = bisect_left(self.scores, least, key=float)
        end = bisect_right(self.scores, most, lo=start, key=float)
        return SortedPredictions(self.ids[start:end], self.scores[start:end])


def sorted_by_id(project: Project, version_id: int) -> SortedPredictions:
    """Return the version's predictions by rising image id."""
    store = project.store
    return project.cache.get(
        "predictions by image id",
        version_id,
        db.versions.predictions.prediction_batches(store, version_id),
        lambda: SortedPredictions(*db.versions.predictions.scores(store, version_id)),
        newest=2,
    )


def sorted_by_score(project: Project, version_id: int) -> SortedPredictions:
    """Return the version's predictions by rising score; of equal ones the older image first."""
    predicted = sorted_by_id(project, version_id)
    return project.cache.get(
        "predictions by score", version_id, predicted, lambda: _sort_by_score(predicted)
    )


def largest_changes(
    project: Project, version_id: int, parent_id: int, limit: int
) -> list[tuple[int, float, float]]:
    """Return (image id, prediction by the parent, by the version), the largest change first."""
    ids, before, after = _in_both(
        sorted_by_id(project, parent_id), sorted_by_id(project, version_id)
    )
    change = np.abs(after.astype(np.float64) - before)
    rows = np.arange(len(change))
    if len(change) > limit:
        least = np.partition(change, len(change) - limit)[len(change) - limit]
        rows = np.flatnonzero(change >= least)
    rows = rows[np.lexsort((ids[rows], -change[rows]))][:limit]
    return [(int(ids[row]), float(before[row]), float(after[row])) for row in rows]


def _in_both(one: SortedPredictions, other: SortedPredictions) -> tuple[Ids, Scores, Scores]:
    """Return the ids that both have predicted, and the predictions of each."""
    if np.array_equal(one.ids, other.ids):
        return one.ids, one.scores, other.scores
    ids, mine, its = np.intersect1d(one.ids, other.ids, assume_unique=True, return_indices=True)
    return ids, one.scores[mine], other.scores[its]


def _sort_by_score(predicted: SortedPredictions) -> SortedPredictions:
    order = np.argsort(predicted.scores, kind="stable")
    return SortedPredictions(predicted.ids[order], predicted.scores[order])
