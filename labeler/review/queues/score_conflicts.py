"""Hand scores that contradict each other: different ones for near-duplicates."""

from __future__ import annotations

import threading

import numpy as np

from labeler.collection.arrays import Collection, Floats, Ids, Mask
from labeler.embedding.unit_cache import UnitVectors
from labeler.review.near_duplicates import nearness_in
from labeler.versions.snapshot import Standing
from model.estimators.near_duplicates import confirmed, near_hashes

# Points, 0–10. Who scores the same picture twice is often one point off, seldom two.
CONFLICT = 2.0
# More scored images than this are not compared with one another: it takes the square of it.
MOST_COMPARED = 20_000


def conflict_gaps(pairs: tuple[Ids, Ids], given: Floats, threshold: float, kept: Mask) -> Floats:
    """For each image (n,) the points to the near-duplicate whose score contradicts its own most.

    `pairs` hold row numbers of near-duplicates, `given` (n,) hand scores. They contradict each
    other if they are `CONFLICT` points apart, or on two sides of the threshold, unless both were
    `kept` (n,) by hand. 0 where nothing contradicts.
    """
    gaps = np.zeros(len(given))
    first, second = pairs
    apart = np.abs(given[first] - given[second])
    passes = given / 10 >= threshold - 1e-9
    against = (apart >= CONFLICT) | (passes[first] != passes[second])
    against &= ~np.isnan(apart) & ~(kept[first] & kept[second])
    for rows in pairs:
        np.maximum.at(gaps, rows[against], apart[against])
    return gaps


def scored_pairs(now: Standing) -> tuple[Ids, Ids]:
    """Row numbers (p,), (p,) of scored near-duplicates, each pair once."""
    vectors, rows = now.vectors, np.flatnonzero(~np.isnan(now.given))[-MOST_COMPARED:]
    if vectors is None or len(rows) < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    images = now.everything
    known = now.project.cache.get(
        "scored pairs", None, (images, vectors), lambda: _KnownPairs(images, vectors)
    )
    return known.among(rows)


class _KnownPairs:
    """The near-duplicates among the images asked about last: only new ones are looked up."""

    def __init__(self, everything: Collection, vectors: UnitVectors) -> None:
        self._everything, self._vectors = everything, vectors
        self._nearness = nearness_in(everything, vectors)
        self._rows = np.zeros(0, dtype=np.int64)
        self._pairs = (self._rows, self._rows)
        self._lock = threading.Lock()

    def among(self, rows: Ids) -> tuple[Ids, Ids]:
        """Pairs of `rows` (n,), rising, each pair once."""
        with self._lock:
            new = np.setdiff1d(rows, self._rows, assume_unique=True)
            known, found = self._pairs, self._with(new, rows)
            stay = np.isin(known[0], rows) & np.isin(known[1], rows)
            first, second = (
                np.concatenate([a[stay], b]) for a, b in zip(known, found, strict=True)
            )
            self._rows, self._pairs = rows, (first, second)
            return self._pairs

    def _with(self, new: Ids, rows: Ids) -> tuple[Ids, Ids]:
        """Those pairs of which one or both are `new`."""
        hashes, vectors = self._everything.hashes, self._vectors
        first, second = near_hashes(hashes[new], hashes[rows])
        first, second = new[first], rows[second]
        once = (first < second) | ((first != second) & ~np.isin(second, new))
        first, second = first[once], second[once]
        ids = self._everything.ids
        units = vectors.of(ids[first]), vectors.of(ids[second])
        same = confirmed(*units, self._nearness)
        return first[same], second[same]
