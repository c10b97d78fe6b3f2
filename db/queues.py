"""Which images to show next: waiting for a score, scored already, or by score."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, asc, desc, exists, func, select, text
from sqlalchemy.orm import Session

from db.errors import StoreError
from db.records import Browsed, Image
from db.rows import Ids, Query, images_in_order, is_among, plain_ids
from db.schema import WAITING, HandScoreRow, ImageRow, PredictionRow, SkipRow
from db.store import Store

Band = tuple[float, float]

# Up to so many images are sorted for a page, more are not.
_FEW = 5000


def unscored(
    store: Store,
    *,
    order: str,
    source_id: int | None = None,
    limit: int,
    exclude: Collection[int] = (),
    version_id: int | None = None,
    band: Band | None = None,
) -> list[Image]:
    """Fine images without a hand score, those skipped while scoring last (longest ago first).

    `order` is random (the same one every time), newest (last imported first) or random-in-band:
    random among those that `version_id` predicts within `band` (0–1, ends included).
    """
    if order not in ("random", "newest", "random-in-band"):
        raise StoreError(f"There is no order {order}; use random, newest or random-in-band.")
    by = ImageRow.id.desc() if order == "newest" else ImageRow.shuffle
    query = _narrowed(select(ImageRow.id).where(text(WAITING)), source_id, exclude)
    with store.reading() as session:
        if order == "random-in-band":
            if version_id is None or band is None:
                raise StoreError("To fill a band, name a version and its band; train one first.")
            query = _in_band(session, query, version_id, band)
        ids = list(session.scalars(query.where(~was_skipped()).order_by(by).limit(limit)))
        if len(ids) < limit:
            ids += _skipped_ids(session, query, limit - len(ids))
        return images_in_order(session, ids)


def scored(
    store: Store,
    *,
    order: str,
    source_id: int | None = None,
    limit: int,
    exclude: Collection[int] = (),
    after: int | None = None,
) -> list[Image]:
    """Images with a hand score: `order` is newest-scored or random (the same one every time).

    `after` is the id of the image behind which to go on; without a score it stands nowhere.
    """
    if order not in ("newest-scored", "random"):
        raise StoreError(f"There is no order {order}; use newest-scored or random.")
    last_scored = (
        select(func.max(HandScoreRow.id))
        .where(HandScoreRow.image_id == ImageRow.id, HandScoreRow.undone_at.is_(None))
        .correlate(ImageRow)
        .scalar_subquery()
    )
    key: Any = -last_scored if order == "newest-scored" else ImageRow.shuffle
    query = select(ImageRow.id).where(ImageRow.hand_score.is_not(None))
    query = _narrowed(query, source_id, exclude)
    with store.reading() as session:
        behind = session.scalar(select(key.label("key")).where(is_among(ImageRow.id, [after])))
        if behind is not None:
            query = query.where((key > behind) | ((key == behind) & (ImageRow.id > after)))
        ids = session.scalars(query.order_by(key, ImageRow.id).limit(limit)).all()
        return images_in_order(session, ids)


def browse(
    store: Store,
    *,
    version_id: int | None,
    low: float,
    high: float,
    source_id: int | None = None,
    scored: bool | None = None,
    descending: bool = True,
    limit: int,
    offset: int = 0,
) -> tuple[list[Browsed], int]:
    """One page of the images in a band (ends included), and how many there are in all.

    With a version the band is of its predictions, 0–1; without one it is of hand scores, 0–10
    (`scored=False` then gives the unscored images, whatever the band). Unreadable images are left
    out; missing ones stay, their small pictures are kept.
    """
    if version_id is None:
        query, image_id = _by_hand_score(low, high, scored), ImageRow.id
    else:
        query, image_id = _by_prediction(version_id, low, high), PredictionRow.image_id
        if scored is not None:
            by_hand = image_id.in_(select(ImageRow.id).where(ImageRow.hand_score.is_not(None)))
            query = query.where(by_hand if scored else ~by_hand)
    if source_id is not None:
        its_images = select(ImageRow.id).where(ImageRow.source_id == source_id)
        query = query.where(image_id.in_(its_images))
    way = desc if descending else asc
    page = query.order_by(way("by"), way("id")).limit(limit).offset(offset)
    with store.reading() as session:
        total = session.scalars(select(func.count()).select_from(query.subquery())).one()
        by = {row.id: row.by for row in session.execute(page)}
        images = images_in_order(session, list(by))
    predicted = {} if version_id is None else by
    return [Browsed(image, predicted.get(image.id)) for image in images], total


def _narrowed(query: Query, source_id: int | None, exclude: Ids) -> Query:
    if source_id is not None:
        query = query.where(ImageRow.source_id == source_id)
    excluded = plain_ids(exclude)
    return query.where(~is_among(ImageRow.id, excluded)) if excluded else query


def _by_prediction(version_id: int, low: float, high: float) -> Query:
    return select(PredictionRow.image_id.label("id"), PredictionRow.score.label("by")).where(
        PredictionRow.version_id == version_id, PredictionRow.score.between(low, high)
    )


def _by_hand_score(low: float, high: float, scored: bool | None) -> Query:
    query = select(ImageRow.id.label("id"), ImageRow.hand_score.label("by"))
    query = query.where(ImageRow.state != "unreadable")
    if scored is False:
        return query.where(ImageRow.hand_score.is_(None))
    return query.where(ImageRow.hand_score.between(low, high))


def _in_band(session: Session, query: Query, version_id: int, band: Band) -> Query:
    """From whichever side is quick: few in the band are sorted, among many some come up soon."""
    in_band = (PredictionRow.version_id == version_id, PredictionRow.score.between(*band))
    some = select(PredictionRow.image_id).where(*in_band).limit(_FEW).subquery()
    if session.scalars(select(func.count()).select_from(some)).one() < _FEW:
        return query.where(ImageRow.id.in_(select(some.c.image_id)))
    its_own = exists().where(PredictionRow.image_id == ImageRow.id, *in_band)
    return query.where(its_own.correlate(ImageRow))


def was_skipped() -> ColumnElement[bool]:
    """Whether the image was passed over while scoring."""
    return (
        exists()
        .where(
            SkipRow.image_id == ImageRow.id,
            SkipRow.queue == "score",
            SkipRow.undone_at.is_(None),
        )
        .correlate(ImageRow)
    )


def _skipped_ids(session: Session, query: Query, limit: int) -> list[int]:
    last_skipped = (
        select(SkipRow.image_id, func.max(SkipRow.id).label("at"))
        .where(SkipRow.queue == "score", SkipRow.undone_at.is_(None))
        .group_by(SkipRow.image_id)
        .subquery()
    )
    skipped = query.join(last_skipped, last_skipped.c.image_id == ImageRow.id)
    return list(session.scalars(skipped.order_by(last_skipped.c.at).limit(limit)))
