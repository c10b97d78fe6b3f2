"""Images whose file is another image now, and their hand scores, which can count for that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from db.importing.merge import absorb
from db.query_parts import images_in_order
from db.records import Image
from db.store.schema import HandScoreRow, ImageRow, LocationRow
from db.store.store import Store


@dataclass(frozen=True, slots=True)
class Replaced:
    """An image with a hand score whose file is another, unscored image now."""

    old: Image
    new: Image


def replaced(store: Store) -> list[Replaced]:
    """Return (old, new) images of one file: the old one scored and gone, the new one unscored.

    Of several old ones the one that the file held last.
    """
    then, now = aliased(LocationRow), aliased(LocationRow)
    old, new = aliased(ImageRow), aliased(ImageRow)
    scored = select(HandScoreRow.image_id).where(HandScoreRow.undone_at.is_(None))
    query = (
        select(new.id, func.max(then.id), old.id)
        .join_from(then, old, then.image_id == old.id)
        .join(now, (now.path == then.path) & now.present)
        .join(new, now.image_id == new.id)
        .where(
            then.present.is_(False),
            old.state == "missing",
            old.id.in_(scored),
            new.state == "fine",
            new.id.not_in(scored),
        )
        .group_by(new.id)
        .order_by(new.id)
    )
    with store.reading() as session:
        pairs = [(old_id, new_id) for new_id, _, old_id in session.execute(query)]
        olds = images_in_order(session, [old_id for old_id, _ in pairs])
        news = images_in_order(session, [new_id for _, new_id in pairs])
    return [Replaced(*pair) for pair in zip(olds, news, strict=True)]


def carry_over(store: Store, pairs: Collection[tuple[int, int]]) -> list[str]:
    """Have the hand scores of the first of each pair count for the second.

    Left alone are pairs that stopped being what `replaced` tells of. Returns the contents that were
    the first ones' own.
    """
    still = {(each.old.id, each.new.id) for each in replaced(store)}
    current = [pair for pair in dict.fromkeys(pairs) if pair in still]
    with store.transaction() as session:
        return absorb(session, current)
