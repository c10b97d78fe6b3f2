"""The files that hold images, or held them: looked up by path, by name, or by image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from db.query_parts import is_in, pixel_hash_of
from db.records import KnownLocation, Location
from db.store.schema import ImageRow, LocationRow, SourceRow
from db.store.store import Store

_FEW_ROWS = 10_000


def ids_of_paths(store: Store, paths: Iterable[str]) -> dict[str, int]:
    """Return the image of each of these paths that has one: the one it holds, or held last."""
    with store.reading() as session:
        return ids_at(session.connection(), paths)


def ids_at(connection: Connection, paths: Iterable[str]) -> dict[str, int]:
    """Do `ids_of_paths` within a transaction."""
    query = (
        select(LocationRow.path, LocationRow.image_id)
        .where(is_in(LocationRow.path, paths))
        .order_by(LocationRow.present, LocationRow.id)
    )
    return dict(connection.execute(query).all())


def ids_of_names(
    store: Store, names: Collection[str], spelled: Callable[[str], str] = str
) -> dict[str, set[int]]:
    """Return the images whose files (the present ones, else any) are called so, wherever they lie.

    `spelled` is how the names are, of each file's own name.
    """
    found: dict[str, set[int]] = {}
    gone: dict[str, set[int]] = {}
    if not names:
        return found
    requested = frozenset(names)
    query = select(LocationRow.path, LocationRow.image_id, LocationRow.present)
    with store.reading() as session:
        for path, image_id, present in session.execute(query).yield_per(_FEW_ROWS):
            name = spelled(path.rpartition("/")[2])
            if name in requested:
                (found if present else gone).setdefault(name, set()).add(image_id)
    return gone | found


def known_locations(store: Store, source_id: int | None = None) -> dict[str, KnownLocation]:
    """Return the files that were there when last looked for, by path; of one source or of all."""
    query = select(
        LocationRow.path,
        LocationRow.image_id,
        LocationRow.mtime_ns,
        LocationRow.size_bytes,
        ImageRow.state,
        ImageRow.content_hash,
        pixel_hash_of(),
    ).join(ImageRow)
    if source_id is not None:
        query = query.where(LocationRow.source_id == source_id)
    with store.reading() as session:
        rows = session.execute(query.where(LocationRow.present))
        return {row[0]: KnownLocation(*row[1:]) for row in rows}


def locations(store: Store, image_id: int) -> list[Location]:
    """Return every file that holds or held the image, the present ones first."""
    query = (
        select(LocationRow.path, LocationRow.source_id, SourceRow.name, LocationRow.present)
        .join(SourceRow)
        .where(is_in(LocationRow.image_id, [image_id]))
        .order_by(LocationRow.present.desc(), LocationRow.id)
    )
    with store.reading() as session:
        return [Location(*row) for row in session.execute(query)]


def ids_by_path(store: Store, *, seen_only: bool = False) -> dict[str, int]:
    """Return the image of every path: the one it holds, or held last.

    With `seen_only` without images of which no file was ever seen.
    """
    query = select(LocationRow.path, LocationRow.image_id).order_by(
        LocationRow.present, LocationRow.id
    )
    if seen_only:
        was_seen = ImageRow.content_hash.is_not(None) | ImageRow.reason.is_not(None)
        query = query.join(ImageRow).where(was_seen)
    with store.reading() as session:
        rows = session.execute(query)
        return dict(rows.all())


ADD_LOCATION = upsert(LocationRow.__table__)  # type: ignore[arg-type]


ARRIVE = ADD_LOCATION.on_conflict_do_update(
    index_elements=["path", "image_id"],
    set_={
        name: ADD_LOCATION.excluded[name]
        for name in ("source_id", "mtime_ns", "size_bytes", "present")
    },
)
