"""Tables as CSV or Parquet files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeler.errors import BadInput
from labeler.whole_files import whole_file

FORMATS = ("csv", "parquet")


@dataclass(frozen=True)
class Table:
    """`kinds`: column name → str, int or float. A row has one cell per column, None where empty."""

    kinds: Mapping[str, type]
    rows: Sequence[Sequence[Any]]

    @property
    def columns(self) -> list[str]:
        return list(self.kinds)


def format_of(path: Path) -> str | None:
    """The format that the name of `path` ends with, or None if it ends with neither."""
    suffix = path.suffix.lower().removeprefix(".")
    return suffix if suffix in FORMATS else None


def write_table(path: Path, table: Table, file_format: str) -> None:
    """Write or replace the file; raises `BadInput` if `path` is a folder, else `OSError`."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file in it, such as {path / 'table.csv'}")
    with whole_file(path) as scratch:
        if file_format == "parquet":
            _write_parquet(scratch, table)
        else:
            _write_csv(scratch, table)


def _write_csv(path: Path, table: Table) -> None:
    # surrogateescape: a file name that isn't UTF-8 keeps its own bytes.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.kinds)
        writer.writerows([_csv_cell(cell) for cell in row] for row in table.rows)


def _csv_cell(cell: Any) -> Any:
    """A whole number without .0: a hand score of 7 reads 7."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _write_parquet(path: Path, table: Table) -> None:
    import pyarrow
    from pyarrow import parquet

    arrow = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    columns = {
        name: pyarrow.array([_parquet_cell(row[at]) for row in table.rows], arrow[kind])
        for at, (name, kind) in enumerate(table.kinds.items())
    }
    parquet.write_table(pyarrow.table(columns), path)


def _parquet_cell(cell: Any) -> Any:
    """Parquet's text is UTF-8: the bytes of a file name that isn't are shown as \\udcXX."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell
