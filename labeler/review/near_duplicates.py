"""Measure how near two images are to count as the same picture in this collection.

The rule itself is in model/estimators/near_duplicates.py.
"""

from __future__ import annotations

from labeler.collection.arrays import Collection
from labeler.embedding.unit_cache import UnitEmbeddings
from model.estimators.near_duplicates import Nearness

_SAMPLE = 400


def nearness_in(images: Collection, units: UnitEmbeddings) -> Nearness:
    """Return the distances below which two of `images` are the same picture, from a sample of them.

    The sample is spaced evenly by id.
    """
    return Nearness.among(units.of(images.ids[:: max(1, len(images) // _SAMPLE)]))
