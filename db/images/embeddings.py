"""Raw embeddings per image and encoder; ids travel with vectors, encoders never mix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, exists, func, insert, select, update
from sqlalchemy.orm import Session

from db.errors import StoreError
from db.query_parts import (
    Ids,
    concatenated_columns,
    driver_rows,
    first_path,
    id_array,
    is_in,
    numbers,
    packed,
    python_ids,
)
from db.records import EncoderRecord
from db.store.schema import EmbeddingRow, EncoderRow, ImageRow
from db.store.store import Store

VECTOR = np.dtype("<f4")
# Embeddings that are read at once, and their bytes: SQLite puts them together, and copies are made.
_PIECE, _PIECE_BYTES = 8192, 64 << 20


def register_encoder(
    store: Store, identity: str, width: int, normalised: bool, preprocessing: dict[str, Any]
) -> EncoderRecord:
    """Return the encoder of that identity, kept if it is new.

    `preprocessing` is empty where embeddings come from elsewhere and nobody tells it; the first who
    tells it is believed. Raises `StoreError` if its embeddings were made in another way: they must
    never meet.
    """
    # Kept as JSON, where a tuple becomes a list: compared as it will be read back.
    preprocessing = json.loads(json.dumps(preprocessing))
    existing = encoder(store, identity)
    if existing == EncoderRecord(
        existing.id if existing else 0, identity, width, normalised, preprocessing
    ):
        return existing  # Nothing to write, and where that can't be done no need to.
    with store.transaction() as session:
        existing = _encoder(session, EncoderRow.identity == identity)
        if existing is None:
            session.execute(
                insert(EncoderRow).values(
                    identity=identity,
                    width=int(width),
                    normalised=bool(normalised),
                    preprocessing=preprocessing,
                    created_at=datetime.now(UTC),
                )
            )
            existing = _encoder(session, EncoderRow.identity == identity)
            assert existing is not None
        if preprocessing and not existing.preprocessing:
            existing = replace(existing, preprocessing=preprocessing)
            row = update(EncoderRow).where(EncoderRow.id == existing.id)
            session.execute(row.values(preprocessing=preprocessing))
        if (existing.width, existing.normalised) != (width, normalised) or (
            preprocessing and existing.preprocessing != preprocessing
        ):
            raise StoreError(
                f"{identity} now gives {_described(width, normalised, preprocessing)}, but the "
                f"stored embeddings of {existing.identity} are "
                f"{_described(existing.width, existing.normalised, existing.preprocessing)}; they "
                "can't be mixed: make a project with another encoder name."
            )
        return existing


def encoder(store: Store, identity: str) -> EncoderRecord | None:
    """Return the encoder of that identity, `None` before anything was embedded with it."""
    with store.reading() as session:
        return _encoder(session, EncoderRow.identity == identity)


def encoders(store: Store) -> list[EncoderRecord]:
    """Return all whose embeddings may be kept, the first one first."""
    with store.reading() as session:
        identities = session.scalars(select(EncoderRow.identity).order_by(EncoderRow.id)).all()
    return [record for each in identities if (record := encoder(store, each)) is not None]


def missing(store: Store, encoder_id: int, *, only: Ids | None = None) -> list[tuple[int, str]]:
    """Return id and path of every fine image (of `only` these) that has no embedding yet, by id."""
    embedded = exists().where(
        EmbeddingRow.encoder_id == encoder_id, EmbeddingRow.image_id == ImageRow.id
    )
    query = select(ImageRow.id, first_path()).where(
        ImageRow.state == "fine", ~embedded.correlate(ImageRow)
    )
    if only is not None:
        query = query.where(is_in(ImageRow.id, python_ids(only)))
    with store.reading() as session:
        return [(image_id, path) for image_id, path in session.execute(query.order_by(ImageRow.id))]


def put(store: Store, encoder_id: int, ids: Ids, vectors: np.ndarray) -> None:
    """Keep the raw embeddings `vectors` (n, width) of `ids` (n); one kept before is replaced.

    Raises `StoreError`, and keeps none of them, on another shape or a value that is not finite.
    """
    image_ids = python_ids(ids)
    with store.transaction() as session:
        known = _encoder(session, EncoderRow.id == encoder_id)
        if known is None:
            raise StoreError(f"There is no encoder {encoder_id}; register it first.")
        rows = _checked(known, image_ids, vectors)
        # One that is replaced gets a new number: `db.images.embeddings` tells that it has come.
        statement = insert(EmbeddingRow.__table__).prefix_with("OR REPLACE")  # type: ignore[arg-type]
        if image_ids:
            session.execute(
                statement,
                [
                    {"encoder_id": encoder_id, "image_id": image_id, "vector": row.tobytes()}
                    for image_id, row in zip(image_ids, rows, strict=True)
                ],
            )


def get(store: Store, encoder_id: int, ids: Ids) -> tuple[np.ndarray, np.ndarray]:
    """Return ids (n,) int64 and embeddings (n, width) float32 of those `ids` that have one, in
    order.

    Quickest where `ids` are one stretch, with few others between them: such are read as they lie.
    """
    requested = id_array(python_ids(ids))
    rising = np.unique(requested)
    with store.reading() as session:
        width = _width(session, encoder_id)
        size = rows_at_once(width)
        pieces = [rising[start : start + size] for start in range(0, len(rising), size)]
        read = [_read(session, encoder_id, width, _among(piece)) for piece in pieces]
    present, vectors = _joined(read, width)
    positions = np.searchsorted(present, requested)
    exists = positions < len(present)
    exists[exists] = present[positions[exists]] == requested[exists]
    positions = positions[exists]
    if np.array_equal(positions, np.arange(len(present))):
        return present, vectors
    return present[positions], vectors[positions]


def rows_at_once(width: int, most: int = _PIECE) -> int:
    """Return how many embeddings of that width are read in one piece: `most`, of wide ones
    fewer.
    """
    return max(1, min(most, _PIECE_BYTES // (VECTOR.itemsize * max(width, 1))))


def count(store: Store, encoder_id: int) -> int:
    """Return how many images have an embedding by this encoder."""
    query = select(func.count()).where(EmbeddingRow.encoder_id == encoder_id)
    with store.reading() as session:
        return session.scalars(query).one()


def _encoder(session: Session, condition: Any) -> EncoderRecord | None:
    row = session.execute(
        select(
            EncoderRow.id,
            EncoderRow.identity,
            EncoderRow.width,
            EncoderRow.normalised,
            EncoderRow.preprocessing,
        ).where(condition)
    ).first()
    return None if row is None else EncoderRecord(*row)


def _described(width: int, normalised: bool, preprocessing: dict[str, Any]) -> str:
    kind = "normalised" if normalised else "raw"
    return f"{width} {kind} values with preprocessing {json.dumps(preprocessing, sort_keys=True)}"


def _checked(known: EncoderRecord, image_ids: list[int], vectors: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(vectors, dtype=VECTOR)
    if rows.shape != (len(image_ids), known.width):
        raise StoreError(
            f"{known.identity} gives {known.width} values for each image, but an array of shape "
            f"{rows.shape} came for {len(image_ids)} images; nothing of it was kept."
        )
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise StoreError(
            f"{known.identity} gave values that are not finite for image "
            f"{image_ids[int(np.argmin(finite))]}; try again in float32."
        )
    return rows


def _width(session: Session, encoder_id: int) -> int:
    return session.scalar(select(EncoderRow.width).where(EncoderRow.id == encoder_id)) or 0


def _among(ids: np.ndarray) -> ColumnElement[bool]:
    """Of rising image ids (n,), n > 0. Those that lie close together are all between the ends: next
    to each other in the index, where those of a list are looked up one by one.
    """
    first, last = int(ids[0]), int(ids[-1])
    if last - first < 2 * len(ids):
        return EmbeddingRow.image_id.between(first, last)
    return is_in(EmbeddingRow.image_id, ids.tolist())


def _read(
    session: Session, encoder_id: int, width: int, among: ColumnElement[bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Return ids (n,) and embeddings (n, width) of images `among` which, by rising id.

    SQLite itself puts them together: other threads go on while it reads.
    """
    query = (
        select(EmbeddingRow.image_id, EmbeddingRow.vector)
        .where(EmbeddingRow.encoder_id == encoder_id, among)
        .order_by(EmbeddingRow.image_id)
    )
    listed, vectors = concatenated_columns(session, query)
    ids = numbers(listed, np.int64)
    return ids, packed(vectors, len(ids), width, VECTOR)


def _joined(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], width: int
) -> tuple[np.ndarray, np.ndarray]:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return np.empty(0, dtype=np.int64), np.empty((0, width), dtype=VECTOR)
    ids, vectors = zip(*parts, strict=True)
    return np.concatenate(ids), np.concatenate(vectors)


def newest_row_id(store: Store) -> int:
    """Return the number of the last embedding that was kept, by any encoder; 0 before there is one.

    It grows whenever one is added or replaced.
    """
    with store.reading() as session:
        return session.scalar(select(func.max(EmbeddingRow.id))) or 0


def added_since(
    store: Store, encoder_id: int, after: int, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the next embeddings of one encoder behind the number `after`, at most `limit`,
    of wide ones fewer.

    Their numbers (n,) int64, rising, image ids (n,) int64, and vectors (n, width) float32.
    """
    # The sum keeps SQLite from going through the encoder's index, which is in another order.
    its_own = EmbeddingRow.encoder_id + 0 == encoder_id
    query = (
        select(EmbeddingRow.id, EmbeddingRow.image_id, EmbeddingRow.vector)
        .where(EmbeddingRow.id > after, its_own)
        .order_by(EmbeddingRow.id)
    )
    with store.reading() as session:
        width = session.scalar(select(EncoderRow.width).where(EncoderRow.id == encoder_id))
        rows = driver_rows(session, query.limit(rows_at_once(width or 1, limit)))
    joined = b"".join(row[2] for row in rows)
    width = len(rows[0][2]) // VECTOR.itemsize if rows else 0
    vectors = packed(joined, len(rows), width, VECTOR)
    return id_array([row[0] for row in rows]), id_array([row[1] for row in rows]), vectors
