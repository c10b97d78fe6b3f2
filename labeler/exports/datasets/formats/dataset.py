"""A dataset as one table: CSV, Parquet or JSON lines, with its history and optionally its images.

Parquet and JSON lines have the history of each image in a nested column; a CSV file is accompanied
by a second one with a line for each hand score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from labeler.core.errors import BadInput
from labeler.core.files.atomic import refuse_store
from labeler.core.files.export_writer import ExportWriter
from labeler.core.files.tables import FORMATS, Kinds, Whole, format_of, growing_table
from labeler.core.progress import Progress
from labeler.exports.datasets.formats.history import write_history
from labeler.exports.datasets.image_files import file_name, place_image
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import BATCH, COLUMNS, NESTED, Dataset, Row
from model.errors import UnreadableImage

FILE_COLUMN = "file"  # the copied image, relative to the table


def table_file(out: Path, file_format: str | None) -> tuple[Path, str]:
    """Return the file that `out` names, and its format.

    A name that ends with .csv, .parquet or .jsonl is the file; anything else is a folder that gets
    dataset.csv or the like. Raises `BadInput` if the name and `file_format` disagree.
    """
    refuse_store(out)
    named = None if out.is_dir() else format_of(out)
    if named is None and out.is_file():
        raise BadInput(f"{out} is a file, and no table by its name; name one such as data.csv.")
    if file_format is not None and file_format not in FORMATS:
        raise BadInput(f"There is no format {file_format}; choose {', '.join(FORMATS)}.")
    if named and file_format and named != file_format:
        raise BadInput(f"{out} ends with .{named}, but the format is {file_format}; drop one.")
    chosen = file_format or named or "csv"
    file = out if named else out / f"dataset.{chosen}"
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name a file in it, such as {file / 'dataset.csv'}")
    return file, chosen


def history_file(table: Path) -> Path:
    """Return the path of the history of a CSV table."""
    return table.with_name(f"{table.stem}.history.csv")


def write_dataset(
    dataset: Dataset, out: Path, writer: ExportWriter, progress: Progress
) -> Exported:
    """Write one row per image, replacing the table of an earlier export.

    `with_images` of the plan also copies the images to the folder `images` beside the table and
    adds the column `file`. Raises `BadInput`, and `OSError` where a file can't be written.
    """
    file, chosen = table_file(out, dataset.plan.file_format)
    exported = Exported(file, images=len(dataset))
    with_images = dataset.plan.with_images
    kinds = (COLUMNS if chosen == "csv" else NESTED) | ({FILE_COLUMN: str} if with_images else {})

    def rows() -> Iterator[list[Any]]:
        for done, row in enumerate(dataset.rows()):
            progress(done, len(dataset), "writing")
            cells = row.cells() if chosen == "csv" else row.nested()
            if with_images:
                cells = [*cells, _placed(dataset, row, file, exported, force=writer.force)]
            yield cells

    write_rows(file, chosen, kinds, rows(), writer.whole)
    if chosen == "csv":
        write_history(dataset, history_file(file), writer.whole)
    progress(len(dataset), len(dataset), "writing")
    return exported


def write_rows(
    file: Path, file_format: str, kinds: Kinds, rows: Iterable[Sequence[Any]], whole: Whole
) -> None:
    """Write a table atomically, `BATCH` rows at a time in memory."""
    rows = iter(rows)
    with growing_table(file, kinds, file_format, whole) as write:
        while some := list(islice(rows, BATCH)):
            write(some)


def _placed(
    dataset: Dataset, row: Row, table: Path, exported: Exported, *, force: bool
) -> str | None:
    """Place an image beside the table; return its relative path, None if it is unreadable."""
    relative = f"images/{file_name(row.image)}"
    try:
        made, _ = place_image(row.image, table.parent / relative, dataset.plan.link, force=force)
    except UnreadableImage as problem:
        exported.left_out.append((row.image.path, str(problem)))
        return None
    exported.contents[relative] = row.image.content_hash or ""
    exported.made += made
    exported.there += not made
    return relative
