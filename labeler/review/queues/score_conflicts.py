"""Hand scores that contradict each other: different ones for near-duplicates."""

from __future__ import annotations

import threading

import numpy as np

from labeler.collection.arrays import Collection, Floats, Ids, Mask
from labeler.embedding.unit_cache import UnitVectors
from labeler.review.near_duplicates import nearness_in
from labeler.versions.snapshot import ReviewSnapshot
from model.estimators.near_duplicates import confirmed, near_hashes
from model.passing import passes

# Points, 0–10. Two scores of one person for the same picture often differ by 1, seldom by 2.
CONFLICT = 2.0
_LEAST_GAP = 1e-3  # of two sides that touch at the threshold
# At most this many scored images are compared: the cost grows with the square of it.
MOST_COMPARED = 20_000


def conflict_gaps(
    pairs: tuple[Ids, Ids], bounds: tuple[Floats, Floats], threshold: float, kept: Mask
) -> Floats:
    """Return for each image (n,) the points to the near-duplicate whose score contradicts its most.

    `pairs` are row numbers of near-duplicates, `threshold` 0–1. `bounds` of the hand scores are
    (n,) and (n,) 0–10: equal for a typed score, low <= score < high for a confirmation, NaN for
    none. Two scores contradict each other if they differ by at least `CONFLICT` points, whatever is
    meant, or lie on two sides of the threshold for sure, unless both were `kept` (n,) by hand.
    0 where nothing contradicts.
    """
    low, high = bounds
    gaps = np.zeros(len(low))
    first, second = pairs
    apart = np.maximum(low[first] - high[second], low[second] - high[first])
    difference = np.maximum(apart, _LEAST_GAP)
    passed = passes(low / 10, threshold)
    failed = ~passed & ((low == high) | (high / 10 <= threshold + 1e-9))
    two_sides = (passed[first] & failed[second]) | (failed[first] & passed[second])
    contradicts = (difference >= CONFLICT) | two_sides
    contradicts &= ~np.isnan(apart) & ~(kept[first] & kept[second])
    for rows in pairs:
        np.maximum.at(gaps, rows[contradicts], difference[contradicts])
    return gaps


def scored_pairs(snapshot: ReviewSnapshot) -> tuple[Ids, Ids]:
    """Return the row numbers (p,), (p,) of scored near-duplicates, each pair once."""
    vectors, rows = (
        snapshot.vectors,
        np.flatnonzero(~np.isnan(snapshot.hand_scores))[-MOST_COMPARED:],
    )
    if vectors is None or len(rows) < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    images = snapshot.collection
    pairs = snapshot.project.cache.get(
        "scored pairs", None, (images, vectors), lambda: _PairCache(images, vectors)
    )
    return pairs.among(rows)


class _PairCache:
    """The near-duplicates among the rows of the last call: only new rows are compared."""

    def __init__(self, collection: Collection, vectors: UnitVectors) -> None:
        self._everything, self._vectors = collection, vectors
        self._nearness = nearness_in(collection, vectors)
        self._rows = np.zeros(0, dtype=np.int64)
        self._pairs = (self._rows, self._rows)
        self._lock = threading.Lock()

    def among(self, rows: Ids) -> tuple[Ids, Ids]:
        """Return the pairs of `rows` (n,), ascending, each pair once."""
        with self._lock:
            new_rows = np.setdiff1d(rows, self._rows, assume_unique=True)
            old_pairs, new_pairs = self._pairs, self._with(new_rows, rows)
            keep = np.isin(old_pairs[0], rows) & np.isin(old_pairs[1], rows)
            first, second = (
                np.concatenate([a[keep], b]) for a, b in zip(old_pairs, new_pairs, strict=True)
            )
            self._rows, self._pairs = rows, (first, second)
            return self._pairs

    def _with(self, new_rows: Ids, rows: Ids) -> tuple[Ids, Ids]:
        """Return the pairs of which at least one row is in `new_rows`."""
        hashes, vectors = self._everything.hashes, self._vectors
        first, second = near_hashes(hashes[new_rows], hashes[rows])
        first, second = new_rows[first], rows[second]
        unique = (first < second) | ((first != second) & ~np.isin(second, new_rows))
        first, second = first[unique], second[unique]
        ids = self._everything.ids
        units = vectors.of(ids[first]), vectors.of(ids[second])
        confirmed_pairs = confirmed(*units, self._nearness)
        return first[confirmed_pairs], second[confirmed_pairs]
