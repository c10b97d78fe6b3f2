"""The embeddings of a dataset's images, with their rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
from db.records import EncoderRecord
from labeler.core.errors import BadInput
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import Dataset, Row

MISSING = "It has no embedding yet; make it with: labeler embed"


def encoder_of(dataset: Dataset) -> EncoderRecord:
    """Return the project's encoder; raises `BadInput` if it has no embeddings yet."""
    record = db.images.embeddings.encoder(dataset.project.store, dataset.project.encoder)
    if record is None:
        raise BadInput("There are no embeddings to export yet; make them with: labeler embed")
    return record


def embedded_rows(
    dataset: Dataset, encoder: EncoderRecord, exported: Exported, batch: int = 1000
) -> Iterator[tuple[list[Row], NDArray[np.float32]]]:
    """Yield rows and their embeddings (B, width) float32, in the dataset's order, B <= `batch`.

    Images without an embedding are added to `exported.left_out`.
    """
    batch = db.images.embeddings.rows_at_once(encoder.width, batch)
    for start in range(0, len(dataset), batch):
        ids = dataset.ids[start : start + batch]
        embedded, vectors = db.images.embeddings.get(dataset.project.store, encoder.id, ids)
        for row in dataset.rows(ids[~np.isin(ids, embedded)]):
            exported.left_out.append((row.image.path, MISSING))
        if len(embedded):
            yield list(dataset.rows(embedded)), vectors
