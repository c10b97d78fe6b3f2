"""Where images come from, and the hand scores that are expected there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Integer, delete, exists, insert, literal_column, select, text, union, update
from sqlalchemy.orm import Session

from db.errors import StoreError
from db.query_parts import wrapping_sum
from db.records import Source, SourceCount
from db.store.schema import ImageCountRow, ImageRow, LocationRow, SourceRow
from db.store.store import Store

Band = tuple[float, float]
_SCORED = "CASE WHEN hand_score >= 0 THEN images END"


def add_source(
    store: Store, name: str, root: str | None = None, expect: Band | None = None
) -> Source:
    """Return the source called `name`, made if needed; a given `expect` (0–10) replaces its old
    one.

    Raises `StoreError` for a band that is no part of 0–10.
    """
    _check(name, expect)
    with store.transaction() as session:
        source_id = session.scalar(select(SourceRow.id).where(SourceRow.name == name))
        if source_id is None:
            made = insert(SourceRow).values(name=name, root=root, created_at=datetime.now(UTC))
            source_id = session.scalar(made.returning(SourceRow.id))
        if expect is not None:
            _expect(session, source_id, expect)
        return _all(session, SourceRow.id == source_id)[0]


def sources(store: Store) -> list[Source]:
    """Return all sources, oldest first."""
    with store.reading() as session:
        return _all(session)


def update_source(store: Store, source_id: int, expect: Band | None) -> Source:
    """Set or (with `None`) clear the expected band; raises `StoreError` as `add_source` does."""
    with store.transaction() as session:
        matches = _all(session, SourceRow.id == source_id)
        if not matches:
            raise StoreError(f"There is no source {source_id}; the sources are on the start page.")
        _check(matches[0].name, expect)
        _expect(session, source_id, expect)
        return _all(session, SourceRow.id == source_id)[0]


def sources_below(store: Store, path: str) -> dict[int, bool]:
    """Return the sources of the present files at or below a path, and whether all theirs lie
    there.
    """
    # By the index of paths: what begins with PATH/ comes before PATH0.
    inside = (LocationRow.path == path) | (
        (LocationRow.path >= f"{path.rstrip('/')}/") & (LocationRow.path < f"{path.rstrip('/')}0")
    )
    present = text("present = 1")
    with store.reading() as session:
        source_ids = session.scalars(
            select(LocationRow.source_id).where(inside, present).distinct()
        )
        return {
            source_id: session.scalar(
                select(LocationRow.id)
                .where(LocationRow.source_id == source_id, present, ~inside)
                .limit(1)
            )
            is None
            for source_id in source_ids.all()
        }


def with_pictures(store: Store) -> set[int]:
    """Return the sources that have images whose files are there and can be read."""
    query = select(ImageCountRow.source_id).where(
        ImageCountRow.state == "fine", ImageCountRow.images > 0
    )
    with store.reading() as session:
        return set(session.scalars(query))


def remove_empty_sources(store: Store) -> int:
    """Remove sources of which there is neither an image nor a file; returns how many.

    Places that files have left don't count, unless something is expected of the source.
    """
    with store.transaction() as session:
        connection = session.connection()
        connection.execute(_LEFT_PLACES)
        # A count of none would keep its source as a row in use.
        connection.execute(delete(ImageCountRow).where(ImageCountRow.images == 0))
        return connection.execute(delete(SourceRow).where(SourceRow.id.not_in(_used()))).rowcount


_EMPTY = select(SourceRow.id).where(
    SourceRow.expect_low.is_(None),
    ~exists().where(ImageRow.source_id == SourceRow.id),
    ~exists().where(LocationRow.source_id == SourceRow.id, LocationRow.present),
)
_LEFT_PLACES = (
    update(LocationRow.__table__)  # type: ignore[arg-type]
    .where(LocationRow.source_id.in_(_EMPTY))
    .values(
        source_id=select(ImageRow.source_id)
        .where(ImageRow.id == LocationRow.image_id)
        .scalar_subquery()
    )
)


def _used() -> Any:
    return union(select(ImageRow.source_id), select(LocationRow.source_id))


def counts_by_source(store: Store) -> list[SourceCount]:
    """Return every source, oldest first; an image in several counts for that of its first
    location.
    """
    with store.reading() as session:
        counted = session.execute(
            select(
                ImageCountRow.source_id,
                literal_column(wrapping_sum("images"), Integer),
                literal_column(wrapping_sum(_SCORED), Integer),
            ).group_by(ImageCountRow.source_id)
        )
        numbers = {source_id: (images, scored or 0) for source_id, images, scored in counted}
        return [SourceCount(s, *numbers.get(s.id, (0, 0))) for s in _all(session)]


def _check(name: str, expect: Band | None) -> None:
    if expect is not None and not 0 <= expect[0] <= expect[1] <= 10:
        raise StoreError(
            f"{expect[0]}:{expect[1]} can't be expected of {name}; give LOW:HIGH within 0:10."
        )


def _expect(session: Session, source_id: int | None, expect: Band | None) -> None:
    low, high = expect if expect is not None else (None, None)
    session.execute(
        update(SourceRow)
        .where(SourceRow.id == source_id)
        .values(expect_low=low, expect_high=high)
        .execution_options(synchronize_session=False)
    )


def _all(session: Session, *conditions: Any) -> list[Source]:
    rows = session.execute(
        select(
            SourceRow.id,
            SourceRow.name,
            SourceRow.root,
            SourceRow.expect_low,
            SourceRow.expect_high,
        )
        .where(*conditions)
        .order_by(SourceRow.id)
    )
    return [Source(*row) for row in rows]
