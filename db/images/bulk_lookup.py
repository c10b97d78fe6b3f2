"""Finding many images at once: by the paths or the names of their files, or by their content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from sqlalchemy import select

from db.images.pixel_hashes import images_of_contents
from db.query_parts import is_among
from db.store.schema import ImageRow, LocationRow
from db.store.store import Store

_FEW_ROWS = 10_000


def ids_of_paths(store: Store, paths: Iterable[str]) -> dict[str, int]:
    """The image of each of these paths that is known: the one it holds, or held last."""
    query = (
        select(LocationRow.path, LocationRow.image_id)
        .where(is_among(LocationRow.path, paths))
        .order_by(LocationRow.present, LocationRow.id)
    )
    with store.reading() as session:
        rows = session.execute(query)
        return dict(rows.all())


def ids_of_pictures(store: Store) -> dict[str, int]:
    """The image of every known path, but for images of which no file was ever seen."""
    query = (
        select(LocationRow.path, LocationRow.image_id)
        .join(ImageRow)
        .where(ImageRow.content_hash.is_not(None) | ImageRow.reason.is_not(None))
        .order_by(LocationRow.present, LocationRow.id)
    )
    with store.reading() as session:
        rows = session.execute(query)
        return dict(rows.all())


def ids_of_hashes(store: Store, hashes: Collection[str]) -> dict[str, int]:
    """The image of each of these content hashes that is known, also as a former one of it."""
    if not hashes:
        return {}
    query = select(ImageRow.content_hash, ImageRow.id).where(
        is_among(ImageRow.content_hash, hashes)
    )
    with store.reading() as session:
        own = {content: image_id for content, image_id in session.execute(query) if content}
        return {**images_of_contents(session, hashes), **own}


def ids_of_names(
    store: Store, names: Collection[str], spelled: Callable[[str], str] = str
) -> dict[str, set[int]]:
    """The images whose files (the present ones, else any) are called so, wherever they lie.

    `spelled` is how the names are, of each file's own name.
    """
    found: dict[str, set[int]] = {}
    gone: dict[str, set[int]] = {}
    if not names:
        return found
    wanted = frozenset(names)
    query = select(LocationRow.path, LocationRow.image_id, LocationRow.present)
    with store.reading() as session:
        for path, image_id, present in session.execute(query).yield_per(_FEW_ROWS):
            name = spelled(path.rpartition("/")[2])
            if name in wanted:
                (found if present else gone).setdefault(name, set()).add(image_id)
    return gone | found
