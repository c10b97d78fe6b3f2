"""What counts as the same picture in a collection (model/estimators/near_duplicates.py)."""

from __future__ import annotations

from functools import lru_cache

from labeler.collection.arrays import Collection
from labeler.embedding.unit_cache import UnitVectors
from model.estimators.near_duplicates import Nearness

_SAMPLE = 400


@lru_cache(maxsize=1)
def nearness_in(images: Collection, units: UnitVectors) -> Nearness:
    """Measure a sample of all images, evenly spaced by id."""
    return Nearness.among(units.of(images.ids[:: max(1, len(images) // _SAMPLE)]))
