"""Taking in what people do: every event counts once, and nothing it replaces is thrown away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from numbers import Real
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from db.records import QUEUES, REASONS_TO_SCORE, REVIEW_QUEUES, Event, Receipt
from db.rows import is_among
from db.schema import (
    DrawRow,
    HandScoreRow,
    ImageRow,
    RoundImageRow,
    RoundRow,
    SkipRow,
    VersionRow,
)
from db.store import Store

_PLAIN = {"synchronize_session": False}
_LONGEST_ID = 200


def record(store: Store, events: Sequence[Event]) -> list[Receipt]:
    """Take the events in order, in one transaction; one receipt each, in the same order.

    An event that can't be taken is refused with its reason and the rest goes on. One that was
    taken before is acknowledged again and changes nothing, also after it was undone.
    """
    if not events:
        return []
    with store.transaction() as session:
        ledger = _Ledger(session, events)
        return [ledger.take(event) for event in events]


@dataclass
class _Entry:
    """A score or skip that is kept already."""

    table: type[HandScoreRow] | type[SkipRow]
    image_id: int
    value: float | None
    queue: str | None
    round_id: int | None
    undone_at: datetime | None


class _Ledger:
    """One batch of events, with what they refer to looked up at once."""

    def __init__(self, session: Session, events: Sequence[Event]) -> None:
        self._session = session
        self._connection = session.connection()
        # The images that exist, and whether each has a hand score.
        rows = session.execute(
            select(ImageRow.id, ImageRow.hand_score.is_not(None)).where(
                is_among(ImageRow.id, {int(event.image_id) for event in events})
            )
        )
        self._scored: dict[int, bool] = {image_id: bool(scored) for image_id, scored in rows}
        named = {event.event_id for event in events} | {e.undoes for e in events if e.undoes}
        self._entries: dict[str, _Entry] = {}
        for table in (HandScoreRow, SkipRow):
            self._entries |= _entries(session, table, {n for n in named if _usable(n)})

    def take(self, event: Event) -> Receipt:
        problem = _problem(event) or self._unknown_image(event)
        if problem is not None:
            return Receipt(event.event_id, accepted=False, problem=problem)
        if event.kind == "undo":
            return self._undo(event)
        if event.event_id in self._entries:
            return self._repeated(event)
        if event.kind == "score":
            self._score(event)
        else:
            self._skip(event)
        return Receipt(event.event_id, accepted=True)

    def _unknown_image(self, event: Event) -> str | None:
        if event.kind == "undo" or int(event.image_id) in self._scored:
            return None
        return f"there is no image {event.image_id}"

    def _repeated(self, event: Event) -> Receipt:
        entry = self._entries[event.event_id]
        same = entry.image_id == int(event.image_id) and entry.value == _value(event)
        problem = None if same else f"the event id {event.event_id} was used for something else"
        return Receipt(event.event_id, accepted=same, repeated=True, problem=problem)

    def _score(self, event: Event) -> None:
        image_id, value, queue = int(event.image_id), _value(event), _queue(event)
        why = event.why or self._why(image_id, queue)
        round_id = self._round(event, queue)
        values = {
            "event_id": event.event_id,
            "image_id": image_id,
            "value": value,
            "why": why,
            "scorer": event.scorer,
            "at": event.at,
            "shown_prediction": _number(event.shown_prediction),
            "shown_version_id": self._versions.get(event.shown_version or ""),
            "round_id": round_id,
            "queue": queue,
        }
        self._connection.execute(_ADD_SCORE, values)
        if event.draw:
            self._connection.execute(_ADD_DRAW, {"event": event.event_id})
        self._set_effective(image_id, value)
        entry = _Entry(HandScoreRow, image_id, value, queue, round_id, None)
        self._entries[event.event_id] = entry
        self._settle_round(entry, event)

    def _skip(self, event: Event) -> None:
        image_id, queue = int(event.image_id), event.queue or "score"
        round_id = self._round(event, queue)
        self._session.execute(
            insert(SkipRow).values(
                event_id=event.event_id,
                image_id=image_id,
                queue=queue,
                at=event.at,
                round_id=round_id,
            )
        )
        entry = _Entry(SkipRow, image_id, None, queue, round_id, None)
        self._entries[event.event_id] = entry
        self._settle_round(entry, event)

    def _undo(self, event: Event) -> Receipt:
        entry = self._entries.get(event.undoes or "")
        if entry is None:
            problem = f"there is nothing called {event.undoes} to undo"
            return Receipt(event.event_id, accepted=False, problem=problem)
        if entry.undone_at is not None:
            return Receipt(event.event_id, accepted=True, repeated=True)
        entry.undone_at = event.at
        self._session.execute(
            update(entry.table)
            .where(entry.table.event_id == event.undoes)
            .values(undone_at=event.at),
            execution_options=_PLAIN,
        )
        if entry.table is HandScoreRow:
            self._fall_back(entry.image_id)
        self._settle_round(entry, event)
        return Receipt(event.event_id, accepted=True)

    def _fall_back(self, image_id: int) -> None:
        """The effective score is the latest one that is not undone, or none at all."""
        value = self._session.scalar(_LATEST_VALUE, {"image": image_id})
        self._set_effective(image_id, value)

    def _set_effective(self, image_id: int, value: float | None) -> None:
        self._connection.execute(_SET_EFFECTIVE, {"image": image_id, "effective": value})
        self._scored[image_id] = value is not None

    def _why(self, image_id: int, queue: str | None) -> str:
        if queue in REVIEW_QUEUES:
            return f"correction-{queue}"
        return "revision" if self._scored.get(image_id) else "first"

    def _round(self, event: Event, queue: str | None) -> int | None:
        if queue not in REVIEW_QUEUES:
            return None
        if event.shown_version is None:
            return max(self._open_rounds.values(), default=None)
        return self._open_rounds.get(self._versions.get(event.shown_version, 0))

    @cached_property
    def _versions(self) -> dict[str, int]:
        rows = self._session.execute(select(VersionRow.name, VersionRow.id))
        return dict(rows.all())

    @cached_property
    def _open_rounds(self) -> dict[int, int]:
        query = select(RoundRow.from_version_id, RoundRow.id).where(RoundRow.finished_at.is_(None))
        return dict(self._session.execute(query).all())

    def _settle_round(self, entry: _Entry, event: Event) -> None:
        """Make the card's outcome follow from what was done to it in its round and not undone."""
        if entry.round_id is None:
            return
        card = {"round": entry.round_id, "image": entry.image_id, "in_queue": entry.queue}
        why = self._session.scalar(_LATEST_WHY, card)
        outcome: str | None = "confirmed" if why == "confirmation" else "corrected"
        if why is None:
            outcome = "skipped" if self._session.scalar(_ANY_SKIP, card) else None
        shown = upsert(RoundImageRow).values(
            round_id=entry.round_id,
            image_id=entry.image_id,
            queue=entry.queue,
            prediction=_number(event.shown_prediction),
            shown_at=event.at,
            outcome=outcome,
        )
        self._session.execute(
            shown.on_conflict_do_update(
                index_elements=["round_id", "image_id", "queue"], set_={"outcome": outcome}
            )
        )


# Built once: bulk entry takes thousands of events in one batch.
_ADD_SCORE = insert(HandScoreRow.__table__)  # type: ignore[arg-type]
_ADD_DRAW = insert(DrawRow.__table__).from_select(  # type: ignore[arg-type]
    ["hand_score_id"],
    select(HandScoreRow.id).where(HandScoreRow.event_id == bindparam("event")),
)
_SET_EFFECTIVE = (
    update(ImageRow.__table__)  # type: ignore[arg-type]
    .where(ImageRow.id == bindparam("image"))
    .values(hand_score=bindparam("effective"))
)
_LATEST_VALUE = (
    select(HandScoreRow.value)
    .where(HandScoreRow.image_id == bindparam("image"), HandScoreRow.undone_at.is_(None))
    .order_by(HandScoreRow.id.desc())
    .limit(1)
)
_LATEST_WHY = (
    select(HandScoreRow.why)
    .where(
        HandScoreRow.image_id == bindparam("image"),
        HandScoreRow.round_id == bindparam("round"),
        HandScoreRow.queue == bindparam("in_queue"),
        HandScoreRow.undone_at.is_(None),
    )
    .order_by(HandScoreRow.id.desc())
    .limit(1)
)
_ANY_SKIP = (
    select(SkipRow.id)
    .where(
        SkipRow.image_id == bindparam("image"),
        SkipRow.round_id == bindparam("round"),
        SkipRow.queue == bindparam("in_queue"),
        SkipRow.undone_at.is_(None),
    )
    .limit(1)
)


def _entries(session: Session, table: Any, event_ids: set[str]) -> dict[str, _Entry]:
    value = (table.value,) if table is HandScoreRow else ()
    query = select(
        table.event_id, table.image_id, table.queue, table.round_id, table.undone_at, *value
    ).where(is_among(table.event_id, event_ids))
    return {
        event_id: _Entry(table, image_id, value[0] if value else None, queue, round_id, undone_at)
        for event_id, image_id, queue, round_id, undone_at, *value in session.execute(query)
    }


def _problem(event: Event) -> str | None:
    """Why the event can't be taken whatever the store holds; `None` if it may be."""
    demands = (
        (event.kind in ("score", "skip", "undo"), f"{event.kind!r} is none of score, skip, undo"),
        (_usable(event.event_id), f"an event id is 1 to {_LONGEST_ID} plain characters"),
        (event.at.tzinfo is not None, "its time has no time zone"),
        (event.kind != "score" or _value(event) is not None, f"{event.value!r} is no score 0–10"),
        (event.why in (None, *REASONS_TO_SCORE), f"{event.why!r} is no reason to score"),
        (event.queue in (None, *QUEUES), f"{event.queue!r} is no queue"),
    )
    return next((problem for met, problem in demands if not met), None)


def _usable(event_id: object) -> bool:
    return isinstance(event_id, str) and event_id.isascii() and 0 < len(event_id) <= _LONGEST_ID


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return None
    return float(value)


def _value(event: Event) -> float | None:
    value = _number(event.value) if event.kind == "score" else None
    return value if value is not None and 0 <= value <= 10 else None


def _queue(event: Event) -> str | None:
    """The queue told, else the one that the reason tells."""
    told = (event.why or "").removeprefix("correction-")
    return event.queue or (told if told in REVIEW_QUEUES else None)
