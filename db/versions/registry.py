"""Trained versions, what they were trained on, and what they predict."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePath

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session, aliased

from db.errors import StoreError
from db.query_parts import NO_SYNC, python_ids, version_id_of
from db.records import FOREIGN, NewVersion, Version
from db.store.schema import EncoderRow, RoundRow, VersionRow, VersionScoreRow
from db.store.store import Store
from db.versions.predictions import keep_out_of_fold

_NAME = re.compile(r"v(\d+)\.(\d+)")


def next_name(store: Store) -> str:
    """v1.0, then the next minor version after the highest one there is."""
    with store.reading() as session:
        names = session.scalars(select(VersionRow.name))
        numbers = [(int(m[1]), int(m[2])) for name in names if (m := _NAME.fullmatch(name))]
    major, minor = max(numbers, default=(1, -1))
    return f"v{major}.{minor + 1}"


def add(store: Store, new: NewVersion, activate: bool = True) -> Version:
    """Keep a version with all that belongs to it, and close the open rounds: it came of them.

    One that was made elsewhere came of none. Raises `StoreError` if the name is taken,
    or the parent or encoder is not known.
    """
    with store.transaction() as session:
        version_id = _insert(session, new)
        scored = zip(python_ids(new.scored_ids), new.scored_values.tolist(), strict=True)
        rows = [
            {"version_id": version_id, "image_id": image_id, "value": float(value)}
            for image_id, value in scored
        ]
        if rows:
            session.execute(insert(VersionScoreRow.__table__), rows)  # type: ignore[arg-type]
        if new.out_of_fold is not None:
            keep_out_of_fold(session, version_id, new.out_of_fold)
        if activate:
            _activate(session, version_id)
        if new.recipe != FOREIGN:
            _close_rounds(session, version_id)
        return _all(session, VersionRow.id == version_id)[0]


def history(store: Store) -> list[Version]:
    """Return all versions, oldest first."""
    with store.reading() as session:
        return _all(session)


def active(store: Store) -> Version | None:
    """Return the version whose predictions are shown, `None` before the first training."""
    with store.reading() as session:
        return next(iter(_all(session, VersionRow.active)), None)


def by_name(store: Store, name: str) -> Version | None:
    """Return the version called `name`, `None` if there is none."""
    with store.reading() as session:
        return next(iter(_all(session, VersionRow.name == name)), None)


def activate(store: Store, name: str) -> Version:
    """Make `name` the active version; raises `StoreError` if there is none of that name."""
    with store.transaction() as session:
        version_id = _existing(session, name)
        _activate(session, version_id)
        return _all(session, VersionRow.id == version_id)[0]


def set_note(store: Store, name: str, note: str) -> None:
    """Replace the version's note; raises `StoreError` if there is none of that name."""
    with store.transaction() as session:
        version_id = _existing(session, name)
        session.execute(
            update(VersionRow).where(VersionRow.id == version_id).values(note=note),
            execution_options=NO_SYNC,
        )


def _close_rounds(session: Session, version_id: int) -> None:
    session.execute(
        update(RoundRow)
        .where(RoundRow.finished_at.is_(None))
        .values(finished_at=datetime.now(UTC), to_version_id=version_id),
        execution_options=NO_SYNC,
    )


def _insert(session: Session, new: NewVersion) -> int:
    if version_id_of(session, new.name) is not None:
        raise StoreError(f"There is a version {new.name} already; train again under a new name.")
    encoder_id = session.scalar(select(EncoderRow.id).where(EncoderRow.identity == new.encoder))
    if encoder_id is None:
        raise StoreError(f"No image was embedded with {new.encoder} yet; run: labeler embed")
    parent_id = None if new.parent is None else _existing(session, new.parent)
    values = {
        "name": new.name,
        "parent_id": parent_id,
        "encoder_id": encoder_id,
        "recipe": new.recipe,
        "settings": new.settings,
        "threshold": float(new.threshold),
        "note": new.note,
        "metrics": new.metrics,
        "curve": new.curve,
        "file": new.file,
        "active": False,
        "scored_count": len(new.scored_ids),
        "created_at": datetime.now(UTC),
    }
    made = insert(VersionRow).values(values).returning(VersionRow.id)
    return session.execute(made).scalar_one()


def _existing(session: Session, name: str) -> int:
    version_id = version_id_of(session, name)
    if version_id is None:
        raise StoreError(f"There is no version {name}; list them with: labeler versions")
    return version_id


def _activate(session: Session, version_id: int) -> None:
    for statement in (
        update(VersionRow).where(VersionRow.active).values(active=False),
        update(VersionRow).where(VersionRow.id == version_id).values(active=True),
    ):
        session.execute(statement, execution_options=NO_SYNC)


def _all(session: Session, *conditions: object) -> list[Version]:
    parent = aliased(VersionRow)
    own = {
        name: getattr(VersionRow, name)
        for name in Version.__slots__
        if name not in ("parent", "encoder")
    }
    joined = {"parent": parent.name, "encoder": EncoderRow.identity}
    columns = own | joined
    query = (
        select(*(columns[name].label(name) for name in Version.__slots__))
        .join(EncoderRow, EncoderRow.id == VersionRow.encoder_id)
        .outerjoin(parent, parent.id == VersionRow.parent_id)
        .where(*conditions)  # type: ignore[arg-type]
        .order_by(VersionRow.id)
    )
    versions = [Version(*row) for row in session.execute(query)]
    # A file among the models: a store that somebody else has made may say otherwise.
    return [replace(each, file=PurePath(each.file).name) for each in versions]
