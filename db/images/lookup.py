"""Images looked up by id, path or content, and the groups that training must not split."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from sqlalchemy import bindparam, func, select, text, update

from db.images.pixel_hashes import images_of_contents
from db.query_parts import Ids, driver_rows, id_array, images_in_order, is_in, python_ids
from db.records import Image
from db.store.schema import ELSEWHERE, ImageRow, LocationRow
from db.store.store import Store


def get(store: Store, image_id: int) -> Image | None:
    """Return the image, `None` if there is none with that id."""
    return next(iter(by_ids(store, [image_id])), None)


def by_ids(store: Store, ids: Ids) -> list[Image]:
    """Return the images in the order of `ids`; ids that don't exist are left out."""
    with store.reading() as session:
        return images_in_order(session, ids)


def find_by_path(store: Store, path: str) -> Image | None:
    """Return the image that the file at this absolute path holds, or held last."""
    query = (
        select(LocationRow.image_id)
        .where(LocationRow.path == path)
        .order_by(LocationRow.present.desc(), LocationRow.id.desc())
    )
    with store.reading() as session:
        image_id = session.scalars(query).first()
        return None if image_id is None else images_in_order(session, [image_id])[0]


def find_by_content(store: Store, content_hash: str) -> Image | None:
    """Return the image whose files hold, or were found to hold, exactly this."""
    query = select(ImageRow.id).where(ImageRow.content_hash == content_hash)
    with store.reading() as session:
        image_id = session.scalars(query).first()
        if image_id is None:
            image_id = images_of_contents(session, [content_hash]).get(content_hash)
        return None if image_id is None else images_in_order(session, [image_id])[0]


def unreadable(store: Store) -> list[Image]:
    """Return the images that can't be read, by rising id."""
    elsewhere = text(ELSEWHERE)  # in so many words: what an index is made for
    query = select(ImageRow.id).where(elsewhere, ImageRow.state == "unreadable")
    with store.reading() as session:
        return images_in_order(session, sorted(session.scalars(query)))


def set_groups(store: Store, group_of: Mapping[int, str | None]) -> None:
    """Put images into groups that training must not split; `None` takes one out of its group."""
    statement = (
        update(ImageRow.__table__)  # type: ignore[arg-type]
        .where(ImageRow.id == bindparam("image"))
        .values(group_name=bindparam("group"))
    )
    rows = [{"image": int(i), "group": group} for i, group in group_of.items()]
    if rows:
        with store.transaction() as session:
            session.execute(statement, rows)


def groups(store: Store) -> dict[int, str]:
    """Return the group of every image that is in one."""
    query = select(ImageRow.id, ImageRow.group_name).where(ImageRow.group_name.is_not(None))
    with store.reading() as session:
        return {i: group for i, group in session.execute(query) if group is not None}


def content_hashes(store: Store, ids: Ids) -> dict[int, str]:
    """Return the content hash of each of these images that has one."""
    among = is_in(ImageRow.id, python_ids(ids))
    query = select(ImageRow.id, ImageRow.content_hash).where(
        among, ImageRow.content_hash.is_not(None)
    )
    with store.reading() as session:
        return dict(driver_rows(session, query))


def contents_from(store: Store, start: str, end: str) -> list[tuple[str, bool, int]]:
    """(content hash, whether a file of it can be read, longer side in pixels) by rising hash.

    Those from `start` to before `end`: a million are gone through in pieces.
    """
    longer = func.max(func.coalesce(ImageRow.width, 0), func.coalesce(ImageRow.height, 0))
    query = (
        select(ImageRow.content_hash, ImageRow.state == "fine", longer)
        .where(ImageRow.content_hash >= start, ImageRow.content_hash < end)
        .order_by(ImageRow.content_hash)
    )
    with store.reading() as session:
        return [(digest, bool(fine), side) for digest, fine, side in driver_rows(session, query)]


def reasons_unreadable(store: Store, ids: Ids) -> dict[int, str]:
    """Return why those of these images that can't be read can't be."""
    among = is_in(ImageRow.id, python_ids(ids))
    query = select(ImageRow.id, ImageRow.reason).where(among, ImageRow.state == "unreadable")
    with store.reading() as session:
        return {image_id: reason or "" for image_id, reason in driver_rows(session, query)}


def fingerprints(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Return ids (n,) int64 and difference hashes (n,) uint64 of all images that have one."""
    query = select(ImageRow.id, ImageRow.fingerprint).where(ImageRow.fingerprint.is_not(None))
    with store.reading() as session:
        rows = driver_rows(session, query)
    hashes = np.array([kept for _, kept in rows], dtype=np.int64).view(np.uint64)
    return id_array([image_id for image_id, _ in rows]), hashes


def ids_of_hashes(store: Store, hashes: Collection[str]) -> dict[str, int]:
    """Return the image of each of these content hashes that is known, also as a former one of
    it.
    """
    if not hashes:
        return {}
    query = select(ImageRow.content_hash, ImageRow.id).where(is_in(ImageRow.content_hash, hashes))
    with store.reading() as session:
        own = {content: image_id for content, image_id in session.execute(query) if content}
        return {**images_of_contents(session, hashes), **own}
