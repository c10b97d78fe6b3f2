"""How well predictions agree with hand scores, each figure with its 95 % interval.

Predictions and scores are 0–1 here; an image passes from `threshold` on, its score likewise. A
figure that has no meaning (precision where nothing passes, a rank correlation of constants) is
`None`. Intervals are bootstrapped by whole groups (Efron & Tibshirani 1993, percentile method), so
that near-duplicates don't count as evidence twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 1000
# An interval is given where at least this share of the resamples has the figure at all.
ENOUGH = 0.5
_PART = 100  # resamples at a time, to bound memory


class Figure(TypedDict):
    """A value with the bounds of its 95 % interval; all `None` where it has no meaning."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Predictions beside scores, (n,) each, with what every resample needs of them."""

    said: Floats
    truth: Floats
    threshold: float

    @property
    def passing(self) -> NDArray[np.bool_]:
        return self.said >= self.threshold

    @property
    def good(self) -> NDArray[np.bool_]:
        return passes(self.truth, self.threshold)


# What takes the predictions and weights (r, n) and gives the figure under each of r weightings.
_Measure = Callable[[_Judged, Floats], Floats]


def passes(scores: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Which scores (0–1) reach `threshold`; 0.3 counts as 3 / 10, whatever their last bits."""
    return np.asarray(scores >= threshold - 1e-9)


def measure(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Every figure of `predictions` (n,) against `scores` (n,): mae, rank_correlation, precision,
    recall, false_positives and average_precision.

    `groups` (n,) are what the bootstrap draws, each image by itself without them.
    """
    judged = _Judged(predictions.astype(np.float64), scores.astype(np.float64), threshold)
    groups = np.arange(len(scores)) if groups is None else groups
    found = _figures(judged, _MEASURES, groups, seed)
    _leave_doubt(found, judged, groups)
    return found


def values(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    only: Collection[str],
) -> dict[str, float | None]:
    """The figures named in `only`, without their intervals: those take nearly all the time."""
    judged = _Judged(predictions.astype(np.float64), scores.astype(np.float64), threshold)
    whole = np.ones((1, len(judged.truth)))
    found = {name: float(ask(judged, whole)[0]) for name, ask in _MEASURES.items() if name in only}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def baseline(
    scores: NDArray[np.floating],
    threshold: float,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """What saying the mean score of every image would reach: mae and average_precision.

    The latter is the share of images that should pass.
    """
    said = np.full(len(scores), scores.mean() if len(scores) else 0.0)
    judged = _Judged(said, scores.astype(np.float64), threshold)
    groups = np.arange(len(scores)) if groups is None else groups
    wanted = {name: _MEASURES[name] for name in ("mae", "average_precision")}
    return _figures(judged, wanted, groups, seed)


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
    """How each figure of the predictions `new` (n,) differs from that of `old` (n,): new - old.

    Paired: both are resampled together, so that an interval without 0 means a difference. `only`
    names the figures wanted, where not all of them are.
    """
    groups = np.arange(len(scores)) if groups is None else groups
    truth = scores.astype(np.float64)
    two = [_Judged(said.astype(np.float64), truth, threshold) for said in (new, old)]

    def paired(ask: _Measure) -> _Measure:
        return lambda _, weights: ask(two[0], weights) - ask(two[1], weights)

    wanted = {name: paired(ask) for name, ask in _MEASURES.items() if only is None or name in only}
    return _figures(two[0], wanted, groups, seed)


def precision_recall(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    cuts: Floats,
) -> tuple[Floats, Floats]:
    """Precision and recall (k,) when images pass from each of `cuts` (k,) on; NaN where undefined.

    What should pass is decided by the hand score at `threshold` alone.
    """
    good = passes(scores, threshold)
    taken = predictions[None, :] >= cuts[:, None]  # (k, n)
    hits = (taken & good).sum(axis=1).astype(np.float64)
    whole = np.full(len(cuts), float(good.sum()))
    return _share(hits, taken.sum(axis=1).astype(np.float64)), _share(hits, whole)


def resamples(groups: NDArray[np.int64], seed: int, count: int = RESAMPLES) -> Floats:
    """How often each image is drawn in each resample, (count, n): whole groups, with repetition."""
    _, place = np.unique(groups, return_inverse=True)
    total = int(place.max(initial=-1)) + 1
    drawn = np.random.default_rng(seed).multinomial(total, np.full(total, 1 / total), count)
    return drawn[:, place].astype(np.float64)


def _figures(
    judged: _Judged, measures: dict[str, _Measure], groups: NDArray[np.int64], seed: int
) -> dict[str, Figure]:
    if len(judged.truth) == 0:
        return {name: Figure(value=None, low=None, high=None) for name in measures}
    weights = resamples(groups, seed)
    whole = np.ones((1, len(judged.truth)))
    found = {}
    for name, ask in measures.items():
        spread = [ask(judged, weights[k : k + _PART]) for k in range(0, RESAMPLES, _PART)]
        found[name] = _figure(float(ask(judged, whole)[0]), np.concatenate(spread))
    return found


def _leave_doubt(found: dict[str, Figure], judged: _Judged, groups: NDArray[np.int64]) -> None:
    """Widen the intervals of shares that are all or nothing, where no resample can differ.

    Of n groups without a miss the share of misses is, at 95 %, at most 1 - 0.025^(1 / n) (Clopper &
    Pearson 1934, groups counted as one trial each).
    """
    for name, rows in (("precision", judged.passing), ("recall", judged.good)):
        figure, trials = found[name], len(np.unique(groups[rows]))
        if trials and figure["value"] == 1:
            figure["low"] = 0.025 ** (1 / trials)
        elif trials and figure["value"] == 0:
            figure["high"] = 1 - 0.025 ** (1 / trials)
    if found["false_positives"]["value"] == 0 and found["precision"]["low"] is not None:
        most = judged.passing.sum() * (1 - found["precision"]["low"])
        found["false_positives"]["high"] = float(most)


def _figure(value: float, spread: Floats) -> Figure:
    if not np.isfinite(value):
        return Figure(value=None, low=None, high=None)
    spread = spread[np.isfinite(spread)]
    if len(spread) < ENOUGH * RESAMPLES:
        return Figure(value=value, low=None, high=None)
    low, high = np.quantile(spread, (0.025, 0.975))
    return Figure(value=value, low=float(low), high=float(high))


def _mae(judged: _Judged, weights: Floats) -> Floats:
    return _share(weights @ np.abs(judged.said - judged.truth), weights.sum(axis=1))


def _rank_correlation(judged: _Judged, weights: Floats) -> Floats:
    """Spearman's, ranked anew in each resample."""
    a, b = _ranks(judged.said, weights), _ranks(judged.truth, weights)
    total = weights.sum(axis=1, keepdims=True)
    a = a - (weights * a).sum(axis=1, keepdims=True) / total
    b = b - (weights * b).sum(axis=1, keepdims=True) / total
    spread = (weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1)
    return _share((weights * a * b).sum(axis=1), np.sqrt(spread))


def _ranks(values: Floats, weights: Floats) -> Floats:
    """Middle ranks (r, n) of `values` (n,) when each stands for as many as `weights` (r, n) say."""
    order = np.argsort(values, kind="stable")
    _, first, tie = np.unique(values[order], return_index=True, return_inverse=True)
    below = np.cumsum(weights[:, order], axis=1)  # (r, n)
    below = np.concatenate([np.zeros((len(weights), 1)), below], axis=1)  # (r, n + 1)
    after = np.append(first[1:], len(values))
    middle = (below[:, first] + below[:, after]) / 2  # (r, distinct values)
    ranks = np.empty_like(weights)
    ranks[:, order] = middle[:, tie]
    return ranks


def _precision(judged: _Judged, weights: Floats) -> Floats:
    return _share(weights @ (judged.passing & judged.good), weights @ judged.passing)


def _recall(judged: _Judged, weights: Floats) -> Floats:
    return _share(weights @ (judged.passing & judged.good), weights @ judged.good)


def _false_positives(judged: _Judged, weights: Floats) -> Floats:
    return weights @ (judged.passing & ~judged.good).astype(np.float64)


def _average_precision(judged: _Judged, weights: Floats) -> Floats:
    """Sum of precision times gained recall down the ranking, ties taken together."""
    order = np.argsort(-judged.said, kind="stable")
    last = np.append(np.flatnonzero(np.diff(judged.said[order])), len(order) - 1)  # of each tie
    drawn = weights[:, order]
    taken = np.cumsum(drawn, axis=1)[:, last]
    hits = np.cumsum(drawn * judged.good[order], axis=1)[:, last]
    gained = np.diff(hits, axis=1, prepend=0)
    precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
    return _share((precision * gained).sum(axis=1), hits[:, -1])


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 1e-12)


_MEASURES: dict[str, _Measure] = {
    "mae": _mae,
    "rank_correlation": _rank_correlation,
    "precision": _precision,
    "recall": _recall,
    "false_positives": _false_positives,
    "average_precision": _average_precision,
}
