"""Write every hand score as a separate table, for formats that can't nest it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import db.images.lookup
import db.scores.hand_scores
from labeler.core.files.tables import Whole, growing_table
from labeler.exports.datasets.rows import BATCH, HISTORY, Dataset, Ids, event_cells

COLUMNS: dict[str, Any] = {"hash": str, "path": str, **HISTORY}


def write_history(dataset: Dataset, file: Path, whole: Whole, only: Ids | None = None) -> None:
    """Write a CSV file with a line for each hand score of the images, or of the ids in `only`."""
    ids = dataset.ids if only is None else only
    with growing_table(file, COLUMNS, "csv", whole) as write:
        for start in range(0, len(ids), BATCH):
            write(_lines(dataset, ids[start : start + BATCH]))


def _lines(dataset: Dataset, ids: Ids) -> Iterator[list[Any]]:
    scores = db.scores.hand_scores.histories(dataset.project.store, ids)
    scored = sorted({one.image_id for one in scores})
    images = {each.id: each for each in db.images.lookup.by_ids(dataset.project.store, scored)}
    for one in scores:
        image = images[one.image_id]
        yield [image.content_hash, image.path, *event_cells(one)]
