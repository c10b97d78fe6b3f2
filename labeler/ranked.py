"""The images of a review queue in the order of suspicion, as arrays."""

from __future__ import annotations

from collections.abc import Collection as Some
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

import db.candidates
import db.versions
from db.records import Predictions
from db.store import Store
from labeler.collection import Collection, Floats, Ids, Mask, Standing
from labeler.conflicts import conflict_gaps, scored_pairs
from model import ranking

# A prediction that rounds to a score within its source's band is no mistake.
HALF_A_POINT = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Candidates of one queue, the surest mistake first; all arrays (n,) and in the same order."""

    ids: Ids
    predictions: Floats  # 0–1
    suspicion: Floats  # 0–1, higher = more likely a mistake; 1 for a certain one
    second: Floats  # hand score 0–10 that the second opinion expects, NaN without one
    given: Floats  # the present hand score, 0–10, NaN for an unscored image
    # How far the prediction lies above (or, negative, below) what its source is expected to score,
    # 0–1, 0 within half a point of it: a mistake by the person's own word.
    outside: Floats
    conflict: Floats  # points, 0–10, to the score of a scored near-duplicate; 0 without a conflict

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Ids | Mask) -> Ranked:
        """The rows chosen by index or mask, in the order of `rows`."""
        return replace(self, **{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def without(self, ids: Some[int]) -> Ranked:
        """All but the images in `ids`."""
        return self.take(~np.isin(self.ids, np.fromiter(ids, np.int64, len(ids)))) if ids else self

    def followed_by(self, others: Ranked) -> Ranked:
        """These rows and then those of `others`."""
        pairs = {e.name: (getattr(self, e.name), getattr(others, e.name)) for e in fields(self)}
        return replace(self, **{name: np.concatenate(both) for name, both in pairs.items()})

    def suspected(self, rows: Ids, suspicion: Floats) -> Ranked:
        """The same in the same order, the suspicion (k,) of `rows` (k,) being another."""
        changed = self.suspicion.copy()
        changed[rows] = suspicion
        return replace(self, suspicion=changed)

    def led_by(self, image_id: int | None) -> Ranked:
        """The same with one image at the head, if it is among them."""
        place = np.flatnonzero(self.ids == image_id)
        rest = np.flatnonzero(self.ids != image_id)
        return self.take(np.concatenate([place, rest])) if len(place) else self

    def order(self, crossing: Mask | None = None) -> Ids:
        """Rows in the order of a queue; ties by id, so that pages are stable.

        What the person's own word rules out goes first (of it first the `crossing` ones, which are
        on the wrong side of the threshold), then what contradicts a near-duplicate, then by
        suspicion.
        """
        outside = np.abs(self.outside)
        crossing = np.zeros(len(self), dtype=bool) if crossing is None else crossing
        keys = (self.ids, -self.suspicion, -self.conflict, -outside, ~(crossing & (outside > 0)))
        return np.lexsort(keys)


def unscored(now: Standing, *, passing: bool | None = None) -> Ranked:
    """Images without a hand score that are predicted too high (`passing`), too low, or all of them.

    Too high is what passes, and what lies above the band of its source even where it fails; too low
    the other way round: every image is in one of the two queues. First comes what its source rules
    out, and of that first what is on the wrong side of the threshold.
    """
    store, everything = now.project.store, now.everything
    rows, ranked = in_order(store, everything, now.version.id, now.threshold, passing)
    return ranked.take(np.isnan(now.given[rows]))


def by_hand(now: Standing) -> Ranked:
    """Scored images whose hand score looks wrong.

    First those that contradict the score of a near-duplicate; then those far from the prediction
    made without having seen them: farther than the usual out-of-fold residual, or than half of it
    across the threshold. Scores that a person has kept against the prediction are left out, and
    conflicts whose scores were all kept.
    """
    everything, given = now.everything, now.given
    kept = everything.marked(db.candidates.kept_by_hand(now.project.store))
    conflict = conflict_gaps(scored_pairs(now), given, now.threshold, kept)
    made, opinion = out_of_fold(now.project.store, now.version.id, everything)
    rows = np.flatnonzero(~np.isnan(given))
    suspicion, far = _disagreement(made[rows], opinion[rows], given[rows] / 10, now.threshold)
    shown = np.where(np.isnan(made), everything.predictions, made)[rows]
    ranked = Ranked(
        ids=everything.ids[rows],
        predictions=np.where(np.isnan(shown), given[rows] / 10, shown),
        suspicion=suspicion,
        second=10 * ranking.expected_score(opinion[rows]),
        given=given[rows],
        outside=np.zeros(len(rows)),
        conflict=conflict[rows],
    )
    ranked = ranked.take((ranked.conflict > 0) | (far & ~kept[rows]))
    return ranked.take(ranked.order())


def outside_band(everything: Collection) -> Floats:
    """How far each prediction (n,) lies above (or, negative, below) the band of its source, 0–1.

    Not what is within half a point of the band, which rounds to a score in it.
    """
    predictions, low, high = everything.predictions, everything.low, everything.high
    violation = ranking.band_violation(predictions, low, high)
    signed = np.where(predictions > high, violation, -violation)
    return np.where(violation > HALF_A_POINT, signed, 0.0)


def too_high(predictions: Floats, outside: Floats, threshold: float) -> Mask:
    """Which images (n,) are likely false positives; the others are likely false negatives."""
    return np.where(outside == 0, predictions >= threshold, outside > 0)


def passing_chance(
    store: Store, version_id: int, predictions: Floats, exceed: Floats, threshold: float
) -> Floats:
    """Chance (n,) that each truly passes, as head and second opinion have proved out of fold."""
    spread, weighing = _proved(store, version_id, threshold)
    return ranking.chance_of_passing(predictions, exceed, threshold, spread, weighing)


@lru_cache(maxsize=6)
def in_order(
    store: Store,
    everything: Collection,
    version_id: int,
    threshold: float,
    passing: bool | None = None,
) -> tuple[Ids, Ranked]:
    """Rows of `everything` and those images, ranked: fine and predicted, scored ones as well.

    None of it depends on the hand scores given since: a score only takes its image away.
    """
    outside = outside_band(everything)
    high = too_high(everything.predictions, outside, threshold)
    wanted = everything.fine & ~np.isnan(everything.predictions)
    rows = np.flatnonzero(wanted if passing is None else wanted & (high == passing))
    predictions = everything.predictions[rows]
    exceed = everything.exceed[rows].astype(np.float64)
    chance = passing_chance(store, version_id, predictions, exceed, threshold)
    suspicion = ranking.chance_wrong(predictions, chance, threshold)
    ranked = Ranked(
        ids=everything.ids[rows],
        predictions=predictions,
        suspicion=np.where(outside[rows] == 0, suspicion, 1.0),
        second=10 * ranking.expected_score(exceed),
        given=np.full(len(rows), np.nan),
        outside=outside[rows],
        conflict=np.zeros(len(rows)),
    )
    order = ranked.order(crossing=(predictions >= threshold) == high[rows])
    return rows[order], ranked.take(order)


def _disagreement(
    out_of_fold: Floats, opinion: Floats, scores: Floats, threshold: float
) -> tuple[Floats, Mask]:
    """Suspicion (n,) of hand scores and whether it is worth a look; 0 where nothing was predicted.

    `out_of_fold` (n,) is NaN for a score that is newer than the version, `opinion` (n, 10) also
    where there is none.
    """
    suspicion, far = np.zeros(len(scores)), np.zeros(len(scores), dtype=bool)
    known = ~np.isnan(out_of_fold)
    unseen, given = out_of_fold[known], scores[known]
    spread = ranking.residual_spread(unseen, given)
    crosses = (unseen >= threshold) != (given >= threshold)
    suspicion[known] = ranking.hand_score_suspicion(unseen, given, opinion[known])
    far[known] = np.abs(unseen - given) > np.where(crosses, spread / 2, spread)
    return suspicion, far


@lru_cache(maxsize=1)
def out_of_fold(store: Store, version_id: int, everything: Collection) -> tuple[Floats, Floats]:
    """Out-of-fold predictions (n,) and second opinions (n, 10), NaN where there are none."""
    made = _unseen(store, version_id)
    exceed = np.full((len(made), 10), np.nan) if made.exceed is None else made.exceed
    predictions = everything.spread(made.image_ids, made.scores)
    return predictions, everything.spread(made.image_ids, exceed)


@lru_cache(maxsize=2)
def _unseen(store: Store, version_id: int) -> Predictions:
    """What the version predicted for images held out of its training; it never changes."""
    return db.versions.out_of_fold(store, version_id)


@lru_cache(maxsize=8)
def _proved(store: Store, version_id: int, threshold: float) -> tuple[float, ranking.Weighing]:
    """The out-of-fold residuals' spread, and how much head and second opinion count."""
    made = _unseen(store, version_id)
    ids, values = db.versions.trained_on(store, version_id)
    _, rows, where = np.intersect1d(made.image_ids, ids, assume_unique=True, return_indices=True)
    predicted, scores = made.scores[rows].astype(np.float64), values[where] / 10
    exceed = np.full((len(rows), 10), np.nan) if made.exceed is None else made.exceed[rows]
    spread = ranking.residual_spread(predicted, scores)
    return spread, ranking.weigh(predicted, exceed.astype(np.float64), scores, threshold, spread)
