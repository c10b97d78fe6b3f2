"""Hugging Face imagefolder: the images in a folder per split, with what is known of them beside.

`datasets` reads each split's metadata by itself and refuses them where two disagree about a
column's type. Parquet says its types. CSV and JSON lines are guessed from their content, so a
column that would be guessed in two ways (empty in one split, say) is left out of them and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from labeler.core.errors import BadInput
from labeler.core.files.tables import FORMATS
from labeler.core.progress import Progress
from labeler.exports.datasets.formats.dataset import write_rows
from labeler.exports.datasets.formats.history import write_history
from labeler.exports.datasets.output_folder import ExportFolder, place_images
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import COLUMNS, NESTED, Dataset
from labeler.exports.datasets.splits import SPLITS

FILE_NAME = "file_name"  # what `datasets` finds the image by, relative to the metadata
USUAL_FORMAT = "parquet"
CARD = "README.md"  # what the Hub shows as the card of a dataset
_Rows = list[list[Any]]


def write_imagefolder(
    dataset: Dataset, folder: ExportFolder, exported: Exported, progress: Progress
) -> None:
    """train/, validation/ and test/, as far as there are images for them."""
    chosen = dataset.plan.file_format or USUAL_FORMAT
    if chosen not in FORMATS:
        raise BadInput(f"There is no metadata in {chosen}; choose {', '.join(FORMATS)}.")
    nests = chosen == "parquet"
    splits: dict[str, _Rows] = {split: [] for split in SPLITS}
    ids = []
    for row, place in place_images(dataset, folder, exported, lambda row: row.split, progress):
        name = place.partition("/")[2]
        splits[row.split].append([name, *(row.nested() if nests else row.cells())])
        ids.append(row.image.id)
    kinds = {FILE_NAME: str, **(NESTED if nests else COLUMNS)}
    filled = {split: rows for split, rows in splits.items() if rows}
    kept = [True] * len(kinds) if nests else _steady(list(kinds.values()), filled.values(), chosen)
    for split, rows in filled.items():
        write_rows(
            folder.path / f"{split}/metadata.{chosen}",
            chosen,
            {name: kind for (name, kind), keep in zip(kinds.items(), kept, strict=True) if keep},
            (_written(row, kept, chosen) for row in rows),
            folder.whole,
        )
    if not nests:
        history = folder.path / "history.csv"
        write_history(dataset, history, folder.whole, np.array(ids, dtype=np.int64))
    if not all(kept):
        dropped = [name for name, keep in zip(kinds, kept, strict=True) if not keep]
        exported.notes.append(
            f"Left out of metadata.{chosen}, because splits would be read with different types: "
            f"{', '.join(dropped)}. With parquet they stay."
        )


def _steady(kinds: Sequence[Any], splits: Iterable[_Rows], chosen: str) -> list[bool]:
    """Which columns all splits are read with the same type of."""
    seen = [
        [
            _guessed(kind, cells, chosen)
            for kind, cells in zip(kinds, zip(*rows, strict=True), strict=True)
        ]
        for rows in splits
    ]
    return [len(set(guesses)) == 1 for guesses in zip(*seen, strict=True)]


def _guessed(kind: Any, cells: Sequence[Any], chosen: str) -> str:
    """What readers take a column for that holds `cells`."""
    filled = [cell for cell in cells if cell is not None and cell != []]
    if not filled:
        return "nothing"
    if isinstance(kind, list) and chosen == "csv":
        kind, filled = str, [", ".join(cell) for cell in filled]
    if kind is int and chosen == "csv" and len(filled) < len(cells):
        return "float"  # pandas has no empty integers
    if kind is str and chosen == "csv" and all(_is_number(cell) for cell in filled):
        return "number"
    return str(kind)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in ("true", "false", "")
    return True


def _written(row: Sequence[Any], kept: Sequence[bool], chosen: str) -> list[Any]:
    """The kept cells; in CSV a number with a point keeps it, or 7 and 7.5 had different types."""
    cells = [cell for cell, keep in zip(row, kept, strict=True) if keep]
    if chosen != "csv":
        return cells
    return [repr(cell) if isinstance(cell, float) else cell for cell in cells]
