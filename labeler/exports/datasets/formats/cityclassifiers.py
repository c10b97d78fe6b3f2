"""CityClassifiers: the raw embedding of each scored image as a file, in a folder per score.

Its trainer reads data/CLIP/{score}_{name}/*.npy, float32 (1, width), and predicts
data/CLIP/test.npy as it goes. It rescales what it finds: the lowest score that has a folder becomes
0, the highest 1.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.records import EncoderRecord
from labeler.core.errors import BadInput
from labeler.core.progress import Progress
from labeler.exports.datasets.formats.dataset import write_rows
from labeler.exports.datasets.formats.embeddings import embedded_rows, encoder_of
from labeler.exports.datasets.formats.history import write_history
from labeler.exports.datasets.formats.score_folders import folder_name, rounded
from labeler.exports.datasets.image_files import file_name
from labeler.exports.datasets.output_folder import ExportFolder
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import COLUMNS, Dataset, Row
from model.encoders.names import SHORT_NAMES

KINDS: dict[str, Any] = {"file_name": str, **COLUMNS}
_DATA = "data/CLIP"
_MADE_FOR = (SHORT_NAMES["clip-l14-336"], SHORT_NAMES["clip-l14"])  # what its own models read


def write_cityclassifiers(
    dataset: Dataset, folder: ExportFolder, exported: Exported, progress: Progress
) -> None:
    """Write data/CLIP with test.npy, metadata.csv and history.csv.

    Raises `BadInput` if the embeddings are missing or normalised: its heads take raw ones.
    """
    encoder = encoder_of(dataset)
    if encoder.normalised:
        raise BadInput(
            f"{encoder.identity} gives normalised embeddings, and CityClassifiers reads raw ones; "
            "export clip-retrieval instead."
        )
    name = folder_name(dataset)
    lines: list[tuple[int, list[Any]]] = []
    tried = _TestEmbedding()
    for rows, vectors in embedded_rows(dataset, encoder, exported):
        for row, vector in zip(rows, vectors, strict=True):
            progress(len(lines), len(dataset), "writing embeddings")
            place = f"{_DATA}/{rounded(row)}_{name}/{file_name(row.image, '.npy')}"
            made = folder.write(place, as_npy(vector[None]))
            exported.made += made
            exported.there += not made
            lines.append((row.image.id, [place, *row.cells()]))
            tried.offer(row, vector)
    if tried.vector is not None:
        folder.write(f"{_DATA}/test.npy", as_npy(tried.vector[None]))
    exported.images = len(lines)
    told = (cells for _, cells in lines)
    write_rows(folder.path / "metadata.csv", "csv", KINDS, told, folder.whole)
    ids = np.array([image_id for image_id, _ in lines], dtype=np.int64)
    write_history(dataset, folder.path / "history.csv", folder.whole, ids)
    exported.notes += notes({rounded_of(cells) for _, cells in lines}, encoder)


def rounded_of(cells: list[Any]) -> int:
    """Return the rounded score in the folder's name of a metadata line."""
    return int(Path(cells[0]).parent.name.partition("_")[0])


def notes(scores: set[int], encoder: EncoderRecord) -> list[str]:
    """Return notes about unexpected effects of these scores and this encoder on the trainer."""
    sentences = []
    missing = [str(end) for end in (0, 10) if end not in scores]
    if missing and scores:
        sentences.append(
            f"No image has the score {' or '.join(missing)}: CityClassifiers rescales over the "
            f"scores that are present, so {min(scores)} becomes 0 % and {max(scores)} becomes "
            "100 %; score some at both ends to keep its scale."
        )
    if encoder.identity not in _MADE_FOR:
        sentences.append(
            f"Its published models read 768 values of CLIP L/14; these are {encoder.width} values "
            f"of {encoder.identity}, which only a model trained on such reads."
        )
    return sentences


class _TestEmbedding:
    """The embedding for test.npy: of the first image in the test split, else of the first."""

    def __init__(self) -> None:
        self.vector: NDArray[np.float32] | None = None
        self._is_test = False

    def offer(self, row: Row, vector: NDArray[np.float32]) -> None:
        """Take the embedding (width,) if it is the best choice so far."""
        if self.vector is None or (row.split == "test" and not self._is_test):
            self.vector, self._is_test = vector, row.split == "test"


def as_npy(array: NDArray[np.float32]) -> bytes:
    """Return the array as a .npy file, little-endian float32."""
    buffer = io.BytesIO()
    np.save(buffer, array.astype("<f4"), allow_pickle=False)
    return buffer.getvalue()
