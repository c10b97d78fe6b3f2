"""Folds that keep together what belongs together: groups and near-duplicates never cross a fold.

A head that has seen a picture's twin predicts it too well; such figures would flatter. All ids
here are row numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from model.estimators.kernels import median_distance, normalize
from model.estimators.near_duplicates import SAME_SHARE, linking_pairs, near_embeddings


def connected_groups(
    count: int,
    groups: Sequence[str | None] | None = None,
    hashes: NDArray[np.uint64] | None = None,
    embeddings: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """Return a group number for each of `count` images, (count,), from 0 on.

    Two images share it if a chain of equal names in `groups` (`None`: no group), difference hashes
    at most `HASH_BITS` apart, or embeddings (count, width) within `SAME_SHARE` of the median
    distance joins them. A hash of 0 means that there is none.
    """
    pairs = [_same_name(groups)] if groups is not None else []
    if hashes is not None:
        pairs.append(linking_pairs(hashes))
    if embeddings is not None:
        pairs.extend(_near_embeddings(embeddings))
    return connected(count, pairs)


def connected(count: int, pairs: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return a group number (count,), from 0 on, shared by rows that a chain of pairs joins.

    `pairs` are arrays (p, 2) of row numbers. Groups are numbered in the order of their first rows.
    """
    joined = np.concatenate([*pairs, np.zeros((0, 2), dtype=np.int64)])
    ones = np.ones(len(joined), dtype=np.int8)
    graph = coo_matrix((ones, (joined[:, 0], joined[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def group_folds(
    scores: NDArray[np.floating], groups: NDArray[np.int64], folds: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """Return a fold 0..k-1 for each image, (n,); whole groups, alike in size and in scores.

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


def _near_embeddings(embeddings: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
    units = normalize(embeddings.astype(np.float64))
    return near_embeddings(units, SAME_SHARE * median_distance(units))
