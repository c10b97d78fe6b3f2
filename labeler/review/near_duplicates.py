"""Near-duplicates: the same picture again, re-encoded, resized or slightly changed.

Looked for by difference hash among all images, in memory, and believed only where the embeddings
agree: a hash alone joins pictures that merely have the same layout. On a mixed collection of 1,228
pictures, of the pairs with a hash at most 6 bits apart 8 in 100 show the same original; of those
that are also within 0.35 of the usual distance 12 of 13, and the thirteenth has equal scores.
Beyond 6 bits hardly one more is found. Embeddings within 0.15 of it were the same in 8 of 8.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from labeler.collection.arrays import Collection, Ids, Mask
from labeler.embedding.unit_cache import UnitVectors, Vectors
from model.estimators.group_folds import TELLING_BITS
from model.estimators.residual_gp import usual_distance

Hashes = NDArray[np.uint64]
NEAR_BITS = 6  # of 64, between two hashes that are worth a look at the embeddings
# Shares of the median distance between two embeddings of a collection: such a share means the same
# with any encoder, while a fixed cosine joins everything with one whose embeddings point one way.
NEAR_SHARE = 0.35  # with a near hash
SAME_SHARE = 0.15  # by itself
MOST = 24  # images of one card; more of them wait for the next one
_SAMPLE = 400
_ROWS, _COLUMNS = 4, 1 << 17  # hashes compared in one step: bounds the memory


@dataclass(frozen=True, slots=True)
class Nearness:
    """What counts as near in one collection: distances between unit embeddings."""

    near: float
    same: float

    @classmethod
    def among(cls, units: Vectors) -> Nearness:
        """By the usual distance of some unit embeddings (n, width), drawn from the collection."""
        usual = usual_distance(units[np.abs(units).any(axis=1)])
        return cls(NEAR_SHARE * usual, SAME_SHARE * usual)

    def same_picture(self, look: int | None, other: int | None, cosine: float) -> bool:
        """Whether two difference hashes (0 or None: none) and the cosine tell the same picture."""
        distance = max(0.0, 2 - 2 * cosine) ** 0.5
        hashes = np.array([look or 0, other or 0], dtype=np.uint64)
        near = telling(hashes).all() and np.bitwise_count(hashes[0] ^ hashes[1]) <= NEAR_BITS
        return distance <= self.same or bool(near and distance <= self.near)


@lru_cache(maxsize=1)
def nearness_in(everything: Collection, vectors: UnitVectors) -> Nearness:
    """By a sample of the whole collection."""
    sample = everything.ids[:: max(1, len(everything) // _SAMPLE)]
    return Nearness.among(vectors.of(sample))


def near_hashes(some: Hashes, others: Hashes) -> tuple[Ids, Ids]:
    """Pairs (p,), (p,) of rows of `some` and of `others` at most `NEAR_BITS` apart.

    By row of `some`, and for each the nearest first. The hash of a nearly plain picture has next to
    no bits set or unset, or is 0 for "none"; it says nothing and is near to nothing.
    """
    starts = range(0, len(others), _COLUMNS)
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        parts = threads.map(lambda start: _near(some, others, start), starts)
        found = [np.zeros((3, 0), dtype=np.int64), *(each for part in parts for each in part)]
    rows, columns, apart = np.concatenate(found, axis=1)
    order = np.lexsort((columns, apart, rows))
    rows, columns = rows[order], columns[order]
    known = telling(some[rows]) & telling(others[columns])
    return rows[known], columns[known]


def _near(some: Hashes, others: Hashes, start: int) -> list[Ids]:
    """Rows, columns and distances (3, p) of what is near in the columns from `start` on."""
    block, found = others[start : start + _COLUMNS], []
    for first in range(0, len(some), _ROWS):
        part = some[first : first + _ROWS]
        bits = np.asarray(np.bitwise_count(part[:, None] ^ block[None, :]))  # (rows, columns)
        rows, columns = np.divmod(np.flatnonzero(bits <= NEAR_BITS), len(block))
        if len(rows):
            found.append(np.stack([first + rows, start + columns, bits[rows, columns]]))
    return found


def confirmed(some: Vectors, others: Vectors, nearness: Nearness) -> Mask:
    """Whether unit embeddings (p, width) agree, pair by pair, with what the hashes say."""
    cosines = np.einsum("pw,pw->p", some, others)
    known = np.abs(some).max(axis=1) * np.abs(others).max(axis=1) > 0
    return np.asarray(known & (np.sqrt(np.maximum(2 - 2 * cosines, 0)) <= nearness.near))


def near_pairs(hashes: Hashes, units: Vectors, nearness: Nearness) -> Mask:
    """Which of a few images are near-duplicates of each other, (n, n); none of itself."""
    looks = np.asarray(np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= NEAR_BITS)
    looks &= telling(hashes)[:, None] & telling(hashes)[None, :]
    distances = _distances(units, units)
    near = (looks & (distances <= nearness.near)) | (distances <= nearness.same)
    np.fill_diagonal(near, False)
    return near


def telling(hashes: Hashes) -> Mask:
    """Which hashes say anything: of a picture that is not nearly plain."""
    bits = np.asarray(np.bitwise_count(hashes))
    return np.asarray((bits >= TELLING_BITS) & (bits <= 64 - TELLING_BITS))


def _distances(some: Vectors, others: Vectors) -> NDArray[np.float32]:
    """Between unit embeddings, (len(some), len(others)); from one of zeros none is near."""
    missing = (some == 0).all(axis=1)[:, None] | (others == 0).all(axis=1)[None, :]
    distances = np.sqrt(np.maximum(2 - 2 * some @ others.T, 0))
    return np.where(missing, np.float32(np.inf), distances)
