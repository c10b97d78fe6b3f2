"""Hand scores: what counts, how it came about, and how fast it is going."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import func, or_, select, text

from db.errors import UnreadableValue
from db.images.counts import by_hand_score
from db.query_parts import (
    Ids,
    driver_rows,
    is_in,
    iterate_rows,
    numbers,
    python_ids,
    was_scored_again,
)
from db.records import HandScore, Tempo
from db.scores.aggregation import is_typed
from db.store.column_types import Checked
from db.store.schema import (
    TYPED,
    ConfirmationRow,
    HandScoreRow,
    ImageRow,
    VersionRow,
    VersionScoreRow,
)
from db.store.store import Store

_PAUSE = timedelta(minutes=2)
_HOUR = timedelta(hours=1)
_SITTING = 500  # scores at most: how fast somebody was hours ago says little, and each is read


def history(store: Store, image_id: int) -> list[HandScore]:
    """Return every hand score that the image ever got, oldest first, undone ones too."""
    return histories(store, [image_id])


def histories(store: Store, ids: Ids) -> list[HandScore]:
    """Return every hand score that these images ever got, in the order in which they came."""
    elsewhere = {
        "shown_version": VersionRow.name.label("shown_version"),
        "at_least": ConfirmationRow.at_least,
        "below": ConfirmationRow.below,
    }
    columns = [
        elsewhere[name] if name in elsewhere else getattr(HandScoreRow, name)
        for name in HandScore.__slots__
    ]
    query = (
        select(*columns)
        .outerjoin(VersionRow, VersionRow.id == HandScoreRow.shown_version_id)
        .outerjoin(ConfirmationRow, ConfirmationRow.hand_score_id == HandScoreRow.id)
        .where(is_in(HandScoreRow.image_id, python_ids(ids)))
        .order_by(HandScoreRow.id)
    )
    with store.reading() as session:
        return [HandScore(*row) for row in session.execute(query)]


def effective(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Return ids (n,) int64, rising, and the hand scores (n,) float64, 0–10, that count."""
    # Score by score, as the index has them: few rows, each with the ids as one text.
    query = (
        select(ImageRow.hand_score, func.count(), func.group_concat(ImageRow.id))
        .where(ImageRow.hand_score.is_not(None))
        .group_by(ImageRow.hand_score)
    )
    with store.reading() as session:
        rows = driver_rows(session, query)
    ids = numbers(",".join(listed for _, _, listed in rows), np.int64)
    values = np.repeat([value for value, _, _ in rows], [count for _, count, _ in rows])
    order = np.argsort(ids)
    return ids[order], values[order].astype(np.float64)


def effective_of(store: Store, ids: Ids) -> dict[int, float]:
    """Return the hand score (0–10) that counts for each of these images that has one."""
    query = select(ImageRow.id, ImageRow.hand_score).where(
        is_in(ImageRow.id, python_ids(ids)), ImageRow.hand_score.is_not(None)
    )
    with store.reading() as session:
        return dict(driver_rows(session, query))


def by_scorer(store: Store) -> dict[str | None, tuple[np.ndarray, np.ndarray]]:
    """Of each scorer (`None`: the nameless one) the images (n,) int64, rising, and the latest hand
    scores (n,) float64, 0–10, that are not undone. Confirmations are no numbers, and left out.
    """
    latest = (
        select(func.max(HandScoreRow.id))
        .where(HandScoreRow.undone_at.is_(None), is_typed())
        .group_by(HandScoreRow.image_id, HandScoreRow.scorer)
    )
    query = (
        select(HandScoreRow.scorer, HandScoreRow.image_id, HandScoreRow.value)
        .where(HandScoreRow.id.in_(latest))
        .order_by(HandScoreRow.image_id)
    )
    columns: dict[str | None, tuple[list[int], list[float]]] = {}
    with store.reading() as session:
        for scorer, image_id, value in iterate_rows(session, query):
            if scorer not in columns:
                _check_name(scorer)
            ids, values = columns.setdefault(scorer, ([], []))
            ids.append(image_id)
            values.append(value)
    return {
        scorer: (np.array(ids, dtype=np.int64), np.array(values, dtype=np.float64))
        for scorer, (ids, values) in columns.items()
    }


def _check_name(scorer: str | None) -> None:
    """Raise `UnreadableValue` for what is no name: each is shown, compared and sorted."""
    kind = HandScoreRow.scorer.type
    if scorer is not None and isinstance(kind, Checked) and not kind.is_sound(scorer):
        raise UnreadableValue(kind.place, scorer)


def scorers(store: Store) -> list[str | None]:
    """Return everybody with a hand score that is not undone; `None` is the nameless one."""
    query = select(HandScoreRow.scorer).where(HandScoreRow.undone_at.is_(None)).distinct()
    with store.reading() as session:
        return sorted(session.scalars(query), key=lambda name: (name is None, name or ""))


def history_counts(store: Store) -> dict[int, int]:
    """Return how often each image was scored (undone scores don't count); none is no key."""
    query = select(HandScoreRow.image_id, func.count()).where(HandScoreRow.undone_at.is_(None))
    with store.reading() as session:
        rows = session.execute(query.group_by(HandScoreRow.image_id))
        return dict(rows.all())


def since_version(store: Store, version_id: int | None) -> int:
    """Return how many images have a score that differs from what the version was trained on.

    New scores and scores taken back count; without a version, every score is new.
    """
    if version_id is None:
        return by_hand_score(store).scored
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
    """Return how fast scores come, imported and undone ones left out.

    "Today" began at midnight in the time zone of `now` (aware). The sitting is the last scores, 500
    at most, with no pause over two minutes between them or since; it needs two to have a tempo.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    typed = (text(TYPED), HandScoreRow.at <= now + _PAUSE)
    count = select(func.count()).where(*typed)
    latest = select(HandScoreRow.at).where(*typed).order_by(HandScoreRow.at.desc()).limit(_SITTING)
    with store.reading() as session:
        sitting = _sitting(session.scalars(latest), now)
        return Tempo(
            today=session.scalars(count.where(HandScoreRow.at >= midnight)).one(),
            last_hour=session.scalars(count.where(HandScoreRow.at > now - _HOUR)).one(),
            per_minute=_per_minute(sitting),
        )


def _sitting(times: Iterable[datetime], now: datetime) -> list[datetime]:
    """Return the times of the last scores, latest first, with no pause between them or since."""
    sitting: list[datetime] = []
    for at in times:
        if (sitting[-1] if sitting else now) - at > _PAUSE:
            break
        sitting.append(at)
    return sitting


def _per_minute(sitting: Sequence[datetime]) -> float | None:
    if len(sitting) < 2 or sitting[0] == sitting[-1]:
        return None
    return (len(sitting) - 1) / ((sitting[0] - sitting[-1]) / timedelta(minutes=1))


def confirmed_image_ids(store: Store) -> set[int]:
    """Return images whose present hand score a person has confirmed against the model's
    prediction.
    """
    query = (
        select(ImageRow.id)
        .join(HandScoreRow, HandScoreRow.image_id == ImageRow.id)
        .where(
            HandScoreRow.queue == "hand-score",
            HandScoreRow.why == "confirmation",
            HandScoreRow.undone_at.is_(None),
            # What others gave moves a mean away from it, and yet it was said last.
            or_(HandScoreRow.value == ImageRow.hand_score, ~was_scored_again()),
        )
    )
    with store.reading() as session:
        return set(session.scalars(query))
