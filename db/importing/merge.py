"""An image that turns out to be another one.

So it goes where a file could not be read, or only its embedding was known, and then its picture
comes and is a duplicate; and where two contents show the same picture. What was done to the one was
done to the other: it counts there from now on. The row stays, as an image without content whose
file is missing, until `db.importing.removal` takes it out; what it was merged into stays noted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm import Session

from db.images.locations import ARRIVE
from db.images.pixel_hashes import note_content
from db.images.redirects import PREFIX
from db.images.states import update_states
from db.scores.aggregation import apply_rule, rule_in
from db.store.schema import ImageRow, LocationRow
from db.versions.rounds import update_outcomes

_MOVES = (
    "UPDATE hand_scores SET image_id = :to WHERE image_id = :left",
    "UPDATE skips SET image_id = :to WHERE image_id = :left",
    "UPDATE OR IGNORE round_images SET image_id = :to WHERE image_id = :left",
    "DELETE FROM round_images WHERE image_id = :left",
    "UPDATE OR IGNORE image_tags SET image_id = :to WHERE image_id = :left",
    "DELETE FROM image_tags WHERE image_id = :left",
    """UPDATE images SET group_name = (SELECT group_name FROM images WHERE id = :left)
        WHERE id = :to AND group_name IS NULL""",
    f"INSERT OR REPLACE INTO settings (name, value) VALUES ('{PREFIX}' || :left, :to)",
)
# Before the row goes. Of a version that was trained on both, what it had of the second stays.
_HAND_ON = (
    "UPDATE OR IGNORE version_scores SET image_id = :to WHERE image_id = :left",
    """UPDATE versions SET scored_count = scored_count - 1 WHERE id IN
        (SELECT version_id FROM version_scores WHERE image_id = :left)""",
    "DELETE FROM version_scores WHERE image_id = :left",
    "UPDATE OR IGNORE out_of_fold SET image_id = :to WHERE image_id = :left",
    "DELETE FROM out_of_fold WHERE image_id = :left",
    "UPDATE OR IGNORE locations SET image_id = :to WHERE image_id = :left",
)
_COPY_EMBEDDINGS = """INSERT OR IGNORE INTO embeddings (encoder_id, image_id, vector)
    SELECT encoder_id, :to, vector FROM embeddings WHERE image_id = :left"""


def merge(session: Session, pairs: Sequence[tuple[int, int]]) -> None:
    """Let the scores and predictions of the first image of each pair count for the second."""
    if not pairs:
        return
    connection = session.connection()
    for left, to in pairs:
        _move(connection, left, to)
    update_outcomes(connection)
    apply_rule(session, rule_in(session), {image_id for pair in pairs for image_id in pair})


def _move(connection: Connection, left: int, to: int) -> None:
    for statement in _MOVES:
        # The driver's own names: SQLAlchemy hands them through as they are.
        connection.exec_driver_sql(statement, {"left": left, "to": to})


def copy_embeddings(connection: Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Copy the embeddings of each pair's first image to the second, the same picture."""
    for left, to in pairs:
        connection.exec_driver_sql(_COPY_EMBEDDINGS, {"left": left, "to": to})


def move_references(connection: Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Give all that is left with a merged image to the one that it was merged into."""
    for left, to in pairs:
        for statement in (*_MOVES, *_HAND_ON):
            connection.exec_driver_sql(statement, {"left": left, "to": to})


def absorb(session: Session, pairs: Collection[tuple[int, int]]) -> list[str]:
    """Make the first image of each pair a part of the second: files, contents, scores.

    Returns the contents that were the first ones' own.
    """
    connection = session.connection()
    former = [content for left, to in pairs if (content := _absorb(connection, left, to))]
    merge(session, list(pairs))
    update_states(connection, {image_id for pair in pairs for image_id in pair})
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
