"""An image that turns out to be another one.

So it goes where a file could not be read, or only its embedding was known, and then its picture
comes and is a duplicate; and where two contents show the same picture. What was done to the one was
done to the other: it counts there from now on. The row stays, as an image without content whose
file is missing, for versions that were trained on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Integer, Text, cast, select
from sqlalchemy.orm import Session

from db.records import Event
from db.rounds import tell_outcomes
from db.rows import is_among
from db.rules import apply_rule, rule_in
from db.schema import ImageRow, SettingRow
from db.states import is_here

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
    noted = _NOTED + cast(ImageRow.id, Text)
    query = (
        select(ImageRow.id, cast(SettingRow.value, Integer))
        .join(SettingRow, SettingRow.name == noted)
        .where(is_among(ImageRow.id, image_ids), ImageRow.content_hash.is_(None), ~is_here())
    )
    return dict(session.execute(query).all())
