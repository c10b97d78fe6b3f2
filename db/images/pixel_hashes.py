"""What images show: recognised by it when their files have other bytes, or lie elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session, aliased

from db.images.states import settle
from db.importing.merge import merge
from db.query_parts import images_in_order, is_among
from db.records import Image, Pixels
from db.store.schema import HandScoreRow, ImageRow, LocationRow, OtherContentRow, PixelsRow
from db.store.store import Store


@dataclass(frozen=True, slots=True)
class Replaced:
    """An image with a hand score whose file is another, unscored image now."""

    old: Image
    new: Image


def of_images(store: Store, ids: Iterable[int]) -> dict[int, Pixels]:
    """What these images show, of those that were looked at."""
    query = select(PixelsRow.image_id, PixelsRow.pixel_hash, PixelsRow.glimpse)
    with store.reading() as session:
        rows = session.execute(query.where(is_among(PixelsRow.image_id, ids)))
        return {image_id: Pixels(digest, glimpse) for image_id, digest, glimpse in rows}


def showing(store: Store, hashes: Collection[str]) -> dict[str, list[int]]:
    """The images that show each of these pictures, by rising id."""
    found: dict[str, list[int]] = {}
    query = select(PixelsRow.pixel_hash, PixelsRow.image_id).order_by(PixelsRow.image_id)
    with store.reading() as session:
        for digest, image_id in session.execute(
            query.where(is_among(PixelsRow.pixel_hash, hashes))
        ):
            found.setdefault(digest, []).append(image_id)
    return found


def replaced(store: Store) -> list[Replaced]:
    """Pairs of images that one file has held, the old one scored and gone, the new one unscored.

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
    wanted = [pair for pair in dict.fromkeys(pairs) if pair in still]
    with store.transaction() as session:
        return absorb(session, wanted)


def absorb(session: Session, pairs: Collection[tuple[int, int]]) -> list[str]:
    """Of each pair make the first a part of the second: its files, its contents, what was done.

    Returns the contents that were the first ones' own.
    """
    connection = session.connection()
    former = [content for left, to in pairs if (content := _absorb(connection, left, to))]
    merge(session, list(pairs))
    settle(connection, {image_id for pair in pairs for image_id in pair})
    return former


def _absorb(connection: Connection, left: int, to: int) -> str | None:
    content = connection.scalar(select(ImageRow.content_hash).where(ImageRow.id == left))
    places = connection.execute(_PLACES, {"image": left}).mappings().all()
    for statement in _ABSORB:
        connection.exec_driver_sql(statement, {"left": left, "to": to})
    if places:  # only now, for a path holds one image at a time
        connection.execute(ARRIVE, [dict(place) | {"image_id": to} for place in places])
    if content is not None:
        note_content(connection, content, to)
    return content


_PLACES = select(
    LocationRow.path,
    LocationRow.source_id,
    LocationRow.mtime_ns,
    LocationRow.size_bytes,
    LocationRow.present,
).where(LocationRow.image_id == bindparam("image"), LocationRow.present)
_ABSORB = (
    "UPDATE images SET content_hash = NULL WHERE id = :left",
    "UPDATE other_contents SET image_id = :to WHERE image_id = :left",
    "DELETE FROM image_pixels WHERE image_id = :left",
    "UPDATE locations SET present = 0 WHERE image_id = :left AND present = 1",
)
ADD_LOCATION = upsert(LocationRow.__table__)  # type: ignore[arg-type]
ARRIVE = ADD_LOCATION.on_conflict_do_update(
    index_elements=["path", "image_id"],
    set_={
        name: ADD_LOCATION.excluded[name]
        for name in ("source_id", "mtime_ns", "size_bytes", "present")
    },
)


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
    """The image that each of these contents shows, though it is not the image's own."""
    query = select(OtherContentRow.content_hash, OtherContentRow.image_id)
    rows = session.execute(query.where(is_among(OtherContentRow.content_hash, hashes)))
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
