"""Embeddings in Parquet files: a column of vectors, and one that says whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import compute, parquet, types

from labeler.core.errors import BadInput
from labeler.core.files.names import readable_name
from labeler.core.files.parquet import check_columns, open_parquet, open_texts, plain
from labeler.embedding.files.block import BLOCK, Block, Columns, Unusable
from labeler.embedding.files.row_names import name_column, numbered

_USUAL = ("embedding", "embeddings", "vector", "image_embedding", "img_emb", "clip_embedding")
_SAMPLED_GROUPS = 8
_WIDEST = 1 << 16
_VALUES_AT_ONCE = 1 << 24
_MOST_VALUES = 1 << 31  # of one row group


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A Parquet file whose column `vectors` holds one embedding for each row."""

    path: Path
    shown: str
    vectors: str
    names: str | None
    rows: int
    width: int

    @property
    def base(self) -> Path:
        """Return the table's folder."""
        return self.path.absolute().parent

    def sample(self, count: int) -> NDArray[np.floating]:
        """Return about `count` embeddings (n, width), the first ones of some row groups."""
        with _explained(self.shown), open_parquet(self.path) as file:
            total = file.metadata.num_row_groups
            groups = np.linspace(0, total - 1, min(_SAMPLED_GROUPS, total), dtype=np.int64)
            share = -(-count // max(len(groups), 1))
            parts = []
            for group in groups.tolist():
                batches = file.iter_batches(share, row_groups=[group], columns=[self.vectors])
                parts += [_rows(batch.column(0), self.width) for batch in [next(batches)]]
        return np.concatenate(parts)

    def blocks(self) -> Iterator[Block]:
        """Yield all rows in order, at most BLOCK at a time."""
        columns = [self.vectors, *([self.names] if self.names else [])]
        start = 0
        with _explained(self.shown), open_texts(self.path) as file:
            check_columns(file, self.path, columns)
            for batch in file.iter_batches(_at_once(self.width), columns=columns):
                names = numbered(self.shown, start, len(batch))
                if self.names is not None:
                    given = plain(batch.column(self.names)).cast(pyarrow.string())
                    names = compute.coalesce(given, names)
                yield Block(self.shown, names, _rows(batch.column(self.vectors), self.width))
                start += len(batch)


@contextmanager
def _explained(shown: str) -> Iterator[None]:
    try:
        yield
    except (pyarrow.ArrowException, ValueError, OSError) as error:  # also of names not in UTF-8
        raise BadInput(f"{shown} can't be read ({error}); get it again.") from error


def has_vectors(path: Path) -> bool:
    """Return whether it is a Parquet file with a column of vectors; reads its schema only."""
    try:
        with open_parquet(path) as file:
            return bool(_vector_columns(file.schema_arrow))
    except (pyarrow.ArrowException, OSError, ValueError):
        return False


def vector_table(path: Path, columns: Columns) -> VectorTable:
    """Return the file, with its columns and first rows checked; raises `Unusable`."""
    try:
        with open_parquet(path) as file:
            column = _vector_column(file.schema_arrow, columns.vector)
            names = name_column(file.schema_arrow.names, columns.path)
            rows, width = file.metadata.num_rows, _width(file, path, column)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise Unusable(f"It can't be read as Parquet ({error}); get it again.") from error
    return VectorTable(path, readable_name(path), column, names, rows, width)


def _vector_columns(schema: pyarrow.Schema) -> list[str]:
    return [name for name in schema.names if _is_vector(schema.field(name).type)]


def _is_vector(kind: pyarrow.DataType) -> bool:
    listed = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return listed and types.is_floating(kind.value_type)


def _vector_column(schema: pyarrow.Schema, requested: str | None) -> str:
    candidates = _vector_columns(schema)
    if requested is not None:
        if requested in candidates:
            return requested
        columns = (
            f"holds {schema.field(requested).type}" if requested in schema.names else "isn't there"
        )
        raise Unusable(
            f"Its column {requested} {columns}; choose one of lists of numbers with a point."
        )
    usual = next((name for name in _USUAL if name in candidates), None)
    if usual is None and len(candidates) != 1:
        problem = (
            f"several columns of vectors ({', '.join(candidates)})"
            if candidates
            else "no column of them"
        )
        raise Unusable(f"It has {problem}; choose one with --vector-column.")
    return usual or candidates[0]


def _width(file: parquet.ParquetFile, path: Path, column: str) -> int:
    _check_lengths(file, path, column)
    kind = file.schema_arrow.field(column).type
    width = kind.list_size if types.is_fixed_size_list(kind) else 0
    for batch in () if width else file.iter_batches(1, columns=[column]):
        lengths = compute.list_value_length(batch.column(0)).drop_null()
        if len(lengths):
            width = lengths[0].as_py()
            break
    if not 0 < width <= _WIDEST:
        raise Unusable(f"Its column {column} holds no embeddings.")
    return int(width)


def _check_lengths(file: parquet.ParquetFile, path: Path, column: str) -> None:
    """Raise `Unusable` for lists that are too long: few bytes may stand for millions of numbers."""
    check_columns(file, path, [column])
    for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
        lengths = [
            part.num_values
            for part in map(group.column, range(group.num_columns))
            if part.path_in_schema.partition(".")[0] == column
        ]
        if (
            max(lengths, default=0) > group.num_rows * _WIDEST
            or max(lengths, default=0) > _MOST_VALUES
        ):
            raise Unusable(
                f"Its column {column} holds lists of far more numbers than an embedding has, or "
                "too many in one row group; write it anew."
            )


def _at_once(width: int) -> int:
    """Return the number of rows that are read at a time."""
    return max(1, min(BLOCK, _VALUES_AT_ONCE // width))


def _rows(column: Any, width: int) -> NDArray[np.floating]:
    """Return the embeddings (n, width); NaN for rows without a vector of that width."""
    if isinstance(column, pyarrow.ChunkedArray):
        column = column.combine_chunks()
    lengths = compute.fill_null(compute.list_value_length(column), -1).to_numpy()
    fits = lengths == width
    values = column.filter(pyarrow.array(fits)).flatten()
    # Not zero_copy_only: a missing number within a vector becomes NaN.
    dense = values.to_numpy(zero_copy_only=False).reshape(-1, width)
    if fits.all():
        return dense
    rows = np.full((len(fits), width), np.nan, dtype=np.float32)
    rows[fits] = dense
    return rows
