"""The images of a review queue in the order of suspicion, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

import db.scores.hand_scores
import db.versions.registry
from labeler.collection.arrays import Collection, Floats, Ids, Mask
from labeler.review.queues.score_conflicts import conflict_gaps, scored_pairs
from labeler.versions.calibration import out_of_fold, second_opinions
from labeler.versions.snapshot import Standing
from model.review import suspicion as ranking

# A prediction that rounds to a score within its source's band is no mistake.
HALF_A_POINT = 0.05
_AT_ONCE = 1 << 16  # images whose chances are reckoned in one step: bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Images that a queue may show, the surest mistake first; all arrays (m,), in that order."""

    places: Ids  # rows of the collection
    ids: Ids
    predictions: Floats  # 0–1
    suspicion: Floats  # 0–1, higher = more likely a mistake; 1 for a certain one
    second: Floats  # hand score 0–10 that the second opinion expects, NaN without one
    given: Floats  # the present hand score, 0–10, NaN for an unscored image
    # How far the prediction lies above (or, negative, below) what its source is expected to score,
    # 0–1, 0 within half a point of it: a mistake by the person's own word.
    outside: Floats
    conflict: Floats  # points, 0–10, to the score of a scored near-duplicate; 0 without a conflict
    too_high: Mask  # a likely false positive, else a likely false negative
    certain: Mask  # by the person's own word: outside the band of its source
    harmless: Mask  # of these, what is on the right side of the threshold all the same

    def sorted_by(self, order: Ids) -> Candidates:
        return replace(self, **{e.name: getattr(self, e.name)[order] for e in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Some of the candidates of a queue: `which` (n,) of them, in this order.

    A million of them are taken, left out and put first without being copied.
    """

    of: Candidates
    which: Ids

    def __len__(self) -> int:
        return len(self.which)

    @property
    def places(self) -> Ids:
        return self.of.places[self.which]

    @property
    def ids(self) -> Ids:
        return self.of.ids[self.which]

    @property
    def predictions(self) -> Floats:
        return self.of.predictions[self.which]

    @property
    def suspicion(self) -> Floats:
        return self.of.suspicion[self.which]

    @property
    def second(self) -> Floats:
        return self.of.second[self.which]

    @property
    def given(self) -> Floats:
        return self.of.given[self.which]

    @property
    def outside(self) -> Floats:
        return self.of.outside[self.which]

    @property
    def conflict(self) -> Floats:
        return self.of.conflict[self.which]

    @property
    def too_high(self) -> Mask:
        return self.of.too_high[self.which]

    @property
    def certain(self) -> Mask:
        return self.of.certain[self.which]

    @property
    def harmless(self) -> Mask:
        return self.of.harmless[self.which]

    def take(self, rows: Ids | Mask) -> Ranked:
        """The rows chosen by index or mask, in the order of `rows`."""
        return Ranked(self.of, self.which[rows])

    def without(self, gone: Mask) -> Ranked:
        """All but the images in the rows of the collection that are marked in `gone`."""
        return self.take(~gone[self.places])

    def followed_by(self, others: Ranked) -> Ranked:
        """These rows and then those of `others`, whose suspicions count."""
        return Ranked(others.of, np.concatenate([self.which, others.which]))

    def suspected(self, rows: Ids, suspicion: Floats) -> Ranked:
        """The same in the same order, the suspicion (k,) of `rows` (k,) being another."""
        changed = self.of.suspicion.copy()
        changed[self.which[rows]] = suspicion
        return Ranked(replace(self.of, suspicion=changed), self.which)

    def led_by(self, image_id: int | None) -> Ranked:
        """The same with one image at the head, if it is among them."""
        if image_id is None:
            return self
        leads = self.ids == image_id
        return self.take(leads).followed_by(self.take(~leads)) if leads.any() else self


def in_order(found: Candidates) -> Ranked:
    """Candidates, given by rising id, in the order of a queue; ties by id, so pages are stable.

    What the person's own word rules out goes first, the harmless after the others, then what
    contradicts a near-duplicate, then by suspicion.
    """
    leading = found.certain | (found.conflict != 0)
    few, others = np.flatnonzero(leading), np.flatnonzero(~leading)
    outside, later = np.abs(found.outside[few]), found.harmless[few] | ~found.certain[few]
    few = few[np.lexsort((-found.suspicion[few], -found.conflict[few], -outside, later))]
    others = others[np.argsort(-found.suspicion[others], kind="stable")]
    found = found.sorted_by(np.concatenate([few, others]))
    return Ranked(found, np.arange(len(found.ids)))


def unscored(ranked: Ranked, given: Floats, *, passing: bool | None = None) -> Ranked:
    """Return those of `ranked` without a hand score in `given` (n,) of the collection: all, or only
    what is predicted too high (`passing`) or too low.

    Too high is what passes, and what lies above the band of its source even where it fails; too low
    the other way round: every image is in one of the two queues. First comes what its source rules
    out, and of that first what is on the wrong side of the threshold.
    """
    waits = np.isnan(given)[ranked.places]
    return ranked.take(waits if passing is None else waits & (ranked.too_high == passing))


def by_hand(now: Standing) -> Ranked:
    """Scored images whose hand score looks wrong.

    First those that contradict the score of a near-duplicate; then those far from the prediction
    made without having seen them: farther than the usual out-of-fold residual, or than half of it
    across the threshold. Scores that a person has kept against the prediction are left out, and
    conflicts whose scores were all kept. A version made elsewhere has seen none of the scores.
    """
    everything, rows = now.everything, np.flatnonzero(~np.isnan(now.given))
    given = now.given[rows]
    kept = everything.marked(db.scores.hand_scores.confirmed_image_ids(now.project.store))
    conflict = conflict_gaps(scored_pairs(now), now.given, now.threshold, kept)[rows]
    made = everything.predictions[rows]
    if not now.version.is_foreign:
        made = out_of_fold(now.project, now.version.id, everything)[rows]
    opinion = second_opinions(now.project, now.version.id, everything.ids[rows])
    suspicion, far = _disagreement(made, opinion, given / 10, now.threshold)
    shown = np.where(np.isnan(made), everything.predictions[rows], made)
    nothing = np.zeros(len(rows), dtype=bool)
    ranked = in_order(
        Candidates(
            places=rows,
            ids=everything.ids[rows],
            predictions=np.where(np.isnan(shown), given / 10, shown),
            suspicion=suspicion,
            second=10 * ranking.expected_score(opinion),
            given=given,
            outside=np.zeros(len(rows)),
            conflict=conflict,
            too_high=nothing,
            certain=nothing,
            harmless=nothing,
        )
    )
    wrong = (conflict > 0) | (far & ~kept[rows])
    return ranked.take(np.isin(ranked.places, rows[wrong]))


def outside_band(predictions: Floats, low: Floats, high: Floats) -> Floats:
    """How far each prediction (n,) lies above (or, negative, below) the band of its source, 0–1.

    `low` and `high` (n,) are NaN without one. Not what is within half a point of the band, which
    rounds to a score in it.
    """
    violation = ranking.band_violation(predictions, low, high)
    signed = np.where(predictions > high, violation, -violation)
    return np.where(violation > HALF_A_POINT, signed, 0.0)


def too_high(predictions: Floats, outside: Floats, threshold: float) -> Mask:
    """Which images (n,) are likely false positives; the others are likely false negatives."""
    return np.where(outside == 0, predictions >= threshold, outside > 0)


def suspects(
    images: Collection, threshold: float, spread: float, weighing: ranking.StackingWeights
) -> Ranked:
    """Rank all that are fine and predicted, scored ones as well, the likeliest mistake first.

    `spread` and `weighing` are what head and second opinion proved to be worth, as in
    `chance_of_passing`. None of it depends on the hand scores given since: a score only takes its
    image away.
    """
    rows = np.flatnonzero(images.fine & ~np.isnan(images.predictions))
    predictions = images.predictions[rows]
    outside = outside_band(predictions, images.low[rows], images.high[rows])
    high = too_high(predictions, outside, threshold)
    suspicion, second = np.empty(len(rows)), np.empty(len(rows))
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        exceed = images.exceed[rows[part]].astype(np.float64)
        chance = ranking.chance_of_passing(predictions[part], exceed, threshold, spread, weighing)
        suspicion[part] = ranking.chance_wrong(predictions[part], chance, threshold)
        second[part] = 10 * ranking.expected_score(exceed)
    found = Candidates(
        places=rows,
        ids=images.ids[rows],
        predictions=predictions,
        suspicion=np.where(outside == 0, suspicion, 1.0),
        second=second,
        given=np.full(len(rows), np.nan),
        outside=outside,
        conflict=np.zeros(len(rows)),
        too_high=high,
        certain=outside != 0,
        harmless=(outside != 0) & ((predictions >= threshold) != high),
    )
    return in_order(found)


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
