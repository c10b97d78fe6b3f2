"""Review rounds: which cards of a version were shown, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session, aliased

from db.records import Round
from db.schema import RoundImageRow, RoundRow, VersionRow
from db.store import Store


def open_round(store: Store, version_id: int, threshold: float) -> Round:
    """The version's open round; a new one, at this threshold, if there is none."""
    with store.transaction() as session:
        is_open = (RoundRow.from_version_id == version_id, RoundRow.finished_at.is_(None))
        found = _all(session, *is_open)
        if not found:
            session.execute(
                insert(RoundRow).values(
                    from_version_id=version_id,
                    threshold=float(threshold),
                    started_at=datetime.now(UTC),
                )
            )
            found = _all(session, *is_open)
        return found[0]


def mark_shown(
    store: Store, round_id: int, queue: str, shown: Iterable[tuple[int, float | None]]
) -> None:
    """Note cards (image id, prediction) as shown; one shown before keeps what it was."""
    now = datetime.now(UTC)
    rows = [
        {
            "round_id": round_id,
            "image_id": int(image_id),
            "queue": queue,
            "prediction": None if prediction is None else float(prediction),
            "shown_at": now,
        }
        for image_id, prediction in shown
    ]
    if rows:
        with store.transaction() as session:
            statement = upsert(RoundImageRow.__table__)  # type: ignore[arg-type]
            session.execute(statement.on_conflict_do_nothing(), rows)


def history(store: Store) -> list[Round]:
    """All rounds, oldest first."""
    with store.reading() as session:
        return _all(session)


def handled(store: Store, round_id: int, queue: str) -> set[int]:
    """Ids of the cards in that queue that were corrected, confirmed or skipped."""
    query = select(RoundImageRow.image_id).where(
        RoundImageRow.round_id == round_id,
        RoundImageRow.queue == queue,
        RoundImageRow.outcome.is_not(None),
    )
    with store.reading() as session:
        return set(session.scalars(query))


def _all(session: Session, *conditions: Any) -> list[Round]:
    to_version = aliased(VersionRow)
    outcomes: list[Any] = [
        func.count().filter(RoundImageRow.outcome == outcome)
        for outcome in ("corrected", "confirmed", "skipped")
    ]
    query = (
        select(
            RoundRow.id,
            VersionRow.name,
            to_version.name,
            RoundRow.threshold,
            RoundRow.started_at,
            RoundRow.finished_at,
            func.count(RoundImageRow.image_id),
            *outcomes,
        )
        .join(VersionRow, VersionRow.id == RoundRow.from_version_id)
        .outerjoin(to_version, to_version.id == RoundRow.to_version_id)
        .outerjoin(RoundImageRow, RoundImageRow.round_id == RoundRow.id)
        .where(*conditions)
        .group_by(RoundRow.id)
        .order_by(RoundRow.id)
    )
    return [Round(*row) for row in session.execute(query)]
