"""Pictures in Parquet files: tables with the bytes of an image in a column.

So write img2dataset (the columns key, jpg, caption, status) and Hugging Face (a column of parts
called bytes and path). Which column holds pictures is told by its content. Rows are read forwards,
some megabytes at a time, however large the table or its row groups are.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute, parquet, types

from labeler.archives import MOST_BYTES, UNKNOWN_SIZE, Listing, stays_inside
from labeler.errors import UnreadableImage
from labeler.formats import begins_like_image, image_extensions
from labeler.img2dataset import SUCCESS
from labeler.parquet_texts import open_texts, plain

_AT_ONCE = 8 << 20  # bytes of a column that are read at once
_MOST_ROWS = 256
_RECENT = 4  # such pieces are kept: threads ask for rows a little out of order
_LOOKED_AT = 64  # rows that tell what a column holds
_USUAL = ("jpg", "jpeg", "png", "webp", "image", "img", "bytes", "image_bytes")
_NAMES = ("key", "file_name", "image_path", "path", "filename", "id", "__key__")
_TEXTS = ("caption", "text", "txt", "tags", "keywords")
_STARTS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}


def parquet_archive(path: str) -> ParquetArchive | None:
    """The pictures in a Parquet file, None if it has none.

    Raises `UnreadableImage` where it can't be read as Parquet, `OSError`.
    """
    try:
        file = parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        found = _picture_column(file)
        return None if found is None else ParquetArchive(path, file, *found)
    except (pyarrow.ArrowException, ValueError) as error:
        raise UnreadableImage(f"It can't be read as Parquet ({error}); get it again.") from error


class ParquetArchive:
    """The pictures of one column; each is called after its row's key, path or number."""

    def __init__(self, path: str, file: parquet.ParquetFile, column: str, suffix: str) -> None:
        self._pictures = Cells(file, column)
        names = file.schema_arrow.names
        self._texts = [Cells(file, name) for name in _TEXTS if name in names]
        with open_texts(path) as texts:
            self._rows = _named(_row_names(texts, column), _failed(texts), suffix)
        self.listing = Listing(dict.fromkeys(self._rows, UNKNOWN_SIZE))
        if self._texts:
            self.listing.texts = {name: [f"{name}.txt"] for name in self._rows}
        if left_out := file.metadata.num_rows - len(self._rows):
            self.listing.note = (
                f"{left_out:,} of its {file.metadata.num_rows:,} rows are left out: their status "
                f"is not {SUCCESS}."
            )

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        try:
            if name in self._rows:
                return _bytes_of(self._pictures[self._rows[name]])[:most]
            row = self._rows[name.removesuffix(".txt")]
            return "\n".join(filter(None, (_text_of(each[row]) for each in self._texts))).encode()
        except (pyarrow.ArrowException, ValueError) as error:
            raise UnreadableImage(
                "Its part of the Parquet file is damaged; get that file again."
            ) from error


class Cells:
    """A column's values by row: quick forwards, and in any order at some cost."""

    def __init__(self, file: parquet.ParquetFile, column: str) -> None:
        self._file, self._column = file, column
        groups = [file.metadata.row_group(k) for k in range(file.metadata.num_row_groups)]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])
        top = column.partition(".")[0]
        held = sum(
            part.total_uncompressed_size
            for group in groups
            for part in (group.column(k) for k in range(group.num_columns))
            if part.path_in_schema.partition(".")[0] == top
        )
        mean = held // max(file.metadata.num_rows, 1)
        self._at_once = int(np.clip(_AT_ONCE // max(mean, 1), 1, _MOST_ROWS))
        self._recent: deque[tuple[int, Any]] = deque(maxlen=_RECENT)
        self._next = -1  # the row that `_coming` goes on with
        self._until = -1
        self._coming: Iterator[Any] = iter(())
        self._lock = threading.Lock()

    def __getitem__(self, row: int) -> Any:
        with self._lock:
            for start, values in self._recent:
                if start <= row < start + len(values):
                    return values[row - start].as_py()
            return self._read_to(row).as_py()

    def _read_to(self, row: int) -> Any:
        if not self._next <= row < self._until:
            group = int(np.searchsorted(self._starts, row, "right")) - 1
            self._next, self._until = int(self._starts[group]), int(self._starts[group + 1])
            self._coming = self._file.iter_batches(
                self._at_once, row_groups=[group], columns=[self._column], use_threads=False
            )
        for batch in self._coming:
            start, self._next = self._next, self._next + len(batch)
            if row < self._next:
                values = batch.column(0)
                self._recent.append((start, values))
                return values[row - start]
        raise KeyError(row)


def _picture_column(file: parquet.ParquetFile) -> tuple[str, str] | None:
    """The column that holds pictures, and what such a file's name ends with."""
    schema = file.schema_arrow
    held = [(name, _held_in(schema.field(name).type, name)) for name in schema.names]
    candidates = [column for name, column in held if column is not None and "." not in name]
    candidates.sort(key=lambda column: column.partition(".")[0] not in _USUAL)
    for column in candidates:
        cells = Cells(file, column)
        for row in range(min(_LOOKED_AT, file.metadata.num_rows)):
            value = _bytes_of(cells[row])
            if value and begins_like_image(value[:32]):
                named = f".{column.lower()}"
                return column, named if named in image_extensions() else _suffix(value)
            if value:
                break
    return None


def _held_in(kind: pyarrow.DataType, name: str) -> str | None:
    """The column with a picture's bytes: `name`, its part, or None where it can have none."""
    if types.is_binary(kind) or types.is_large_binary(kind):
        return name
    if types.is_struct(kind):
        parts = {part.name: part.type for part in kind}
        if "bytes" in parts and _held_in(parts["bytes"], "bytes") == "bytes":
            return f"{name}.bytes"
    return None


def _suffix(value: bytes) -> str:
    return next((suffix for start, suffix in _STARTS.items() if value.startswith(start)), "")


def _bytes_of(cell: Any) -> bytes:
    value = cell.get("bytes") if isinstance(cell, dict) else cell
    if value is None:
        return b""
    if len(value) > MOST_BYTES:
        raise UnreadableImage(
            f"It takes {len(value):,} bytes, more than the limit of {MOST_BYTES:,}; save it as a "
            "file of its own."
        )
    return bytes(value)


def _text_of(cell: Any) -> str:
    """A caption as it is, a list of tags with commas between them."""
    if isinstance(cell, list):
        return ", ".join(str(one) for one in cell if one)
    return cell if isinstance(cell, str) else ""


def _failed(file: parquet.ParquetFile) -> np.ndarray | None:
    """Mask (rows,) of downloads that came to nothing; None where there is no such column."""
    names = file.schema_arrow.names
    if "status" not in names:
        return None
    status = plain(file.read(["status"]).column(0))
    if not types.is_string(status.type):
        return None
    return compute.fill_null(compute.not_equal(status, SUCCESS), True).to_numpy()


def _row_names(file: parquet.ParquetFile, column: str) -> list[str | None]:
    """What the table calls its rows; None where it doesn't."""
    schema = file.schema_arrow
    top, _, part = column.partition(".")
    found = next((name for name in _NAMES if name in schema.names), None)
    if found is None and part:
        parts = [each.name for each in schema.field(top).type]
        found = f"{top}.path" if "path" in parts else None
    if found is None:
        return [None] * file.metadata.num_rows
    cells = plain(file.read([found]).column(0)).to_pylist()
    return [_name_of(cell) for cell in cells]


def _name_of(cell: Any) -> str | None:
    if isinstance(cell, dict):
        cell = cell.get("path")
    return str(cell) if isinstance(cell, str | int) and not isinstance(cell, bool) else None


def _named(names: list[str | None], failed: np.ndarray | None, suffix: str) -> dict[str, int]:
    """Name → row of all that may be read: without a name of its own a row is numbered."""
    rows: dict[str, int] = {}
    for row, given in enumerate(names):
        if failed is not None and failed[row]:
            continue
        name = (given or "").removeprefix("./")
        if not stays_inside(name):
            name = f"{row:09}"
        if os.path.splitext(name)[1].lower() not in image_extensions():  # noqa: PTH122
            name += suffix
        if name in rows:
            stem, ending = os.path.splitext(name)  # noqa: PTH122
            name = f"{stem}-{row}{ending}"
        rows[name] = row
    return rows
