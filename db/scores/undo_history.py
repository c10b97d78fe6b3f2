"""What a person did last in a queue, so that undo and looking back survive a reload."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import and_, column, func, or_, select
from sqlalchemy.orm import Session

from db.query_parts import Query, is_in
from db.store.schema import HandScoreRow, RepeatRow, SkipRow
from db.store.store import Store


@dataclass(frozen=True, slots=True)
class UndoableEvent:
    """A score (`value`, 0–10) or a skip (`value` is None) that is not undone.

    `before` is the hand score that the image had until then, None if it had none. An `is_repeat`
    score was given to an image that was shown once more without its score. `together` are
    the event and image ids of what was done by the same key, in whatever queue: events whose id is
    this one's with a dot and a number behind it.
    """

    event_id: str
    image_id: int
    value: float | None
    before: float | None
    at: datetime
    is_repeat: bool = False
    together: tuple[tuple[str, int], ...] = ()


def recent_events(
    store: Store, queues: Collection[str], limit: int, scorer: str | None = None
) -> list[UndoableEvent]:
    """Return the last `limit` acts in these queues, oldest first.

    With `scorer` only that person's and nameless ones: nobody takes back what somebody else did.
    Who skipped is not kept, so while others are at work skips are left out then.
    """
    scores = select(
        HandScoreRow.id,
        HandScoreRow.event_id,
        HandScoreRow.image_id,
        HandScoreRow.value,
        HandScoreRow.at,
    )
    skips = select(SkipRow.event_id, SkipRow.image_id, SkipRow.at)
    own = or_(HandScoreRow.scorer == scorer, HandScoreRow.scorer.is_(None))
    with store.reading() as session:
        latest = _latest(scores.add_columns(HandScoreRow.scorer), HandScoreRow, queues, limit)
        scored = session.execute(latest).all()
        skipped = session.execute(_latest(skips, SkipRow, queues, limit)).all()
        if scorer is not None and any(row.scorer not in (scorer, None) for row in scored):
            scored = session.execute(_latest(scores.where(own), HandScoreRow, queues, limit)).all()
            skipped = []
        befores = _befores(session, {row.image_id for row in scored})
        repeats = select(RepeatRow.hand_score_id).where(
            is_in(RepeatRow.hand_score_id, {row.id for row in scored})
        )
        repeated = set(session.scalars(repeats))
        together = _together(session, {row.event_id for row in (*scored, *skipped)})
    # Oldest first already here, so that acts of the same moment keep their order.
    acts = [
        UndoableEvent(
            row.event_id, row.image_id, row.value, befores.get(row.id), row.at, row.id in repeated
        )
        for row in reversed(scored)
    ]
    acts += [
        UndoableEvent(row.event_id, row.image_id, None, None, row.at) for row in reversed(skipped)
    ]
    # One key is one act, whatever number of images it scored.
    followers = {event_id for group in together.values() for event_id, _ in group}
    leading = [
        replace(act, together=tuple(together.get(act.event_id, ())))
        for act in acts
        if act.event_id not in followers
    ]
    return _in_order(leading)[-limit:]


def _in_order(acts: list[UndoableEvent]) -> list[UndoableEvent]:
    """Scores and skips by when they came, each among themselves as they were kept.

    The clock decides only between a score and a skip: it may have been set back.
    """
    latest: dict[bool, datetime] = {}
    moments = []
    for act in acts:
        is_skip = act.value is None
        latest[is_skip] = max(act.at, latest.get(is_skip, act.at))
        moments.append(latest[is_skip])
    order = sorted(range(len(acts)), key=moments.__getitem__)
    return [acts[place] for place in order]


def _together(session: Session, event_ids: set[str]) -> dict[str, list[tuple[str, int]]]:
    """By event id: what follows it under its name with a dot and a number, and is not undone."""
    listed = func.json_each(json.dumps(sorted(event_ids))).table_valued(column("value"))
    followers: dict[str, list[tuple[str, int]]] = {}
    for table in (HandScoreRow, SkipRow):
        named = and_(
            table.event_id > listed.c.value.concat("."),
            table.event_id < listed.c.value.concat("/"),  # the character after the dot
        )
        query = select(listed.c.value, table.event_id, table.image_id).join_from(
            listed, table, named
        )
        for leader, event_id, image_id in session.execute(query.where(table.undone_at.is_(None))):
            followers.setdefault(leader, []).append((event_id, image_id))
    return followers


def _latest(
    query: Query, table: type[HandScoreRow] | type[SkipRow], queues: Collection[str], limit: int
) -> Query:
    undoable = query.where(table.queue.in_(queues), table.undone_at.is_(None))
    return undoable.order_by(table.id.desc()).limit(limit)


def _befores(session: Session, image_ids: set[int]) -> dict[int, float]:
    """By hand score row id: the value of the row that counted for its image before it."""
    rows = session.execute(
        select(HandScoreRow.id, HandScoreRow.image_id, HandScoreRow.value)
        .where(is_in(HandScoreRow.image_id, image_ids), HandScoreRow.undone_at.is_(None))
        .order_by(HandScoreRow.id)
    )
    befores: dict[int, float] = {}
    latest: dict[int, float] = {}
    for row_id, image_id, value in rows:
        if image_id in latest:
            befores[row_id] = latest[image_id]
        latest[image_id] = value
    return befores
