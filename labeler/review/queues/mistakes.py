"""The cards of both kinds of likely mistakes in one queue, dealt by what has proved itself.

Three kinds of evidence take turns (model/review/bandit.py): the second opinion, as it stands after
the answers of the open round; the prediction's distance to the threshold; and chance. What a
source's band rules out is certain and needs none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from labeler.collection.arrays import Floats, Ids, Mask
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.suspects import Ranked
from model.estimators.ordinal import LEVELS, threshold_level
from model.review import bandit, suspicion

# Answers that the second opinion learns from, the last ones of the round: it takes the cube of it.
MOST_ANSWERS = 200
# So many times the wanted number are dealt, for a choice of ones that differ.
POOL = 6
_SOME = 64  # one value in so many is looked at first


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a person has answered so far.

    `evidence` tells of the cards of all rounds, as they were answered, what dealt each and whether
    it was a mistake. `ids` (m,) are the images scored in the open round, as they were answered, and
    `passed` (m,) whether each score reaches the threshold.
    """

    evidence: Sequence[tuple[str, bool]]
    ids: Ids
    passed: Mask


def dealt(
    arrays: ReviewArrays, ranked: Ranked, answers: Answers, limit: int, seed: int
) -> tuple[Ranked, dict[int, str]]:
    """Return `ranked` with the next cards first, enough for `limit`, and what dealt each, by id.

    `ranked` are some of `arrays.ranked`. The same answers and seed deal the same cards.
    """
    certain, guesses = ranked.take(ranked.certain), ranked.take(~ranked.certain)
    if not len(guesses):
        return ranked, {}
    guesses, by_opinion = _second_opinion(arrays, guesses, answers)
    nearest = np.abs(guesses.predictions - arrays.threshold)
    draw = np.random.default_rng([seed, len(answers.evidence)])
    count = min(POOL * limit, len(guesses))
    orders = {
        bandit.SECOND_OPINION: by_opinion,
        bandit.PREDICTION: _least(nearest, count),
        bandit.RANDOM: draw.choice(len(guesses), count, replace=False),
    }
    chosen = bandit.thompson_sample(orders, bandit.hit_counts(answers.evidence), count, draw)
    rows = np.array([row for row, _ in chosen], dtype=np.int64)
    waits = np.ones(len(guesses), dtype=bool)
    waits[rows] = False
    order = np.concatenate([rows, np.flatnonzero(waits)])
    ahead = certain.followed_by(guesses.take(order))
    dealt_by = [name for _, name in chosen]
    return ahead, dict(zip(guesses.take(rows).ids.tolist(), dealt_by, strict=True))


def _second_opinion(arrays: ReviewArrays, guesses: Ranked, answers: Answers) -> tuple[Ranked, Ids]:
    """Suspicions as they stand after the round's answers, and rows in the second opinion's order.

    Without its file what was stored of it has to do.
    """
    if arrays.opinion is None:
        return guesses, np.arange(len(guesses))
    ids, seen = arrays.shortlist
    rows = np.flatnonzero(arrays.images.marked(ids)[guesses.places])
    answered = arrays.opinion.transform(arrays.units.of(answers.ids[-MOST_ANSWERS:]))
    level, where = threshold_level(arrays.threshold), np.searchsorted(ids, guesses.ids[rows])
    passed = answers.passed[-MOST_ANSWERS:]
    odds = arrays.opinion.condition_on(seen.take(where), answered, passed, level)
    chance, predictions = np.asarray(expit(odds)), guesses.predictions[rows]
    alone = suspicion.chance_wrong(predictions, chance, arrays.threshold)
    order = rows[np.argsort(-alone, kind="stable")]
    return guesses.suspected(rows, _together(arrays, predictions, chance, level)), order


def _together(arrays: ReviewArrays, predictions: Floats, chance: Floats, level: int) -> Floats:
    """The chance (n,) of being wrong that head and second opinion give together."""
    exceed = np.full((len(chance), LEVELS), np.nan)
    exceed[:, level - 1] = chance
    passing = suspicion.chance_of_passing(
        predictions, exceed, arrays.threshold, arrays.spread, arrays.weighing
    )
    return suspicion.chance_wrong(predictions, passing, arrays.threshold)


def _least(values: Floats, count: int) -> Ids:
    """Rows of the `count` least values, the least first."""
    # What some of the values tell leaves few to choose from, of a million as well.
    some, rows = values[::_SOME], np.arange(len(values))
    place = 2 * count // _SOME + 8
    if place < len(some):
        few = np.flatnonzero(values <= np.partition(some, place)[place])
        rows = few if len(few) >= count else rows
    return rows[np.lexsort((rows, values[rows]))][:count]
