"""The images of a review queue as arrays, ordered by suspicion."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

import db.scores.hand_scores
import db.versions.registry
from labeler.collection.arrays import Collection, Floats, Ids, Mask
from labeler.review.queues.score_conflicts import conflict_gaps, scored_pairs
from labeler.versions.calibration import out_of_fold, second_opinions
from labeler.versions.snapshot import ReviewSnapshot
from model.passing import passes
from model.review import suspicion as ranking

# A prediction that rounds to a score within the band of its source is no mistake.
HALF_A_POINT = 0.05
_BATCH = 1 << 16  # images computed in one step: bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Images that a queue may show, the surest mistake first; all arrays (m,), in that order."""

    collection_rows: Ids  # rows of the collection
    ids: Ids
    predictions: Floats  # 0–1
    suspicion: Floats  # 0–1, higher = more likely a mistake; 1 for a certain one
    second_opinion: Floats  # hand score 0–10 that the second opinion expects, NaN without one
    hand_scores: Floats  # 0–10, NaN for an unscored image
    # How far the prediction lies above (or, negative, below) what its source is expected to score,
    # 0–1, 0 within half a point of it.
    outside: Floats
    conflict: Floats  # points, 0–10, to the score of a scored near-duplicate; 0 without a conflict
    too_high: Mask  # a likely false positive, else a likely false negative
    certain: Mask  # outside the band that the person set for its source
    harmless: Mask  # certain, but on the right side of the threshold

    def sorted_by(self, order: Ids) -> Candidates:
        """Return the candidates in another order; `order` (m,) are row numbers."""
        return replace(self, **{e.name: getattr(self, e.name)[order] for e in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class RankedCandidates:
    """Some of the candidates of a queue: rows `order` (n,) of `candidates`, in this order.

    Filtering and reordering copy `order` alone, not the arrays of a million candidates.
    """

    candidates: Candidates
    order: Ids

    def __len__(self) -> int:
        return len(self.order)

    @property
    def collection_rows(self) -> Ids:
        """Return their rows (n,) in the collection."""
        return self.candidates.collection_rows[self.order]

    @property
    def ids(self) -> Ids:
        """Return their image ids (n,)."""
        return self.candidates.ids[self.order]

    @property
    def predictions(self) -> Floats:
        """Return their predictions (n,), 0–1."""
        return self.candidates.predictions[self.order]

    @property
    def suspicion(self) -> Floats:
        """Return their suspicion (n,), 0–1, higher = more likely a mistake."""
        return self.candidates.suspicion[self.order]

    @property
    def second_opinion(self) -> Floats:
        """Return the hand scores (n,), 0–10, that the second opinion expects; NaN without one."""
        return self.candidates.second_opinion[self.order]

    @property
    def hand_scores(self) -> Floats:
        """Return their hand scores (n,), NaN for none."""
        return self.candidates.hand_scores[self.order]

    @property
    def outside(self) -> Floats:
        """Return how far (n,) predictions are above or below (< 0) their source's band, 0–1."""
        return self.candidates.outside[self.order]

    @property
    def conflict(self) -> Floats:
        """Return the points (n,), 0–10, to the score of a near-duplicate; 0 without a conflict."""
        return self.candidates.conflict[self.order]

    @property
    def too_high(self) -> Mask:
        """Return the mask (n,) of those that are suspected of being too high."""
        return self.candidates.too_high[self.order]

    @property
    def certain(self) -> Mask:
        """Return the mask (n,) of those outside the band that was set for their source."""
        return self.candidates.certain[self.order]

    @property
    def harmless(self) -> Mask:
        """Return the mask (n,) of certain ones on the right side of the threshold."""
        return self.candidates.harmless[self.order]

    def take(self, rows: Ids | Mask) -> RankedCandidates:
        """Return the rows selected by index or mask, in the order of `rows`."""
        return RankedCandidates(self.candidates, self.order[rows])

    def without(self, excluded: Mask) -> RankedCandidates:
        """Return all but the images whose rows of the collection are marked in `excluded`."""
        return self.take(~excluded[self.collection_rows])

    def concatenate(self, others: RankedCandidates) -> RankedCandidates:
        """Return these rows followed by those of `others`; the suspicions are those of `others`."""
        return RankedCandidates(others.candidates, np.concatenate([self.order, others.order]))

    def with_suspicion(self, rows: Ids, suspicion: Floats) -> RankedCandidates:
        """Return the same order with other suspicions (k,) for `rows` (k,)."""
        changed = self.candidates.suspicion.copy()
        changed[self.order[rows]] = suspicion
        return RankedCandidates(replace(self.candidates, suspicion=changed), self.order)

    def with_first(self, image_id: int | None) -> RankedCandidates:
        """Return the same with one image first, if it is among them."""
        if image_id is None:
            return self
        leads = self.ids == image_id
        return self.take(leads).concatenate(self.take(~leads)) if leads.any() else self


def sort_candidates(candidates: Candidates) -> RankedCandidates:
    """Sort candidates, given by ascending id, into the order of a queue.

    First come the certain mistakes, harmless ones after the others, then those that contradict a
    near-duplicate, then the rest by suspicion. Ties stay in the order of ids, so pages are stable.
    """
    first = candidates.certain | (candidates.conflict != 0)
    leading, others = np.flatnonzero(first), np.flatnonzero(~first)
    keys = (  # the last one counts most
        -candidates.suspicion,
        -candidates.conflict,
        -np.abs(candidates.outside),
        candidates.harmless | ~candidates.certain,
    )
    leading = leading[np.lexsort([key[leading] for key in keys])]
    others = others[np.argsort(-candidates.suspicion[others], kind="stable")]
    candidates = candidates.sorted_by(np.concatenate([leading, others]))
    return RankedCandidates(candidates, np.arange(len(candidates.ids)))


def unscored_candidates(
    ranked: RankedCandidates, hand_scores: Floats, *, passing: bool | None = None
) -> RankedCandidates:
    """Return those of `ranked` without a hand score in `hand_scores` (n,) of the collection.

    `passing` selects what is predicted too high (True) or too low (False); None selects both. Too
    high is what passes, and what lies above the band of its source even where it fails; too low the
    other way round: each image is in exactly one of the two queues.
    """
    is_unscored = np.isnan(hand_scores)[ranked.collection_rows]
    return ranked.take(
        is_unscored if passing is None else is_unscored & (ranked.too_high == passing)
    )


def hand_score_candidates(snapshot: ReviewSnapshot) -> RankedCandidates:
    """Return scored images whose hand score looks wrong.

    First those that contradict the score of a near-duplicate; then those whose score is far from
    the held-out prediction: farther than the usual out-of-fold residual, or than half of it across
    the threshold. A confirmation, which says no number, is only shown where it contradicts a
    near-duplicate. Scores that a person has kept against the prediction are left out, and conflicts
    whose scores were all kept. All predictions of an adopted version are held out: it has seen none
    of the scores.
    """
    collection, rows = snapshot.collection, np.flatnonzero(~np.isnan(snapshot.hand_scores))
    hand_scores = snapshot.hand_scores[rows]
    kept = collection.marked(db.scores.hand_scores.confirmed_image_ids(snapshot.project.store))
    conflict = conflict_gaps(
        scored_pairs(snapshot), (snapshot.low, snapshot.high), snapshot.threshold, kept
    )[rows]
    held_out = collection.predictions[rows]
    if not snapshot.version.is_foreign:
        held_out = out_of_fold(snapshot.project, snapshot.version.id, collection)[rows]
    opinion = second_opinions(snapshot.project, snapshot.version.id, collection.ids[rows])
    typed_held_out = np.where(snapshot.is_typed[rows], held_out, np.nan)
    suspicion, far = _hand_score_suspicion(
        typed_held_out, opinion, hand_scores / 10, snapshot.threshold
    )
    shown = np.where(np.isnan(held_out), collection.predictions[rows], held_out)
    none = np.zeros(len(rows), dtype=bool)
    ranked = sort_candidates(
        Candidates(
            collection_rows=rows,
            ids=collection.ids[rows],
            predictions=np.where(np.isnan(shown), hand_scores / 10, shown),
            suspicion=suspicion,
            second_opinion=10 * ranking.expected_score(opinion),
            hand_scores=hand_scores,
            outside=np.zeros(len(rows)),
            conflict=conflict,
            too_high=none,
            certain=none,
            harmless=none,
        )
    )
    wrong = (conflict > 0) | (far & ~kept[rows])
    return ranked.take(np.isin(ranked.collection_rows, rows[wrong]))


def outside_band(predictions: Floats, low: Floats, high: Floats) -> Floats:
    """Return how far each prediction (n,) lies above (or, negative, below) its source's band, 0–1.

    `low` and `high` (n,) are NaN without a band. 0 within half a point of the band, where the
    prediction rounds to a score in it.
    """
    violation = ranking.band_violation(predictions, low, high)
    signed = np.where(predictions > high, violation, -violation)
    return np.where(violation > HALF_A_POINT, signed, 0.0)


def is_too_high(predictions: Floats, outside: Floats, threshold: float) -> Mask:
    """Return which images (n,) are likely false positives; the others: false negatives."""
    return np.where(outside == 0, passes(predictions, threshold), outside > 0)


def rank_predicted(
    images: Collection, threshold: float, spread: float, weighing: ranking.StackingWeights
) -> RankedCandidates:
    """Rank all readable images with a prediction, scored ones as well, the likeliest mistake first.

    `spread` and `weighing` are the measured errors of head and second opinion, as in
    `chance_of_passing`. The result does not depend on later hand scores.
    """
    rows = np.flatnonzero(images.fine & ~np.isnan(images.predictions))
    predictions = images.predictions[rows]
    outside = outside_band(predictions, images.low[rows], images.high[rows])
    high = is_too_high(predictions, outside, threshold)
    suspicion, second_opinion = np.empty(len(rows)), np.empty(len(rows))
    for start in range(0, len(rows), _BATCH):
        part = slice(start, start + _BATCH)
        exceed = images.exceed[rows[part]].astype(np.float64)
        chance = ranking.chance_of_passing(predictions[part], exceed, threshold, spread, weighing)
        suspicion[part] = ranking.chance_wrong(predictions[part], chance, threshold)
        second_opinion[part] = 10 * ranking.expected_score(exceed)
    candidates = Candidates(
        collection_rows=rows,
        ids=images.ids[rows],
        predictions=predictions,
        suspicion=np.where(outside == 0, suspicion, 1.0),
        second_opinion=second_opinion,
        hand_scores=np.full(len(rows), np.nan),
        outside=outside,
        conflict=np.zeros(len(rows)),
        too_high=high,
        certain=outside != 0,
        harmless=(outside != 0) & (passes(predictions, threshold) != high),
    )
    return sort_candidates(candidates)


def _hand_score_suspicion(
    out_of_fold: Floats, opinion: Floats, scores: Floats, threshold: float
) -> tuple[Floats, Mask]:
    """Return the suspicion (n,) of hand scores, and whether it is far enough to show; 0 and False
    where there is no prediction.

    `out_of_fold` (n,) is NaN for a score that is newer than the version, `opinion` (n, 10) also
    where there is none; `scores` (n,) are 0–1.
    """
    suspicion, far = np.zeros(len(scores)), np.zeros(len(scores), dtype=bool)
    predicted = ~np.isnan(out_of_fold)
    held_out, hand_scores = out_of_fold[predicted], scores[predicted]
    spread = ranking.residual_spread(held_out, hand_scores)
    crosses = passes(held_out, threshold) != passes(hand_scores, threshold)
    suspicion[predicted] = ranking.hand_score_suspicion(held_out, hand_scores, opinion[predicted])
    far[predicted] = np.abs(held_out - hand_scores) > np.where(crosses, spread / 2, spread)
    return suspicion, far
