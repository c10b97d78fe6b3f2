"""The images of a review queue in the order of suspicion, as arrays."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import db.candidates
import db.images
import db.scores
import db.versions
from db.records import Predictions, Version
from db.store import Store
from labeler.project import Project
from model import ranking

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Candidates of one queue, the surest mistake first; all arrays (n,) and in the same order."""

    ids: NDArray[np.int64]
    predictions: Floats  # 0–1
    suspicion: Floats  # 0–1, higher = more likely a mistake
    second: Floats  # hand score 0–10 that the second opinion expects, NaN without one
    given: Floats  # the present hand score, 0–10, NaN for an unscored image
    # Passes though its source expects only fails, or the other way round: a mistake for certain.
    unexpected: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Ranked:
        """The rows chosen by index or mask, in the order of `rows`."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__slots__})

    def without(self, ids: Collection[int]) -> Ranked:
        """All but the images in `ids`."""
        return self.take(~np.isin(self.ids, np.fromiter(ids, np.int64, len(ids)))) if ids else self

    def led_by(self, image_id: int | None) -> Ranked:
        """The same with one image at the head, if it is among them."""
        place = np.flatnonzero(self.ids == image_id)
        rest = np.flatnonzero(self.ids != image_id)
        return self.take(np.concatenate([place, rest]))

    def sorted(self) -> Ranked:
        """What its source rules out first, then by suspicion; ties by id: pages are stable."""
        return self.take(np.lexsort((self.ids, -self.suspicion, ~self.unexpected)))


def unscored(project: Project, version: Version, threshold: float, *, passing: bool) -> Ranked:
    """Images without a hand score that `version` predicts to pass (or fail) at `threshold`."""
    store = project.store
    made = _predictions(store, version.id, db.candidates.prediction_count(store, version.id))
    ids, sources = db.candidates.waiting(store)
    ids, rows, where = np.intersect1d(made.image_ids, ids, assume_unique=True, return_indices=True)
    predictions, exceed = made.scores[rows].astype(np.float64), _exceed(made)[rows]
    chance = passing_chance(project, version, predictions, exceed, threshold)
    ranked = Ranked(
        ids=ids,
        predictions=predictions,
        suspicion=ranking.chance_wrong(predictions, chance, threshold),
        second=10 * ranking.expected_score(exceed),
        given=np.full(len(ids), np.nan),
        unexpected=np.isin(sources[where], _ruled_out(project, threshold, passing=passing)),
    )
    return ranked.take((predictions >= threshold) == passing).sorted()


def by_hand(project: Project, version: Version, threshold: float) -> Ranked:
    """Scored images whose hand score lies far from the prediction made without having seen it.

    Far is more than the usual out-of-fold residual, or half of it across the threshold; scores
    that a person has confirmed against the model already are left out.
    """
    made = db.versions.out_of_fold(project.store, version.id)
    ids, values = db.scores.effective(project.store)
    ids, rows, where = np.intersect1d(made.image_ids, ids, assume_unique=True, return_indices=True)
    predictions, given = made.scores[rows].astype(np.float64), values[where]
    spread = ranking.residual_spread(predictions, given / 10)
    crosses = (predictions >= threshold) != (given / 10 >= threshold)
    far = np.abs(predictions - given / 10) > np.where(crosses, spread / 2, spread)
    ranked = Ranked(
        ids=ids,
        predictions=predictions,
        suspicion=ranking.hand_score_suspicion(predictions, given / 10),
        second=10 * ranking.expected_score(_exceed(made)[rows]),
        given=given,
        unexpected=np.zeros(len(ids), dtype=bool),
    )
    return ranked.take(far).without(db.candidates.kept_by_hand(project.store)).sorted()


def passing_chance(
    project: Project, version: Version, predictions: Floats, exceed: Floats, threshold: float
) -> Floats:
    """Chance (n,) that each truly passes, as head and second opinion have proved out of fold."""
    made = db.versions.out_of_fold(project.store, version.id)
    ids, values = db.versions.trained_on(project.store, version.id)
    _, rows, where = np.intersect1d(made.image_ids, ids, assume_unique=True, return_indices=True)
    unseen, scores = made.scores[rows].astype(np.float64), values[where] / 10
    spread = ranking.residual_spread(unseen, scores)
    weighing = ranking.weigh(unseen, _exceed(made)[rows], scores, threshold, spread)
    return ranking.chance_of_passing(predictions, exceed, threshold, spread, weighing)


def _exceed(made: Predictions) -> Floats:
    """The second opinion (n, 10), rows of NaN where there is none."""
    if made.exceed is None:
        return np.full((len(made), 10), np.nan)
    return made.exceed.astype(np.float64)


def _ruled_out(project: Project, threshold: float, *, passing: bool) -> list[int]:
    """Sources whose whole expected band lies on the other side of the threshold."""
    return [
        source.id
        for source in db.images.sources(project.store)
        if source.expect_low is not None and source.expect_high is not None
        if (source.expect_high / 10 < threshold if passing else source.expect_low / 10 >= threshold)
    ]


@lru_cache(maxsize=2)
def _predictions(store: Store, version_id: int, _count: int) -> Predictions:
    """All of a version's predictions, read once: they only ever grow in number."""
    return db.versions.predictions(store, version_id)
