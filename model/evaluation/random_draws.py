"""Figures of a version on a whole collection, from the images of it that were drawn at random.

A person scores some images because they were drawn and others because a model chose them. What was
chosen counts for itself; only the draws stand for images that nobody has scored: each for all that
could have been drawn in its place. These are the weights of the levelled unbiased risk estimator
(Farquhar, Gal & Rainforth 2021, "On statistical bias in active learning", section 3), with which
chosen images and random draws may alternate. Predictions and scores are 0–1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation import metrics
from model.evaluation.censoring import NEED_THE_SCORE, measure_known, side_is_known
from model.evaluation.metrics import Figure
from model.evaluation.proportions import LEVEL
from model.passing import passes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class RandomDraws:
    """The scored images of a population in the order in which they were scored, (m,) each.

    `predictions` were made without having seen the scores. `drawn` says which images were drawn at
    random from all of the population that had no score by then. `population` counts its images,
    scored or not, and `passing` those that are predicted to reach the threshold, where that is
    known. `groups` name images that belong together (near-duplicates), for figures that shall hold
    for other images like these; without them the figures are of this population. `bounds` (low,
    high) of the scores differ where only an interval is known (model/evaluation/censoring.py).
    """

    predictions: Floats
    scores: Floats
    drawn: Mask
    population: int
    threshold: float
    passing: int | None = None
    groups: Ints | None = None
    bounds: tuple[Floats, Floats] | None = None

    @property
    def low(self) -> Floats:
        """Return the least that each score (m,) can be."""
        return self.scores if self.bounds is None else self.bounds[0]

    @property
    def high(self) -> Floats:
        """Return the end of what each score (m,) can be."""
        return self.scores if self.bounds is None else self.bounds[1]

    @property
    def count(self) -> int:
        """Return how many images were drawn."""
        return int(self.drawn.sum())

    def weights(self) -> Floats:
        """Return how many images of the population each stands for, (m,); they sum to it.

        What was chosen stands for itself in the draws after it, and is stood for by those before.
        """
        places = np.flatnonzero(self.drawn)
        sizes = self.population - places.astype(np.float64)  # what each was drawn from
        share = 1 / (sizes * np.maximum(sizes - 1, 1e-9))  # the last one left is certain
        share /= share.sum()
        behind = np.append(np.cumsum(share[::-1])[::-1], 0.0)  # of the draws from each on
        weights = behind[np.searchsorted(places, np.arange(len(self.drawn)), side="right")]
        weights[places] += share * sizes
        return self._matched(weights)

    def independent(self) -> Ints:
        """Return the groups (m,) that count as evidence: each image by itself without any."""
        return np.arange(len(self.drawn)) if self.groups is None else self.groups

    def _matched(self, weights: Floats) -> Floats:
        """Return `weights` with the draws' changed so that as much passes as is known to pass
        (poststratification)."""
        if self.passing is None:
            return weights
        side = passes(self.predictions, self.threshold)
        sides = ((side, self.passing), (~side, self.population - self.passing))
        if any(total and not (among & self.drawn).any() for among, total in sides):
            return weights  # of a side without a draw nothing is known
        for among, total in sides:
            draws = among & self.drawn
            missing = max(0.0, total - float(weights[among & ~self.drawn].sum()))
            weights[draws] *= missing / max(float(weights[draws].sum()), 1e-12)
        return weights


@dataclass(frozen=True, slots=True)
class Difference:
    """How a figure differs between two versions on the same draws: new - old, with its interval."""

    old: float
    new: float
    low: float | None
    high: float | None

    @property
    def value(self) -> float:
        """Return new - old."""
        return self.new - self.old


def figures(draws: RandomDraws) -> dict[str, Figure]:
    """Return every figure of `model.evaluation.metrics` with its 95 % interval, of the population.

    Raises `ModelError` for what is not finite.
    """
    weights, groups = draws.weights(), draws.independent()
    counts = weights > 0

    def measured(known: Mask) -> dict[str, Figure]:
        on = known & counts
        return metrics.measure(
            draws.predictions[on], draws.scores[on], draws.threshold, groups[on], weights[on]
        )

    found = measure_known(measured, draws.low, draws.high, draws.threshold)
    if draws.passing is None:  # how many pass is estimated, too
        known = side_is_known(draws.low, draws.high, draws.threshold) & counts
        scale = draws.population / max(1, int(known.sum()))
        wrong = found["false_positives"]
        value, low, high = (
            None if each is None else scale * each
            for each in (wrong["value"], wrong["low"], wrong["high"])
        )
        return found | {"false_positives": Figure(value=value, low=low, high=high)}
    passing = float(draws.passing)
    precision = found["precision"]
    value, low, high = (
        None if share is None else passing * (1 - share)
        for share in (precision["value"], precision["low"], precision["high"])
    )
    return found | {"false_positives": Figure(value=value, low=high, high=low)}


def baseline(draws: RandomDraws) -> dict[str, Figure]:
    """Return the error of predicting the mean score for every image of the population, and the
    share that should pass, which is the average precision of doing so.
    """
    weights, groups = draws.weights(), draws.independent()
    counts = weights > 0

    def measured(known: Mask) -> dict[str, Figure]:
        on = known & counts
        return metrics.baseline(draws.scores[on], draws.threshold, groups[on], weights[on])

    return measure_known(measured, draws.low, draws.high, draws.threshold)


def difference(
    draws: RandomDraws, old: Floats, name: str, level: float = LEVEL
) -> Difference | None:
    """Return how the figure `name` of `draws.predictions` differs from that of `old` (m,), paired.

    None where one of them has no meaning. Jackknife and Student's t.
    """
    if draws.count < 2:
        return None
    weights, groups = draws.weights(), draws.independent()
    exact = draws.low == draws.high
    sides = side_is_known(draws.low, draws.high, draws.threshold)
    known = exact if name in NEED_THE_SCORE else sides
    on = known & (weights > 0)
    new, old, scores, kept = draws.predictions[on], old[on], draws.scores[on], weights[on]
    after, before = (
        metrics.values(each, scores, draws.threshold, [name], kept)[name] for each in (new, old)
    )
    if after is None or before is None:
        return None
    found = metrics.difference(
        new, old, scores, draws.threshold, groups[on], only=[name], weights=kept, level=level
    )[name]
    return Difference(before, after, found["low"], found["high"])
