"""The random sample: how far the random order of a collection has been gone through, and by hand.

Every image drew a random key when it was imported. Whatever the model shows meanwhile, the images
up to some place in the order of these keys are a random sample of the collection.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.query_parts import driver_rows, id_array
from db.records import RandomSample
from db.scores.queue_queries import was_skipped
from db.store.schema import (
    ELSEWHERE,
    TYPED,
    WAITING,
    DrawRow,
    HandScoreRow,
    ImageRow,
    OutOfFoldRow,
    PredictionRow,
    VersionScoreRow,
)
from db.store.store import Store

_BEFORE_ALL, _BEHIND_ALL = -1, 1 << 62


def random_sample(store: Store) -> RandomSample:
    """Return the images before the place where the next draw will be made, as far as they have a
    score.

    That place is the first waiting image behind the furthest one that was drawn and scored. It is
    left out itself: a sample that ends with an image nobody had scored before would hold too few of
    those that a review had picked (inverse sampling; Haldane 1945). Images skipped while scoring
    don't end the sample, they are missing from it.
    """
    query = select(ImageRow.id, ImageRow.hand_score, ImageRow.shuffle).where(
        ImageRow.hand_score.is_not(None), ImageRow.state == "fine"
    )
    with store.reading() as session:
        end = _next_draw(session)
        rows = driver_rows(session, query.order_by(ImageRow.id))
        waiting, passed_over = (_waiting(session, end, skipped=each) for each in (False, True))
    return RandomSample(
        image_ids=id_array([image_id for image_id, _, _ in rows]),
        values=np.array([value for _, value, _ in rows], dtype=np.float64),
        sampled=np.array([key < end for _, _, key in rows], dtype=bool),
        waiting=waiting,
        skipped=passed_over,
    )


def passing_counts(store: Store, version_id: int, least: float) -> tuple[int, int]:
    """Return how many fine images the version predicts to reach `least` (0–1), and not to.

    Those that it was trained on count with the prediction that was made without having seen them.
    """
    elsewhere = select(ImageRow.id).where(text(ELSEWHERE))
    seen = select(VersionScoreRow.image_id).where(VersionScoreRow.version_id == version_id)
    left_out = PredictionRow.image_id.in_(seen.union(elsewhere))
    held_out = (OutOfFoldRow.image_id.in_(seen), OutOfFoldRow.image_id.not_in(elsewhere))
    with store.reading() as session:
        # All are counted in the index's own order; only what doesn't belong there is looked up.
        every, passing = _counts(session, PredictionRow, version_id, least)
        others, passing_others = _counts(session, PredictionRow, version_id, least, left_out)
        unseen, passing_unseen = _counts(session, OutOfFoldRow, version_id, least, *held_out)
    passing += passing_unseen - passing_others
    return passing, every + unseen - others - passing


def _counts(
    session: Session, table: Any, version_id: int, least: float, *among: Any
) -> tuple[int, int]:
    """Return how many predictions there are, and how many of them pass."""
    # Counted apart, not asked for: asking would draw SQLite to the index by score.
    passing = func.count().filter(table.score >= least)
    query = select(func.count(), passing).where(table.version_id == version_id, *among)
    every, some = session.execute(query).one()
    return every, some


def _next_draw(session: Session) -> int:
    """Return the key of the image that the next draw will show, beyond all keys if none is left."""
    furthest = (
        select(func.max(ImageRow.shuffle))
        .join(HandScoreRow, HandScoreRow.image_id == ImageRow.id)
        .join(DrawRow, DrawRow.hand_score_id == HandScoreRow.id)
        .where(HandScoreRow.undone_at.is_(None))
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


def _waiting(session: Session, before: int, *, skipped: bool) -> int:
    query = select(func.count()).select_from(ImageRow)
    query = query.where(text(WAITING), ImageRow.shuffle < before)
    return session.scalar(query.where(was_skipped() if skipped else ~was_skipped())) or 0
