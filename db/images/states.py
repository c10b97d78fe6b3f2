"""State and source of images, which follow from the files that hold them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, case, exists, func, select, update
from sqlalchemy.orm import aliased

from db.query_parts import Query, is_in, of_first_location
from db.store.schema import ImageRow, LocationRow
from db.store.store import Store


def has_file() -> ColumnElement[bool]:
    """Return whether a file of the image is there."""
    here = exists().where(LocationRow.image_id == ImageRow.id, LocationRow.present)
    return here.correlate(ImageRow)


def is_replaced(by: str | None = None) -> ColumnElement[bool]:
    """Return whether every place of the image holds another one now, of state `by` if that is
    given.
    """
    place, now, other = aliased(LocationRow), aliased(LocationRow), aliased(ImageRow)
    taken = exists().where(now.path == place.path, now.present, now.image_id != ImageRow.id)
    if by is not None:
        taken = taken.where(other.id == now.image_id, other.state == by)
    places = exists().where(place.image_id == ImageRow.id)
    left = places.where(~taken.correlate(place, ImageRow)).correlate(ImageRow)
    return places.correlate(ImageRow) & ~left


def update_states(connection: Connection, image_ids: Iterable[int]) -> None:
    """Make state and source of these images follow from their locations and reason."""
    source = of_first_location(LocationRow.source_id)
    settled = update(ImageRow).where(is_in(ImageRow.id, image_ids))
    connection.execute(settled.values(state=_state(), source_id=source))


def update_all_states(connection: Connection) -> None:
    """Make them follow for every image; one that never had a file keeps its source."""
    source = func.coalesce(of_first_location(LocationRow.source_id), ImageRow.source_id)
    odd = update(ImageRow).where(ImageRow.id.in_(ids_with_wrong_state()))
    connection.execute(odd.values(state=_state(), source_id=source))


def ids_with_wrong_state() -> Query:
    """Select the ids of images whose state or source is another than their files tell."""
    source = of_first_location(LocationRow.source_id)
    return select(ImageRow.id).where((ImageRow.state != _state()) | (ImageRow.source_id != source))


def _state() -> ColumnElement[str]:
    unreadable = ImageRow.reason.is_not(None)
    return case((~has_file(), "missing"), (unreadable, "unreadable"), else_="fine")


def missing_ids(store: Store) -> set[int]:
    """Return the images that are missing, and whose files may lie elsewhere."""
    query = select(ImageRow.id).where(ImageRow.state == "missing", ~is_replaced())
    with store.reading() as session:
        return set(session.scalars(query))


def count_replaced(store: Store) -> int:
    """Return how many missing images there are whose files hold something else now."""
    query = select(func.count()).where(ImageRow.state == "missing", is_replaced())
    with store.reading() as session:
        return session.scalars(query.select_from(ImageRow)).one()
