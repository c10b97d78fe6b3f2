"""What may choose the images that a person is asked to score: ours, and what it is up against.

A strategy takes where things stand and says which images come next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from labeler.review.cards.page_selection import select_page
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.mistakes import Answers
from labeler.review.queues.suspects import unscored
from model.estimators.kernels import distances
from model.evaluation.metrics import passes

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

# As the Review page (assets/): so many cards are asked for, and after so many answers again.
PAGE, AT_ONCE = 40, 8
_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A version as the strategies see it."""

    arrays: ReviewArrays
    units: NDArray[np.float32]  # (n, width), embeddings of unit length

    @property
    def predictions(self) -> Floats:
        """Predictions (n,) 0–1 for the whole collection."""
        return self.arrays.images.predictions


@dataclass(slots=True)
class Standing:
    """Where a simulated project stands.

    `left` (k,) are the rows that may be asked for and `scored` those that have a score; `answers`
    are the hand scores (0–10) given since the version was trained, by row. `record` tells of every
    image that was ever asked for: what chose it, None of a near-duplicate on another's card, and
    was it a mistake.
    """

    threshold: float
    version: Trained
    left: Ids
    scored: list[int]
    scores: Floats  # (n,) 0–10; only those of scored rows may be looked at
    seed: int
    draw: np.random.Generator
    answers: dict[int, float] = field(default_factory=dict)
    record: list[tuple[str | None, bool]] = field(default_factory=list)

    @property
    def predicted(self) -> Floats:
        """Predictions (k,) of what is left."""
        return self.version.predictions[self.left]


# strategy(standing, wanted): rows (j,) of `left`, 1 to `wanted` of them, and what chose each.
Choice = tuple[Ids, list[str | None]]
Strategy = Callable[[Standing, int], Choice]


def review(now: Standing, wanted: int) -> Choice:
    """Choose what the Review page shows first: a few cards, each with its near-duplicates.

    The page itself is asked. What it can't show here: cards that are on the screen while others are
    dealt anew, and a near-duplicate that the person leaves out.
    """
    arrays, waits = now.version.arrays, np.zeros(len(now.scores), dtype=bool)
    waits[now.left] = True
    given = np.where(waits, np.nan, 0.0)
    page = select_page(
        arrays,
        unscored(arrays.ranked, given),
        limit=PAGE,
        among=waits,
        answers=_answers(now),
        seed=now.seed,
    )
    ids: list[int] = []
    names: list[str | None] = []
    for lead, together in zip(page.leads.ids[:AT_ONCE].tolist(), page.together, strict=False):
        ids += [lead, *together.tolist()]
        names += [page.evidence.get(lead), *([None] * len(together))]
    return arrays.images.rows(ids[:wanted]), names[:wanted]


def _answers(now: Standing) -> Answers:
    rows = np.fromiter(now.answers, np.int64, len(now.answers))
    given = np.fromiter(now.answers.values(), np.float64, len(now.answers))
    evidence = [(name, hit) for name, hit in now.record if name is not None]
    ids = now.version.arrays.images.ids[rows]
    return Answers(evidence, ids, passes(given / 10, now.threshold))


def random(now: Standing, wanted: int) -> Choice:
    """Every image is as likely as any other."""
    return _all_by("random", now.draw.permutation(now.left)[:wanted])


def highest_score(now: Standing, wanted: int) -> Choice:
    """What is predicted to be best, as one who looks through the hits does."""
    return _all_by("highest-score", now.left[_highest(now.predicted)[:wanted]])


def nearest_threshold(now: Standing, wanted: int) -> Choice:
    """Uncertainty sampling (Lewis & Gale 1994): predictions closest to the threshold."""
    nearest = _highest(-np.abs(now.predicted - now.threshold))
    return _all_by("nearest-threshold", now.left[nearest[:wanted]])


def greedy_sampling(now: Standing, wanted: int) -> Choice:
    """iGS (Wu, Lin & Huang 2019, arXiv 1808.04245): far from all scored images and in score.

    Greedily the largest least product of the embeddings' distance (of unit length) and the
    difference between prediction and score; images chosen just now count with their prediction.
    """
    units, chosen = now.version.units, []
    nearest = np.full(len(now.left), np.inf)
    scored = np.array(now.scored, dtype=np.int64)
    for start in range(0, len(scored), _ROWS):
        part = scored[start : start + _ROWS]
        products = _products(now, units, part, now.scores[part] / 10)
        nearest = np.minimum(nearest, products.min(axis=1))
    for _ in range(min(wanted, len(now.left))):
        chosen.append(int(np.argmax(nearest)))
        row = now.left[chosen[-1:]]
        products = _products(now, units, row, now.version.predictions[row])
        nearest = np.minimum(nearest, products[:, 0])
        nearest[chosen] = -1
    return _all_by("greedy-sampling", now.left[chosen])


STRATEGIES: dict[str, Strategy] = {
    "review": review,
    "random": random,
    "highest-score": highest_score,
    "nearest-threshold": nearest_threshold,
    "greedy-sampling": greedy_sampling,
}


def _products(now: Standing, units: NDArray[np.float32], rows: Ids, scores: Floats) -> Floats:
    """Distance times difference in score (k, m) between what is left and `rows` (m,)."""
    apart = distances(units[now.left], units[rows])
    return np.asarray(apart * np.abs(now.predicted[:, None] - scores))


def _highest(values: Floats) -> Ids:
    return np.argsort(-values, kind="stable")


def _all_by(name: str, rows: Ids) -> Choice:
    return rows, [name] * len(rows)
