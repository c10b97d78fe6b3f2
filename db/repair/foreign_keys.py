"""Rows that refer to rows that are not there, and what can be done about them.

The store itself lets none come about. Damage does, and so does reading what is left after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from db.store.schema import Base

# Where a reference can't be left out, the row goes; but never a hand score, nor what is worth more
# than the reference. These come by themselves again, or say nothing without what is gone.
# Embeddings without their encoder stay, for a backup's sake: some can't be made again.
_MAY_GO = frozenset(
    {
        *("image_counts", "image_tags", "image_pixels", "other_contents"),
        *("locations", "draws", "repeats", "confirmations"),
        *("skips", "round_images", "rounds"),
        *("embeddings", "predictions", "out_of_fold", "version_scores"),
    }
)
_ROUNDS = 5  # what goes may have been referred to


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that refers to the rows of another table by their id."""

    table: str
    column: str
    to: str
    optional: bool

    @property
    def lost(self) -> str:
        """SQL: the condition of a row whose reference leads nowhere."""
        there = f"SELECT 1 FROM {self.to} AS other WHERE other.id = {self.table}.{self.column}"
        return f"{self.column} IS NOT NULL AND NOT EXISTS ({there})"


def references() -> Iterator[Reference]:
    """Yield all that the tables have, parents first."""
    for table in Base.metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda each: each.parent.name):
            to = key.column.table.name
            yield Reference(table.name, key.parent.name, to, bool(key.parent.nullable))


def dangling(connection: Connection) -> dict[Reference, int]:
    """Return how many rows have each reference that leads nowhere; those that have none are no
    key.
    """
    counted = {
        each: connection.exec_driver_sql(f"SELECT count(*) FROM {each.table} WHERE {each.lost}")
        for each in references()
    }
    return {each: number for each, result in counted.items() if (number := result.scalar_one())}


def repair(connection: Connection, folder: Path) -> None:
    """Have every reference lead somewhere again, without losing a hand score.

    An image that is gone but was scored comes back as one whose file is missing, below `folder`
    unless it is known where it lay; a source comes back without its name. Versions whose encoder
    is gone stay as they are.
    """
    # What refers is mended only once all of it is: SQLite looks at the end of the transaction.
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    for _ in range(_ROUNDS):
        lost = dangling(connection)
        # What was scored comes back first: its files then belong to something again.
        for each in sorted(lost, key=lambda one: (one.to != "sources", one.table != "hand_scores")):
            _repair(connection, each)
        if not lost:
            break
    give_places(connection, folder)


def _repair(connection: Connection, each: Reference) -> None:
    if each.to == "sources":
        _bring_back_sources(connection, each)
    elif each.table == "hand_scores" and each.to == "images":
        _bring_back_images(connection)
    elif each.optional:
        connection.exec_driver_sql(
            f"UPDATE {each.table} SET {each.column} = NULL WHERE {each.lost}"
        )
    elif each.table in _MAY_GO and each.to != "encoders":
        connection.exec_driver_sql(f"DELETE FROM {each.table} WHERE {each.lost}")


def _bring_back_sources(connection: Connection, each: Reference) -> None:
    connection.exec_driver_sql(
        "INSERT INTO sources (id, name, created_at)"
        f" SELECT DISTINCT {each.column}, 'lost source ' || {each.column},"
        " strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')"
        f" FROM {each.table} WHERE {each.lost}"
    )


def _bring_back_images(connection: Connection) -> None:
    """An image of no known content becomes its file again when that is imported
    (db/importing/files.py).
    """
    connection.exec_driver_sql(
        "INSERT INTO sources (name, created_at) SELECT 'lost',"
        " strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now') WHERE NOT EXISTS (SELECT 1 FROM sources)"
    )
    connection.exec_driver_sql(
        "INSERT INTO images (id, size_bytes, state, source_id, shuffle, created_at)"
        " SELECT image_id, 0, 'missing', coalesce((SELECT source_id FROM locations AS place"
        " WHERE place.image_id = lost.image_id ORDER BY present DESC, id LIMIT 1),"
        " (SELECT min(id) FROM sources)), random() >> 33 & 0x7fffffff,"
        " strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now') FROM"
        " (SELECT DISTINCT image_id FROM hand_scores WHERE NOT EXISTS"
        " (SELECT 1 FROM images WHERE images.id = hand_scores.image_id)) AS lost"
    )
    # Seen again at its place it is that image; until then it is missing. Where it lay before that
    # another picture may be by now.
    lost = "(SELECT id FROM images WHERE state = 'missing' AND content_hash IS NULL)"
    here = "(SELECT image_id FROM locations WHERE present = 1)"
    for statement in (
        f"DELETE FROM locations WHERE present = 0 AND image_id IN {lost} AND image_id IN {here}",
        f"UPDATE locations SET present = 0 WHERE present = 1 AND image_id IN {lost}",
    ):
        connection.exec_driver_sql(statement)


def give_places(connection: Connection, folder: Path) -> None:
    """Give each image without a location one below `folder`, where no file is."""
    connection.exec_driver_sql(
        "INSERT INTO locations (image_id, source_id, path, mtime_ns, size_bytes, present)"
        " SELECT id, source_id, ? || '/' || id, 0, 0, 0 FROM images"
        " WHERE NOT EXISTS (SELECT 1 FROM locations WHERE image_id = images.id)",
        (str(folder / "lost images"),),
    )
