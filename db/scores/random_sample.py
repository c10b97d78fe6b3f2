"""The images that were drawn at random among those with a hand score.

Every image drew a random key when it was imported, and the next draw is the unscored image with the
least key. Whatever the model shows meanwhile, it is drawn at random from what has no score.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.orm import Session

from db.query_parts import driver_rows, id_array
from db.records import RandomSample
from db.scores.aggregation import rule_in
from db.scores.blind_scores import first_blind_scores
from db.scores.queue_queries import SKIPPED_WHILE_SCORING, was_skipped
from db.store.schema import (
    ELSEWHERE,
    TYPED,
    WAITING,
    DrawRow,
    HandScoreRow,
    ImageRow,
    PredictionRow,
    SkipRow,
    VersionScoreRow,
)
from db.store.store import Store

_BEFORE_ALL, _BEHIND_ALL = -1, 1 << 62


def random_sample(store: Store) -> RandomSample:
    """Return the fine images with a hand score, in the order in which they were first scored.

    Drawn is what was shown because it was next in the random order. Where no draw is noted, as in
    stores from before draws were noted, it is what was scored here up to the first image of that
    order that has no score. A drawn image counts with its first blind score (see
    `first_blind_scores`): what is looked at again where it disagrees with the model flatters it.
    """
    blind = dict(zip(*(each.tolist() for each in first_blind_scores(store)), strict=True))
    with store.reading() as session:
        by = _who_counts(session)
        in_order = (
            select(
                ImageRow.id,
                ImageRow.shuffle,
                ImageRow.hand_score,
                func.min(HandScoreRow.id).filter(HandScoreRow.undone_at.is_(None)),
                # A draw that was taken back and scored again was drawn nevertheless.
                func.count(DrawRow.hand_score_id),
            )
            .join(HandScoreRow, HandScoreRow.image_id == ImageRow.id)
            .outerjoin(DrawRow, DrawRow.hand_score_id == HandScoreRow.id)
            .where(ImageRow.hand_score.is_not(None), ImageRow.state == "fine", *by)
            .group_by(ImageRow.id)
            .order_by(func.min(HandScoreRow.id).filter(HandScoreRow.undone_at.is_(None)))
        )
        end = _next_draw(session)
        rows = driver_rows(session, in_order)
        skips = session.execute(
            select(SkipRow.image_id, func.max(SkipRow.at))
            .where(SkipRow.image_id.in_(_waiting(end, skipped=True)), SKIPPED_WHILE_SCORING)
            .group_by(SkipRow.image_id)
            .order_by(SkipRow.image_id)
        ).all()
        waiting = select(func.count()).select_from(_waiting(end, skipped=False).subquery())
        waiting_count = session.scalars(waiting).one()
    drawn = [draws > 0 for *_, draws in rows]
    if not any(drawn):
        drawn = [key < end for _, key, *_ in rows]
    # Where the prediction was on the screen the score says less of the person.
    drawn = [was and row[0] in blind for was, row in zip(drawn, rows, strict=True)]
    return RandomSample(
        image_ids=id_array([image_id for image_id, *_ in rows]),
        values=np.array(
            [
                blind[image_id] if is_drawn else score
                for (image_id, _, score, *_), is_drawn in zip(rows, drawn, strict=True)
            ],
            dtype=np.float64,
        ),
        drawn=np.array(drawn, dtype=bool),
        keys=np.array([key for _, key, *_ in rows], dtype=np.int64),
        waiting=waiting_count,
        skipped=id_array([image_id for image_id, _ in skips]),
        skipped_at=[at for _, at in skips],
    )


def _who_counts(session: Session) -> list[ColumnElement[bool]]:
    """Return that a hand score is by the person whose scores count, where it is one alone."""
    rule = rule_in(session)
    if rule.kind != "person":
        return []
    return [HandScoreRow.scorer.is_not_distinct_from(rule.person)]


def unseen_counts(store: Store, version_id: int, least: float) -> tuple[int, int]:
    """Return how many fine images that the version was not trained on it predicts to reach `least`
    (0–1), and not to.
    """
    elsewhere = select(ImageRow.id).where(text(ELSEWHERE))
    seen = select(VersionScoreRow.image_id).where(VersionScoreRow.version_id == version_id)
    # All are counted in the index's own order; only what doesn't belong there is looked up.
    with store.reading() as session:
        every, passing = _counts(session, version_id, least)
        others, passing_others = _counts(
            session, version_id, least, PredictionRow.image_id.in_(seen.union(elsewhere))
        )
    return passing - passing_others, every - others - (passing - passing_others)


def _counts(
    session: Session, version_id: int, least: float, *among: ColumnElement[bool]
) -> tuple[int, int]:
    """Return how many predictions there are, and how many of them pass."""
    # Counted apart, not asked for: asking would draw SQLite to the index by score.
    passing = func.count().filter(PredictionRow.score >= least)
    query = select(func.count(), passing).where(PredictionRow.version_id == version_id, *among)
    every, some = session.execute(query).one()
    return every, some


def _next_draw(session: Session) -> int:
    """Return the key of the image that the next draw will show, beyond all keys if none is left."""
    furthest = (
        select(func.max(ImageRow.shuffle))
        .join(HandScoreRow, HandScoreRow.image_id == ImageRow.id)
        .join(DrawRow, DrawRow.hand_score_id == HandScoreRow.id)
        .where(HandScoreRow.undone_at.is_(None), *_who_counts(session))
    )
    reached = session.scalar(furthest)
    behind = ImageRow.shuffle > (_BEFORE_ALL if reached is None else reached)
    waiting = select(ImageRow.shuffle).where(text(WAITING), behind, ~was_skipped())
    first = session.scalar(waiting.order_by(ImageRow.shuffle).limit(1))
    end = _BEHIND_ALL if first is None else first
    return end if reached is not None else min(end, _first_chosen(session))


def _first_chosen(session: Session) -> int:
    """Return the least key of an image whose scores were all brought along in files.

    Where no draw is noted only what was scored here may be the random order gone through: stores
    from before draws were noted hold such. What was brought along was chosen, and as much of it as
    lies at the beginning of the order would be a sample of what was chosen alone.
    """
    scored_here = (
        select(HandScoreRow.id).where(HandScoreRow.image_id == ImageRow.id, text(TYPED)).exists()
    )
    query = select(func.min(ImageRow.shuffle)).where(
        ImageRow.hand_score.is_not(None), ImageRow.state == "fine", ~scored_here
    )
    key = session.scalar(query)
    return _BEHIND_ALL if key is None else key


def _waiting(before: int, *, skipped: bool) -> Select[Any]:
    query = select(ImageRow.id).where(text(WAITING), ImageRow.shuffle < before)
    return query.where(was_skipped() if skipped else ~was_skipped())
