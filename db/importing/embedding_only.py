"""Images of which no file was ever seen: what became of them, and how they go again.

They come with embeddings, by a name that is no known path. Those that were judged, or that a
version was trained on, never go.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import exists, select

from db.images.states import has_file
from db.importing.merge import absorb, copy_embeddings
from db.importing.removal import delete_images
from db.store.schema import (
    HandScoreRow,
    ImageRow,
    LocationRow,
    OutOfFoldRow,
    SourceRow,
    VersionScoreRow,
)
from db.store.store import Store

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class UnseenImage:
    """An image known by a name alone; `root` is the folder that its source came from."""

    image_id: int
    path: str
    root: str | None


def unseen_images(store: Store) -> list[UnseenImage]:
    """Return all of them, by rising id."""
    query = (
        select(ImageRow.id, LocationRow.path, SourceRow.root)
        .join(LocationRow, LocationRow.image_id == ImageRow.id)
        .join(SourceRow, SourceRow.id == LocationRow.source_id)
        .where(*_IS_UNSEEN)
        .order_by(ImageRow.id)
    )
    with store.reading() as session:
        return [UnseenImage(*row) for row in session.execute(query)]


_IS_UNSEEN = (
    ImageRow.state == "missing",
    ImageRow.content_hash.is_(None),
    ImageRow.reason.is_(None),
    ~has_file(),
)


def merge_into(store: Store, pairs: Collection[tuple[int, int]]) -> None:
    """Merge the first image of each pair into the second, with its embedding and its scores."""
    with store.transaction() as session:
        connection = session.connection()
        copy_embeddings(connection, pairs)
        absorb(session, pairs)
    remove_unused(store, [left for left, _ in pairs])


def remove_unused(store: Store, ids: Collection[int]) -> int:
    """Remove these, as far as they are such images that nothing is lost with; returns how many."""
    used = [
        exists().where(row.image_id == ImageRow.id)
        for row in (HandScoreRow, VersionScoreRow, OutOfFoldRow)
    ]
    ordered, removed = sorted(ids), 0
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        with store.transaction() as session:
            connection = session.connection()
            query = select(ImageRow.id).where(
                ImageRow.id.in_(some), *_IS_UNSEEN, *(~each for each in used)
            )
            gone = connection.scalars(query).all()
            delete_images(connection, gone)
            removed += len(gone)
    return removed
