"""The whole collection as arrays, kept in memory and read anew only when it has changed.

A page of cards must be ready before a person notices the wait, whatever the number of images. What
scoring changes is read for every page; the rest (images, predictions) when a cheap stamp tells that
somebody, this process or another, has changed it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import db.candidates
import db.images
import db.versions
from db.candidates import ImageColumns
from db.records import Predictions, Version
from db.store import Store
from labeler.project import Project
from labeler.vectors import UnitVectors, unit_vectors

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Bands = tuple[tuple[int, float, float], ...]

_reading = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """Every image by rising id, and what one version predicts for it; all arrays (n,).

    The same object as long as nothing of it has changed, so what follows from it may be kept by it.
    """

    ids: Ids
    sources: Ids
    hashes: NDArray[np.uint64]  # 0 where there is none
    fine: Mask  # readable and still there
    predictions: Floats  # 0–1, NaN where there is none
    exceed: NDArray[np.float32]  # (n, 10): P(hand score >= k), rows of NaN where there is none
    low: Floats  # what its source is expected to score, 0–1, NaN without an expectation
    high: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Iterable[int] | Ids) -> Ids:
        """The rows of those `ids` that exist, in their order."""
        wanted = np.fromiter(ids, dtype=np.int64) if not isinstance(ids, np.ndarray) else ids
        if not len(self) or not len(wanted):
            return np.zeros(0, dtype=np.int64)
        rows = np.minimum(np.searchsorted(self.ids, wanted), len(self) - 1)
        return rows[self.ids[rows] == wanted]

    def spread(self, ids: Ids, values: Floats) -> Floats:
        """`values` (m, …) of `ids` (m,) at their rows, (n, …), NaN elsewhere."""
        spread = np.full((len(self), *values.shape[1:]), np.nan)
        known = np.isin(ids, self.ids, assume_unique=True)
        spread[self.rows(ids[known])] = values[known]
        return spread

    def marked(self, ids: Iterable[int] | Ids) -> Mask:
        """Which rows are among `ids`."""
        mask = np.zeros(len(self), dtype=bool)
        mask[self.rows(ids)] = True
        return mask


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where a collection stands against one version: what a page of cards is made from."""

    project: Project
    version: Version
    threshold: float
    everything: Collection
    given: Floats  # (n,) the hand scores that count now, 0–10, NaN for what is unscored

    @property
    def vectors(self) -> UnitVectors | None:
        """The embeddings that the version reads; None before there are any."""
        return unit_vectors(self.project.store, self.version.encoder)


def standing(project: Project, version: Version, threshold: float) -> Standing:
    """The project's images as they are now, with the predictions of `version`."""
    everything = _collection(project.store, version.id)
    ids, values = db.candidates.scored(project.store)
    return Standing(project, version, threshold, everything, everything.spread(ids, values))


def _collection(store: Store, version_id: int) -> Collection:
    bands = tuple(
        (source.id, source.expect_low / 10, source.expect_high / 10)
        for source in db.images.sources(store)
        if source.expect_low is not None and source.expect_high is not None
    )
    stamp = db.candidates.image_stamp(store)
    count = db.candidates.prediction_count(store, version_id)
    with _reading:  # Two requests at once wait for one reading instead of reading twice.
        return _joined(_images(store, stamp), _predictions(store, version_id, count), bands)


@lru_cache(maxsize=1)
def _images(store: Store, _stamp: tuple[tuple[int, ...], ...]) -> ImageColumns:
    return db.candidates.image_columns(store)


@lru_cache(maxsize=1)
def _predictions(store: Store, version_id: int, _count: int) -> Predictions:
    """All of a version's predictions: they only ever grow in number."""
    return db.versions.predictions(store, version_id)


@lru_cache(maxsize=1)
def _joined(images: ImageColumns, made: Predictions, bands: Bands) -> Collection:
    _, where, rows = np.intersect1d(
        images.ids, made.image_ids, assume_unique=True, return_indices=True
    )
    predictions = np.full(len(images.ids), np.nan)
    predictions[where] = made.scores[rows]
    exceed = np.full((len(images.ids), 10), np.nan, dtype=np.float32)
    if made.exceed is not None:
        exceed[where] = made.exceed[rows]
    low, high = np.full((2, len(images.ids)), np.nan)
    for source_id, lowest, highest in bands:
        mine = images.sources == source_id
        low[mine], high[mine] = lowest, highest
    return Collection(
        images.ids, images.sources, images.hashes, images.fine, predictions, exceed, low, high
    )
