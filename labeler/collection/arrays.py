"""The whole collection as arrays, kept in memory and read anew only when it has changed.

A page of cards must be ready before a person notices the wait, whatever the number of images. What
scoring changes is read for every page; the rest (images, predictions) when a cheap stamp tells that
somebody, this process or another, has changed it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import db.images.arrays
import db.images.counts
import db.images.lookup
import db.images.sources
import db.versions.predictions
from db.images.arrays import ImageColumns, SortedIds
from db.records import Predictions
from db.store.store import Store
from labeler.core.project import Project
from model.estimators.ordinal import LEVELS

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Bands = tuple[tuple[int, float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Collection(SortedIds):
    """Every image by rising id, and what one version predicts for it; all arrays (n,).

    The same object as long as nothing of it has changed, so what follows from it may be kept by it.
    """

    hashes: NDArray[np.uint64]  # 0 where there is none
    fine: Mask  # readable and still there
    predictions: Floats  # 0–1, NaN where there is none
    exceed: NDArray[np.float16]  # (n, 10): P(hand score >= k), rows of NaN where there is none
    low: Floats  # what its source is expected to score, 0–1, NaN without an expectation
    high: Floats


def collection_now(project: Project, version_id: int) -> Collection:
    """All images as they are now, with what the version of `version_id` predicts for them."""
    store = project.store
    bands = tuple(
        (source.id, source.expect_low / 10, source.expect_high / 10)
        for source in db.images.sources.sources(store)
        if source.expect_low is not None and source.expect_high is not None
    )
    images, batches = (
        images_now(project),
        db.versions.predictions.prediction_batches(store, version_id),
    )
    return project.cache.get(
        "collection",
        version_id,
        (batches, images, bands),
        lambda: _joined(images, _predictions(project, version_id, batches), bands),
    )


def images_now(project: Project) -> ImageColumns:
    """All images; the same object as long as none has come, gone or changed its source."""
    return project.cache.get("images", None, None, lambda: _KeptImages(project.store)).now()


class _KeptImages:
    """A store's images, read whole once; an import adds to them what it has brought."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()  # Two requests at once wait for one reading.
        self._stamp: tuple[tuple[Any, ...], ...] | None = None
        self._columns = db.images.arrays.image_columns(store)

    def now(self) -> ImageColumns:
        with self._lock:
            stamp = db.images.counts.image_stamp(self._store)
            if stamp != self._stamp:
                more = self._with_new_ones()
                self._columns = more or db.images.arrays.image_columns(self._store)
                self._stamp = stamp
            return self._columns

    def _with_new_ones(self) -> ImageColumns | None:
        """None where more has changed than that images have come."""
        last = int(self._columns.ids.max(initial=0))
        new = db.images.arrays.image_columns(self._store, after=last)
        columns = self._columns.followed_by(new) if len(new) else self._columns
        counted = {
            (source_id, state): (images, id_sum)
            for source_id, state, images, id_sum in db.images.counts.image_stamp(self._store)
            if images
        }
        return columns if columns.stamp() == counted else None


def _joined(images: ImageColumns, predictions: Predictions, bands: Bands) -> Collection:
    rows, is_known = images.places(predictions.image_ids)
    exceed = np.full((len(images), LEVELS), np.nan, dtype=np.float16)  # as the store keeps them
    if predictions.exceed is not None:
        exceed[rows] = predictions.exceed[is_known]
    low, high = np.full((2, len(images)), np.nan)
    for source_id, lowest, highest in bands:
        mine = images.sources == source_id
        low[mine], high[mine] = lowest, highest
    return Collection(
        ids=images.ids,
        hashes=images.hashes,
        fine=images.fine,
        predictions=images.spread(predictions.image_ids, predictions.scores),
        exceed=exceed,
        low=low,
        high=high,
    )


def _predictions(project: Project, version_id: int, batches: int) -> Predictions:
    """Kept by itself: images come without any prediction of others being another."""
    return project.cache.get(
        "predictions",
        version_id,
        batches,
        lambda: db.versions.predictions.predictions(project.store, version_id),
    )


def group_numbers(project: Project, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number (n,) per image of `ids` (n,) that is the same for images of the same group."""
    group_of = db.images.lookup.groups(project.store)
    # An image without a group goes by its own number, a group by one below zero.
    number_of = {name: -k for k, name in enumerate(sorted(set(group_of.values())), start=1)}
    numbers = [number_of[group_of[i]] if i in group_of else i for i in ids.tolist()]
    return np.unique(np.array(numbers, dtype=np.int64), return_inverse=True)[1].astype(np.int64)
