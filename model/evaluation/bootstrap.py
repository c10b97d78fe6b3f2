"""Figures of predictions under many weightings at once: what their intervals are bootstrapped from.

A resample draws whole groups with repetition, so each image stands in it for so many. All resamples
share one order of the predictions, and are worked on in parts that fit the processor's cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
RESAMPLES = 1000
_PART = 1 << 17  # weights at a time, a megabyte of them


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Predictions beside scores by rising prediction, with what every resample needs; (n,) each."""

    order: Numbers  # the images' places before they were ranked
    ties: Numbers  # number of the distinct prediction, rising
    ends: Numbers  # (distinct predictions,) the row behind the last one of each
    levels: Numbers  # number of the distinct score
    errors: Floats
    passing: Mask  # predicted to reach the threshold
    good: Mask  # that do by their score

    @classmethod
    def of(cls, said: Floats, truth: Floats, threshold: float, good: Mask) -> Ranking:
        """Of predictions and scores (n,), 0–1, n > 0; `good` (n,) are those that should pass."""
        order = np.argsort(said, kind="stable")
        _, ties, counts = np.unique(said[order], return_inverse=True, return_counts=True)
        return cls(
            order=order,
            ties=ties,
            ends=np.cumsum(counts),
            levels=np.unique(truth[order], return_inverse=True)[1],
            errors=np.abs(said - truth)[order],
            passing=said[order] >= threshold,
            good=good[order],
        )


class Weighted:
    """A ranking under r weightings, whole numbers: the figures are (r,), NaN without a meaning."""

    def __init__(self, ranking: Ranking, weights: Floats) -> None:
        """`weights` (r, n) of the images in the ranking's order."""
        self._ranking, self._weights = ranking, weights

    def mae(self) -> Floats:
        return _share(self._sums[:, 0], self._sums[:, 1])

    def precision(self) -> Floats:
        return _share(self._hits, self._sums[:, 2])

    def recall(self) -> Floats:
        return _share(self._hits, self._sums[:, 3])

    def false_positives(self) -> Floats:
        return self._sums[:, 2] - self._hits

    def average_precision(self) -> Floats:
        """Sum of precision times gained recall down the ranking, ties taken together."""
        rows = np.flatnonzero(self._ranking.good)
        ties, gained = self._ranking.ties[rows], self._weights[:, rows]  # (r, m)
        below = _up_to(gained)[:, np.searchsorted(ties, ties)]
        hits = self._sums[:, 3:4] - below
        taken = self._sums[:, 1:2] - self._below[:, ties]
        precision = hits / np.maximum(taken, 1)  # nothing is gained where nothing is taken
        return _share(_products(gained, precision), self._sums[:, 3])

    def rank_correlation(self) -> Floats:
        """Spearman's, ranked anew in each resample."""
        below, levels = self._below, self._by_level
        said = _middle(below)  # (r, distinct predictions)
        truth = _middle(_up_to(levels))  # (r, distinct scores)
        spread = _products(np.diff(below), said, said) * _products(levels, truth, truth)
        if said.shape[1] < self._weights.shape[1]:
            said = said[:, self._ranking.ties]
        together = _products(self._weights, said, truth[:, self._ranking.levels])
        return _share(together, np.sqrt(spread))

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
        return _up_to(self._weights)[:, np.append(0, self._ranking.ends)]

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


def whole(ranking: Ranking, names: Collection[str]) -> dict[str, float]:
    """The figures `names` with every image once."""
    weighted = Weighted(ranking, np.ones((1, len(ranking.order))))
    return {name: float(FIGURES[name](weighted)[0]) for name in names}


def resampled(
    rankings: Sequence[Ranking], names: Collection[str], groups: Numbers, seed: int
) -> list[dict[str, Floats]]:
    """The figures `names` of each ranking in every resample, (RESAMPLES,): the same for all.

    `groups` (n,) tell which images are drawn together.
    """
    _, place = np.unique(groups, return_inverse=True)
    count = min(RESAMPLES, max(1, _PART // len(place)))
    places = [place[ranking.order] for ranking in rankings]

    def part(start: int) -> list[list[Floats]]:
        numbers = range(start, min(start + count, RESAMPLES))
        drawn = draws(int(place.max()) + 1, seed, numbers)
        parts = zip(rankings, places, strict=True)
        weighted = [Weighted(ranking, drawn[:, rows]) for ranking, rows in parts]
        return [[FIGURES[name](each) for name in names] for each in weighted]

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        parts = list(threads.map(part, range(0, RESAMPLES, count)))
    return [
        {
            name: np.concatenate([found[number][place] for found in parts])
            for place, name in enumerate(names)
        }
        for number in range(len(rankings))
    ]


def draws(total: int, seed: int, numbers: Sequence[int]) -> Floats:
    """How often each of `total` groups is drawn in the resamples `numbers` (r,), (r, total).

    Each is a draw of its own: it is the same however the work is parted.
    """
    generators = (np.random.default_rng((seed, number)) for number in numbers)
    drawn = (generator.integers(0, total, total) for generator in generators)
    return np.stack([np.bincount(each, minlength=total) for each in drawn]).astype(np.float64)


def _up_to(weights: Floats) -> Floats:
    """Sums of the first 0, 1, … of each row, (r, n + 1)."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _middle(below: Floats) -> Floats:
    """Middle ranks (r, k) of k values by the weight below each (r, k + 1), from their mean."""
    return (below[:, :-1] + below[:, 1:] - below[:, -1:]) / 2


def _products(*factors: Floats) -> Floats:
    """Sums of products along the rows, (r,)."""
    *others, last = factors
    product = reduce(np.multiply, others)
    return np.asarray(np.einsum("rn,rn->r", product, last))


def _share(part: Floats, of: Floats) -> Floats:
    return np.divide(part, of, out=np.full(len(of), np.nan), where=of > 1e-12)
