"""How well scores of the same images agree, of two people or of one and the same, with 95 %
intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, stdtrit

from model.evaluation import intervals
from model.evaluation.intervals import Bounds
from model.evaluation.metrics import Figure, figure_of
from model.evaluation.proportions import LEVEL
from model.finite import check_finite

Floats = NDArray[np.float64]
LARGEST_DIFFERENCE = 10.0  # points
FEWEST_REPEATS = 10  # pairs from which on a person's repeatability is told


@dataclass(frozen=True, slots=True)
class Agreement:
    """Spearman's rank correlation, and the mean of the first's scores less the second's."""

    rank_correlation: Figure
    mean_difference: Figure


def agreement(first: Floats, second: Floats, groups: NDArray[np.int64]) -> Agreement:
    """Return the agreement of scores (n,) 0–10, n > 0, of the same images.

    `groups` (n,) are what is independent. Raises `ModelError` for a score that is not finite.
    """
    for scores in (first, second):
        check_finite("hand score", scores, "leave the image out")
    limits = (-LARGEST_DIFFERENCE, LARGEST_DIFFERENCE)
    return Agreement(
        figure_of(intervals.rank_correlation(first, second, groups)),
        figure_of(intervals.grouped_mean(first - second, groups, limits=limits)),
    )


@dataclass(frozen=True, slots=True)
class Repeatability:
    """How far a person's scores of one image lie apart, from `repeats` images scored twice.

    `deviation` is the standard deviation of one score, `error` the least mean absolute error that
    predictions can have against single scores; both on the scale of the scores.
    """

    repeats: int
    deviation: Bounds
    error: Bounds


def repeatability(first: Floats, again: Floats) -> Repeatability | None:
    """Return the repeatability of a person who gave `first` (n,) and, not knowing it, `again` (n,).

    Each image stands there once. `None` below `FEWEST_REPEATS`. The standard deviation is the root
    mean square of the differences over √2 (within-subject standard deviation; Bland & Altman 1996).
    The error is their mean absolute value over √2: for normal noise exactly the mean distance of
    one score from what the person gives on average, √(2/π) of the standard deviation (Geary 1935).
    Of scores rounded to whole points it is within 4 % of what the best possible predictions reach.
    """
    differences = np.abs(again - first)
    if len(differences) < FEWEST_REPEATS:
        return None
    if not differences.any():
        return _never_apart(len(differences))
    return Repeatability(len(differences), _deviation(differences), _error(differences))


def _never_apart(repeats: int) -> Repeatability:
    """Return the bounds where no pair differs: at 95 % at most 1 - 0.025^(1 / n) of the pairs do
    (Clopper & Pearson 1934), taken to be by one point.
    """
    share = 1 - ((1 - LEVEL) / 2) ** (1 / repeats)
    deviation, error = np.sqrt(share / 2), share / np.sqrt(2)
    return Repeatability(
        repeats, Bounds(0.0, 0.0, float(deviation)), Bounds(0.0, 0.0, float(error))
    )


def _deviation(differences: Floats) -> Bounds:
    """Return the standard deviation of one score with its interval (chi-square).

    Differences with heavier tails than normal ones tell less: their kurtosis lowers the degrees of
    freedom (Box 1953; Shoemaker 2003).
    """
    squares = differences**2
    kurtosis = max(3.0, float((squares**2).mean() / squares.mean() ** 2))
    freedom = 2 * len(squares) / (kurtosis - 1)
    value = float(np.sqrt(squares.mean() / 2))
    tail = (1 - LEVEL) / 2
    low, high = (value * float(np.sqrt(freedom / chdtri(freedom, p))) for p in (tail, 1 - tail))
    return Bounds(value, low, high)


def _error(differences: Floats) -> Bounds:
    """Return the mean difference over √2 with its interval: Student's t of its logarithm."""
    mean, count = float(differences.mean()), len(differences)
    # Where all are alike, one more without a difference says how far they might vary.
    varied = differences if np.ptp(differences) else np.append(differences, 0.0)
    error = float(varied.std(ddof=1)) / np.sqrt(len(varied))
    reach = float(np.exp(stdtrit(count - 1, 0.5 + LEVEL / 2) * error / mean))
    value = mean / float(np.sqrt(2))
    return Bounds(value, value / reach, value * reach)
