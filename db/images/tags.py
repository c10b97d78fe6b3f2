"""Tags of images: who gave them, and which scored images carry which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from sqlalchemy import delete, func, insert, select

from db.query_parts import NO_SYNC, Ids, driver_rows, id_array, is_in, python_ids
from db.store.schema import ImageRow, ImageTagRow
from db.store.store import Store

BESIDE = "beside"  # a text file beside the image
TABLE = "table"  # a table of tags


def put(store: Store, origin: str, tags_of: Mapping[int, Iterable[str]]) -> None:
    """Make these the tags that `origin` gives to these images; what others gave them stays.

    Only what differs is written: an import says the same again and again.
    """
    tags_by_image = {int(image_id): set(tags) for image_id, tags in tags_of.items()}
    with store.transaction() as session:
        of_origin = (is_in(ImageTagRow.image_id, tags_by_image), ImageTagRow.origin == origin)
        stored: dict[int, set[str]] = {}
        for image_id, tag in session.execute(
            select(ImageTagRow.image_id, ImageTagRow.tag).where(*of_origin)
        ):
            stored.setdefault(image_id, set()).add(tag)
        changed = {i: tags for i, tags in tags_by_image.items() if tags != stored.get(i, set())}
        session.execute(
            delete(ImageTagRow).where(
                is_in(ImageTagRow.image_id, changed), ImageTagRow.origin == origin
            ),
            execution_options=NO_SYNC,
        )
        rows = [
            {"image_id": image_id, "origin": origin, "tag": tag}
            for image_id, tags in changed.items()
            for tag in sorted(tags)
        ]
        if rows:
            session.execute(insert(ImageTagRow.__table__), rows)  # type: ignore[arg-type]


def of_images(store: Store, ids: Ids) -> dict[int, list[str]]:
    """Return the tags of each of these images that has some, in the order of the alphabet."""
    query = (
        select(ImageTagRow.image_id, ImageTagRow.tag)
        .where(is_in(ImageTagRow.image_id, python_ids(ids)))
        .distinct()
        .order_by(ImageTagRow.image_id, ImageTagRow.tag)
    )
    tags: dict[int, list[str]] = {}
    with store.reading() as session:
        for image_id, tag in session.execute(query):
            tags.setdefault(image_id, []).append(tag)
    return tags


def among_scored(store: Store, fewest: int) -> dict[str, np.ndarray]:
    """Return by tag the ids (n,) int64, rising, of the images with a hand score that carry it.

    Only tags that at least `fewest` of them carry.
    """
    scored = (
        select(ImageTagRow.tag, ImageTagRow.image_id)
        .join(ImageRow, ImageRow.id == ImageTagRow.image_id)
        .where(ImageRow.hand_score.is_not(None))
        .distinct()
        .cte("scored")
    )
    common = select(scored.c.tag).group_by(scored.c.tag).having(func.count() >= fewest)
    query = select(scored.c.tag, scored.c.image_id).where(scored.c.tag.in_(common))
    with store.reading() as session:
        rows = driver_rows(session, query.order_by(scored.c.tag, scored.c.image_id))
    ids_by_tag: dict[str, list[int]] = {}
    for tag, image_id in rows:
        ids_by_tag.setdefault(tag, []).append(image_id)
    return {tag: id_array(ids) for tag, ids in ids_by_tag.items()}
