"""Intervals of proportions: for one look, and for as many looks as one likes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

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


def always_valid(share: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Return bounds of the true share that hold at once for every number of trials, so that they
    may be looked at while trials are added.

    A share is left out once the likelihood of what was seen, averaged over all shares alike, is
    1 / (1 - level) times its own (Robbins 1970; Howard et al. 2021).
    """
    hits, misses = share * trials, (1 - share) * trials
    enough = -float(betaln(hits + 1, misses + 1)) - np.log(1 - level)

    def excess(true_share: float) -> float:
        return float(xlogy(hits, true_share) + xlog1py(misses, -true_share)) + enough

    # The likelihood falls from the share that was seen to both ends.
    low = brentq(lambda p: -excess(p), 1e-12, share) if excess(1e-12) < 0 < share else 0.0
    high = brentq(excess, share, 1 - 1e-12) if excess(1 - 1e-12) < 0 and share < 1 else 1.0
    return float(low), float(high)
