"""Collections of a few images on a circle, as the arrays that review pages are selected from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labeler.collection.arrays import Collection
from labeler.embedding.unit_cache import UnitRows
from labeler.review.queues.arrays import ReviewArrays
from model.estimators.kernel_ordinal import KernelOrdinal
from model.review.suspicion import StackingWeights


def at(degrees: Sequence[float]) -> np.ndarray:
    """Unit embeddings (n, 2) at these angles; their distance is 2 sin(half the angle between)."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def make_arrays(
    predictions: Sequence[float],
    degrees: Sequence[float],
    *,
    bands: dict[int, tuple[float, float]] | None = None,
    looks: dict[int, int] | None = None,
    opinion: KernelOrdinal | None = None,
    threshold: float = 0.5,
) -> ReviewArrays:
    """Images whose ids are their rows; the predictions are off by 0.1.

    `bands` (0–1) and `looks` (difference hashes) are told by row. Chances are the head's and those
    of `opinion`, as a version stores them.
    """
    count = len(predictions)
    low, high = np.full((2, count), np.nan)
    for row, band in (bands or {}).items():
        low[row], high[row] = band
    hashes = np.zeros(count, dtype=np.uint64)
    for row, look in (looks or {}).items():
        hashes[row] = look
    exceed = np.full((count, 10), np.nan) if opinion is None else opinion.exceed(at(degrees))
    images = Collection(
        ids=np.arange(count),
        hashes=hashes,
        fine=np.ones(count, dtype=bool),
        predictions=np.array(predictions, dtype=np.float64),
        exceed=exceed.astype(np.float16),
        low=low,
        high=high,
    )
    return ReviewArrays(images, threshold, 0.1, StackingWeights(), UnitRows(at(degrees)), opinion)
