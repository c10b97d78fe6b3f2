"""Hand scores that contradict each other: different ones for near-duplicates."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from labeler.collection import Collection, Floats, Ids, Mask, Standing
from labeler.near_duplicates import confirmed, near_hashes, nearness_in
from labeler.vectors import UnitVectors

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
    return _pairs(now.everything, vectors, rows.tobytes())


@lru_cache(maxsize=1)
def _pairs(everything: Collection, vectors: UnitVectors, packed: bytes) -> tuple[Ids, Ids]:
    """Looked for anew when the set of scored images changes, not with every score."""
    rows = np.frombuffer(packed, dtype=np.int64)
    hashes = everything.hashes[rows]
    first, second = near_hashes(hashes, hashes)
    once = first < second
    first, second = rows[first[once]], rows[second[once]]
    units = (vectors.of(everything.ids[first]), vectors.of(everything.ids[second]))
    same = confirmed(*units, nearness_in(everything, vectors))
    return first[same], second[same]
