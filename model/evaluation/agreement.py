"""How well two people's scores of the same images agree, with 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation.bootstrap import (
    RESAMPLES,
    Ranking,
    point_estimates,
    resample,
    resample_counts,
)
from model.evaluation.metrics import Figure, figure_of

Floats = NDArray[np.float64]
FEWEST = 5  # groups of images from which on an interval is given
_RANK = "rank_correlation"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Spearman's rank correlation, and the mean of the first's scores less the second's."""

    rank_correlation: Figure
    mean_difference: Figure


def agreement(first: Floats, second: Floats, groups: NDArray[np.int64], seed: int = 0) -> Agreement:
    """Return the agreement of scores (n,), n > 0, of the same images.

    `groups` (n,) are what the bootstrap draws.
    """
    ranking = Ranking.of(first, second, 0.5, second >= 0)
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    difference = first - second
    sums = np.bincount(places, weights=difference, minlength=len(sizes))
    correlated = differed = np.full(RESAMPLES, np.nan)
    if len(sizes) >= FEWEST:
        correlated = resample([ranking], [_RANK], groups, seed)[0][_RANK]
        drawn = (resample_counts(len(sizes), seed, [number])[0] for number in range(RESAMPLES))
        differed = np.array([(each @ sums) / (each @ sizes) for each in drawn])
    return Agreement(
        figure_of(point_estimates(ranking, [_RANK])[_RANK], correlated),
        figure_of(float(difference.mean()), differed),
    )
