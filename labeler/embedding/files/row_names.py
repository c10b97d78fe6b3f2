"""Lists of paths that say whose embedding each row of an array is: text, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from labeler.core.errors import BadInput
from labeler.core.files.csv_reader import read_lines
from labeler.embedding.files.block import BLOCK, Columns, Unusable
from model.files.bounded import open_plain

if TYPE_CHECKING:
    import pyarrow

# In the order of preference; the first is clip-retrieval's.
NAMES = ("image_path", "path", "file_name", "filename", "file", "key", "url", "id")
_LONGEST = 1 << 20  # bytes of a line


def check_names(table: Path, rows: int, columns: Columns) -> tuple[Path, str | None] | None:
    """The list and the column with names of `rows` images; None if it has no such column.

    Raises `Unusable` if it can't be read, or names another number of images.
    """
    kind = table.suffix.lower()
    if kind == ".parquet":
        described, column = _parquet(table, columns)
    else:
        column = columns.path if kind == ".csv" else None
        described = _count(table, column)
    if described != rows:
        raise Unusable(
            f"{table.name} names {described:,} rows, but it has {rows:,}, so nobody knows which is "
            "which; get both again."
        )
    return None if kind == ".parquet" and column is None else (table, column)


def names_in(table: Path, column: str | None, shown: str) -> Iterator[pyarrow.Array]:
    """The names in their order, some thousand at a time; rows without one are numbered.

    Raises `BadInput` where the list turns out broken.
    """
    # Imported where they are used: pyarrow takes long to load, and is for tables alone.
    import pyarrow
    from pyarrow import compute

    from labeler.core.files.parquet import check_columns, open_texts, plain

    start = 0
    try:
        if table.suffix.lower() != ".parquet":
            names = _listed(table, column)
            while listed := list(islice(names, BLOCK)):
                part = pyarrow.array([name or None for name in listed]).cast(pyarrow.string())
                yield compute.coalesce(part, numbered(shown, start, len(part)))
                start += len(part)
            return
        with open_texts(table) as opened:
            check_columns(opened, table, [str(column)])
            for batch in opened.iter_batches(BLOCK, columns=[column]):
                named = plain(batch.column(0)).cast(pyarrow.string())
                yield compute.coalesce(named, numbered(shown, start, len(named)))
                start += len(named)
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise BadInput(f"{table} can't be read ({error}); get it again.") from error


def numbered(shown: str, start: int, count: int) -> pyarrow.Array:
    """Names of rows that have none of their own."""
    import pyarrow

    return pyarrow.array([f"{shown}:{row}" for row in range(start, start + count)])


def name_column(names: list[str], wanted: str | None) -> str | None:
    """The column with paths; raises `Unusable` if there is none called as `wanted`."""
    if wanted is not None and wanted not in names:
        raise Unusable(
            f"It has no column {wanted}; its columns are {', '.join(names[:20])}: choose one with "
            "--path-column."
        )
    return wanted or next((name for name in NAMES if name in names), None)


def _parquet(table: Path, columns: Columns) -> tuple[int, str | None]:
    import pyarrow

    from labeler.core.files.parquet import open_parquet

    try:
        with open_parquet(table) as opened:
            names = opened.schema_arrow.names
            return opened.metadata.num_rows, name_column(names, columns.path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise Unusable(f"{table.name} beside it can't be read ({error}); get it again.") from error


def _count(table: Path, column: str | None) -> int:
    try:
        return sum(1 for _ in _listed(table, column))
    except (BadInput, OSError) as error:
        raise Unusable(str(error)) from error


def _listed(table: Path, column: str | None) -> Iterator[str]:
    if table.suffix.lower() == ".csv":
        wanted = (column.lower(),) if column else NAMES
        yield from (line.cell(*wanted) for line in read_lines(table, (wanted,)))
        return
    with open_plain(table) as lines:
        line = lines.readline(_LONGEST).removeprefix(b"\xef\xbb\xbf")
        yield _name(table, line)  # without any line there is one without a name
        while line := lines.readline(_LONGEST):
            yield _name(table, line)


def _name(table: Path, line: bytes) -> str:
    if len(line) == _LONGEST:
        raise BadInput(f"{table} has a line that is too long for a path; it is no list of paths.")
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "backslashreplace")
