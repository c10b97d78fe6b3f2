"""An image that turns out to be another one.

So it goes where a file could not be read, or only its embedding was known, and then its picture
comes and is a duplicate; and where two contents show the same picture. What was done to the one was
done to the other: it counts there from now on. The row stays, as an image without content whose
file is missing, until `db.images.removal` takes it out; what it was merged into stays noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Integer, cast, select
from sqlalchemy.orm import Session

from db.images.states import is_here
from db.query_parts import is_among
from db.records import Event
from db.scores.aggregation import apply_rule, rule_in
from db.store.schema import ImageRow, SettingRow
from db.versions.rounds import tell_outcomes

# In the settings, for there are few: merged:IMAGE holds the id of what it was merged into.
_NOTED = "merged:"
_LONGEST_CHAIN = 10  # of images each merged into the next; nobody merges in circles
_MOVES = (
    "UPDATE hand_scores SET image_id = :to WHERE image_id = :left",
    "UPDATE skips SET image_id = :to WHERE image_id = :left",
    "UPDATE OR IGNORE round_images SET image_id = :to WHERE image_id = :left",
    "DELETE FROM round_images WHERE image_id = :left",
    "UPDATE OR IGNORE image_tags SET image_id = :to WHERE image_id = :left",
    "DELETE FROM image_tags WHERE image_id = :left",
    """UPDATE images SET group_name = (SELECT group_name FROM images WHERE id = :left)
        WHERE id = :to AND group_name IS NULL""",
    f"INSERT OR REPLACE INTO settings (name, value) VALUES ('{_NOTED}' || :left, :to)",
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
    """Of each pair of images, have what was done to the first count for the second."""
    if not pairs:
        return
    connection = session.connection()
    for left, to in pairs:
        _move(connection, left, to)
    tell_outcomes(connection)
    apply_rule(session, rule_in(session), {image_id for pair in pairs for image_id in pair})


def _move(connection: Connection, left: int, to: int) -> None:
    for statement in _MOVES:
        # The driver's own names: SQLAlchemy hands them through as they are.
        connection.exec_driver_sql(statement, {"left": left, "to": to})


def copy_embeddings(connection: Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Of each pair of images that are one picture, have the second the embeddings of the first."""
    for left, to in pairs:
        connection.exec_driver_sql(_COPY_EMBEDDINGS, {"left": left, "to": to})


def hand_on(connection: Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Give all that is left with a merged image to the one that it was merged into."""
    for left, to in pairs:
        for statement in (*_MOVES, *_HAND_ON):
            connection.exec_driver_sql(statement, {"left": left, "to": to})


def became(connection: Connection) -> dict[int, int]:
    """Every merged image whose row is still there, and the one that it is a part of by now."""
    noted = connection.execute(
        select(SettingRow.name, cast(SettingRow.value, Integer)).where(
            SettingRow.name.startswith(_NOTED)
        )
    ).all()
    into = {int(name.removeprefix(_NOTED)): to for name, to in noted}
    found = {}
    for left, first in into.items():
        to = first
        for _ in range(_LONGEST_CHAIN):
            to = into.get(to, to)
        found[left] = to
    there = select(ImageRow.id, ImageRow.content_hash).where(
        is_among(ImageRow.id, {*found, *found.values()})
    )
    rows = dict(connection.execute(there).all())
    return {
        left: to for left, to in found.items() if left in rows and not rows[left] and to in rows
    }


def as_merged(session: Session, events: Sequence[Event]) -> list[Event]:
    """The events, those about an image that was merged into another now about that one.

    A page that was open meanwhile still sends what it knows.
    """
    events = list(events)
    for _ in range(_LONGEST_CHAIN):
        became = _became(session, {int(event.image_id) for event in events})
        if not became:
            break
        events = [_moved(event, became) for event in events]
    return events


def _moved(event: Event, became: dict[int, int]) -> Event:
    to = became.get(int(event.image_id))
    return event if to is None else replace(event, image_id=to)


def _became(session: Session, image_ids: Iterable[int]) -> dict[int, int]:
    """Which of these images, of which there is still no file, were merged into which."""
    wanted = {f"{_NOTED}{image_id}" for image_id in image_ids}
    query = select(SettingRow.name, cast(SettingRow.value, Integer)).where(
        is_among(SettingRow.name, wanted)
    )
    noted = {int(name.removeprefix(_NOTED)): to for name, to in session.execute(query)}
    if not noted:
        return {}
    back = select(ImageRow.id).where(
        is_among(ImageRow.id, noted), ImageRow.content_hash.is_not(None) | is_here()
    )
    for image_id in session.scalars(back):
        del noted[image_id]
    return noted
