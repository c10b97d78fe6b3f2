"""Folds that keep together what belongs together: groups and near-duplicates never cross a fold.

A head that has seen a picture's twin predicts it too well; such figures would flatter. All ids
here are row numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# Of 64 bits of a difference hash: up to here pictures are nearly always the same one re-encoded.
NEAR_BITS = 4
# A hash with so few set or unset bits is of a nearly plain picture and says nothing.
TELLING_BITS = 6
# Embeddings of unit length at most this share of the usual distance apart; the share holds for any
# encoder, while a fixed cosine joins everything with one whose embeddings all point one way.
NEAR_SHARE = 0.15
_ROWS = 1024
_BITS = np.array([bin(number).count("1") for number in range(1 << 16)], dtype=np.uint8)


def connected_groups(
    count: int,
    groups: Sequence[str | None] | None = None,
    hashes: NDArray[np.uint64] | None = None,
    embeddings: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """A group number for each of `count` images, (count,), from 0 on.

    Two images share it if a chain of equal names in `groups` (`None`: no group), difference hashes
    at most `NEAR_BITS` apart, or embeddings (count, width) within `NEAR_SHARE` of the median
    distance joins them. A hash of 0 means that there is none.
    """
    pairs = [_same_name(groups)] if groups is not None else []
    if hashes is not None:
        pairs.append(_near_hashes(hashes))
    if embeddings is not None:
        pairs.append(_near_embeddings(embeddings))
    joined = np.concatenate([*pairs, np.zeros((0, 2), dtype=np.int64)])
    graph = coo_matrix((np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def group_folds(
    scores: NDArray[np.floating], groups: NDArray[np.int64], folds: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """A fold 0..k-1 for each image, (n,); whole groups, alike in size and in scores.

    `scores` (n,) 0–10, `groups` (n,). k is `folds`, or the number of groups if that is smaller.
    Greedy, largest group first: each goes where it least unbalances the histograms of scores.
    """
    _, group = np.unique(groups, return_inverse=True)
    levels = np.clip(np.floor(scores + 0.5), 0, 10).astype(np.int64)
    histograms = np.zeros((group.max(initial=-1) + 1, 11))
    np.add.at(histograms, (group, levels), 1)
    count = min(folds, len(histograms))
    shuffled = np.random.default_rng(seed).permutation(len(histograms))
    order = shuffled[np.argsort(-histograms.sum(axis=1)[shuffled], kind="stable")]
    rarity = 1 / np.maximum(histograms.sum(axis=0), 1)
    filled, fold_of = np.zeros((count, 11)), np.zeros(len(histograms), dtype=np.int64)
    for member in order:
        mine = histograms[member]
        # What the sum of squares over the folds grows by, rare scores weighing more; then size.
        growth = ((filled * mine) * rarity).sum(axis=1) * len(scores)
        growth += filled.sum(axis=1) * mine.sum()
        fold_of[member] = int(np.argmin(growth))
        filled[fold_of[member]] += mine
    return fold_of[group]


def _same_name(groups: Sequence[str | None]) -> NDArray[np.int64]:
    first: dict[str, int] = {}
    pairs = [(first.setdefault(g, row), row) for row, g in enumerate(groups) if g is not None]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _near_hashes(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    set_bits = _count_bits(hashes)
    rows = np.flatnonzero((set_bits >= TELLING_BITS) & (set_bits <= 64 - TELLING_BITS))
    telling, found = hashes[rows], []
    for start in range(0, len(telling), _ROWS):
        part = telling[start : start + _ROWS, None] ^ telling[None, :]
        a, b = np.nonzero(_count_bits(part) <= NEAR_BITS)
        found.append(np.stack([rows[a + start], rows[b]], axis=1))
    return np.concatenate([*found, np.zeros((0, 2), dtype=np.int64)])


def _count_bits(numbers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many bits are set in each of `numbers`, in their shape."""
    quarters = np.ascontiguousarray(numbers).view(np.uint16).reshape(*numbers.shape, 4)
    return _BITS[quarters].sum(axis=-1, dtype=np.uint8)


def _near_embeddings(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    unit = embeddings.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    some = unit[:: max(1, len(unit) // _ROWS)]
    usual = np.median(_distances(some, some)[np.triu_indices(len(some), 1)]) if len(some) > 1 else 0
    found = []
    for start in range(0, len(unit), _ROWS):
        near = _distances(unit[start : start + _ROWS], unit) <= NEAR_SHARE * usual
        a, b = np.nonzero(near)
        found.append(np.stack([a + start, b], axis=1))
    return np.concatenate([*found, np.zeros((0, 2), dtype=np.int64)])


def _distances(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between rows of unit length: (len(some), len(others))."""
    return np.asarray(np.sqrt(np.maximum(2 - 2 * some @ others.T, 0)))
