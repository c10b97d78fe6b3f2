"""Shares of a few: how far a count of hits may be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import gammaln

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `trials`, and the bounds (0–1) between which the true share lies."""

    hits: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.hits / self.trials


def share_of(hits: int, trials: int, independent: int | None = None) -> Share | None:
    """The share with its 95 % interval; `None` without trials.

    `independent` says how many of the trials count as evidence, where some repeat others.
    """
    if not trials:
        return None
    low, high = wilson(hits / trials, independent or trials)
    return Share(hits, trials, low, high)


def wilson(share: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Bounds of the true share when `share` (0–1) was seen in `trials` (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    middle = share + z**2 / (2 * trials)
    reach = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    whole = 1 + z**2 / trials
    return max(0.0, float(middle - reach) / whole), min(1.0, float(middle + reach) / whole)


def exact_count(hits: int, drawn: int, population: int, level: float = LEVEL) -> tuple[int, int]:
    """How many of `population` may be hits when a random sample of `drawn` held `hits`.

    The numbers that a two-sided exact test would not reject: drawn without replacement, so that the
    bounds meet when all have been drawn (hypergeometric; Buonaccorsi 1987).
    """
    tail = (1 - level) / 2
    fewest, most = hits, population - (drawn - hits)

    def is_too_few(total: int) -> bool:  # to explain so many hits
        return 1 - _chance_of_at_most(hits - 1, drawn, total, population) <= tail

    def is_too_many(total: int) -> bool:  # to explain so few
        return _chance_of_at_most(hits, drawn, total, population) <= tail

    low, high = fewest, most
    while low < high:  # the smallest total that is not too few
        middle = (low + high) // 2
        low, high = (middle + 1, high) if is_too_few(middle) else (low, middle)
    smallest, low, high = low, fewest, most
    while low < high:  # the largest one that is not too many
        middle = (low + high + 1) // 2
        low, high = (low, middle - 1) if is_too_many(middle) else (middle, high)
    return smallest, low


def _chance_of_at_most(hits: int, drawn: int, total: int, population: int) -> float:
    """That `drawn` of a population with `total` hits hold at most `hits` (hypergeometric)."""
    seen = np.arange(max(0, drawn - (population - total)), min(hits, total, drawn) + 1)
    logs = _ways(total, seen) + _ways(population - total, drawn - seen) - _ways(population, drawn)
    return float(np.exp(logs).sum())


def _ways(of: int, taken: np.ndarray | int) -> np.ndarray:
    """Logarithm of the number of ways to take `taken` things out of `of`."""
    return np.asarray(gammaln(of + 1) - gammaln(taken + 1) - gammaln(of - taken + 1))
