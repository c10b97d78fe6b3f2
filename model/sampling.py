"""Which rows stand for all of them: places spread evenly over a collection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """At most `wanted` of the places 0 … count - 1, spread over all of them."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, wanted)).astype(np.int64))
