"""What a person did last in a queue, so that undo and looking back survive a reload."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.rows import Query, is_among
from db.schema import HandScoreRow, SkipRow
from db.store import Store


@dataclass(frozen=True, slots=True)
class Act:
    """A score (`value`, 0–10) or a skip (`value` is None) that is not undone.

    `before` is the hand score that the image had until then, None if it had none.
    """

    event_id: str
    image_id: int
    value: float | None
    before: float | None
    at: datetime


def recent_acts(store: Store, queue: str, limit: int) -> list[Act]:
    """The last `limit` acts in `queue`, oldest first."""
    scores = select(
        HandScoreRow.id,
        HandScoreRow.event_id,
        HandScoreRow.image_id,
        HandScoreRow.value,
        HandScoreRow.at,
    )
    skips = select(SkipRow.event_id, SkipRow.image_id, SkipRow.at)
    with store.reading() as session:
        scored = session.execute(_latest(scores, HandScoreRow, queue, limit)).all()
        skipped = session.execute(_latest(skips, SkipRow, queue, limit)).all()
        befores = _befores(session, {row.image_id for row in scored})
    # Oldest first already here, so that acts of the same moment keep their order.
    acts = [
        Act(row.event_id, row.image_id, row.value, befores.get(row.id), row.at)
        for row in reversed(scored)
    ]
    acts += [Act(row.event_id, row.image_id, None, None, row.at) for row in reversed(skipped)]
    return sorted(acts, key=lambda act: act.at)[-limit:]


def _latest(
    query: Query, table: type[HandScoreRow] | type[SkipRow], queue: str, limit: int
) -> Query:
    undoable = query.where(table.queue == queue, table.undone_at.is_(None))
    return undoable.order_by(table.at.desc(), table.id.desc()).limit(limit)


def _befores(session: Session, image_ids: set[int]) -> dict[int, float]:
    """By hand score row id: the value of the row that counted for its image before it."""
    rows = session.execute(
        select(HandScoreRow.id, HandScoreRow.image_id, HandScoreRow.value)
        .where(is_among(HandScoreRow.image_id, image_ids), HandScoreRow.undone_at.is_(None))
        .order_by(HandScoreRow.id)
    )
    befores: dict[int, float] = {}
    latest: dict[int, float] = {}
    for row_id, image_id, value in rows:
        if image_id in latest:
            befores[row_id] = latest[image_id]
        latest[image_id] = value
    return befores
