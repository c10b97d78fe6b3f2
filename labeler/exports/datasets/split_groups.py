"""Families: images that belong into one split, by their group or because they are near-duplicates.

As the folds of training keep together (`model.estimators.group_folds`), but found among all images
of a project, whatever is exported of them, and without comparing everything with everything: hashes
are compared where a part of them is equal, and embeddings of many images only where they have a
hand score.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

import db.images.embeddings
import db.images.lookup
import db.scores.hand_scores
from db.images.arrays import ImageColumns
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from model.estimators.group_folds import NEAR_BITS, NEAR_SHARE, TELLING_BITS

Ids = NDArray[np.int64]
Pairs = NDArray[np.int64]  # (p, 2) rows
MOST_COMPARED = 20_000  # embeddings of all images are compared up to here
_NONE: Pairs = np.zeros((0, 2), dtype=np.int64)
_BANDS = NEAR_BITS + 1  # two hashes that differ in so few bits agree in one of so many parts
_ROWS = 1024


def split_groups(project: Project, images: ImageColumns, progress: Progress = silent) -> Ids:
    """For each of `images` (n,) the row of the oldest image of its family, itself if alone."""
    pairs = [
        _same_group(project, images),
        _near_hashes(images.hashes),
        _near_embeddings(project, images, progress),
    ]
    joined = np.concatenate(pairs)
    graph = coo_matrix(
        (np.ones(len(joined), dtype=np.int8), (joined[:, 0], joined[:, 1])),
        shape=(len(images), len(images)),
    )
    _, family = connected_components(graph, directed=False)
    _, first = np.unique(family, return_index=True)  # numbered in the order of their first rows
    return np.asarray(first[family], dtype=np.int64)


def _same_group(project: Project, images: ImageColumns) -> Pairs:
    names = db.images.lookup.groups(project.store)
    if not names:
        return _NONE
    rows = images.rows(np.array(list(names), dtype=np.int64))
    _, first, number = np.unique(list(names.values()), return_index=True, return_inverse=True)
    return np.stack([rows[first][number], rows], axis=1)


def _near_hashes(hashes: NDArray[np.uint64]) -> Pairs:
    """Rows (n,) whose hashes differ in at most `NEAR_BITS`; nearly plain pictures are near none."""
    bits = np.asarray(np.bitwise_count(hashes))
    rows = np.flatnonzero((bits >= TELLING_BITS) & (bits <= 64 - TELLING_BITS))
    if len(rows) < 2:
        return _NONE
    unique, first, number = np.unique(hashes[rows], return_index=True, return_inverse=True)
    places = rows[first]
    found = [np.stack([places[number], rows], axis=1)]
    for band in _bands(unique):
        order = np.argsort(band, kind="stable")
        ends = np.flatnonzero(np.diff(band[order])) + 1
        for alike in np.split(order, ends):
            found.extend(places[pair] for pair in _near_among(unique, alike))
    return np.concatenate(found)


def _bands(hashes: NDArray[np.uint64]) -> Iterator[NDArray[np.uint64]]:
    edges = np.linspace(0, 64, _BANDS + 1).astype(int)
    for low, high in pairwise(edges.tolist()):
        yield (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)


def _near_among(hashes: NDArray[np.uint64], alike: Ids) -> Iterator[Pairs]:
    """Pairs of places in `hashes`, of those in `alike` alone."""
    for start in range(0, len(alike) if len(alike) > 1 else 0, _ROWS):
        part, rest = alike[start : start + _ROWS], alike[start:]
        apart = np.asarray(np.bitwise_count(hashes[part][:, None] ^ hashes[rest][None, :]))
        here, there = np.nonzero(apart <= NEAR_BITS)
        later = here < there
        yield np.stack([part[here[later]], rest[there[later]]], axis=1)


def _near_embeddings(project: Project, images: ImageColumns, progress: Progress) -> Pairs:
    known = db.images.embeddings.encoder(project.store, project.encoder)
    if known is None:
        return _NONE
    compared = images.ids
    if len(compared) > MOST_COMPARED:
        compared, _ = db.scores.hand_scores.effective(project.store)
    ids, vectors = db.images.embeddings.get(project.store, known.id, compared)
    if not len(ids):
        return _NONE
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    near = NEAR_SHARE * _usual_distance(vectors[:_ROWS])
    rows, found = images.rows(ids), []
    for start in range(0, len(ids), _ROWS):
        progress(start, len(ids), "looking for near-duplicates")
        cosines = vectors[start : start + _ROWS] @ vectors[start:].T  # (rows, the rest)
        here, there = np.nonzero(cosines >= 1 - near**2 / 2)
        found.append(np.stack([rows[start + here], rows[start + there]], axis=1))
    return np.concatenate(found)


def _usual_distance(units: NDArray[np.float32]) -> float:
    """The median distance among the oldest images: later ones don't change what counts as near."""
    if len(units) < 2:
        return 0.0
    distances = np.sqrt(np.maximum(2 - 2 * units @ units.T, 0))
    return float(np.median(distances[np.triu_indices(len(units), 1)]))
