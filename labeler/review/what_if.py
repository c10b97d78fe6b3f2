"""What the corrections of the open round would change, before any training.

For the images on the page, and for the number of waiting images that would change sides.
"""

from __future__ import annotations

from collections.abc import Collection as Some
from dataclasses import dataclass

import numpy as np

import db.versions.predictions
import db.versions.rounds
from labeler.collection.arrays import Floats, Ids
from labeler.core.project import Project
from labeler.embedding.unit_cache import UnitVectors
from labeler.review.pages import reviewed_version
from labeler.versions.calibration import out_of_fold
from labeler.versions.snapshot import ReviewSnapshot, review_snapshot
from model.estimators.residual_gp import MOST, Kernel, choose_kernel, shifts, usual_kernel
from model.passing import passes

# Waiting images, the nearest to the threshold, that are checked for a change of sides. A few
# corrections hardly move one that lies farther away across it.
MOST_WAITING = 2000
# The last corrections of the round are used: the cost grows with the cube of their number.
MOST_CORRECTIONS = 200
_NOTHING = (np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True)
class PredictionChange:
    """An image whose prediction, 0–1, would change."""

    image_id: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The effect of `corrections` hand scores: `crossing` of `waiting` images would change sides.

    The waiting images are those nearest to the threshold; `more` is whether there are others.
    """

    moved: list[PredictionChange]
    crossing: int
    waiting: int
    more: bool
    corrections: int


def what_if(project: Project, ids: Some[int]) -> WhatIf:
    """Return what the hand scores of the open round would change for `ids` and the waiting images.

    Raises `LabelerError` where there is no active version.
    """
    version = reviewed_version(project)
    snapshot = review_snapshot(project, version, project.threshold)
    open_round = db.versions.rounds.find_open_round(project.store, version.id)
    waiting, vectors = _nearest_waiting(snapshot), snapshot.vectors
    more = len(waiting) == MOST_WAITING
    rows, residuals = _corrections(snapshot, open_round.id) if open_round else _NOTHING
    if vectors is None or not len(rows):
        return WhatIf([], 0, len(waiting), more, len(rows))
    shown, before = snapshot.collection.rows(ids), _predictions(snapshot)
    targets = np.concatenate([shown, waiting])
    kernel = _kernel(snapshot, vectors)
    others, corrected = (vectors.of(snapshot.collection.ids[group]) for group in (targets, rows))
    after = np.clip(before[targets] + shifts(kernel, others, corrected, residuals), 0, 1)
    crossed = passes(before[targets], snapshot.threshold) != passes(after, snapshot.threshold)
    return WhatIf(
        moved=[
            PredictionChange(int(snapshot.collection.ids[row]), float(before[row]), float(new))
            for row, new in zip(shown.tolist(), after, strict=False)
            if not np.isnan(before[row])
        ],
        crossing=int(crossed[len(shown) :].sum()),
        waiting=len(waiting),
        more=more,
        corrections=len(rows),
    )


def warm_up(project: Project) -> None:
    """Read what `what_if` needs into memory, so that its first answer is as quick as the others."""
    version = reviewed_version(project)
    snapshot = review_snapshot(project, version, project.threshold)
    if (vectors := snapshot.vectors) is not None:
        vectors.of(snapshot.collection.ids[_nearest_waiting(snapshot)])
        _kernel(snapshot, vectors)


def _corrections(snapshot: ReviewSnapshot, round_id: int) -> tuple[Ids, Floats]:
    """Return the rows (k,) of the images scored in the round, and the change (k,), −1 to 1, that
    each score asks of the prediction.

    For a changed score that is its change, for a new one the error of the prediction, or how far
    it lies outside what a confirmation says.
    """
    store, collection = snapshot.project.store, snapshot.collection
    rows = collection.rows(db.versions.rounds.answered(store, round_id))
    training_scores = _training_scores(snapshot)[rows] / 10
    before = np.where(np.isnan(training_scores), collection.predictions[rows], training_scores)
    residuals = np.clip(before, snapshot.low[rows] / 10, snapshot.high[rows] / 10) - before
    usable = np.flatnonzero(~np.isnan(residuals))[-MOST_CORRECTIONS:]
    return rows[usable], residuals[usable]


def _nearest_waiting(snapshot: ReviewSnapshot) -> Ids:
    """Return the rows of the waiting images whose predictions are nearest to the threshold."""
    collection = snapshot.collection
    is_waiting = (
        collection.fine & np.isnan(snapshot.hand_scores) & ~np.isnan(collection.predictions)
    )
    rows = np.flatnonzero(is_waiting)
    if len(rows) <= MOST_WAITING:
        return rows
    distance = np.abs(collection.predictions[rows] - snapshot.threshold)
    return rows[np.argpartition(distance, MOST_WAITING)[:MOST_WAITING]]


def _predictions(snapshot: ReviewSnapshot) -> Floats:
    """Return what the cards show (n,), 0–1: out of fold for what the version was trained on."""
    held_out = out_of_fold(snapshot.project, snapshot.version.id, snapshot.collection)
    return np.where(np.isnan(held_out), snapshot.collection.predictions, held_out)


def _kernel(snapshot: ReviewSnapshot, vectors: UnitVectors) -> Kernel:
    """Choose the kernel on the version's out-of-fold residuals."""
    return snapshot.project.cache.get(
        "kernel",
        snapshot.version.id,
        (snapshot.collection, vectors),
        lambda: _choose_kernel(snapshot, vectors),
    )


def _choose_kernel(snapshot: ReviewSnapshot, vectors: UnitVectors) -> Kernel:
    collection = snapshot.collection
    held_out = out_of_fold(snapshot.project, snapshot.version.id, collection)
    residuals = _training_scores(snapshot) / 10 - held_out
    rows = np.flatnonzero(~np.isnan(residuals))
    if not len(rows):  # as of a version made elsewhere: only how far apart images usually are
        predicted = np.flatnonzero(~np.isnan(collection.predictions))
        units = vectors.of(collection.ids[predicted[:: len(predicted) // MOST + 1]])
        return usual_kernel(units)
    return choose_kernel(vectors.of(collection.ids[rows]), residuals[rows])


def _training_scores(snapshot: ReviewSnapshot) -> Floats:
    """Return the hand scores that the version was trained on, (n,) 0–10, NaN elsewhere."""

    def spread() -> Floats:
        ids, values = db.versions.predictions.trained_on(
            snapshot.project.store, snapshot.version.id
        )
        return snapshot.collection.spread(ids, values)

    return snapshot.project.cache.get(
        "trained on", snapshot.version.id, snapshot.collection, spread
    )
