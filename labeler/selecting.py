"""What a person takes of some predictions: a band, the top, the files, the list.

Those of images are a list, highest first; those of embeddings come in blocks and stay so, since
they may be too many to hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import numpy as np

from labeler.embedding_predictions import PredictedBlock
from labeler.predicting import PredictedImage
from labeler.progress import Progress, silent
from labeler.tables import Table
from labeler.whole_files import copy_beside

COLUMNS: dict[str, type] = {"path": str, "prediction": float, "version": str}


@dataclass
class Copies:
    """`made` now, `there` already; `renamed` (from, to) where another file had the name."""

    made: int = 0
    there: int = 0
    renamed: list[tuple[str, str]] = field(default_factory=list)


def select(
    predicted: Sequence[PredictedImage],
    low: float = 0.0,
    high: float = 1.0,
    top: int | None = None,
) -> list[PredictedImage]:
    """Those from `low` to `high`, both included (0–1); of these the first `top`."""
    chosen = [image for image in predicted if low <= image.prediction <= high]
    return chosen if top is None else chosen[:top]


def as_table(predicted: Sequence[PredictedImage], version: str) -> Table:
    return Table(COLUMNS, [(image.path, image.prediction, version) for image in predicted])


def select_blocks(
    predicted: Iterable[PredictedBlock],
    low: float = 0.0,
    high: float = 1.0,
    top: int | None = None,
) -> Iterator[PredictedBlock]:
    """As `select`, in the order in which they come; the first `top` are the highest, in order."""
    inside = (block.take((low <= block.shown) & (block.shown <= high)) for block in predicted)
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


def rows_of(block: PredictedBlock, version: str) -> Iterator[tuple[str, float, str]]:
    """Rows of a table with `COLUMNS`."""
    versions = repeat(version, len(block))
    return zip(block.names.to_pylist(), block.shown.tolist(), versions, strict=True)


def copy_images(
    chosen: Sequence[PredictedImage], folder: Path, progress: Progress = silent
) -> Copies:
    """Copy into `folder`, each at its path relative to the folder that was given.

    Never replaces another file: the copy then gets a name of its own. Doing it again copies only
    what is missing. Raises `OSError` where it can't be written.
    """
    copies = Copies()
    for done, image in enumerate(chosen):
        progress(done, len(chosen), "copying")
        target = folder / image.relative
        place, made = copy_beside(Path(image.path), target)
        copies.made += made
        copies.there += not made
        if made and place != target:
            copies.renamed.append((image.path, str(place)))
    progress(len(chosen), len(chosen), "copying")
    return copies
