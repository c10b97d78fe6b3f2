"""Hand scores: what counts, how it came about, and how fast it is going."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Integer, cast, func, select, text

from db.events import record
from db.records import HandScore, Tempo
from db.rows import id_array, is_among, plain_rows
from db.schema import WAITING, HandScoreRow, ImageRow, VersionRow, VersionScoreRow
from db.store import Store

__all__ = [
    "distribution",
    "effective",
    "history",
    "history_counts",
    "record",
    "scored_count",
    "since_version",
    "tempo",
    "unscored_count",
]

_PAUSE = timedelta(minutes=2)


def history(store: Store, image_id: int) -> list[HandScore]:
    """Every hand score that the image ever got, oldest first, undone ones too."""
    columns = [
        VersionRow.name.label("shown_version")
        if name == "shown_version"
        else getattr(HandScoreRow, name)
        for name in HandScore.__slots__
    ]
    query = (
        select(*columns)
        .outerjoin(VersionRow, VersionRow.id == HandScoreRow.shown_version_id)
        .where(is_among(HandScoreRow.image_id, [image_id]))
        .order_by(HandScoreRow.id)
    )
    with store.reading() as session:
        return [HandScore(*row) for row in session.execute(query)]


def distribution(store: Store) -> list[int]:
    """How many images have each score 0..10, fractions rounded half up: 11 counts."""
    rounded = cast(ImageRow.hand_score + 0.5, Integer)
    query = select(rounded, func.count()).where(ImageRow.hand_score.is_not(None)).group_by(rounded)
    with store.reading() as session:
        counted = dict(session.execute(query).all())
    return [counted.get(score, 0) for score in range(11)]


def scored_count(store: Store) -> int:
    """How many images have a hand score."""
    query = select(func.count()).where(ImageRow.hand_score.is_not(None))
    with store.reading() as session:
        return session.scalars(query).one()


def unscored_count(store: Store) -> int:
    """How many fine images wait for one."""
    with store.reading() as session:
        return session.scalars(
            select(func.count()).select_from(ImageRow).where(text(WAITING))
        ).one()


def effective(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Ids (n,) int64, rising, and the hand scores (n,) float64, 0–10, that count."""
    query = select(ImageRow.id, ImageRow.hand_score).where(ImageRow.hand_score.is_not(None))
    with store.reading() as session:
        rows = plain_rows(session, query.order_by(ImageRow.id))
    values = np.array([value for _, value in rows], dtype=np.float64)
    return id_array([image_id for image_id, _ in rows]), values


def history_counts(store: Store) -> dict[int, int]:
    """How often each image was scored (undone scores don't count); none is no key."""
    query = select(HandScoreRow.image_id, func.count()).where(HandScoreRow.undone_at.is_(None))
    with store.reading() as session:
        rows = session.execute(query.group_by(HandScoreRow.image_id))
        return dict(rows.all())


def since_version(store: Store, version_id: int | None) -> int:
    """How many images have a score that differs from what the version was trained on.

    New scores and scores taken back count; without a version, every score is new.
    """
    if version_id is None:
        return scored_count(store)
    trained = (
        select(VersionScoreRow.image_id, VersionScoreRow.value)
        .where(VersionScoreRow.version_id == version_id)
        .subquery()
    )
    new_or_changed = (
        select(func.count())
        .select_from(ImageRow)
        .outerjoin(trained, trained.c.image_id == ImageRow.id)
        .where(
            ImageRow.hand_score.is_not(None),
            ImageRow.hand_score.is_distinct_from(trained.c.value),
        )
    )
    taken_back = (
        select(func.count())
        .select_from(trained)
        .join(ImageRow, ImageRow.id == trained.c.image_id)
        .where(ImageRow.hand_score.is_(None))
    )
    with store.reading() as session:
        return session.scalars(new_or_changed).one() + session.scalars(taken_back).one()


def tempo(store: Store, now: datetime) -> Tempo:
    """How fast scores come, imported and undone ones left out.

    "Today" began at midnight in the time zone of `now` (aware). The sitting is the last scores
    with no pause over two minutes between them or since; it needs two scores to have a tempo.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    query = select(HandScoreRow.at).where(
        HandScoreRow.at > now - timedelta(days=1, hours=1),
        HandScoreRow.at <= now + _PAUSE,
        HandScoreRow.undone_at.is_(None),
        HandScoreRow.why != "import",
    )
    with store.reading() as session:
        times = list(session.scalars(query.order_by(HandScoreRow.at.desc())))
    return Tempo(
        today=sum(at >= midnight.astimezone(UTC) for at in times),
        last_hour=sum(at > now - timedelta(hours=1) for at in times),
        per_minute=_per_minute(times, now),
    )


def _per_minute(times: Sequence[datetime], now: datetime) -> float | None:
    """`times` latest first."""
    sitting: list[datetime] = []
    for at in times:
        if (sitting[-1] if sitting else now) - at > _PAUSE:
            break
        sitting.append(at)
    if len(sitting) < 2 or sitting[0] == sitting[-1]:
        return None
    return (len(sitting) - 1) / ((sitting[0] - sitting[-1]) / timedelta(minutes=1))
