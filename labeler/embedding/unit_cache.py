"""Embeddings of unit length, kept in memory within a bound: pages ask for the same ones again."""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
from db.store.store import Store
from labeler.core.project import Project
from model.estimators.kernels import normalize

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
MOST_BYTES = 128 << 20


class UnitEmbeddings(Protocol):
    """Embeddings of unit length, looked up by image id."""

    def of(self, ids: Ids) -> Vectors:
        """Return those of `ids` (n,) in that order, (n, width); zeros where an image has none."""


class UnitRows:
    """Unit embeddings (n, width) of images whose ids are row numbers."""

    def __init__(self, units: Vectors) -> None:
        self._units = units

    def of(self, ids: Ids) -> Vectors:
        """Return the unit vectors (n, width) of `ids` (n,)."""
        return self._units[ids]


class NoEmbeddings:
    """What there is before anything was embedded."""

    def of(self, ids: Ids) -> Vectors:
        """Return rows of zeros: no image has an embedding."""
        return np.zeros((len(ids), 1), dtype=np.float32)


class UnitVectors:
    """Unit embeddings by one encoder. Full, it forgets all and begins again with what is asked."""

    def __init__(self, store: Store, encoder_id: int, width: int) -> None:
        self.width = width
        self._most = MOST_BYTES // (4 * width)
        self._store, self._encoder_id = store, encoder_id
        self._lock = threading.Lock()
        self._forget()

    def of(self, ids: Ids) -> Vectors:
        """Unit embeddings (n, width) in the order of `ids`; zeros where an image has none."""
        requested = ids.tolist()
        with self._lock:
            # An id asked for twice must not take two rows: the next ones would overwrite live ones.
            unique = list(dict.fromkeys(requested))
            new = [image_id for image_id in unique if image_id not in self._place]
            if len(self._place) + len(new) >= self._most:
                self._forget()
                new = unique
            if new:
                self._add(np.array(new, dtype=np.int64))
            return self._kept[[self._place.get(image_id, 0) for image_id in requested]]

    def _forget(self) -> None:
        self._place: dict[int, int] = {}
        self._kept = np.zeros((1, self.width), dtype=np.float32)  # row 0: no embedding

    def _add(self, ids: Ids) -> None:
        stored_ids, vectors = db.images.embeddings.get(self._store, self._encoder_id, ids)
        start = len(self._place) + 1
        end = start + len(stored_ids)
        if end > len(self._kept):
            grown = np.zeros((max(end, 3 * len(self._kept) // 2), self.width), dtype=np.float32)
            grown[:start] = self._kept[:start]
            self._kept = grown
        self._kept[start:end] = normalize(vectors)
        self._place |= {image_id: start + k for k, image_id in enumerate(stored_ids.tolist())}


def unit_vectors(project: Project, encoder: str) -> UnitVectors | None:
    """Return the unit vectors by that encoder; None before anything was embedded with it."""
    store = project.store
    record = db.images.embeddings.encoder(store, encoder)
    if record is None:
        return None
    return project.cache.get(
        "unit vectors", record.id, record.width, lambda: UnitVectors(store, record.id, record.width)
    )
