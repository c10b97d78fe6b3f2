"""Intervals of proportions: a share of hits, and a count of hits in a finite population."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import gammaln

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Proportion:
    """`hits` of `trials`, and the bounds (0–1) between which the true share lies."""

    hits: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.hits / self.trials


def proportion(hits: int, trials: int, independent: int | None = None) -> Proportion | None:
    """Return the proportion with its 95 % interval; `None` without trials.

    `independent` is how many of the trials count as evidence, where some repeat others.
    """
    if not trials:
        return None
    low, high = wilson(hits / trials, independent or trials)
    return Proportion(hits, trials, low, high)


def wilson(share: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Return bounds of the true share when `share` (0–1) was seen in `trials` (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    middle = share + z**2 / (2 * trials)
    reach = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    whole = 1 + z**2 / trials
    return max(0.0, float(middle - reach) / whole), min(1.0, float(middle + reach) / whole)


def exact_count(hits: int, drawn: int, population: int, level: float = LEVEL) -> tuple[int, int]:
    """Return bounds of the hits in `population`, of which a random sample of `drawn` held `hits`.

    The numbers that a two-sided exact test would not reject: drawn without replacement, so that the
    bounds meet when all have been drawn (hypergeometric; Buonaccorsi 1987).
    """
    tail = (1 - level) / 2
    fewest, most = hits, population - (drawn - hits)

    def is_too_few(total: int) -> bool:  # to explain so many hits
        return 1 - _cumulative_probability(hits - 1, drawn, total, population) <= tail

    def is_too_many(total: int) -> bool:  # to explain so few
        return _cumulative_probability(hits, drawn, total, population) <= tail

    low, high = fewest, most
    while low < high:  # the smallest total that is not too few
        middle = (low + high) // 2
        low, high = (middle + 1, high) if is_too_few(middle) else (low, middle)
    smallest, low, high = low, fewest, most
    while low < high:  # the largest one that is not too many
        middle = (low + high + 1) // 2
        low, high = (low, middle - 1) if is_too_many(middle) else (middle, high)
    return smallest, low


def _cumulative_probability(hits: int, drawn: int, total: int, population: int) -> float:
    """Return the probability of at most `hits` in a sample of `drawn` (hypergeometric)."""
    counts = np.arange(max(0, drawn - (population - total)), min(hits, total, drawn) + 1)
    logs = (
        _log_binomial(total, counts)
        + _log_binomial(population - total, drawn - counts)
        - _log_binomial(population, drawn)
    )
    return float(np.exp(logs).sum())


def _log_binomial(total: int, drawn: np.ndarray | int) -> np.ndarray:
    """Return the logarithm of the binomial coefficient: ways to draw `drawn` of `total`."""
    return np.asarray(gammaln(total + 1) - gammaln(drawn + 1) - gammaln(total - drawn + 1))
