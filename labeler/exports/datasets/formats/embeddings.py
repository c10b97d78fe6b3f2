"""The raw embeddings of a dataset's images, each with its row."""

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
    """The project's encoder; raises `BadInput` before anything was embedded with it."""
    known = db.images.embeddings.encoder(dataset.project.store, dataset.project.encoder)
    if known is None:
        raise BadInput("There are no embeddings to export yet; make them with: labeler embed")
    return known


def embedded_rows(
    dataset: Dataset, encoder: EncoderRecord, exported: Exported, batch: int = 1000
) -> Iterator[tuple[list[Row], NDArray[np.float32]]]:
    """Rows and their embeddings (b, width), at most `batch` at a time, in the dataset's order.

    Images without one are in `exported.left_out`.
    """
    batch = db.images.embeddings.rows_at_once(encoder.width, batch)
    for start in range(0, len(dataset), batch):
        wanted = dataset.ids[start : start + batch]
        found, vectors = db.images.embeddings.get(dataset.project.store, encoder.id, wanted)
        for row in dataset.rows(wanted[~np.isin(wanted, found)]):
            exported.left_out.append((row.image.path, MISSING))
        if len(found):
            yield list(dataset.rows(found)), vectors
