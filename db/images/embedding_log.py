"""Embeddings in the order in which they were kept: what came since, for what is made from them."""

from __future__ import annotations

import numpy as np
from sqlalchemy import func, select

from db.images.embeddings import VECTOR, rows_at_once
from db.query_parts import id_array, packed, plain_rows
from db.store.schema import EmbeddingRow, EncoderRow
from db.store.store import Store


def newest(store: Store) -> int:
    """The number of the last embedding that was kept, by any encoder; 0 before there is one.

    It grows whenever one is added or replaced.
    """
    with store.reading() as session:
        return session.scalar(select(func.max(EmbeddingRow.id))) or 0


def kept_since(
    store: Store, encoder_id: int, after: int, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The next embeddings of one encoder behind the number `after`, at most `limit`,
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
        rows = plain_rows(session, query.limit(rows_at_once(width or 1, limit)))
    joined = b"".join(row[2] for row in rows)
    width = len(rows[0][2]) // VECTOR.itemsize if rows else 0
    vectors = packed(joined, len(rows), width, VECTOR)
    return id_array([row[0] for row in rows]), id_array([row[1] for row in rows]), vectors
