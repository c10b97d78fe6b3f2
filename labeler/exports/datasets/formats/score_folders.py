"""Images in one folder per score, 00 to 10, for programs that read labels from folders."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from labeler.core.progress import Progress
from labeler.exports.datasets.formats.dataset import write_rows
from labeler.exports.datasets.formats.history import write_history
from labeler.exports.datasets.output_folder import ExportFolder, place_images
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import COLUMNS, Dataset, Row

KINDS: dict[str, Any] = {"file_name": str, **COLUMNS}


def write_score_folders(
    dataset: Dataset, folder: ExportFolder, exported: Exported, progress: Progress
) -> None:
    """Write 07_name/…: each image by its score, halves rounded up, and the exact metadata.csv."""
    name = folder_name(dataset)
    placed = place_images(
        dataset, folder, exported, lambda row: f"{rounded(row):02d}_{name}", progress
    )
    rows = [(row.image.id, [place, *row.cells()]) for row, place in placed]
    lines = (cells for _, cells in rows)
    write_rows(folder.path / "metadata.csv", "csv", KINDS, lines, folder.whole)
    ids = np.array([image_id for image_id, _ in rows], dtype=np.int64)
    write_history(dataset, folder.path / "history.csv", folder.whole, ids)


def rounded(row: Row) -> int:
    """Return the score of a scored row, rounded half up to an integer 0–10."""
    score = row.image.hand_score
    assert score is not None
    return math.floor(score + 0.5)


def folder_name(dataset: Dataset) -> str:
    """Return the part of the folders' names after the number."""
    name = dataset.plan.name or dataset.project.folder.name
    return re.sub(r"[^\w-]+", "-", name).strip("-_")[:40] or "score"
