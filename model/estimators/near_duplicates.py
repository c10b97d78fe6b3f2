"""Near-duplicates: the same picture again, re-encoded, resized or slightly changed.

Two pictures count as the same by their difference hashes (64 bits), their embeddings, or both.
Distances between embeddings are shares of the median distance in the collection: such a share means
the same with any encoder, while a fixed cosine joins everything with one whose embeddings all point
one way. numpy only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model.estimators.kernels import distances, median_distance

Ids = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]
Vectors = NDArray[np.floating]

# Bits that may differ, and shares of the median distance. What must not be torn apart (folds,
# splits) is joined by the hash alone: up to 4 bits pictures are nearly always the same one
# re-encoded, and two different ones joined by mistake cost little.
HASH_BITS = 4
SAME_SHARE = 0.15  # by the embeddings alone
# What a person answers with one key needs both. On a mixed collection of 1,228 pictures, of the
# pairs with a hash at most 6 bits apart 8 in 100 show the same original; of those that are also
# within 0.35 of the median distance 12 of 13, and the thirteenth has equal scores. Beyond 6 bits
# hardly one more is found. Embeddings within 0.15 of it were the same in 8 of 8.
CONFIRMED_HASH_BITS = 6
CONFIRMED_SHARE = 0.35
# A hash with fewer bits set, or unset, is of a nearly plain picture, or 0 for "none".
_FEWEST_BITS = 6
BLOCK = 1024  # rows compared with all others in one step: bounds the memory
_FEW_ROWS, _COLUMNS = 4, 1 << 17


@dataclass(frozen=True, slots=True)
class Nearness:
    """What counts as the same picture in one collection: distances between unit embeddings."""

    confirmed: float  # with a near hash
    same: float  # by itself

    @classmethod
    def among(cls, units: Vectors) -> Nearness:
        """Measure some unit embeddings (n, width) of the collection; rows of zeros don't count."""
        median = median_distance(units[np.abs(units).any(axis=1)])
        return cls(CONFIRMED_SHARE * median, SAME_SHARE * median)

    def same_picture(self, one: int | None, other: int | None, cosine: float) -> bool:
        """Tell whether two hashes (0 or None: none) and the embeddings' cosine show one picture."""
        distance = max(0.0, 2 - 2 * cosine) ** 0.5
        hashes = np.array([one or 0, other or 0], dtype=np.uint64)
        near = informative(hashes).all() and _apart(*hashes) <= CONFIRMED_HASH_BITS
        return distance <= self.same or bool(near and distance <= self.confirmed)


def informative(hashes: Hashes) -> Mask:
    """Tell which hashes (n,) say anything: those of pictures that are not nearly plain."""
    bits: NDArray[np.uint8] = np.bitwise_count(hashes)
    return np.asarray((bits >= _FEWEST_BITS) & (bits <= 64 - _FEWEST_BITS))


def near_hashes(some: Hashes, others: Hashes, bits: int = CONFIRMED_HASH_BITS) -> tuple[Ids, Ids]:
    """Return the pairs (p,), (p,) of rows of `some` and `others` at most `bits` apart.

    By row of `some`, and for each the nearest first. A hash that says nothing is near to nothing.
    For a few against a million, all processors at once.
    """
    starts = range(0, len(others), _COLUMNS)
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        parts = threads.map(lambda start: _near(some, others, start, bits), starts)
        found = [np.zeros((3, 0), dtype=np.int64), *(each for part in parts for each in part)]
    rows, columns, apart = np.concatenate(found, axis=1)
    order = np.lexsort((columns, apart, rows))
    rows, columns = rows[order], columns[order]
    known = informative(some[rows]) & informative(others[columns])
    return rows[known], columns[known]


def linking_pairs(hashes: Hashes, bits: int = HASH_BITS) -> Ids:
    """Return pairs of rows (p, 2) that link all `hashes` (n,) at most `bits` apart, in chains.

    Not with n² comparisons: two hashes that differ in so few bits agree in one of `bits` + 1 parts.
    Of equal hashes, which are many where a picture is, each is paired with the first one alone.
    """
    rows = np.flatnonzero(informative(hashes))
    unique, first, number = np.unique(hashes[rows], return_index=True, return_inverse=True)
    places = rows[first]
    found = [np.stack([places[number], rows], axis=1)]
    for part in _parts(unique, bits + 1):
        order = np.argsort(part, kind="stable")
        ends = np.flatnonzero(np.diff(part[order])) + 1
        for alike in np.split(order, ends):
            found.extend(places[pair] for pair in _near_among(unique, alike, bits))
    return np.concatenate(found)


def near_embeddings(units: Vectors, distance: float) -> Iterator[Ids]:
    """Yield pairs of rows (p, 2) of `units` (n, width) at most `distance` apart, block by block.

    Each row is paired with itself as well. A block is of `BLOCK` rows.
    """
    for start in range(0, len(units), BLOCK):
        cosines = units[start : start + BLOCK] @ units[start:].T  # (rows, the rest)
        here, there = np.nonzero(cosines >= 1 - distance**2 / 2)
        yield np.stack([start + here, start + there], axis=1)


def confirmed(some: Vectors, others: Vectors, nearness: Nearness) -> Mask:
    """Tell of pairs (p,) with near hashes whether their unit embeddings (p, width) agree."""
    cosines = np.einsum("pw,pw->p", some, others)
    known = np.abs(some).max(axis=1) * np.abs(others).max(axis=1) > 0
    return np.asarray(known & (np.sqrt(np.maximum(2 - 2 * cosines, 0)) <= nearness.confirmed))


def near_pairs(hashes: Hashes, units: Vectors, nearness: Nearness) -> Mask:
    """Tell which of a few images are near-duplicates of each other, (n, n); none of itself."""
    looks = _apart(hashes[:, None], hashes[None, :]) <= CONFIRMED_HASH_BITS
    looks &= informative(hashes)[:, None] & informative(hashes)[None, :]
    apart, known = distances(units, units), np.abs(units).max(axis=1, initial=0) > 0
    near = (looks & (apart <= nearness.confirmed)) | (apart <= nearness.same)
    near &= known[:, None] & known[None, :]  # Without an embedding an image is near to none.
    np.fill_diagonal(near, False)
    return near


def _near(some: Hashes, others: Hashes, start: int, bits: int) -> list[Ids]:
    """Rows, columns and distances (3, p) of what is near in the columns from `start` on."""
    block, found = others[start : start + _COLUMNS], []
    for first in range(0, len(some), _FEW_ROWS):
        apart = _apart(some[first : first + _FEW_ROWS, None], block[None, :])  # (rows, columns)
        rows, columns = np.divmod(np.flatnonzero(apart <= bits), len(block))
        if len(rows):
            found.append(np.stack([first + rows, start + columns, apart[rows, columns]]))
    return found


def _parts(hashes: Hashes, count: int) -> Iterator[Hashes]:
    edges = np.linspace(0, 64, count + 1).astype(int)
    for low, high in pairwise(edges.tolist()):
        yield (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)


def _near_among(hashes: Hashes, alike: Ids, bits: int) -> Iterator[Ids]:
    """Pairs of places in `hashes`, of those in `alike` alone."""
    for start in range(0, len(alike) if len(alike) > 1 else 0, BLOCK):
        part, rest = alike[start : start + BLOCK], alike[start:]
        here, there = np.nonzero(_apart(hashes[part][:, None], hashes[rest][None, :]) <= bits)
        later = here < there
        yield np.stack([part[here[later]], rest[there[later]]], axis=1)


def _apart(some: Hashes, others: Hashes) -> NDArray[np.uint8]:
    """How many bits of two arrays of hashes differ, broadcast."""
    return np.asarray(np.bitwise_count(some ^ others))
