"""Figures of predictions against hand scores, each with its 95 % interval.

Predictions and scores are 0–1 here; an image passes from `threshold` on, its score likewise. A
figure that has no meaning (precision where nothing passes, a rank correlation of constants) is
`None`. Intervals are bootstrapped by whole groups (Efron & Tibshirani 1993, percentile method), so
that near-duplicates don't count as evidence twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.evaluation.bootstrap import FIGURES, RESAMPLES, Ranking, point_estimates, ratio, resample

Floats = NDArray[np.float64]
T = TypeVar("T", float, Floats)
# An interval is given where at least this share of the resamples has the figure at all.
MIN_DEFINED_SHARE = 0.5


class Figure(TypedDict):
    """A value with the bounds of its 95 % interval; all `None` where it has no meaning."""

    value: float | None
    low: float | None
    high: float | None


def passes(scores: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Return which scores (0–1) reach `threshold`, rounding errors of 1e-9 forgiven."""
    return np.asarray(scores >= threshold - 1e-9)


def measure(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Return every figure of `predictions` (n,) against `scores` (n,), by its name in `FIGURES`.

    `groups` (n,) are what the bootstrap draws, each image by itself without them.
    """
    groups = np.arange(len(scores)) if groups is None else groups
    figures = _figures([predictions], scores, threshold, list(FIGURES), (groups, seed))
    passing, good = predictions.astype(np.float64) >= threshold, passes(scores, threshold)
    _widen_certain_intervals(figures, passing, good, groups)
    return figures


def values(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    only: Collection[str],
) -> dict[str, float | None]:
    """Return the figures named in `only` without intervals, which take nearly all the time."""
    names = [name for name in FIGURES if name in only]
    if not len(scores):
        return dict.fromkeys(names)
    estimates = point_estimates(_ranking(predictions, scores, threshold), names)
    return {name: value if np.isfinite(value) else None for name, value in estimates.items()}


def baseline(
    scores: NDArray[np.floating],
    threshold: float,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Return mae and average_precision of predicting the mean score for every image.

    The latter is the share of images that should pass.
    """
    constant = np.full(len(scores), scores.mean() if len(scores) else 0.0)
    return _figures([constant], scores, threshold, ["mae", "average_precision"], (groups, seed))


def difference(
    new: NDArray[np.floating],
    old: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    groups: NDArray[np.int64] | None = None,
    *,
    only: Collection[str] | None = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Return how each figure of predictions `new` (n,) differs from that of `old`: new - old.

    Paired: both are resampled together, so that an interval without 0 means a difference. `only`
    names the figures wanted, where not all of them are.
    """
    names = [name for name in FIGURES if only is None or name in only]
    return _figures([new, old], scores, threshold, names, (groups, seed))


def precision_recall(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    cuts: Floats,
) -> tuple[Floats, Floats]:
    """Return precision and recall (k,) when images pass from each of `cuts` (k,) on, or NaN.

    What should pass is decided by the hand score at `threshold` alone.
    """
    good = passes(scores, threshold)
    selected = predictions[None, :] >= cuts[:, None]  # (k, n)
    hits = (selected & good).sum(axis=1).astype(np.float64)
    total = np.full(len(cuts), float(good.sum()))
    return ratio(hits, selected.sum(axis=1).astype(np.float64)), ratio(hits, total)


def _figures(
    predictions: Sequence[NDArray[np.floating]],
    scores: NDArray[np.floating],
    threshold: float,
    names: Sequence[str],
    bootstrap: tuple[NDArray[np.int64] | None, int],
) -> dict[str, Figure]:
    """Return the figures of one prediction, or how those of the first differ from the second's.

    `bootstrap` holds the groups (n,) that the bootstrap draws, if there are any, and its seed.
    """
    groups, seed = bootstrap
    if not len(scores):
        return {name: Figure(value=None, low=None, high=None) for name in names}
    groups = np.arange(len(scores)) if groups is None else groups
    rankings = [_ranking(each, scores, threshold) for each in predictions]
    values = [point_estimates(ranking, names) for ranking in rankings]
    resamples = resample(rankings, names, groups, seed)
    return {
        name: figure_of(_first_less_second(values, name), _first_less_second(resamples, name))
        for name in names
    }


def _ranking(
    predictions: NDArray[np.floating], scores: NDArray[np.floating], threshold: float
) -> Ranking:
    good = passes(scores, threshold)
    return Ranking.of(predictions.astype(np.float64), scores.astype(np.float64), threshold, good)


def _first_less_second(estimates: Sequence[dict[str, T]], name: str) -> T:
    """Return the difference of two, or the value of one alone."""
    return estimates[0][name] if len(estimates) == 1 else estimates[0][name] - estimates[1][name]


def _widen_certain_intervals(
    figures: dict[str, Figure],
    passing: NDArray[np.bool_],
    good: NDArray[np.bool_],
    groups: NDArray[np.int64],
) -> None:
    """Widen the intervals of shares that are all or nothing, where no resample can differ.

    Of n groups without a miss the share of misses is, at 95 %, at most 1 - 0.025^(1 / n) (Clopper &
    Pearson 1934, groups counted as one trial each).
    """
    for name, rows in (("precision", passing), ("recall", good)):
        figure, trials = figures[name], len(np.unique(groups[rows]))
        if trials and figure["value"] == 1:
            figure["low"] = 0.025 ** (1 / trials)
        elif trials and figure["value"] == 0:
            figure["high"] = 1 - 0.025 ** (1 / trials)
    if figures["false_positives"]["value"] == 0 and figures["precision"]["low"] is not None:
        most = passing.sum() * (1 - figures["precision"]["low"])
        figures["false_positives"]["high"] = float(most)


def figure_of(value: float, resampled: Floats) -> Figure:
    """Return `value` with the interval that holds 95 % of its `resampled` values (r,)."""
    if not np.isfinite(value):
        return Figure(value=None, low=None, high=None)
    resampled = resampled[np.isfinite(resampled)]
    if len(resampled) < MIN_DEFINED_SHARE * RESAMPLES:
        return Figure(value=value, low=None, high=None)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Figure(value=value, low=float(low), high=float(high))
