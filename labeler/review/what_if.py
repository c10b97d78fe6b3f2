"""What the corrections of the open round would move, before any training.

For the images on the page, and for how many of those nearest to the threshold would change sides.
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
from labeler.versions.snapshot import Standing, standing
from model.estimators.residual_gp import MOST, Kernel, choose_kernel, shifts, usual_kernel

# Waiting images, the nearest to the threshold, of which it is told how many change sides. One that
# lies farther away hardly crosses it for what a few corrections say.
MOST_WAITING = 2000
# Corrections that are reckoned with, the last ones of the round: it takes the cube of it.
MOST_CORRECTIONS = 200
_NOTHING = (np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Moved:
    """An image whose prediction, 0–1, would change."""

    image_id: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Moving:
    """`crossing` of `waiting` images, the nearest to the threshold, would change sides.

    `more` tells whether there are others, farther away.
    """

    moved: list[Moved]
    crossing: int
    waiting: int
    more: bool
    corrections: int


def moving(project: Project, ids: Some[int]) -> Moving:
    """What the hand scores of the open round would do to `ids` and to the images that wait.

    Raises `LabelerError` where there is no active version.
    """
    version = reviewed_version(project)
    now = standing(project, version, project.threshold)
    opened = db.versions.rounds.find_open_round(project.store, version.id)
    near, vectors = _nearest(now), now.vectors
    more = len(near) == MOST_WAITING
    rows, residuals = _corrected(now, opened.id) if opened else _NOTHING
    if vectors is None or not len(rows):
        return Moving([], 0, len(near), more, len(rows))
    shown, before = now.everything.rows(ids), _predictions(now)
    wanted = np.concatenate([shown, near])
    kernel = _kernel(now, vectors)
    others, corrected = (vectors.of(now.everything.ids[each]) for each in (wanted, rows))
    after = np.clip(before[wanted] + shifts(kernel, others, corrected, residuals), 0, 1)
    crossed = (before[wanted] >= now.threshold) != (after >= now.threshold)
    return Moving(
        moved=[
            Moved(int(now.everything.ids[row]), float(before[row]), float(then))
            for row, then in zip(shown.tolist(), after, strict=False)
            if not np.isnan(before[row])
        ],
        crossing=int(crossed[len(shown) :].sum()),
        waiting=len(near),
        more=more,
        corrections=len(rows),
    )


def make_ready(project: Project) -> None:
    """Read what `moving` needs, so that its first answer comes as quickly as the others."""
    version = reviewed_version(project)
    now = standing(project, version, project.threshold)
    if (vectors := now.vectors) is not None:
        vectors.of(now.everything.ids[_nearest(now)])
        _kernel(now, vectors)


def _corrected(now: Standing, round_id: int) -> tuple[Ids, Floats]:
    """Rows of the images scored in the round, and how far, 0–1, each score would move the head.

    A changed score moves it by the change, a new one by what the prediction missed.
    """
    everything = now.everything
    rows = everything.rows(db.versions.rounds.answered(now.project.store, round_id))
    trained = _trained(now)[rows] / 10
    before = np.where(np.isnan(trained), everything.predictions[rows], trained)
    residuals = now.given[rows] / 10 - before
    known = np.flatnonzero(~np.isnan(residuals))[-MOST_CORRECTIONS:]
    return rows[known], residuals[known]


def _nearest(now: Standing) -> Ids:
    """Rows of the waiting images whose predictions are nearest to the threshold."""
    everything = now.everything
    waits = everything.fine & np.isnan(now.given) & ~np.isnan(everything.predictions)
    rows = np.flatnonzero(waits)
    if len(rows) <= MOST_WAITING:
        return rows
    distance = np.abs(everything.predictions[rows] - now.threshold)
    return rows[np.argpartition(distance, MOST_WAITING)[:MOST_WAITING]]


def _predictions(now: Standing) -> Floats:
    """What the cards show (n,): out of fold for what the version was trained on."""
    unseen = out_of_fold(now.project, now.version.id, now.everything)
    return np.where(np.isnan(unseen), now.everything.predictions, unseen)


def _kernel(now: Standing, vectors: UnitVectors) -> Kernel:
    """Chosen on the version's out-of-fold residuals."""
    return now.project.cache.get(
        "kernel",
        now.version.id,
        (now.everything, vectors),
        lambda: _choose_kernel(now, vectors),
    )


def _choose_kernel(now: Standing, vectors: UnitVectors) -> Kernel:
    everything = now.everything
    unseen = out_of_fold(now.project, now.version.id, everything)
    residuals = _trained(now) / 10 - unseen
    rows = np.flatnonzero(~np.isnan(residuals))
    if not len(rows):  # as of a version made elsewhere: only how far apart images usually are
        some = np.flatnonzero(~np.isnan(everything.predictions))
        units = vectors.of(everything.ids[some[:: len(some) // MOST + 1]])
        return usual_kernel(units)
    return choose_kernel(vectors.of(everything.ids[rows]), residuals[rows])


def _trained(now: Standing) -> Floats:
    """The hand scores that the version was trained on, (n,) 0–10, NaN elsewhere."""

    def spread() -> Floats:
        ids, values = db.versions.predictions.trained_on(now.project.store, now.version.id)
        return now.everything.spread(ids, values)

    return now.project.cache.get("trained on", now.version.id, now.everything, spread)
