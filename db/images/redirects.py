"""Images that were merged into another: which image stands for which by now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Integer, cast, select
from sqlalchemy.orm import Session

from db.images.states import has_file
from db.query_parts import is_in
from db.records import Event
from db.store.schema import ImageRow, SettingRow

# In the settings, for there are few: merged:IMAGE holds the id of what it was merged into.
PREFIX = "merged:"
_LONGEST_CHAIN = 10  # of images each merged into the next; nobody merges in circles


def merged_images(connection: Connection) -> dict[int, int]:
    """Return every merged image whose row is still there, and the one that it is a part of by
    now.
    """
    rows_noted = connection.execute(
        select(SettingRow.name, cast(SettingRow.value, Integer)).where(
            SettingRow.name.startswith(PREFIX)
        )
    ).all()
    direct = {int(name.removeprefix(PREFIX)): to for name, to in rows_noted}
    targets = {}
    for left, first in direct.items():
        to = first
        for _ in range(_LONGEST_CHAIN):
            to = direct.get(to, to)
        targets[left] = to
    there = select(ImageRow.id, ImageRow.content_hash).where(
        is_in(ImageRow.id, {*targets, *targets.values()})
    )
    rows = dict(connection.execute(there).all())
    return {
        left: to for left, to in targets.items() if left in rows and not rows[left] and to in rows
    }


def redirect_events(session: Session, events: Sequence[Event]) -> list[Event]:
    """Return the events, those about an image that was merged into another now about that one.

    A page that was open meanwhile still sends what it knows.
    """
    events = list(events)
    for _ in range(_LONGEST_CHAIN):
        merged_images = _merged_into(session, {int(event.image_id) for event in events})
        if not merged_images:
            break
        events = [_moved(event, merged_images) for event in events]
    return events


def _moved(event: Event, merged_images: dict[int, int]) -> Event:
    to = merged_images.get(int(event.image_id))
    return event if to is None else replace(event, image_id=to)


def _merged_into(session: Session, image_ids: Iterable[int]) -> dict[int, int]:
    """Return which of these images, of which there is still no file, were merged into which."""
    names = {f"{PREFIX}{image_id}" for image_id in image_ids}
    query = select(SettingRow.name, cast(SettingRow.value, Integer)).where(
        is_in(SettingRow.name, names)
    )
    targets = {int(name.removeprefix(PREFIX)): to for name, to in session.execute(query)}
    if not targets:
        return {}
    back = select(ImageRow.id).where(
        is_in(ImageRow.id, targets), ImageRow.content_hash.is_not(None) | has_file()
    )
    for image_id in session.scalars(back):
        del targets[image_id]
    return targets
