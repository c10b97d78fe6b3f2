"""The layout of clip-retrieval: blocks of embeddings, and tables that name their rows.

img_emb/img_emb_N.npy holds float16 of unit length, metadata/metadata_N.parquet the same number of
rows in the same order, with image_path and the columns of a dataset.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from labeler.core.progress import Progress
from labeler.exports.datasets.formats.dataset import write_rows
from labeler.exports.datasets.formats.embeddings import embedded_rows, encoder_of
from labeler.exports.datasets.output_folder import ExportFolder
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import NESTED, Dataset
from model.estimators.kernels import normalize

KINDS: dict[str, Any] = {"image_path": str, **NESTED}
BLOCK = 50_000  # rows of one file


def write_clip_retrieval(
    dataset: Dataset,
    folder: ExportFolder,
    exported: Exported,
    progress: Progress,
    block: int = BLOCK,
) -> None:
    """Write blocks of embeddings and metadata; raises `BadInput` if there are no embeddings."""
    encoder = encoder_of(dataset)
    digits = len(
        str(max(0, len(dataset) - 1) // block)
    )  # equal widths, so that names sort by number
    for number, (rows, vectors) in enumerate(embedded_rows(dataset, encoder, exported, block)):
        progress(number * block, len(dataset), "writing embeddings")
        named = f"{number:0{digits}d}"
        array = folder.path / f"img_emb/img_emb_{named}.npy"
        with folder.whole(array) as scratch, scratch.open("wb") as file:
            np.save(file, normalize(vectors).astype(np.float16), allow_pickle=False)
        write_rows(
            folder.path / f"metadata/metadata_{named}.parquet",
            "parquet",
            KINDS,
            ([row.image.path, *row.nested()] for row in rows),
            folder.whole,
        )
        exported.images += len(rows)
    progress(len(dataset), len(dataset), "writing embeddings")
    exported.notes.append(
        f"The layout does not record the encoder; it is {encoder.identity}, {encoder.width} values."
    )
