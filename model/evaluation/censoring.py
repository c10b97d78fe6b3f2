"""Figures where of some scores only an interval is known: low <= score < high (censored scores).

An error in points and a rank need the score itself, and are taken of those that are known (low =
high). Whether an image passes is also known of an interval that lies on one side of the threshold.
Bounds and the threshold are 0–1 here, as predictions are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
T = TypeVar("T")
NEED_THE_SCORE = frozenset({"mae", "rank_correlation"})


def side_is_known(low: Floats, high: Floats, threshold: float) -> Mask:
    """Return of which scores (n,) the bounds tell whether they reach `threshold`."""
    return np.asarray((low == high) | (low >= threshold - 1e-9) | (high <= threshold + 1e-9))


def measure_known(
    measured: Callable[[Mask], dict[str, T]], low: Floats, high: Floats, threshold: float
) -> dict[str, T]:
    """Return each figure of the images that it can be taken on.

    `measured` returns the figures, by name, of the images of a mask (n,).
    """
    exact = low == high
    if exact.all():
        return measured(exact)
    of_scores, of_sides = measured(exact), measured(side_is_known(low, high, threshold))
    return {
        name: of_scores[name] if name in NEED_THE_SCORE else figure
        for name, figure in of_sides.items()
    }
