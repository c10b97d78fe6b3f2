"""Split groups: images that must be in one split, by their group or as near-duplicates.

The rule is that of the folds in training (`model.estimators.group_folds`), applied to all images of
a project, whatever is exported, without comparing all pairs: hashes are compared only if a part of
them is equal, and in large projects only embeddings of scored images are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
import db.images.lookup
import db.scores.hand_scores
from db.images.arrays import ImageColumns
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from model.estimators.group_folds import connected
from model.estimators.kernels import SAMPLE, median_distance, normalize
from model.estimators.near_duplicates import BLOCK, SAME_SHARE, linking_pairs, near_embeddings

Ids = NDArray[np.int64]
Pairs = NDArray[np.int64]  # (p, 2) rows
MOST_COMPARED = 20_000  # embeddings of all images are compared up to here
_NONE: Pairs = np.zeros((0, 2), dtype=np.int64)


def split_groups(project: Project, images: ImageColumns, progress: Progress = silent) -> Ids:
    """Return (N,) int64: for each image the row of the oldest image of its split group."""
    pairs = [
        _same_group(project, images),
        linking_pairs(images.hashes),
        *_near_embeddings(project, images, progress),
    ]
    group = connected(len(images), pairs)
    _, first = np.unique(group, return_index=True)  # numbered in the order of their first rows
    return np.asarray(first[group], dtype=np.int64)


def _same_group(project: Project, images: ImageColumns) -> Pairs:
    names = db.images.lookup.groups(project.store)
    if not names:
        return _NONE
    rows = images.rows(np.array(list(names), dtype=np.int64))
    _, first, number = np.unique(list(names.values()), return_index=True, return_inverse=True)
    return np.stack([rows[first][number], rows], axis=1)


def _near_embeddings(project: Project, images: ImageColumns, progress: Progress) -> Iterator[Pairs]:
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    if encoder is None:
        return
    compared = images.ids
    if len(compared) > MOST_COMPARED:
        compared, _ = db.scores.hand_scores.effective(project.store)
    ids, vectors = db.images.embeddings.get(project.store, encoder.id, compared)
    units, rows = normalize(vectors), images.rows(ids)
    # The median of the oldest images, which later imports don't change.
    near = SAME_SHARE * median_distance(units[:SAMPLE])
    for block, pairs in enumerate(near_embeddings(units, near)):
        progress(min(block * BLOCK, len(ids)), len(ids), "looking for near-duplicates")
        yield rows[pairs]
