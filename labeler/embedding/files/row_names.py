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
    """Return the list and its column with the names of `rows` images; None without such a column.

    Raises `Unusable` if it can't be read, or has another number of rows.
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
    """Yield the names in order, at most BLOCK at a time; rows without a name get a number.

    Raises `BadInput` where the list can't be read.
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
    """Return names for rows without one: `shown` and the row's number."""
    import pyarrow

    return pyarrow.array([f"{shown}:{row}" for row in range(start, start + count)])


def name_column(names: list[str], requested: str | None) -> str | None:
    """Return the column with paths, None if there is none.

    Raises `Unusable` if the `requested` column does not exist.
    """
    if requested is not None and requested not in names:
        raise Unusable(
            f"It has no column {requested}; its columns are {', '.join(names[:20])}: choose one "
            "with --path-column."
        )
    return requested or next((name for name in NAMES if name in names), None)


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
        column_names = (column.lower(),) if column else NAMES
        yield from (line.cell(*column_names) for line in read_lines(table, (column_names,)))
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
