"""What images show: their pixel hashes, and other contents that were found to show the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from db.query_parts import is_in
from db.records import Pixels
from db.store.schema import OtherContentRow, PixelsRow
from db.store.store import Store


def pixels_of(store: Store, ids: Iterable[int]) -> dict[int, Pixels]:
    """Return what these images show, of those that were looked at."""
    query = select(PixelsRow.image_id, PixelsRow.pixel_hash, PixelsRow.glimpse)
    with store.reading() as session:
        rows = session.execute(query.where(is_in(PixelsRow.image_id, ids)))
        return {image_id: Pixels(digest, glimpse) for image_id, digest, glimpse in rows}


def ids_by_pixel_hash(store: Store, hashes: Collection[str]) -> dict[str, list[int]]:
    """Return the images that show each of these pictures, by rising id."""
    ids: dict[str, list[int]] = {}
    query = select(PixelsRow.pixel_hash, PixelsRow.image_id).order_by(PixelsRow.image_id)
    with store.reading() as session:
        for digest, image_id in session.execute(query.where(is_in(PixelsRow.pixel_hash, hashes))):
            ids.setdefault(digest, []).append(image_id)
    return ids


def note_content(connection: Connection, content_hash: str, image_id: int) -> None:
    """Know this content, which is no image's own, as one that shows the image."""
    values = {"content_hash": content_hash, "image_id": image_id}
    statement = upsert(OtherContentRow).values(values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["content_hash"], set_=values)
    )


def forget_content(connection: Connection, content_hash: str) -> None:
    """It is an image's own from now on."""
    connection.execute(delete(OtherContentRow).where(OtherContentRow.content_hash == content_hash))


def images_of_contents(session: Session, hashes: Iterable[str]) -> Mapping[str, int]:
    """Return the image that each of these contents shows, though it is not the image's own."""
    query = select(OtherContentRow.content_hash, OtherContentRow.image_id)
    rows = session.execute(query.where(is_in(OtherContentRow.content_hash, hashes)))
    return dict(rows.all())


_KEEP = upsert(PixelsRow.__table__)  # type: ignore[arg-type]
_KEEP = _KEEP.on_conflict_do_update(
    index_elements=["image_id"],
    set_={name: _KEEP.excluded[name] for name in ("pixel_hash", "glimpse")},
)


def keep(connection: Connection, pixels: Mapping[int, Pixels]) -> None:
    """Note what these images show."""
    if pixels:
        connection.execute(
            _KEEP,
            [
                {"image_id": image_id, "pixel_hash": one.pixel_hash, "glimpse": one.glimpse}
                for image_id, one in pixels.items()
            ],
        )
