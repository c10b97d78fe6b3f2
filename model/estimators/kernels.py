"""Geometry of embeddings: unit length, distances, their median, the RBF kernel. numpy only.

Every function keeps the float type of what it is given. "Unit" rows are embeddings of length 1.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Rows = TypeVar("Rows", bound=NDArray[np.floating])
# Rows that the median distance is taken of: half a million pairs.
SAMPLE = 1024
# Two equal rows of float32 come out as far apart as this, by rounding.
_ROUNDING = 1e-3


def normalize(embeddings: Rows) -> Rows:
    """Return the rows (n, width) divided by their Euclidean length; a row of length 0 stays."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return embeddings / lengths


def distances(units: Rows, others: Rows) -> Rows:
    """Return the Euclidean distances (n, m), 0–2, between unit rows (n, width) and (m, width)."""
    return np.sqrt(_squares(units, others))


def median_distance(units: NDArray[np.floating]) -> float:
    """Return the median distance, 0–2, between two different rows of `units` (n, width).

    Taken of at most `SAMPLE` rows, evenly spaced. 0 where there are no two rows, or where most
    pairs are the same embedding.
    """
    some = units[:: -(-len(units) // SAMPLE) or 1]
    cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
    if not len(cosines):
        return 0.0
    distance = float(np.sqrt(max(2 - 2 * float(np.median(cosines)), 0.0)))
    return distance if distance > _ROUNDING else 0.0


def rbf_kernel(units: Rows, others: Rows, width: float) -> Rows:
    """Return exp(-d² / 2 width²), (n, m), 0–1, of the distances d between unit rows."""
    return np.exp(-_squares(units, others) / (2 * width**2))


def _squares(units: Rows, others: Rows) -> Rows:
    return np.maximum(2 - 2 * (units @ others.T), 0)
