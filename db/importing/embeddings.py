"""Embeddings that come with names of images, many at once: each finds its image, or brings one.

An image known by its embedding alone has no content and the state missing: it is predicted, and
becomes a picture like any other when its file is imported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Connection, select

from db.images.embeddings import VECTOR
from db.images.locations import ids_at
from db.importing.removal import next_image_id
from db.query_parts import is_in
from db.store.column_types import UtcTime
from db.store.schema import EmbeddingRow
from db.store.store import Store

# One statement for all rows: by the triggers that count images, each of many would begin with a
# copy of every page that it changes.
_ADD_IMAGES = """INSERT INTO images (id, size_bytes, state, source_id, shuffle, created_at)
    SELECT ? + key, 0, 'missing', ?, random() >> 33 & 0x7fffffff, ? FROM json_each(?)"""
_ADD_LOCATIONS = """INSERT INTO locations
    (image_id, source_id, path, mtime_ns, size_bytes, present)
    SELECT ? + key, ?, value, 0, 0, 0 FROM json_each(?)"""
# One that is replaced gets a new number: `db.images.embeddings` tells that it has come.
_ADD_EMBEDDING = "INSERT OR REPLACE INTO embeddings (encoder_id, image_id, vector) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class ImportedEmbeddings:
    """What became of some rows: `ids` (n,) are their images.

    `images` came with them, `embedded` got their embedding, the other rows found one there.
    """

    ids: np.ndarray
    images: int
    embedded: int


def import_embeddings(
    store: Store,
    encoder_id: int,
    source_id: int,
    paths: Sequence[str],
    vectors: np.ndarray,
    *,
    known: Sequence[int | None] = (),
    replace: bool = False,
) -> ImportedEmbeddings:
    """Keep `vectors` (n, width), finite and by that encoder, for the images at `paths` (n), in one
    transaction.

    `known` (n) are images that are known otherwise. A path that the store doesn't know becomes an
    image of that source. An embedding kept before stays unless `replace`; of two rows of one image
    the first counts, or with `replace` the last.
    """
    rows = np.ascontiguousarray(vectors, dtype=VECTOR)
    with store.transaction() as session:
        connection = session.connection()
        image_at = ids_at(connection, paths)
        for path, image_id in zip(paths, known, strict=False):
            if image_id is not None:
                image_at[path] = image_id
        fresh = [path for path in dict.fromkeys(paths) if path not in image_at]
        older = len(image_at)
        image_at |= zip(fresh, _add_images(connection, source_id, fresh), strict=True)
        ids = [image_at[path] for path in paths]
        place_of = dict(zip(ids, range(len(ids)), strict=True))  # the last row of each image
        if not replace:
            place_of = dict(zip(reversed(ids), reversed(range(len(ids))), strict=True))
            for image_id in _embedded(connection, encoder_id, ids) if older else ():
                del place_of[image_id]
        _add_embeddings(connection, encoder_id, place_of, rows)
    return ImportedEmbeddings(np.array(ids, dtype=np.int64), len(fresh), len(place_of))


def _embedded(connection: Connection, encoder_id: int, ids: Sequence[int]) -> Sequence[int]:
    query = select(EmbeddingRow.image_id).where(
        EmbeddingRow.encoder_id == encoder_id, is_in(EmbeddingRow.image_id, set(ids))
    )
    return connection.scalars(query).all()


def _add_images(connection: Connection, source_id: int, paths: Sequence[str]) -> range:
    """Return their ids."""
    first = next_image_id(connection)
    ids = range(first, first + len(paths))
    if paths:
        listed = json.dumps(list(paths))
        now = UtcTime().process_bind_param(datetime.now(UTC), None)
        connection.exec_driver_sql(_ADD_IMAGES, (first, source_id, now, listed))
        connection.exec_driver_sql(_ADD_LOCATIONS, (first, source_id, listed))
    return ids


def _add_embeddings(
    connection: Connection, encoder_id: int, place_of: dict[int, int], rows: np.ndarray
) -> None:
    """Those of rows (n, width) that `place_of` names, by rising image id: quickest to index."""
    if place_of:
        values = [(encoder_id, i, rows[place].data) for i, place in sorted(place_of.items())]
        connection.exec_driver_sql(_ADD_EMBEDDING, values)
