"""Images that leave the store: those that nothing is lost with.

What was merged into another image leaves with everything handed on. What never could be read, or
whose places all hold other pictures by now, leaves if nobody did anything to it. The number of an
image that left is given to no other: a page that is still open may send something about it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, Integer, and_, cast, exists, func, or_, select
from sqlalchemy.dialects.sqlite import insert as upsert

from db.images.redirects import merged_images
from db.images.states import has_file, is_replaced
from db.importing.merge import move_references
from db.query_parts import is_in
from db.store.schema import (
    HandScoreRow,
    ImageRow,
    ImageTagRow,
    OutOfFoldRow,
    RoundImageRow,
    SettingRow,
    SkipRow,
    VersionScoreRow,
)
from db.store.store import Store

_USED = "image-numbers-used"  # in the settings: the highest that an image had which left
# Who deletes an image has SQLite look through every table that refers to images.
_WORK, _LEAST = 10_000_000, 100
_DONE = (HandScoreRow, SkipRow, RoundImageRow, VersionScoreRow, OutOfFoldRow)
_OF_IMAGE = (
    *("image_tags", "image_pixels", "other_contents", "locations", "skips"),
    "embeddings WHERE encoder_id IN (SELECT id FROM encoders) AND",
    "predictions WHERE version_id IN (SELECT id FROM versions) AND",
    "round_images WHERE round_id IN (SELECT id FROM rounds) AND",
)


def remove_unneeded(store: Store) -> list[str]:
    """Take out every image that nothing is lost with; returns the contents that they had.

    Of very many in a large store some wait for the next time.
    """
    with store.transaction() as session:
        connection = session.connection()
        merged = merged_images(connection)
        images = connection.scalar(select(func.max(ImageRow.id))) or 1
        query = select(ImageRow.id, ImageRow.content_hash).where(
            ImageRow.state != "fine", ~has_file(), or_(is_in(ImageRow.id, merged), _is_idle())
        )
        rows = connection.execute(query.limit(max(_LEAST, _WORK // images))).all()
        move_references(connection, [(row.id, merged[row.id]) for row in rows if row.id in merged])
        delete_images(connection, [row.id for row in rows])
        return [row.content_hash for row in rows if row.content_hash is not None]


def delete_images(connection: Connection, image_ids: Iterable[int]) -> None:
    """Delete these images, which have neither hand scores nor part in a version."""
    gone = [(image_id,) for image_id in image_ids]
    if not gone:
        return
    used = next_image_id(connection) - 1
    for table in _OF_IMAGE:
        which = table if "WHERE" in table else f"{table} WHERE"
        connection.exec_driver_sql(f"DELETE FROM {which} image_id = ?", gone)
    connection.exec_driver_sql("DELETE FROM images WHERE id = ?", gone)
    values = {"name": _USED, "value": str(used)}
    statement = upsert(SettingRow).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def next_image_id(connection: Connection) -> int:
    """Return the number of the next image: no image has, or had, one as high."""
    used = select(cast(SettingRow.value, Integer)).where(SettingRow.name == _USED)
    highest = connection.scalar(select(func.max(ImageRow.id))) or 0
    return max(highest, connection.scalar(used) or 0) + 1


def _is_idle() -> ColumnElement[bool]:
    """Return whether nobody did anything to an image that could not be read, or was replaced."""
    tagged = exists().where(ImageTagRow.image_id == ImageRow.id, ImageTagRow.origin == "table")
    is_known = ImageRow.content_hash.is_not(None)
    return and_(
        or_(ImageRow.reason.is_not(None), and_(is_known, is_replaced(by="fine"))),
        ImageRow.group_name.is_(None),
        ~tagged,
        *(ImageRow.id.not_in(select(row.image_id)) for row in _DONE),
    )
