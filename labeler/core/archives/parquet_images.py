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

from labeler.core.archives.img2dataset import SUCCESS
from labeler.core.archives.protocol import (
    MOST_BYTES,
    MOST_MEMBERS,
    UNKNOWN_SIZE,
    Listing,
    stays_inside,
)
from labeler.core.files.parquet import (
    TooMuch,
    check_columns,
    column_pages,
    open_parquet,
    open_texts,
    plain,
)
from model.errors import UnreadableImage
from model.images.formats import begins_like_image, image_extensions

_AT_ONCE = 8 << 20  # bytes of a column that are read at once
_MOST_ROWS = 256
_RECENT = 4  # such pieces are kept: threads ask for rows a little out of order
_LOOKED_AT = 64  # rows that tell what a column holds
_MOST_REPEATED = 16 << 20  # bytes that one value, told again and again, may take at once
# What is unpacked of a column at all, so that few bytes don't keep anybody busy for hours.
_FREELY_UNPACKED = 1 << 30
_UNPACKED_OF_A_BYTE = 100
_FEW_PICTURES = 1_000
_SMALLEST = 32  # bytes of a picture
_TEXTS_AT_ONCE = 4096  # rows
_LONGEST_TEXT = 1 << 16  # bytes
_MOST_TAGS = 1000
_USUAL = ("jpg", "jpeg", "png", "webp", "image", "img", "bytes", "image_bytes")
_NAMES = ("key", "file_name", "image_path", "path", "filename", "id", "__key__")
_TEXTS = ("caption", "text", "txt", "tags", "keywords")
_STARTS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}


def parquet_archive(path: str) -> ParquetArchive | None:
    """Return the pictures in a Parquet file, None if it has none.

    Raises `UnreadableImage` where it can't be read as Parquet, `OSError`.
    """
    try:
        file = open_parquet(path, buffer_size=1 << 20)
        column = _picture_column(file, path)
        return None if column is None else ParquetArchive(path, file, *column)
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise UnreadableImage(f"It can't be read as Parquet ({error}); get it again.") from error


class ParquetArchive:
    """The pictures of one column; their names are the rows' keys, paths or numbers."""

    def __init__(self, path: str, file: parquet.ParquetFile, column: str, suffix: str) -> None:
        self._pictures = Cells(file, path, column)
        if file.metadata.num_rows > MOST_MEMBERS:
            raise TooMuch(f"it has more than {MOST_MEMBERS:,} rows")
        names = file.schema_arrow.names
        # Not closed: the texts are read from it later on.
        texts = open_texts(path)
        self._texts = [Cells(texts, path, name) for name in _TEXTS if name in names]
        failed = _failed(texts, path)
        row_count = file.metadata.num_rows if failed is None else int((~failed).sum())
        self._pictures.check_room(row_count)
        self._rows = _named(_row_names(texts, path, column), failed, suffix)
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

    def rows(self) -> dict[int, str]:
        """Return the name of each row's member, by row number."""
        return {row: name for name, row in self._rows.items()}

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Return at most `most` bytes of a member: a picture, or the texts of its row.

        Raises `UnreadableImage` for a damaged one.
        """
        try:
            if name in self._rows:
                return _bytes_of(self._pictures[self._rows[name]])[:most]
            row = self._rows[name.removesuffix(".txt")]
            return "\n".join(filter(None, (_text_of(each[row]) for each in self._texts))).encode()
        except TooMuch as error:
            raise UnreadableImage(f"Its Parquet file is not read further: {error}.") from error
        except (pyarrow.ArrowException, ValueError) as error:
            raise UnreadableImage(
                "Its part of the Parquet file is damaged; get that file again."
            ) from error


class Cells:
    """A column's values by row: fast forwards, slower in any other order.

    No more is unpacked at once than some megabytes, or one value; and of all rows together not
    vastly more than the file holds.
    """

    def __init__(self, file: parquet.ParquetFile, path: str, column: str) -> None:
        self._file, self._column = file, column
        groups = [file.metadata.row_group(k) for k in range(file.metadata.num_row_groups)]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])
        self._pages = column_pages(file, path, column)
        top = column.partition(".")[0]
        held = sum(
            part.total_uncompressed_size
            for group in groups
            for part in (group.column(k) for k in range(group.num_columns))
            if part.path_in_schema.partition(".")[0] == top
        )
        mean = held // max(file.metadata.num_rows, 1)
        self._at_once = int(np.clip(_AT_ONCE // max(mean, 1), 1, _MOST_ROWS))
        # One value may be told for every row.
        self._at_once = max(1, min(self._at_once, _MOST_REPEATED // max(self._pages.dictionary, 1)))
        self._left = _FREELY_UNPACKED + _UNPACKED_OF_A_BYTE * self._pages.stored
        self._furthest = 0  # the row that nobody has come to yet
        self._recent: deque[tuple[int, Any]] = deque(maxlen=_RECENT)
        self._next = -1  # the row that `_coming` goes on with
        self._until = -1
        self._coming: Iterator[Any] = iter(())
        self._lock = threading.Lock()

    def __getitem__(self, row: int) -> Any:
        """Return a row's value as a pyarrow scalar."""
        with self._lock:
            for start, values in self._recent:
                if start <= row < start + len(values):
                    return values[row - start]
            return self._read_to(row)

    def check_room(self, pictures: int) -> None:
        """Raise `TooMuch` if the column has fewer bytes than so many pictures need."""
        stored = self._pages.stored
        if pictures > max(_FEW_PICTURES, stored // _SMALLEST):
            raise TooMuch(f"it tells of {pictures:,} pictures in {stored:,} bytes")

    def _read_to(self, row: int) -> Any:
        if not self._next <= row < self._until:
            group = int(np.searchsorted(self._starts, row, "right")) - 1
            self._next, self._until = int(self._starts[group]), int(self._starts[group + 1])
            self._coming = self._file.iter_batches(
                self._at_once, row_groups=[group], columns=[self._column], use_threads=False
            )
        while self._next <= row:
            self._check_left()
            batch = next(self._coming, None)
            if batch is None:
                break
            start, self._next = self._next, self._next + len(batch)
            if self._next > self._furthest:
                self._furthest = self._next
                self._left -= batch.nbytes
            if row < self._next:
                values = batch.column(0)
                self._recent.append((start, values))
                return values[row - start]
        raise KeyError(row)

    def _check_left(self) -> None:
        if self._left < 0 and self._next >= self._furthest:
            raise TooMuch(f"its column {self._column} unpacks to far more than it takes")


def _picture_column(file: parquet.ParquetFile, path: str) -> tuple[str, str] | None:
    """Return the column that holds pictures, and the extension of their names."""
    schema = file.schema_arrow
    columns = [(name, _held_in(schema.field(name).type, name)) for name in schema.names]
    candidates = [column for name, column in columns if column is not None and "." not in name]
    candidates.sort(key=lambda column: column.partition(".")[0] not in _USUAL)
    for column in candidates:
        cells = Cells(file, path, column)
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
    if types.is_dictionary(kind):
        kind = kind.value_type
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
    value = cell["bytes"] if cell.is_valid and types.is_struct(cell.type) else cell
    value = value.value if isinstance(value, pyarrow.DictionaryScalar) else value
    if not value.is_valid:
        return b""
    value = value.as_buffer()
    if len(value) > MOST_BYTES:
        raise UnreadableImage(
            f"It takes {len(value):,} bytes, more than the limit of {MOST_BYTES:,}; save it as a "
            "file of its own."
        )
    return value.to_pybytes()


def _text_of(cell: Any) -> str:
    """A caption as it is, a list of tags with commas between them."""
    if not cell.is_valid:
        return ""
    if isinstance(cell, pyarrow.ListScalar | pyarrow.LargeListScalar):
        listed = [_text_of(one) for one in cell.values[:_MOST_TAGS]]
        return ", ".join(filter(None, listed))
    if isinstance(cell, pyarrow.DictionaryScalar):
        return _text_of(cell.value)
    if not isinstance(cell, pyarrow.StringScalar | pyarrow.LargeStringScalar):
        return ""
    return cell.as_buffer()[:_LONGEST_TEXT].to_pybytes().decode("utf-8", "replace")


def _failed(file: parquet.ParquetFile, path: str) -> np.ndarray | None:
    """Mask (rows,) of downloads that came to nothing; None where there is no such column."""
    names = file.schema_arrow.names
    if "status" not in names:
        return None
    masks = []
    for status in _batches(file, path, "status"):
        if not types.is_string(status.type):
            return None
        failed = compute.fill_null(compute.not_equal(status, SUCCESS), True)
        masks.append(failed.to_numpy(zero_copy_only=False))
    return np.concatenate(masks) if masks else np.zeros(0, bool)


def _row_names(file: parquet.ParquetFile, path: str, column: str) -> list[str | None]:
    """What the table calls its rows; None where it doesn't."""
    schema = file.schema_arrow
    top, _, part = column.partition(".")
    found = next((name for name in _NAMES if name in schema.names), None)
    if found is None and part:
        parts = [each.name for each in schema.field(top).type]
        found = f"{top}.path" if "path" in parts else None
    if found is None:
        return [None] * file.metadata.num_rows
    batches = _batches(file, path, found)
    return [_name_of(cell) for cells in batches for cell in cells.to_pylist()]


def _batches(file: parquet.ParquetFile, path: str, column: str) -> Iterator[Any]:
    """A column of texts, a part at a time."""
    check_columns(file, path, [column])
    for batch in file.iter_batches(_TEXTS_AT_ONCE, columns=[column], use_threads=False):
        yield plain(batch.column(0))


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
