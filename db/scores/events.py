"""Taking in what people do: every event counts once, and nothing it replaces is thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import REAL, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from db.images.pixel_hashes import images_of_contents
from db.images.redirects import redirect_events
from db.query_parts import NO_SYNC, is_in
from db.records import REVIEW_QUEUES, Event, Receipt
from db.scores.aggregation import apply_rule, rule_in
from db.scores.event_checks import SCORES, problem_of, queue_of, reason_of, refused, value_of
from db.store.schema import (
    ConfirmationRow,
    DrawRow,
    HandScoreRow,
    ImageRow,
    RepeatRow,
    RoundImageRow,
    RoundRow,
    SkipRow,
    VersionRow,
)
from db.store.store import Store

_ANOTHER = "That picture is another one now; reload the page"


def record(store: Store, events: Sequence[Event]) -> list[Receipt]:
    """Take the events in order, in one transaction; one receipt each, in the same order.

    An event that can't be taken is refused with its reason and the rest goes on. One that was
    taken before is acknowledged again and changes nothing, also after it was undone.
    """
    problems = [problem_of(event) for event in events]
    sound = [event for event, problem in zip(events, problems, strict=True) if problem is None]
    receipts = iter(_record(store, sound))
    return [
        next(receipts) if problem is None else refused(event.event_id, problem)
        for event, problem in zip(events, problems, strict=True)
    ]


def _record(store: Store, events: Sequence[Event]) -> list[Receipt]:
    if not events:
        return []
    with store.transaction() as session:
        events = redirect_events(session, events)
        batch = _EventBatch(session, events)
        receipts = [batch.take(event) for event in events]
        batch.write()
        apply_rule(session, rule_in(session), batch.touched)
        return batch.with_outcome(receipts)


@dataclass
class _RecordedEvent:
    """A score or skip that is kept already."""

    table: type[HandScoreRow] | type[SkipRow]
    image_id: int
    value: float | None
    queue: str | None
    round_id: int | None
    undone_at: datetime | None


class _EventBatch:
    """One batch of events, with what they refer to looked up at once."""

    def __init__(self, session: Session, events: Sequence[Event]) -> None:
        self._session = session
        self._connection = session.connection()
        self.touched: set[int] = set()  # images whose effective score may differ now
        self._unwritten: list[dict[str, Any]] = []
        self._drawn: list[dict[str, str]] = []
        self._repeats: list[dict[str, str]] = []
        self._bounds: list[dict[str, Any]] = []
        # The images that exist, what each holds, and who has scored it.
        rows = session.execute(
            select(ImageRow.id, ImageRow.content_hash, ImageRow.hand_score).where(
                is_in(ImageRow.id, {int(event.image_id) for event in events})
            )
        ).all()
        self._hashes: dict[int, str | None] = {row.id: row.content_hash for row in rows}
        self._standing: dict[int, float | None] = {row.id: row.hand_score for row in rows}
        self._taken: dict[str, int] = {}  # of the events that are new: the image
        self._shown = {e.shown_hash for e in events if isinstance(e.shown_hash, str)}
        self._scorers: dict[int, set[str | None]] = {image_id: set() for image_id in self._hashes}
        self._note_scorers(self._scorers)
        named = {event.event_id for event in events} | {e.undoes for e in events if e.undoes}
        self._entries: dict[str, _RecordedEvent] = {}
        for table in (HandScoreRow, SkipRow):
            self._entries |= _entries(session, table, named)

    def take(self, event: Event) -> Receipt:
        if event.kind == "undo":
            return self._undo(event)
        if int(event.image_id) not in self._scorers:
            return refused(event.event_id, f"there is no image {event.image_id}")
        if event.event_id in self._entries:
            return self._repeated(event)
        if not self._is_what_was_shown(event):
            # An older copy of the store was restored: the id went to another image meanwhile.
            return refused(event.event_id, _ANOTHER)
        image_id = int(event.image_id)
        before = self._standing[image_id]
        if event.kind in SCORES:
            self._score(event)
            # A confirmation takes the place of no score.
            if event.undone_at is None and not (event.is_interval and before is not None):
                self._standing[image_id] = value_of(event)
        else:
            self._skip(event)
        self._taken[event.event_id] = image_id
        return Receipt(event.event_id, accepted=True, before=before)

    def with_outcome(self, receipts: list[Receipt]) -> list[Receipt]:
        """Return the receipts with what counts now, once everything is written."""
        ids = set(self._taken.values())
        rows = self._session.execute(
            select(ImageRow.id, ImageRow.hand_score).where(is_in(ImageRow.id, ids))
        )
        scores: dict[int, float | None] = dict(rows.all())
        return [
            replace(each, after=scores.get(self._taken[each.event_id]))
            if each.accepted and not each.repeated and each.event_id in self._taken
            else each
            for each in receipts
        ]

    def _is_what_was_shown(self, event: Event) -> bool:
        image_id, shown = int(event.image_id), event.shown_hash
        if shown in (None, self._hashes[image_id]):
            return True
        return isinstance(shown, str) and self._others.get(shown) == image_id

    @cached_property
    def _others(self) -> Mapping[str, int]:
        """The image of each content that was shown, where that is not the image's own any more."""
        return images_of_contents(self._session, self._shown)

    def write(self) -> None:
        """Write the scores taken so far, all at once: one by one takes three times as long."""
        for statement, rows in (
            (_ADD_SCORE, self._unwritten),
            (_ADD_DRAW, self._drawn),
            (_ADD_REPEAT, self._repeats),
            (_ADD_BOUNDS, self._bounds),
        ):
            if rows:
                self._connection.execute(statement, rows)
                rows.clear()

    def _repeated(self, event: Event) -> Receipt:
        entry = self._entries[event.event_id]
        same = entry.image_id == int(event.image_id) and entry.value == value_of(event)
        problem = None if same else f"the event id {event.event_id} was used for something else"
        return Receipt(event.event_id, accepted=same, repeated=True, problem=problem)

    def _score(self, event: Event) -> None:
        image_id, value, queue = int(event.image_id), value_of(event), queue_of(event)
        has_scored = event.scorer in self._scorers[image_id]
        round_id = self._round(event, queue)
        values = {
            "event_id": event.event_id,
            "image_id": image_id,
            "value": value,
            "why": reason_of(event, queue, self._standing[image_id], has_scored),
            "scorer": event.scorer,
            "at": event.at,
            "shown_prediction": event.shown_prediction,
            "shown_version_id": self._versions.get(event.shown_version or ""),
            "round_id": round_id,
            "queue": queue,
            "undone_at": event.undone_at,
        }
        self._unwritten.append(values)
        if event.draw:
            self._drawn.append({"event": event.event_id})
        if event.repeat and event.shown_prediction is None:
            self._repeats.append({"event": event.event_id})
        if event.is_interval:
            bounds = {"lowest": event.at_least, "highest": event.below}
            self._bounds.append({"event": event.event_id, **bounds})
        if event.undone_at is None:
            self._scorers[image_id].add(event.scorer)
        self.touched.add(image_id)
        entry = _RecordedEvent(HandScoreRow, image_id, value, queue, round_id, event.undone_at)
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
        entry = _RecordedEvent(SkipRow, image_id, None, queue, round_id, None)
        self._entries[event.event_id] = entry
        self._settle_round(entry, event)

    def _undo(self, event: Event) -> Receipt:
        entry = self._entries.get(event.undoes or "")
        if entry is None:
            return refused(event.event_id, f"there is nothing called {event.undoes} to undo")
        if entry.undone_at is not None:
            return Receipt(event.event_id, accepted=True, repeated=True)
        self.write()
        entry.undone_at = event.at
        self._session.execute(
            update(entry.table)
            .where(entry.table.event_id == event.undoes)
            .values(undone_at=event.at),
            execution_options=NO_SYNC,
        )
        if entry.table is HandScoreRow:
            self.touched.add(entry.image_id)
            self._note_scorers([entry.image_id])
        self._settle_round(entry, event)
        self._taken[event.event_id] = entry.image_id
        before = self._standing.get(entry.image_id)
        if entry.table is HandScoreRow:
            self._standing[entry.image_id] = self._latest_value(entry.image_id)
        return Receipt(event.event_id, accepted=True, before=before)

    def _latest_value(self, image_id: int) -> float | None:
        """Return the last score of the image that is not undone."""
        latest = (
            select(HandScoreRow.value)
            .where(HandScoreRow.image_id == image_id, HandScoreRow.undone_at.is_(None))
            .order_by(HandScoreRow.id.desc())
        )
        return self._session.scalar(latest.limit(1))

    def _note_scorers(self, image_ids: Iterable[int]) -> None:
        """Who has a score of each of these images that is not undone."""
        rows = self._session.execute(
            select(HandScoreRow.image_id, HandScoreRow.scorer).where(
                is_in(HandScoreRow.image_id, image_ids), HandScoreRow.undone_at.is_(None)
            )
        )
        self._scorers.update({image_id: set() for image_id in image_ids})
        for image_id, scorer in rows:
            self._scorers[image_id].add(scorer)

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

    def _settle_round(self, entry: _RecordedEvent, event: Event) -> None:
        """Make the card's outcome follow from what was done to it in its round and not undone."""
        if entry.round_id is None:
            return
        self.write()
        card = {"round": entry.round_id, "image": entry.image_id, "in_queue": entry.queue}
        why = self._session.scalar(_LATEST_WHY, card)
        outcome: str | None = "confirmed" if why == "confirmation" else "corrected"
        if why is None:
            outcome = "skipped" if self._session.scalar(_ANY_SKIP, card) else None
        shown = upsert(RoundImageRow).values(
            round_id=entry.round_id,
            image_id=entry.image_id,
            queue=entry.queue,
            prediction=event.shown_prediction,
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
_OF_EVENT = select(HandScoreRow.id).where(HandScoreRow.event_id == bindparam("event"))
_ADD_DRAW = insert(DrawRow.__table__).from_select(  # type: ignore[arg-type]
    ["hand_score_id"], _OF_EVENT
)
_ADD_REPEAT = insert(RepeatRow.__table__).from_select(  # type: ignore[arg-type]
    ["hand_score_id"], _OF_EVENT
)
_ADD_BOUNDS = insert(ConfirmationRow.__table__).from_select(  # type: ignore[arg-type]
    ["hand_score_id", "at_least", "below"],
    select(
        HandScoreRow.id, bindparam("lowest", type_=REAL), bindparam("highest", type_=REAL)
    ).where(HandScoreRow.event_id == bindparam("event")),
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


def _entries(session: Session, table: Any, event_ids: set[str]) -> dict[str, _RecordedEvent]:
    value = (table.value,) if table is HandScoreRow else ()
    query = select(
        table.event_id, table.image_id, table.queue, table.round_id, table.undone_at, *value
    ).where(is_in(table.event_id, event_ids))
    return {
        event_id: _RecordedEvent(
            table, image_id, value[0] if value else None, queue, round_id, undone_at
        )
        for event_id, image_id, queue, round_id, undone_at, *value in session.execute(query)
    }
