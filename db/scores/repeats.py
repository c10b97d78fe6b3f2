"""Repeats: images that a person has scored and is shown once more, unannounced, without the score.

What the two scores of a repeat tell is how far the person agrees with themselves. Both must be
blind: the first one typed without a prediction on the screen, and the image not seen again with
its score or prediction until the second.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from db.query_parts import (
    concatenated_columns,
    hashed_ids,
    id_array,
    images_in_order,
    is_in,
    numbers,
    python_ids,
)
from db.records import Image
from db.scores.queue_queries import was_skipped
from db.store.schema import HandScoreRow, ImageRow, RepeatRow, RoundImageRow
from db.store.store import Store

BETWEEN = 50  # scores that the person has given since, so that the first one is not remembered
_LATEST = 20_000  # scores of a person at most among which a repeat is chosen
_LOOKED_AT = 40  # images at most that are looked at for one repeat
_STANDING = HandScoreRow.undone_at.is_(None)
_BLIND = and_(
    HandScoreRow.why == "first",
    or_(HandScoreRow.queue == "score", HandScoreRow.queue.is_(None)),
    HandScoreRow.shown_prediction.is_(None),
)


def repeats_behind(
    store: Store, scorer: str | None, image_ids: Sequence[int], exclude: Collection[int] = ()
) -> dict[int, Image]:
    """Return which image to show `scorer` once more behind each of `image_ids`, where there is one.

    It is one at random of those that they have scored blindly and once, with `BETWEEN` scores of
    their own since, that they have not skipped, and that no review has shown since; the same one
    behind the same image each time, as long as it is one of these.
    """
    chosen: dict[int, int] = {}
    with store.reading() as session:
        ids = np.setdiff1d(_scored_a_while_ago(session, scorer), id_array(python_ids(exclude)))
        for image_id in image_ids if len(ids) else ():
            keys = _random_keys(ids, image_id)
            few = np.argpartition(keys, min(_LOOKED_AT, len(ids)) - 1)[:_LOOKED_AT]
            in_order = ids[few[np.argsort(keys[few])]].tolist()
            unseen = _unseen_since(session, scorer, in_order) - set(chosen.values())
            if (repeat := next(filter(unseen.__contains__, in_order), None)) is not None:
                chosen[image_id] = repeat
        images = {image.id: image for image in images_in_order(session, chosen.values())}
    return {image_id: images[repeat] for image_id, repeat in chosen.items()}


def blind_pairs(store: Store) -> dict[str | None, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return of each scorer (`None`: the nameless one) the images (n,) int64 that were repeated,
    rising, and the first and the second scores (n,) float64, 0–10.

    The second is what the person made of the repeat at last: a slip may be mended. An image with
    other scores of the same person before the repeat is left out, they had seen the first one.
    """
    repeated = select(RepeatRow.hand_score_id)
    is_repeat = HandScoreRow.id.in_(repeated)
    images = select(HandScoreRow.image_id).where(is_repeat, _STANDING)
    query = (
        select(HandScoreRow.scorer, HandScoreRow.image_id, HandScoreRow.value, is_repeat, _BLIND)
        .where(HandScoreRow.image_id.in_(images), _STANDING)
        .order_by(HandScoreRow.scorer, HandScoreRow.image_id, HandScoreRow.id)
    )
    found: dict[str | None, list[tuple[int, float, float]]] = {}
    with store.reading() as session:
        rows = session.execute(query).all()
    for (scorer, image_id), group in groupby(rows, key=itemgetter(0, 1)):
        (_, _, first, was_repeat, was_blind), *later = group
        again = [value for _, _, value, is_one, _ in later if is_one]
        if was_blind and not was_repeat and again and later[0][3]:
            found.setdefault(scorer, []).append((image_id, first, again[-1]))
    return {
        scorer: (
            id_array([image_id for image_id, _, _ in pairs]),
            np.array([first for _, first, _ in pairs], dtype=np.float64),
            np.array([again for _, _, again in pairs], dtype=np.float64),
        )
        for scorer, pairs in found.items()
    }


def _scored_a_while_ago(session: Session, scorer: str | None) -> np.ndarray:
    """Return the images (n,) that this person scored blindly, `BETWEEN` scores of theirs ago; of
    very many the latest.
    """
    own = (_of(scorer), _STANDING)
    typed = select(HandScoreRow.id).where(*own, HandScoreRow.why != "import")
    behind = session.scalar(typed.order_by(HandScoreRow.id.desc()).offset(BETWEEN - 1).limit(1))
    if behind is None:
        return np.empty(0, dtype=np.int64)
    query = select(HandScoreRow.image_id).where(*own, _BLIND, HandScoreRow.id < behind)
    query = query.order_by(HandScoreRow.id.desc()).limit(_LATEST)
    return numbers(concatenated_columns(session, query)[0], np.int64)


def _unseen_since(session: Session, scorer: str | None, image_ids: Sequence[int]) -> set[int]:
    """Return those of these images that can be shown as if they were new to this person."""
    among = is_in(HandScoreRow.image_id, image_ids)
    on_card = (
        exists()
        .where(
            RoundImageRow.image_id == HandScoreRow.image_id,
            RoundImageRow.shown_at > HandScoreRow.at,
        )
        .correlate(HandScoreRow)
    )
    query = (
        select(HandScoreRow.image_id)
        .join(ImageRow, ImageRow.id == HandScoreRow.image_id)
        .where(among, _of(scorer), _STANDING, ImageRow.state == "fine", ~was_skipped())
        .group_by(HandScoreRow.image_id)
        .having(func.count() == 1, func.max(on_card) == 0)
    )
    return set(session.scalars(query))


def _of(scorer: str | None) -> ColumnElement[bool]:
    return HandScoreRow.scorer.is_not_distinct_from(scorer)


def _random_keys(ids: np.ndarray, image_id: int) -> np.ndarray:
    """Return a number for each id (n,) by which to put them into a random order of this image's."""
    once = hashed_ids(ids) ^ hashed_ids(hashed_ids(np.array([image_id])) >> np.uint64(16))
    return hashed_ids(once ^ (once >> np.uint64(32)))
