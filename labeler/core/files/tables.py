"""Tables as CSV, Parquet or JSON lines files, whole or a part at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeler.core.errors import BadInput
from labeler.core.files.atomic import atomic_write
from labeler.core.files.csv_escape import escape_formula

FORMATS = ("csv", "parquet", "jsonl")
# str, int or float; [kind] for a list of them; {name: kind} for parts with names.
Kind = Any
Kinds = Mapping[str, Kind]
Rows = Iterable[Sequence[Any]]
Write = Callable[[Rows], None]
Whole = Callable[[Path], AbstractContextManager[Path]]  # as `atomic_write`


@dataclass(frozen=True)
class Table:
    """`kinds`: column name → kind. A row has one cell per column, None where empty."""

    kinds: Kinds
    rows: Sequence[Sequence[Any]]

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.kinds)


def format_of(path: Path, formats: Sequence[str] = FORMATS) -> str | None:
    """Return the one of `formats` that the name of `path` ends with, or None."""
    suffix = path.suffix.lower().removeprefix(".")
    return suffix if suffix in formats else None


def write_table(path: Path, table: Table, file_format: str, whole: Whole = atomic_write) -> None:
    """Write or replace the file; raises `BadInput` if `path` is a folder, else `OSError`."""
    with growing_table(path, table.kinds, file_format, whole) as write:
        write(table.rows)


@contextmanager
def growing_table(
    path: Path, kinds: Kinds, file_format: str, whole: Whole = atomic_write
) -> Iterator[Write]:
    """Yield a function that writes more rows; only those of one call are in memory.

    The file appears whole or not at all, by way of `whole`. In a CSV file a list of texts is one
    cell with commas, and texts are guarded against table programs
    (`labeler.core.files.csv_escape`); parts with names have no place there. Raises as `write_table`
    does.
    """
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file in it, such as {path / 'table.csv'}")
    opened = {"csv": _csv, "parquet": _parquet, "jsonl": _json_lines}[file_format]
    with whole(path) as scratch, opened(scratch, kinds) as write:
        yield write


@contextmanager
def _csv(path: Path, kinds: Kinds) -> Iterator[Write]:
    # surrogateescape: a file name that isn't UTF-8 keeps its own bytes.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(kinds)
        # A line's end of its own in a cell is one to readers, too, and Python quotes only ours.
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

        def write(rows: Rows) -> None:
            for row in rows:
                cells = [_csv_cell(cell) for cell in row]
                broken = any(isinstance(cell, str) and "\r" in cell for cell in cells)
                (quoting if broken else writer).writerow(cells)

        yield write


def _csv_cell(cell: Any) -> Any:
    """A whole number without .0: a hand score of 7 reads 7."""
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if isinstance(cell, list):
        cell = ", ".join(cell)
    return escape_formula(cell) if isinstance(cell, str) else cell


@contextmanager
def _parquet(path: Path, kinds: Kinds) -> Iterator[Write]:
    # Imported where they are used: pyarrow takes long to load, and CSV does without it.
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, _arrow(kind)) for name, kind in kinds.items()])

    def write(rows: Rows) -> None:
        cells = [[plain_text(cell) for cell in row] for row in rows]
        columns = zip(*cells, strict=True) if cells else [()] * len(kinds)
        writer.write_table(pyarrow.table(list(map(list, columns)), schema=schema))

    with parquet.ParquetWriter(path, schema) as writer:
        yield write


def _arrow(kind: Kind) -> Any:
    import pyarrow

    if isinstance(kind, list):
        return pyarrow.list_(_arrow(kind[0]))
    if isinstance(kind, dict):
        return pyarrow.struct([(name, _arrow(part)) for name, part in kind.items()])
    return {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}[kind]


@contextmanager
def _json_lines(path: Path, kinds: Kinds) -> Iterator[Write]:
    as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    with path.open("w", encoding="utf-8", newline="") as file:

        def write(rows: Rows) -> None:
            for row in rows:
                file.write(as_json(dict(zip(kinds, map(plain_text, row), strict=True))) + "\n")

        yield write


def plain_text(cell: Any) -> Any:
    """UTF-8 for formats that know no other: the bytes of a file name that isn't become \\udcXX."""
    if isinstance(cell, str):
        return cell if cell.isascii() else cell.encode("utf-8", "backslashreplace").decode()
    if isinstance(cell, list):
        return [plain_text(part) for part in cell]
    if isinstance(cell, dict):
        return {name: plain_text(part) for name, part in cell.items()}
    return cell
