"""Which images to show next: waiting for a score, or scored already."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, and_, exists, func, select, text
from sqlalchemy.orm import Session

from db.errors import StoreError
from db.query_parts import (
    Ids,
    Query,
    concatenated_columns,
    hashed_ids,
    id_array,
    images_in_order,
    is_in,
    numbers,
    python_ids,
    was_scored_again,
)
from db.records import Image
from db.store.schema import WAITING, HandScoreRow, ImageRow, PredictionRow, SkipRow
from db.store.store import Store

Band = tuple[float, float]
ORDERS = ("random", "newest", "highest", "random-in-band")

# Up to so many images are sorted for a page, more are not.
_FEW = 5000
_MORE = 50  # images looked at beyond those wanted, should some not be there any more
SKIPPED_WHILE_SCORING = and_(SkipRow.queue == "score", SkipRow.undone_at.is_(None))


def unscored(
    store: Store,
    *,
    order: str,
    source_id: int | None = None,
    limit: int,
    exclude: Collection[int] = (),
    version_id: int | None = None,
    band: Band | None = None,
    scorer: str | None = None,
) -> list[Image]:
    """Return fine images without a hand score, those skipped while scoring last (longest ago
    first).

    Where only one person's scores count, what `scorer` has scored is left out nevertheless.
    `order` is random (the same one every time), newest (last imported first), highest (what
    `version_id` predicts highest first) or random-in-band: random among those that `version_id`
    predicts within `band` (0–1, ends included).
    """
    if order not in ORDERS:
        raise StoreError(f"There is no order {order}; use {', '.join(ORDERS)}.")
    waiting = select(ImageRow.id).where(text(WAITING), ~_was_scored_by(scorer))
    query = _narrowed(waiting, source_id, exclude)
    with store.reading() as session:
        if order == "random-in-band":
            if version_id is None or band is None:
                raise StoreError("To fill a band, name a version and its band; train one first.")
            query = _in_band(session, query, version_id, band)
        by: tuple[Any, ...] = (ImageRow.shuffle,)
        if order == "newest":
            by = (ImageRow.id.desc(),)
        elif order == "highest":
            query = query.join(PredictionRow, PredictionRow.image_id == ImageRow.id)
            query = query.where(PredictionRow.version_id == version_id)
            # As the index has it: of many with the same prediction none is sorted.
            by = (PredictionRow.score.desc(), PredictionRow.image_id.desc())
        ids = list(session.scalars(query.where(~was_skipped()).order_by(*by).limit(limit)))
        if len(ids) < limit:
            ids += _skipped_ids(session, query, limit - len(ids))
        return images_in_order(session, ids)


def last_scored(store: Store, *, limit: int, exclude: Collection[int] = ()) -> list[Image]:
    """Return images with a hand score, the one scored last first."""
    # From the last score back: what was scored long ago is not looked at.
    query = (
        select(HandScoreRow.image_id)
        .where(
            HandScoreRow.undone_at.is_(None),
            ~was_scored_again(),
            ~is_in(HandScoreRow.image_id, python_ids(exclude)),
        )
        .order_by(HandScoreRow.id.desc())
        .limit(limit)
    )
    with store.reading() as session:
        return images_in_order(session, list(session.scalars(query)))


def scored_by_others(
    store: Store, scorer: str | None, *, limit: int, exclude: Collection[int] = ()
) -> list[Image]:
    """Return fine images that somebody has scored and `scorer` has not, at random; skipped ones
    last.
    """
    its_own = HandScoreRow.scorer.is_not_distinct_from(scorer)
    given = select(HandScoreRow.image_id, its_own).where(HandScoreRow.undone_at.is_(None))
    passed_over = select(SkipRow.image_id).where(SKIPPED_WHILE_SCORING)
    with store.reading() as session:
        scored, own = (numbers(column, np.int64) for column in concatenated_columns(session, given))
        excluded = np.concatenate([scored[own == 1], id_array(python_ids(exclude))])
        ids = np.setdiff1d(scored, excluded)
        last = np.isin(ids, id_array(list(session.scalars(passed_over))))
        ids = ids[np.lexsort((_shuffled(ids), last))]
        return images_in_order(session, _first_fine(session, ids, limit))


def _first_fine(session: Session, ids: np.ndarray, limit: int) -> list[int]:
    """Return the first of `ids` whose pictures are there; looked up in pieces, as most mostly
    are.
    """
    fine_ids: list[int] = []
    start, size = 0, limit + _MORE
    while len(fine_ids) < limit and start < len(ids):
        piece = ids[start : start + size]
        among = is_in(ImageRow.id, python_ids(piece))
        fine = select(ImageRow.id).where(among, ImageRow.state == "fine")
        fine_ids += piece[np.isin(piece, id_array(list(session.scalars(fine))))].tolist()
        start, size = start + size, 8 * size
    return fine_ids[:limit]


def _shuffled(ids: np.ndarray) -> np.ndarray:
    """Return a number for each id (n,) to sort by: a random order, the same every time, without a
    look into the store for each image.
    """
    once = hashed_ids(ids)  # alone it would leave regular strides
    return hashed_ids(once ^ (once >> np.uint64(32)))


def _narrowed(query: Query, source_id: int | None, exclude: Ids) -> Query:
    if source_id is not None:
        query = query.where(ImageRow.source_id == source_id)
    excluded = python_ids(exclude)
    return query.where(~is_in(ImageRow.id, excluded)) if excluded else query


def _in_band(session: Session, query: Query, version_id: int, band: Band) -> Query:
    """From whichever side is quick: few in the band are sorted, among many some come up soon."""
    in_band = (PredictionRow.version_id == version_id, PredictionRow.score.between(*band))
    some = select(PredictionRow.image_id).where(*in_band).limit(_FEW).subquery()
    if session.scalars(select(func.count()).select_from(some)).one() < _FEW:
        return query.where(ImageRow.id.in_(select(some.c.image_id)))
    its_own = exists().where(PredictionRow.image_id == ImageRow.id, *in_band)
    return query.where(its_own.correlate(ImageRow))


def _was_scored_by(scorer: str | None) -> ColumnElement[bool]:
    given = (HandScoreRow.image_id == ImageRow.id, HandScoreRow.undone_at.is_(None))
    its_own = HandScoreRow.scorer.is_not_distinct_from(scorer)
    return exists().where(*given, its_own).correlate(ImageRow)


def was_skipped() -> ColumnElement[bool]:
    """Return whether the image was passed over while scoring."""
    return (
        exists().where(SkipRow.image_id == ImageRow.id, SKIPPED_WHILE_SCORING).correlate(ImageRow)
    )


def _skipped_ids(session: Session, query: Query, limit: int) -> list[int]:
    last_skipped = (
        select(SkipRow.image_id, func.max(SkipRow.id).label("at"))
        .where(SKIPPED_WHILE_SCORING)
        .group_by(SkipRow.image_id)
        .subquery()
    )
    skipped = query.join(last_skipped, last_skipped.c.image_id == ImageRow.id)
    return list(session.scalars(skipped.order_by(last_skipped.c.at).limit(limit)))
