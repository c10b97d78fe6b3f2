"""What versions predict for all images, kept in memory: a page by score needs them in order."""

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
class Predicted:
    """The images that a version has predicted (n,), and what, 0–1."""

    ids: Ids
    scores: Scores

    def within(self, low: float, high: float) -> Predicted:
        """The part whose predictions lie in the band (`band_ends`), if these rise."""
        least, most = band_ends(low, high)
        # As Python's numbers: the nearest float32 to a bound may lie beyond it.
        start = bisect_left(self.scores, least, key=float)
        end = bisect_right(self.scores, most, lo=start, key=float)
        return Predicted(self.ids[start:end], self.scores[start:end])


def by_id(project: Project, version_id: int) -> Predicted:
    """By rising image id."""
    store = project.store
    return project.cache.get(
        "predictions by image id",
        version_id,
        db.versions.predictions.prediction_batches(store, version_id),
        lambda: Predicted(*db.versions.predictions.scores(store, version_id)),
        newest=2,
    )


def by_score(project: Project, version_id: int) -> Predicted:
    """By rising prediction; of equal ones the older image first."""
    predicted = by_id(project, version_id)
    return project.cache.get(
        "predictions by score", version_id, predicted, lambda: _by_score(predicted)
    )


def moved_most(
    project: Project, version_id: int, parent_id: int, limit: int
) -> list[tuple[int, float, float]]:
    """(image id, prediction by the parent, by the version), the largest change first."""
    ids, before, after = _shared(by_id(project, parent_id), by_id(project, version_id))
    moved = np.abs(after.astype(np.float64) - before)
    rows = np.arange(len(moved))
    if len(moved) > limit:
        least = np.partition(moved, len(moved) - limit)[len(moved) - limit]
        rows = np.flatnonzero(moved >= least)
    rows = rows[np.lexsort((ids[rows], -moved[rows]))][:limit]
    return [(int(ids[row]), float(before[row]), float(after[row])) for row in rows]


def _shared(one: Predicted, other: Predicted) -> tuple[Ids, Scores, Scores]:
    """The ids that both have predicted, and what each of them did."""
    if np.array_equal(one.ids, other.ids):
        return one.ids, one.scores, other.scores
    ids, mine, its = np.intersect1d(one.ids, other.ids, assume_unique=True, return_indices=True)
    return ids, one.scores[mine], other.scores[its]


def _by_score(predicted: Predicted) -> Predicted:
    order = np.argsort(predicted.scores, kind="stable")
    return Predicted(predicted.ids[order], predicted.scores[order])
