"""Figures of predictions under many weightings at once, for intervals.

A jackknife leaves out some groups at a time, which weights their images with 0. All weightings
share one order of the predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from model.passing import passes

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Predictions and scores sorted by prediction, with what every weighting needs; (n,) each."""

    order: Numbers  # the images' places before they were ranked
    ties: Numbers  # number of the distinct prediction, rising
    ends: Numbers  # (distinct predictions,) the row behind the last one of each
    levels: Numbers  # number of the distinct score
    errors: Floats
    passing: Mask  # predicted to reach the threshold
    good: Mask  # that do by their score

    @classmethod
    def of(cls, predictions: Floats, scores: Floats, threshold: float, good: Mask) -> Ranking:
        """Return that of predictions and scores (n,), 0–1, n > 0; `good` (n,) should pass."""
        order = np.argsort(predictions, kind="stable")
        _, ties, counts = np.unique(predictions[order], return_inverse=True, return_counts=True)
        return cls(
            order=order,
            ties=ties,
            ends=np.cumsum(counts),
            levels=np.unique(scores[order], return_inverse=True)[1],
            errors=np.abs(predictions - scores)[order],
            passing=passes(predictions[order], threshold),
            good=good[order],
        )


class Weighted:
    """A ranking under r weightings, 0 or more: figures are (r,), NaN where undefined."""

    def __init__(self, ranking: Ranking, weights: Floats) -> None:
        """`weights` (r, n) of the images in the ranking's order."""
        self._ranking, self._weights = ranking, weights

    def mae(self) -> Floats:
        """Return the mean absolute error, 0–1."""
        return ratio(self._sums[:, 0], self._sums[:, 1])

    def precision(self) -> Floats:
        """Return the share of passing images that should pass."""
        return ratio(self._hits, self._sums[:, 2])

    def recall(self) -> Floats:
        """Return the share of images that should pass that do."""
        return ratio(self._hits, self._sums[:, 3])

    def false_positives(self) -> Floats:
        """Return the number of passing images that should not."""
        return self._sums[:, 2] - self._hits

    def average_precision(self) -> Floats:
        """Return the sum of precision times gained recall down the ranking, ties taken together."""
        rows = np.flatnonzero(self._ranking.good)
        ties, gained = self._ranking.ties[rows], self._weights[:, rows]  # (r, m)
        below = _cumulative(gained)[:, np.searchsorted(ties, ties)]
        hits = self._sums[:, 3:4] - below
        taken = self._sums[:, 1:2] - self._below[:, ties]
        precision = hits / np.maximum(taken, 1e-12)  # nothing is gained where nothing is taken
        return ratio(_row_products(gained, precision), self._sums[:, 3])

    def rank_correlation(self) -> Floats:
        """Return Spearman's rank correlation, ranked anew under each weighting."""
        below, levels = self._below, self._by_level
        ranks = _mid_ranks(below)  # (r, distinct predictions)
        score_ranks = _mid_ranks(_cumulative(levels))  # (r, distinct scores)
        norms = _row_products(np.diff(below), ranks, ranks) * _row_products(
            levels, score_ranks, score_ranks
        )
        if ranks.shape[1] < self._weights.shape[1]:
            ranks = ranks[:, self._ranking.ties]
        products = _row_products(self._weights, ranks, score_ranks[:, self._ranking.levels])
        return ratio(products, np.sqrt(norms))

    @cached_property
    def _sums(self) -> Floats:
        """(r, 5): errors, images, passing ones, good ones, and those that are both."""
        passing, good = self._ranking.passing, self._ranking.good
        columns = (self._ranking.errors, np.ones(len(good)), passing, good, passing & good)
        return np.asarray(self._weights @ np.stack(columns, axis=1))

    @property
    def _hits(self) -> Floats:
        return self._sums[:, 4]

    @cached_property
    def _below(self) -> Floats:
        """Weight below each distinct prediction, and of everything, (r, distinct + 1)."""
        return _cumulative(self._weights)[:, np.append(0, self._ranking.ends)]

    @property
    def _by_level(self) -> Floats:
        """Weight of each distinct score, (r, distinct)."""
        order = np.argsort(self._ranking.levels, kind="stable")
        counts = np.bincount(self._ranking.levels)
        return np.add.reduceat(self._weights[:, order], np.cumsum(counts) - counts, axis=1)


FIGURES: dict[str, Callable[[Weighted], Floats]] = {
    "mae": Weighted.mae,
    "rank_correlation": Weighted.rank_correlation,
    "precision": Weighted.precision,
    "recall": Weighted.recall,
    "false_positives": Weighted.false_positives,
    "average_precision": Weighted.average_precision,
}


def point_estimates(
    ranking: Ranking, names: Collection[str], weights: Floats | None = None
) -> dict[str, float]:
    """Return the figures `names`, NaN where undefined; `weights` (n,) of the images, else all 1."""
    ones = np.ones(len(ranking.order)) if weights is None else weights[ranking.order]
    weighted = Weighted(ranking, ones[None])
    return {name: float(FIGURES[name](weighted)[0]) for name in names}


def _cumulative(weights: Floats) -> Floats:
    """Return sums of the first 0, 1, … of each row, (r, n + 1)."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _mid_ranks(below: Floats) -> Floats:
    """Return centred middle ranks (r, k) of k values by the weight below each, (r, k + 1)."""
    return (below[:, :-1] + below[:, 1:] - below[:, -1:]) / 2


def _row_products(*factors: Floats) -> Floats:
    """Return sums of products along the rows, (r,)."""
    *others, last = factors
    product = reduce(np.multiply, others)
    return np.asarray(np.einsum("rn,rn->r", product, last))


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return quotients (r,), NaN where the denominator is 0."""
    undefined = np.full(len(denominator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 1e-12)
