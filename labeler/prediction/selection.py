"""What a person takes of some predictions: a band, the top, the list.

Those of images are a list, highest first; those of embeddings come in blocks and stay so, since
they may be too many to hold.
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
    """Those from `low` to `high` (0–1) as printed (`band_ends`); of these the first `top`."""
    least, most = band_ends(low, high)
    chosen = [image for image in predicted if least <= image.prediction <= most]
    return chosen if top is None else chosen[:top]


def as_table(predicted: Sequence[PredictedImage], version: str) -> Table:
    """One row for each, with `COLUMNS`."""
    rows = [(one.path, one.prediction, version, one.bracket.span) for one in predicted]
    return Table(COLUMNS, rows)


def select_blocks(
    predicted: Iterable[PredictedBlock],
    low: float = 0.0,
    high: float = 1.0,
    top: int | None = None,
) -> Iterator[PredictedBlock]:
    """As `select`, in the order in which they come; the first `top` are the highest, in order."""
    least, most = band_ends(low, high)
    inside = (block.take((least <= block.shown) & (block.shown <= most)) for block in predicted)
    filled = (block for block in inside if len(block))
    return filled if top is None else _highest(filled, top)


def _highest(blocks: Iterable[PredictedBlock], count: int) -> Iterator[PredictedBlock]:
    best: PredictedBlock | None = None
    for block in blocks:
        if best is None:
            both = block
        elif 0 < count == len(best):
            both = best.followed_by(block.take(block.shown > best.shown[-1]))
        else:
            both = best.followed_by(block)
        best = both.take(np.argsort(-both.shown, kind="stable")[:count])
    if best is not None and len(best):
        yield best


def rows_of(block: PredictedBlock, version: str) -> Iterator[tuple[str, float, str, str]]:
    """Rows of a table with `COLUMNS`."""
    shown = block.shown
    return zip(
        block.names.to_pylist(), shown.tolist(), repeat(version), spans_of(shown), strict=False
    )
