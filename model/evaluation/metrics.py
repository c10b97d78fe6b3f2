"""How well predictions agree with hand scores, each figure with its 95 % interval.

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

from model.evaluation.bootstrap import FIGURES, RESAMPLES, Ranking, resampled, whole

Floats = NDArray[np.float64]
T = TypeVar("T", float, Floats)
# An interval is given where at least this share of the resamples has the figure at all.
ENOUGH = 0.5


class Figure(TypedDict):
    """A value with the bounds of its 95 % interval; all `None` where it has no meaning."""

    value: float | None
    low: float | None
    high: float | None


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
    groups = np.arange(len(scores)) if groups is None else groups
    found = _figures([predictions], scores, threshold, list(FIGURES), (groups, seed))
    passing, good = predictions.astype(np.float64) >= threshold, passes(scores, threshold)
    _leave_doubt(found, passing, good, groups)
    return found


def values(
    predictions: NDArray[np.floating],
    scores: NDArray[np.floating],
    threshold: float,
    only: Collection[str],
) -> dict[str, float | None]:
    """The figures named in `only`, without their intervals: those take nearly all the time."""
    names = [name for name in FIGURES if name in only]
    if not len(scores):
        return dict.fromkeys(names)
    found = whole(_ranking(predictions, scores, threshold), names)
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
    return _figures([said], scores, threshold, ["mae", "average_precision"], (groups, seed))


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
    names = [name for name in FIGURES if only is None or name in only]
    return _figures([new, old], scores, threshold, names, (groups, seed))


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


def _figures(
    said: Sequence[NDArray[np.floating]],
    scores: NDArray[np.floating],
    threshold: float,
    names: Sequence[str],
    drawn: tuple[NDArray[np.int64] | None, int],
) -> dict[str, Figure]:
    """The figures of one prediction, or how those of the first differ from those of the second.

    `drawn` are the groups (n,) that the bootstrap draws, if there are any, and its seed.
    """
    groups, seed = drawn
    if not len(scores):
        return {name: Figure(value=None, low=None, high=None) for name in names}
    groups = np.arange(len(scores)) if groups is None else groups
    rankings = [_ranking(each, scores, threshold) for each in said]
    values = [whole(ranking, names) for ranking in rankings]
    spreads = resampled(rankings, names, groups, seed)
    return {
        name: figure_of(_first_less_second(values, name), _first_less_second(spreads, name))
        for name in names
    }


def _ranking(said: NDArray[np.floating], scores: NDArray[np.floating], threshold: float) -> Ranking:
    good = passes(scores, threshold)
    return Ranking.of(said.astype(np.float64), scores.astype(np.float64), threshold, good)


def _first_less_second(found: Sequence[dict[str, T]], name: str) -> T:
    """Of one alone its own."""
    return found[0][name] if len(found) == 1 else found[0][name] - found[1][name]


def _leave_doubt(
    found: dict[str, Figure],
    passing: NDArray[np.bool_],
    good: NDArray[np.bool_],
    groups: NDArray[np.int64],
) -> None:
    """Widen the intervals of shares that are all or nothing, where no resample can differ.

    Of n groups without a miss the share of misses is, at 95 %, at most 1 - 0.025^(1 / n) (Clopper &
    Pearson 1934, groups counted as one trial each).
    """
    for name, rows in (("precision", passing), ("recall", good)):
        figure, trials = found[name], len(np.unique(groups[rows]))
        if trials and figure["value"] == 1:
            figure["low"] = 0.025 ** (1 / trials)
        elif trials and figure["value"] == 0:
            figure["high"] = 1 - 0.025 ** (1 / trials)
    if found["false_positives"]["value"] == 0 and found["precision"]["low"] is not None:
        most = passing.sum() * (1 - found["precision"]["low"])
        found["false_positives"]["high"] = float(most)


def figure_of(value: float, spread: Floats) -> Figure:
    """`value` with the interval that holds 95 % of its `spread` over the resamples, (r,)."""
    if not np.isfinite(value):
        return Figure(value=None, low=None, high=None)
    spread = spread[np.isfinite(spread)]
    if len(spread) < ENOUGH * RESAMPLES:
        return Figure(value=value, low=None, high=None)
    low, high = np.quantile(spread, (0.025, 0.975))
    return Figure(value=value, low=float(low), high=float(high))


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 1e-12)
