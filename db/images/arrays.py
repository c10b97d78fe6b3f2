"""The images that a review may show, as arrays: read whole, kept by the caller while they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Integer, cast, func, select

from db.query_parts import concatenated_columns, numbers
from db.store.schema import ImageRow
from db.store.store import Store

_STATES = ("fine", "missing", "unreadable")


@dataclass(frozen=True, slots=True, eq=False)
class SortedIds:
    """Rows of images by rising id, which whole columns are kept beside."""

    ids: np.ndarray  # (n,) int64

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, ids: Iterable[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of those `ids` (m,) that exist, in their order, and which ones exist
        (m,).
        """
        requested = ids if isinstance(ids, np.ndarray) else np.fromiter(ids, dtype=np.int64)
        if not len(self) or not len(requested):
            return np.zeros(0, dtype=np.int64), np.zeros(len(requested), dtype=bool)
        first, last = self.ids[0], self.ids[-1]
        if last - first == len(self) - 1:  # none is missing between them, so nothing is searched
            exists = (requested >= first) & (requested <= last)
            return requested[exists] - first, exists
        rows = np.minimum(np.searchsorted(self.ids, requested), len(self) - 1)
        exists = self.ids[rows] == requested
        return rows[exists], exists

    def rows(self, ids: Iterable[int] | np.ndarray) -> np.ndarray:
        """Return the rows of those `ids` that exist, in their order."""
        return self.places(ids)[0]

    def spread(self, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
        """`values` (m,) of `ids` (m,) at their rows, (n,) float64, NaN elsewhere."""
        values_by_row = np.full(len(self), np.nan)
        rows, exists = self.places(ids)
        values_by_row[rows] = values[exists]
        return values_by_row

    def marked(self, ids: Iterable[int] | np.ndarray) -> np.ndarray:
        """Return which rows (n,) are among `ids`."""
        mask = np.zeros(len(self), dtype=bool)
        mask[self.rows(ids)] = True
        return mask


@dataclass(frozen=True, slots=True, eq=False)
class ImageColumns(SortedIds):
    """Every image, by rising id; all arrays (n,)."""

    sources: np.ndarray  # int64, source ids
    hashes: np.ndarray  # uint64, difference hashes, 0 where there is none
    fine: np.ndarray  # bool: readable and still there
    readable: np.ndarray  # bool: also what is missing but was read once

    def followed_by(self, new: ImageColumns) -> ImageColumns:
        """These, and behind them `new` ones with higher ids."""
        names = [field.name for field in fields(self)]
        both = ((getattr(self, name), getattr(new, name)) for name in names)
        return ImageColumns(*map(np.concatenate, both))

    def stamp(self) -> dict[tuple[int, str], tuple[int, int]]:
        """Return how many there are of each source and state, and the sum of their ids."""
        states = np.where(self.fine, 0, np.where(self.readable, 1, 2))
        alike = len(_STATES) * self.sources + states
        counts = np.bincount(alike)
        sums = np.bincount(alike, weights=self.ids)  # exact up to 2^53
        return {
            (int(each) // len(_STATES), _STATES[each % len(_STATES)]): (
                int(counts[each]),
                int(sums[each]),
            )
            for each in np.flatnonzero(counts)
        }


def image_columns(store: Store, after: int = 0) -> ImageColumns:
    """Return the images behind the id `after`, as far as hand scores don't change them.

    `db.images.counts.image_stamp` tells when they have changed.
    """
    columns = (
        ImageRow.id,
        ImageRow.source_id,
        _whole(ImageRow.fingerprint).label("look"),
        cast(ImageRow.state == "fine", Integer).label("fine"),
        cast(ImageRow.state != "unreadable", Integer).label("readable"),
    )
    with store.reading() as session:
        query = select(*columns).where(ImageRow.id > after).order_by(ImageRow.id)
        columns_read = concatenated_columns(session, query)
    ids, sources, fingerprints, fine, readable = (numbers(each, np.int64) for each in columns_read)
    return ImageColumns(
        ids, sources, fingerprints.view(np.uint64), fine.astype(bool), readable.astype(bool)
    )


def _whole(column: Any) -> Any:
    """Return the number as SQLite keeps it, 0 where there is none."""
    return func.coalesce(cast(column, BigInteger), 0)
