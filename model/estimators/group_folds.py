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

# How much more the sides of the threshold weigh than those of one other level.
_THRESHOLD_WEIGHT = 100.0


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
    scores: NDArray[np.floating],
    groups: NDArray[np.int64],
    folds: int = 5,
    seed: int = 0,
    threshold: float | None = None,
) -> NDArray[np.int64]:
    """Return a fold 0..k-1 for each image, (n,); whole groups, alike in size and in scores.

    `scores` (n,) 0–10, `groups` (n,). k is `folds`, or the number of groups if that is smaller.
    Spread evenly are the images on the rarer side of every level (score >= 1, … 10), those of
    `threshold` (0–1) before all others: a rare side whose scores all differ is rare as a whole.
    Greedy: each group goes where it least unbalances the folds, those with the most and the rarest
    images first.
    """
    _, group = np.unique(groups, return_inverse=True)
    levels = np.append(np.arange(1, 11), [] if threshold is None else 10 * threshold)
    columns = np.ones((len(scores), 1 + len(levels)))  # each image, and on which sides it is rare
    columns[:, 1:] = _rarer_sides(scores[:, None] >= levels - 1e-9)
    weights = np.ones(columns.shape[1])
    weights[11:] = _THRESHOLD_WEIGHT
    members = np.zeros((group.max(initial=-1) + 1, columns.shape[1]))  # (groups, columns)
    np.add.at(members, group, columns)
    # Every column weighs alike, however many images it has.
    weights = weights / np.maximum(members.sum(axis=0), 1)
    count = min(folds, len(members))
    shuffled = np.random.default_rng(seed).permutation(len(members))
    order = shuffled[np.argsort(-(members @ weights)[shuffled], kind="stable")]
    filled, fold_of = np.zeros((count, len(weights))), np.zeros(len(members), dtype=np.int64)
    for member in order:
        # What the sum of squares over the folds grows by.
        growth = filled @ (weights * members[member])
        fold_of[member] = int(np.argmin(growth))
        filled[fold_of[member]] += members[member]
    return fold_of[group]


def _rarer_sides(reached: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which images (n, k) are on the rarer side of each level, given which reach it."""
    return np.where(2 * reached.sum(axis=0) <= len(reached), reached, ~reached)


def _same_name(groups: Sequence[str | None]) -> NDArray[np.int64]:
    first: dict[str, int] = {}
    pairs = [(first.setdefault(g, row), row) for row, g in enumerate(groups) if g is not None]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _near_embeddings(embeddings: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
    units = normalize(embeddings.astype(np.float64))
    return near_embeddings(units, SAME_SHARE * median_distance(units))
