"""Review rounds: which cards of a version were shown, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session, aliased

from db.query_parts import id_array
from db.records import QueueOutcome, Round
from db.store.schema import HandScoreRow, RoundImageRow, RoundRow, VersionRow
from db.store.store import Store

# As db/scores/events.py settles a card: by the last hand score in its round, else by a skip.
_OF_CARD = """image_id = card.image_id AND round_id = card.round_id AND queue = card.queue
    AND undone_at IS NULL"""
_OUTCOME = f"""CASE (SELECT why = 'confirmation' FROM hand_scores WHERE {_OF_CARD}
    ORDER BY id DESC LIMIT 1) WHEN 1 THEN 'confirmed' WHEN 0 THEN 'corrected' ELSE
    CASE WHEN EXISTS (SELECT 1 FROM skips WHERE {_OF_CARD}) THEN 'skipped' END END"""
OUTCOME_IS_WRONG = f"outcome IS NOT {_OUTCOME}"  # a condition of rows of round_images, called card


def update_outcomes(connection: Connection) -> None:
    """Make every card's outcome follow from what was done to it in its round and not undone."""
    connection.exec_driver_sql(
        f"UPDATE round_images AS card SET outcome = {_OUTCOME} WHERE {OUTCOME_IS_WRONG}"
    )


def open_round(store: Store, version_id: int, threshold: float) -> Round:
    """Return the version's open round; a new one, at this threshold, if there is none."""
    # Looked for without the write lock: a page of cards waits for nobody who writes.
    if (existing := find_open_round(store, version_id)) is not None:
        return existing
    with store.transaction() as session:
        is_open = _is_open(version_id)
        rounds = _all(session, *is_open)
        if not rounds:
            session.execute(
                insert(RoundRow).values(
                    from_version_id=version_id,
                    threshold=float(threshold),
                    started_at=datetime.now(UTC),
                )
            )
            rounds = _all(session, *is_open)
        return rounds[0]


def find_open_round(store: Store, version_id: int) -> Round | None:
    """Return the version's open round, `None` if there is none."""
    with store.reading() as session:
        return next(iter(_all(session, *_is_open(version_id))), None)


def mark_shown(
    store: Store,
    round_id: int,
    queue: str,
    shown: Iterable[tuple[int, float | None]],
    evidence: Mapping[int, str] | None = None,
) -> None:
    """Note cards (image id, prediction) as shown; one shown before keeps what it was.

    `evidence` tells by image id what dealt the card, the last time before it was answered.
    """
    now = datetime.now(UTC)
    rows = [
        {
            "round_id": round_id,
            "image_id": int(image_id),
            "queue": queue,
            "prediction": None if prediction is None else float(prediction),
            "shown_at": now,
            "evidence": (evidence or {}).get(int(image_id)),
        }
        for image_id, prediction in shown
    ]
    if rows:
        with store.transaction() as session:
            statement = upsert(RoundImageRow.__table__)  # type: ignore[arg-type]
            new, old = statement.excluded.evidence, RoundImageRow.evidence
            statement = statement.on_conflict_do_update(
                index_elements=["round_id", "image_id", "queue"],
                set_={"evidence": new},
                where=new.is_not(None) & (RoundImageRow.outcome.is_(None) | old.is_(None)),
            )
            session.execute(statement, rows)


def history(store: Store) -> list[Round]:
    """Return all rounds, oldest first."""
    with store.reading() as session:
        return _all(session)


def by_queue(store: Store) -> list[QueueOutcome]:
    """Return what became of the cards of every round, queue by queue, oldest round first."""
    query = (
        select(RoundImageRow.round_id, RoundImageRow.queue, func.count(), *_outcomes())
        .group_by(RoundImageRow.round_id, RoundImageRow.queue)
        .order_by(RoundImageRow.round_id, RoundImageRow.queue)
    )
    with store.reading() as session:
        return [QueueOutcome(*row) for row in session.execute(query)]


def handled(store: Store, round_id: int, *queues: str) -> set[int]:
    """Return ids of the cards in any of these queues that were corrected, confirmed or skipped."""
    query = select(RoundImageRow.image_id).where(
        RoundImageRow.round_id == round_id,
        RoundImageRow.queue.in_(queues),
        RoundImageRow.outcome.is_not(None),
    )
    with store.reading() as session:
        return set(session.scalars(query))


def answered(store: Store, round_id: int) -> np.ndarray:
    """Return ids (n,) int64 of the images that got a hand score in the round, as they were
    answered.
    """
    query = (
        select(RoundImageRow.image_id)
        .join(HandScoreRow, _its_score())
        .where(
            RoundImageRow.round_id == round_id,
            RoundImageRow.outcome.in_(("corrected", "confirmed")),
        )
        .group_by(RoundImageRow.image_id)
        .order_by(func.max(HandScoreRow.id))
    )
    with store.reading() as session:
        return id_array(session.scalars(query).all())


def answers(store: Store) -> list[tuple[str, bool]]:
    """Return what dealt each card of all rounds, and was it a mistake, as they were answered."""
    query = (
        select(RoundImageRow.evidence, RoundImageRow.outcome == "corrected")
        .join(HandScoreRow, _its_score())
        .where(
            RoundImageRow.evidence.is_not(None),
            RoundImageRow.outcome.in_(("corrected", "confirmed")),
        )
        .group_by(RoundImageRow.round_id, RoundImageRow.image_id, RoundImageRow.queue)
        .order_by(func.max(HandScoreRow.id))
    )
    with store.reading() as session:
        return [(str(evidence), bool(hit)) for evidence, hit in session.execute(query)]


def _its_score() -> Any:
    """Return the hand scores, not undone, that a card of a round got."""
    return and_(
        HandScoreRow.image_id == RoundImageRow.image_id,
        HandScoreRow.round_id == RoundImageRow.round_id,
        HandScoreRow.undone_at.is_(None),
    )


def _is_open(version_id: int) -> tuple[Any, Any]:
    return RoundRow.from_version_id == version_id, RoundRow.finished_at.is_(None)


def _all(session: Session, *conditions: Any) -> list[Round]:
    to_version = aliased(VersionRow)
    query = (
        select(
            RoundRow.id,
            VersionRow.name,
            to_version.name,
            RoundRow.threshold,
            RoundRow.started_at,
            RoundRow.finished_at,
            func.count(RoundImageRow.image_id),
            *_outcomes(),
        )
        .join(VersionRow, VersionRow.id == RoundRow.from_version_id)
        .outerjoin(to_version, to_version.id == RoundRow.to_version_id)
        .outerjoin(RoundImageRow, RoundImageRow.round_id == RoundRow.id)
        .where(*conditions)
        .group_by(RoundRow.id)
        .order_by(RoundRow.id)
    )
    return [Round(*row) for row in session.execute(query)]


def _outcomes() -> list[Any]:
    return [
        func.count().filter(RoundImageRow.outcome == outcome)
        for outcome in ("corrected", "confirmed", "skipped")
    ]
