"""What may choose the images that a person is asked to score: ours, and what it is up against.

A strategy takes where things stand and says which images come next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from model.estimators.kernel_ordinal import Glimpse, Opinion
from model.estimators.ordinal import threshold_level
from model.review import bandit
from model.review import suspicion as ranking

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

# So many cards are dealt, answered and learnt from before the next ones are, as on the Review page.
AT_ONCE = 8
# So many times the wanted number are dealt, for a choice of ones that differ.
POOL = 4
_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A version as the strategies see it: predictions (n,) 0–1 for the whole collection, the second
    opinion and how it sees the collection, and what both proved to be worth out of fold.
    """

    predictions: Floats
    opinion: Opinion
    seen: Glimpse
    spread: float
    weighing: ranking.Weighing


@dataclass(slots=True)
class Standing:
    """Where a simulated project stands.

    `left` (k,) are the rows that may be asked for and `scored` those that have a score; `answers`
    are the hand scores (0–10) given since the version was trained, by row. `record` tells of every
    image that was ever asked for: what chose it, and was it a mistake.
    """

    embeddings: NDArray[np.float32]  # (n, width)
    threshold: float
    version: Trained
    left: Ids
    scored: list[int]
    scores: Floats  # (n,) 0–10; only those of scored rows may be looked at
    draw: np.random.Generator
    answers: dict[int, float] = field(default_factory=dict)
    record: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def predicted(self) -> Floats:
        """Predictions (k,) of what is left."""
        return self.version.predictions[self.left]

    def chance_of_passing(self) -> Floats:
        """The second opinion's chance (k,) that each that is left passes, the answers included."""
        answered = np.fromiter(self.answers, np.int64, len(self.answers))
        given = np.fromiter(self.answers.values(), np.float64, len(self.answers))
        seen, passed = self.version.seen, given / 10 >= self.threshold - 1e-9
        log_odds = self.version.opinion.after(
            seen.take(self.left), seen.take(answered), passed, threshold_level(self.threshold)
        )
        return np.asarray(expit(log_odds))


# strategy(standing, wanted): places (j,) in `left`, 1 to `wanted` of them, and what chose each.
Choice = tuple[Ids, list[str]]
Strategy = Callable[[Standing, int], Choice]


def review(now: Standing, wanted: int) -> Choice:
    """What the Review page shows: a few at a time, dealt by the evidence that has proved itself."""
    wanted = min(wanted, AT_ONCE)
    suspicion = ranking.chance_wrong(now.predicted, now.chance_of_passing(), now.threshold)
    orders = {
        bandit.SECOND_OPINION: _highest(suspicion),
        bandit.PREDICTION: _highest(-np.abs(now.predicted - now.threshold)),
        bandit.RANDOM: now.draw.permutation(len(now.left)),
    }
    dealt = bandit.deal(orders, bandit.proved(now.record), POOL * wanted, now.draw)
    places = np.array([place for place, _ in dealt], dtype=np.int64)
    in_order = -np.arange(len(places), dtype=np.float64)
    chosen = ranking.diverse(in_order, now.embeddings[now.left[places]], wanted)
    return places[chosen], [dealt[k][1] for k in chosen.tolist()]


def random(now: Standing, wanted: int) -> Choice:
    """Every image is as likely as any other."""
    return _all_by("random", now.draw.permutation(len(now.left))[:wanted])


def highest_score(now: Standing, wanted: int) -> Choice:
    """What is predicted to be best, as one who looks through the hits does."""
    return _all_by("highest-score", _highest(now.predicted)[:wanted])


def nearest_threshold(now: Standing, wanted: int) -> Choice:
    """Uncertainty sampling (Lewis & Gale 1994): predictions closest to the threshold."""
    nearest = _highest(-np.abs(now.predicted - now.threshold))
    return _all_by("nearest-threshold", nearest[:wanted])


def greedy_sampling(now: Standing, wanted: int) -> Choice:
    """iGS (Wu, Lin & Huang 2019, arXiv 1808.04245): far from all scored images and in score.

    Greedily the largest least product of the embeddings' distance (of unit length) and the
    difference between prediction and score; images chosen just now count with their prediction.
    """
    units, chosen = now.version.seen.units, []
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
    return _all_by("greedy-sampling", np.array(chosen, dtype=np.int64))


STRATEGIES: dict[str, Strategy] = {
    "review": review,
    "random": random,
    "highest-score": highest_score,
    "nearest-threshold": nearest_threshold,
    "greedy-sampling": greedy_sampling,
}


def _products(now: Standing, units: NDArray[np.float32], rows: Ids, scores: Floats) -> Floats:
    """Distance times difference in score (k, m) between what is left and `rows` (m,)."""
    distances = np.sqrt(np.maximum(2 - 2 * units[now.left] @ units[rows].T, 0))
    return np.asarray(distances * np.abs(now.predicted[:, None] - scores))


def _highest(values: Floats) -> Ids:
    return np.argsort(-values, kind="stable")


def _all_by(name: str, places: Ids) -> Choice:
    return places, [name] * len(places)
