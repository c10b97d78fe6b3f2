"""Selecting predictions by a band of scores and a maximum number, and listing them as tables.

Predictions of images are a list, highest first; those of embeddings stay an iterator of blocks,
since all of them may not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import numpy as np

from labeler.core.files.tables import Table
from labeler.core.scale import band_ends, spans_of
from labeler.prediction.predict_embeddings import PredictedBlock
from labeler.prediction.predict_files import PredictedImage

COLUMNS: dict[str, type] = {"path": str, "prediction": float, "version": str, "bracket": str}


def select(
    predicted: Sequence[PredictedImage],
    low: float = 0.0,
    high: float = 1.0,
    top: int | None = None,
) -> list[PredictedImage]:
    """Return the images from `low` to `high` (0–1, both included, rounded as printed by
    `band_ends`), at most the first `top`.
    """
    lower, upper = band_ends(low, high)
    chosen = [image for image in predicted if lower <= image.prediction <= upper]
    return chosen if top is None else chosen[:top]


def as_table(predicted: Sequence[PredictedImage], version: str) -> Table:
    """Return a table with `COLUMNS` and one row per image."""
    rows = [(image.path, image.prediction, version, image.bracket.span) for image in predicted]
    return Table(COLUMNS, rows)


def select_blocks(
    predicted: Iterable[PredictedBlock],
    low: float = 0.0,
    high: float = 1.0,
    top: int | None = None,
) -> Iterator[PredictedBlock]:
    """Yield the rows that `select` would keep: in their order, or the highest `top` sorted."""
    lower, upper = band_ends(low, high)
    inside = (block.take((lower <= block.shown) & (block.shown <= upper)) for block in predicted)
    nonempty = (block for block in inside if len(block))
    return nonempty if top is None else _highest(nonempty, top)


def _highest(blocks: Iterable[PredictedBlock], count: int) -> Iterator[PredictedBlock]:
    """Yield one block with the `count` highest predictions, highest first, if there are any."""
    best: PredictedBlock | None = None
    for block in blocks:
        if best is None:
            merged = block
        elif 0 < count == len(best):
            merged = best.followed_by(block.take(block.shown > best.shown[-1]))
        else:
            merged = best.followed_by(block)
        best = merged.take(np.argsort(-merged.shown, kind="stable")[:count])
    if best is not None and len(best):
        yield best


def rows_of(block: PredictedBlock, version: str) -> Iterator[tuple[str, float, str, str]]:
    """Return the block's rows of a table with `COLUMNS`."""
    shown = block.shown
    return zip(
        block.names.to_pylist(), shown.tolist(), repeat(version), spans_of(shown), strict=False
    )
