"""Figures of predictions against hand scores, each with its 95 % interval.

Predictions and scores are 0–1 here; an image passes from `threshold` on, its score likewise. A
figure that has no meaning (precision where nothing passes, a rank correlation of constants) is
`None`. Intervals go by whole groups (model/evaluation/intervals.py), so that near-duplicates don't
count as evidence twice.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from model.evaluation import intervals
from model.evaluation.intervals import Bounds
from model.evaluation.proportions import LEVEL
from model.evaluation.weighted_figures import FIGURES, Ranking, point_estimates, ratio
from model.finite import check_finite
from model.passing import passes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Figure(TypedDict):
    """A value with the bounds of its 95 % interval; all `None` where it has no meaning."""

    value: float | None
    low: float | None
    high: float | None


def measure(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    groups: Ints | None = None,
    weights: Floats | None = None,
) -> dict[str, Figure]:
    """Return every figure of `predictions` (n,) against `scores` (n,), by its name in `FIGURES`.

    `groups` (n,) are what is independent, each image by itself without them; `weights` (n,) are 1 /
    the probability that an image was drawn with, where these differ. The number of false positives
    is of as many images as there are. Raises `ModelError` for what is not finite.
    """
    _check(predictions, scores)
    count = len(scores)
    if not count:
        return dict.fromkeys(FIGURES, figure_of(None))
    groups = np.arange(count) if groups is None else groups
    said, truth = predictions.astype(np.float64), scores.astype(np.float64)
    passing, good, everything = passes(said, threshold), passes(truth, threshold), np.ones(count)
    errors = np.abs(said - truth)
    found = {
        "mae": intervals.grouped_mean(errors, groups, weights=weights, limits=(0, 1)),
        "rank_correlation": intervals.rank_correlation(said, truth, groups, weights=weights),
        "precision": intervals.grouped_share(passing & good, passing, groups, weights=weights),
        "recall": intervals.grouped_share(passing & good, good, groups, weights=weights),
        "false_positives": intervals.grouped_share(
            passing & ~good, everything, groups, weights=weights
        ),
        "average_precision": intervals.average_precision(said, good, groups, weights=weights),
    }
    return {
        name: figure_of(bounds, count if name == "false_positives" else 1)
        for name, bounds in found.items()
    }


def values(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    only: Collection[str],
    weights: Floats | None = None,
) -> dict[str, float | None]:
    """Return the figures named in `only` without intervals, which take nearly all the time.

    `weights` (n,) are as in `measure`. Raises `ModelError` for what is not finite.
    """
    _check(predictions, scores)
    names = [name for name in FIGURES if name in only]
    if not len(scores):
        return dict.fromkeys(names)
    estimates = point_estimates(_ranking(predictions, scores, threshold), names, weights)
    return {name: value if np.isfinite(value) else None for name, value in estimates.items()}


def baseline(
    scores: NDArray[np.floating],
    threshold: float,
    groups: Ints | None = None,
    weights: Floats | None = None,
) -> dict[str, Figure]:
    """Return mae and average_precision of predicting the mean score for every image.

    The latter is the share of images that should pass; `weights` (n,) are as in `measure`. Raises
    `ModelError` for a score that is not finite.
    """
    _check(scores, scores)
    if not len(scores):
        return dict.fromkeys(("mae", "average_precision"), figure_of(None))
    groups = np.arange(len(scores)) if groups is None else groups
    good, everything = passes(scores, threshold), np.ones(len(scores))
    errors = np.abs(scores - np.average(scores, weights=weights)).astype(np.float64)
    share = intervals.grouped_share(good, everything, groups, weights=weights)
    return {
        "mae": figure_of(intervals.grouped_mean(errors, groups, weights=weights, limits=(0, 1))),
        "average_precision": figure_of(share if good.any() else None),
    }


def difference(
    new: NDArray[np.floating],
    old: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    groups: Ints | None = None,
    *,
    only: Collection[str] | None = None,
    weights: Floats | None = None,
    level: float = LEVEL,
) -> dict[str, Figure]:
    """Return how each figure of predictions `new` (n,) differs from that of `old`: new - old.

    Paired: both are measured on the same images, so that an interval without 0 means a difference.
    `only` names the figures wanted, where not all of them are; `level` is that of the intervals. No
    interval is given where no group makes a difference. Raises `ModelError` for what is not finite.
    """
    _check(new, scores)
    _check(old, scores)
    names = [name for name in FIGURES if only is None or name in only]
    if not len(scores):
        return dict.fromkeys(names, figure_of(None))
    rankings = [_ranking(each, scores, threshold) for each in (new, old)]
    groups = np.arange(len(scores)) if groups is None else groups
    found = intervals.paired_differences(
        rankings[0], rankings[1], names, groups, level, weights=weights
    )
    if np.array_equal(new, old):  # for certain, whatever the images
        found = {name: bounds and Bounds(0, 0, 0) for name, bounds in found.items()}
    return {name: figure_of(found[name]) for name in names}


def precision_recall(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    cuts: Floats,
    weights: Floats,
) -> tuple[Floats, Floats]:
    """Return precision and recall (k,) when images pass from each of `cuts` (k,) on, or NaN.

    What should pass is decided by the hand score at `threshold` alone. `weights` (n,) say how many
    images each stands for.
    """
    good = passes(scores, threshold)
    selected = passes(predictions[None, :], cuts[:, None]) * weights  # (k, n)
    hits = selected[:, good].sum(axis=1)
    total = np.full(len(cuts), float(weights[good].sum()))
    return ratio(hits, selected.sum(axis=1)), ratio(hits, total)


def _check(predictions: NDArray[np.floating], scores: NDArray[np.floating]) -> None:
    check_finite("hand score", scores, "leave the image out")
    check_finite("prediction", predictions, "leave the image out, or predict it again")


def _ranking(
    predictions: NDArray[np.floating], scores: NDArray[np.floating], threshold: float
) -> Ranking:
    good = passes(scores, threshold)
    return Ranking.of(predictions.astype(np.float64), scores.astype(np.float64), threshold, good)


def figure_of(bounds: Bounds | None, times: float = 1) -> Figure:
    """Return `bounds` as they are kept, multiplied; NaN is no bound."""
    if bounds is None:
        return Figure(value=None, low=None, high=None)
    value, low, high = (
        float(end * times) if np.isfinite(end) else None
        for end in (bounds.value, bounds.low, bounds.high)
    )
    return Figure(value=value, low=low, high=high)
