"""Columns of texts in Parquet files, where a few bytes may stand for gigabytes of one long text.

Texts are read as what they are stored as, each once and a number for every row, and looked at
before they are spread over the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import compute, parquet, types

LONGEST = 1 << 15  # bytes of a path, key, score or status
_MOST = 1 << 30  # bytes of a column in one row group, unpacked


class TooMuch(pyarrow.ArrowInvalid):
    """A file that unpacks to far more than a table of this kind has any use for."""


def open_texts(path: Path | str) -> parquet.ParquetFile:
    """The file, its columns of texts being read without repeating them.

    Raises `pyarrow.ArrowException`, `OSError`.
    """
    with parquet.ParquetFile(path) as file:
        names = [field.name for field in file.schema_arrow if _is_text(field.type)]
    return parquet.ParquetFile(path, read_dictionary=names, pre_buffer=False)


def check_sizes(file: parquet.ParquetFile, columns: list[str]) -> None:
    """Raise `TooMuch` if one of these columns says itself that it is larger than it can be."""
    for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
        for part in map(group.column, range(group.num_columns)):
            wanted = part.path_in_schema.partition(".")[0] in columns
            if wanted and part.total_uncompressed_size > _MOST:
                raise TooMuch(f"{part.path_in_schema} unpacks to more than {_MOST:,} bytes")


def plain(column: Any) -> Any:
    """A column of `open_texts` as any other.

    Raises `TooMuch` for texts too long to be names, `pyarrow.ArrowInvalid` for what is not UTF-8.
    """
    kind = column.type
    column.validate(full=True)
    if not types.is_dictionary(kind):
        return column
    chunks = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    for chunk in chunks:
        longest = compute.max(compute.binary_length(chunk.dictionary)).as_py()
        if longest is not None and longest > LONGEST:
            raise TooMuch(f"it holds a text of {longest:,} bytes where names are expected")
    return column.cast(kind.value_type)


def plain_batch(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """All columns `plain`."""
    return pyarrow.RecordBatch.from_arrays(
        [plain(column) for column in batch.columns], names=batch.schema.names
    )


def _is_text(kind: pyarrow.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind))
