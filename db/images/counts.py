"""How many images there are, as the store itself keeps count (db/store/schema.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, case, cast, func, literal_column, select, text

from db.images.embeddings import count as embedded_count
from db.query_parts import driver_rows, wrapping_sum
from db.store.schema import ELSEWHERE, EmbeddingRow, ImageCountRow, ImageRow
from db.store.store import Store

_NONE = -1  # what the store writes for no hand score
_IMAGES, _ID_SUM = (
    literal_column(wrapping_sum(f"image_counts.{name}"), Integer) for name in ("images", "id_sum")
)


@dataclass(frozen=True, slots=True)
class HandScoreCounts:
    """`scored` images have a hand score, `waiting` fine ones have none.

    `distribution[k]` have one that rounds (half up) to k, for k = 0..10.
    """

    scored: int
    waiting: int
    distribution: list[int]


def by_hand_score(store: Store) -> HandScoreCounts:
    rounded = case(
        (ImageCountRow.hand_score == _NONE, _NONE),
        else_=cast(ImageCountRow.hand_score + 0.5, Integer),
    )
    query = select(rounded, ImageCountRow.state == "fine", _IMAGES)
    with store.reading() as session:
        rows = driver_rows(session, query.group_by(rounded, ImageCountRow.state == "fine"))
    distribution, waiting = [0] * 11, 0
    for score, is_fine, images in rows:
        if score != _NONE:
            distribution[score] += images
        elif is_fine:
            waiting += images
    return HandScoreCounts(sum(distribution), waiting, distribution)


def by_state(store: Store) -> dict[str, int]:
    """Return how many images are fine, unreadable and missing; every state is a key."""
    query = select(ImageCountRow.state, _IMAGES)
    counted = dict.fromkeys(("fine", "unreadable", "missing"), 0)
    with store.reading() as session:
        return counted | dict(driver_rows(session, query.group_by(ImageCountRow.state)))


def image_stamp(store: Store) -> tuple[tuple[Any, ...], ...]:
    """Return a value that changes when images come, go, or change their source or state."""
    alike = (ImageCountRow.source_id, ImageCountRow.state)
    query = select(*alike, _IMAGES, _ID_SUM)
    with store.reading() as session:
        return tuple(driver_rows(session, query.group_by(*alike).order_by(*alike)))


def not_embedded(store: Store, encoder_id: int) -> int:
    """Return how many fine images have no embedding by this encoder."""
    # The few that are not fine are looked up; the many that are, counted.
    elsewhere = select(ImageRow.id).where(text(ELSEWHERE))
    query = select(func.count()).where(
        EmbeddingRow.encoder_id == encoder_id, EmbeddingRow.image_id.in_(elsewhere)
    )
    with store.reading() as session:
        gone = session.scalars(query).one()
    return by_state(store)["fine"] - (embedded_count(store, encoder_id) - gone)
