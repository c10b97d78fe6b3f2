"""Both kinds of likely mistakes in one queue, ordered by the evidence that found most so far.

Three kinds of evidence take turns (model/review/bandit.py): the second opinion, updated with the
answers of the open round; the prediction's distance to the threshold; and chance. What lies outside
the band of its source is a certain mistake and needs none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from labeler.collection.arrays import Floats, Ids, Mask
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.suspects import RankedCandidates
from model.estimators.ordinal import LEVELS, threshold_level
from model.review import bandit, suspicion

# The second opinion learns from the last answers of the round: the cost grows with their cube.
MOST_ANSWERS = 200
# The order is computed for this many times the limit: the page selects diverse ones of them.
POOL = 6
_SAMPLE_STEP = 64  # one value in so many is sampled


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The person's answers so far.

    `evidence` has for each answered card of all rounds, in order, what selected it and whether it
    was a mistake. `ids` (m,) are the images scored in the open round, in order, and `passed` (m,)
    whether each score reaches the threshold.
    """

    evidence: Sequence[tuple[str, bool]]
    ids: Ids
    passed: Mask


def order_by_evidence(
    arrays: ReviewArrays, ranked: RankedCandidates, answers: Answers, limit: int, seed: int
) -> tuple[RankedCandidates, dict[int, str]]:
    """Return `ranked` with the next cards first, enough for `limit`, and the evidence of each, by
    id.

    `ranked` are some of `arrays.ranked`. The same answers and seed give the same order.
    """
    certain, uncertain = ranked.take(ranked.certain), ranked.take(~ranked.certain)
    if not len(uncertain):
        return ranked, {}
    uncertain, opinion_order = _update_suspicion(arrays, uncertain, answers)
    distances = np.abs(uncertain.predictions - arrays.threshold)
    rng = np.random.default_rng([seed, len(answers.evidence)])
    count = min(POOL * limit, len(uncertain))
    orders = {
        bandit.SECOND_OPINION: opinion_order,
        bandit.PREDICTION: _smallest(distances, count),
        bandit.RANDOM: rng.choice(len(uncertain), count, replace=False),
    }
    selected = bandit.thompson_sample(orders, bandit.hit_counts(answers.evidence), count, rng)
    rows = np.array([row for row, _ in selected], dtype=np.int64)
    remaining = np.ones(len(uncertain), dtype=bool)
    remaining[rows] = False
    order = np.concatenate([rows, np.flatnonzero(remaining)])
    ordered = certain.concatenate(uncertain.take(order))
    names = [name for _, name in selected]
    return ordered, dict(zip(uncertain.take(rows).ids.tolist(), names, strict=True))


def _update_suspicion(
    arrays: ReviewArrays, candidates: RankedCandidates, answers: Answers
) -> tuple[RankedCandidates, Ids]:
    """Return `candidates` with updated suspicions, and their rows in the second opinion's order.

    The second opinion is conditioned on the answers of the round. Without its file the stored
    predictions of it are used.
    """
    if arrays.opinion is None:
        return candidates, np.arange(len(candidates))
    ids, features = arrays.shortlist
    rows = np.flatnonzero(arrays.images.marked(ids)[candidates.collection_rows])
    answered = arrays.opinion.transform(arrays.units.of(answers.ids[-MOST_ANSWERS:]))
    level, shortlist_rows = (
        threshold_level(arrays.threshold),
        np.searchsorted(ids, candidates.ids[rows]),
    )
    passed = answers.passed[-MOST_ANSWERS:]
    log_odds = arrays.opinion.condition_on(features.take(shortlist_rows), answered, passed, level)
    chance, predictions = np.asarray(expit(log_odds)), candidates.predictions[rows]
    opinion_suspicion = suspicion.chance_wrong(predictions, chance, arrays.threshold)
    order = rows[np.argsort(-opinion_suspicion, kind="stable")]
    return candidates.with_suspicion(
        rows, _combined_chance(arrays, predictions, chance, level)
    ), order


def _combined_chance(
    arrays: ReviewArrays, predictions: Floats, chance: Floats, level: int
) -> Floats:
    """Return the chance (n,) of being wrong that head and second opinion give together.

    `chance` (n,) is the second opinion's, of passing the threshold at `level`.
    """
    exceed = np.full((len(chance), LEVELS), np.nan)
    exceed[:, level - 1] = chance
    passing = suspicion.chance_of_passing(
        predictions, exceed, arrays.threshold, arrays.spread, arrays.weighing
    )
    return suspicion.chance_wrong(predictions, passing, arrays.threshold)


def _smallest(values: Floats, count: int) -> Ids:
    """Return the rows of the `count` smallest values, the smallest first."""
    # A quantile of a sample leaves few values to sort, of a million as well.
    sample, rows = values[::_SAMPLE_STEP], np.arange(len(values))
    quantile = 2 * count // _SAMPLE_STEP + 8
    if quantile < len(sample):
        below = np.flatnonzero(values <= np.partition(sample, quantile)[quantile])
        rows = below if len(below) >= count else rows
    return rows[np.lexsort((rows, values[rows]))][:count]
