"""Parquet files opened on somebody else's word: what they would unpack to is known before they do.

A few bytes may stand for a long text or picture again and again, for millions of rows of nothing,
or for a page of gigabytes; the description at the end of a file may say anything. So the pages of
each column that will be read are gone through by their headers, which are what a reader goes by.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import compute, parquet, types

from model.files.bounded import open_plain

LONGEST = 1 << 15  # bytes of a path, key, score or status
MOST_COLUMNS = 20_000
_LONGEST_FOOTER = 1 << 26  # bytes
_LARGEST_PAGE = 1 << 28
_PACKED_AT_MOST = 8  # of a larger page: pictures hardly become smaller
_MOST_PAGES = 1_000_000
_FEW_ROWS = 100_000  # are read, whatever they take
_ROWS_IN_A_BYTE = 16
_FEW_VALUES = 1 << 24
_VALUES_IN_A_BYTE = 64
_SPREAD = 1 << 26  # bytes of the texts of one batch
_MOST_NESTED = 1 << 22  # values in the lists of one batch
_MAGIC = b"PAR1"
_LISTS = (pyarrow.ListArray, pyarrow.LargeListArray, pyarrow.FixedSizeListArray, pyarrow.MapArray)
_HEADERS = (512, 1 << 24)  # bytes to look for a page's header in


class TooMuch(pyarrow.ArrowInvalid):
    """A file that unpacks to far more than a table of this kind has any use for."""


def open_parquet(path: Path | str, **how: Any) -> parquet.ParquetFile:
    """Open a Parquet file whose metadata is of a usable size and says nothing impossible.

    Raises `TooMuch`, `pyarrow.ArrowException`, `OSError`.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = os.pread(file.fileno(), 8, max(0, size - 8))
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length > size - 8:
        raise pyarrow.ArrowInvalid("it is no whole Parquet file")
    if length > _LONGEST_FOOTER:
        raise TooMuch(f"its description takes {length:,} bytes")
    opened = parquet.ParquetFile(path, pre_buffer=False, **how)
    try:
        _check_description(opened.metadata, size)
    except BaseException:
        opened.close()
        raise
    return opened


def open_texts(path: Path | str) -> parquet.ParquetFile:
    """Do `open_parquet`, reading repeated texts (also those in lists) once."""
    with open_parquet(path) as file:
        columns = list(map(file.schema.column, range(len(file.schema))))
        texts = [each for each in columns if each.physical_type == "BYTE_ARRAY"]
        names = [each.path for each in texts if each.logical_type.type != "DECIMAL"]
    return open_parquet(path, read_dictionary=names)


@dataclass(frozen=True, slots=True)
class ColumnPages:
    """What the pages of a column take, all together: `values` counts those in lists too, and
    `dictionary` is the largest that its values are told by, in bytes.
    """

    values: int = 0
    stored: int = 0
    dictionary: int = 0


def check_columns(file: parquet.ParquetFile, path: Path | str, names: Collection[str]) -> None:
    """Go through the pages of these columns (by their top names); raises `TooMuch`, `OSError`."""
    for name in names:
        column_pages(file, path, name)


def column_pages(file: parquet.ParquetFile, path: Path | str, name: str) -> ColumnPages:
    """Return the pages of a column, in groups read together; raises as `check_columns`."""
    top = name.partition(".")[0]
    columns = [
        place
        for place in range(file.metadata.num_columns)
        if file.schema.column(place).path.partition(".")[0] == top
    ]
    pages = ColumnPages()
    with open_plain(path) as opened:
        descriptor = opened.fileno()
        for column in columns:
            part = _pages_of(file.metadata, descriptor, column)
            pages = ColumnPages(
                max(pages.values, part.values),
                pages.stored + part.stored,
                max(pages.dictionary, part.dictionary),
            )
    return pages


def plain(column: Any) -> Any:
    """Return a column of `open_texts` as any other.

    Raises `TooMuch` for texts too long to be names, or too many, `pyarrow.ArrowInvalid` for what is
    not UTF-8.
    """
    column.validate(full=True)
    _check_texts(column)
    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


def plain_batch(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Return a batch with all its columns `plain`."""
    return pyarrow.RecordBatch.from_arrays(
        [plain(column) for column in batch.columns], names=batch.schema.names
    )


def _check_texts(column: Any) -> None:
    """Before they are spread over the rows: a text is held once, and a number for each row."""
    if isinstance(column, pyarrow.ChunkedArray):
        for chunk in column.chunks:
            _check_texts(chunk)
        return
    kind = column.type
    if types.is_dictionary(kind):
        lengths = compute.binary_length(column.dictionary)
        longest = compute.max(lengths).as_py() or 0
        if longest > LONGEST:
            raise TooMuch(f"it holds a text of {longest:,} bytes where names are expected")
        spread = compute.sum(lengths.take(column.indices)).as_py() or 0
        if spread > _SPREAD:
            raise TooMuch(f"its texts unpack to {spread:,} bytes at once")
    elif isinstance(column, _LISTS):
        inside = column.items if types.is_map(kind) else column.flatten()
        if len(inside) > _MOST_NESTED:
            raise TooMuch(f"its lists hold {len(inside):,} values")
        _check_texts(inside)
    elif types.is_struct(kind):
        for part in column.flatten():
            _check_texts(part)


def _check_description(metadata: Any, size: int) -> None:
    if metadata.num_columns > MOST_COLUMNS:
        raise TooMuch(f"it has {metadata.num_columns:,} columns")
    rows = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        raise TooMuch("it contradicts itself about how many rows it has")
    if metadata.num_rows > max(_FEW_ROWS, _ROWS_IN_A_BYTE * size):
        raise TooMuch(f"it tells of {metadata.num_rows:,} rows in {size:,} bytes")


def _pages_of(metadata: Any, descriptor: int, column: int) -> ColumnPages:
    values = stored = largest = pages = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        part = group.column(column)
        here = 0
        for page in _pages(descriptor, part):
            pages += 1
            if page.is_dictionary:
                largest = max(largest, page.unpacked)
            else:
                here += page.values
            if page.unpacked > max(_LARGEST_PAGE, _PACKED_AT_MOST * page.packed):
                raise TooMuch(f"a page of {part.path_in_schema} unpacks to {page.unpacked:,} bytes")
            if pages > _MOST_PAGES:
                raise TooMuch(f"{part.path_in_schema} has more than {_MOST_PAGES:,} pages")
        if here < group.num_rows:
            raise TooMuch(f"{part.path_in_schema} has fewer rows than it says")
        values += here
        stored += part.total_compressed_size
    if values > max(_FEW_VALUES, _VALUES_IN_A_BYTE * stored):
        raise TooMuch(f"it tells of {values:,} values in {stored:,} bytes")
    return ColumnPages(values, stored, largest)


@dataclass(frozen=True, slots=True)
class _Page:
    is_dictionary: bool
    unpacked: int
    packed: int
    values: int


def _pages(descriptor: int, chunk: Any) -> Iterator[_Page]:
    """The headers of a column's pages in one row group."""
    starts = (chunk.dictionary_page_offset, chunk.data_page_offset)
    at = min((start for start in starts if start), default=0)
    end, size = at + chunk.total_compressed_size, os.fstat(descriptor).st_size
    if not 0 < at <= end <= size:
        raise TooMuch(f"{chunk.path_in_schema} lies beyond the file")
    while at < end:
        header, length = _page_header(descriptor, at, end)
        unpacked, packed = header.get(2), header.get(3)
        if (
            not isinstance(unpacked, int)
            or not isinstance(packed, int)
            or min(unpacked, packed) < 0
        ):
            raise TooMuch(f"{chunk.path_in_schema} has a page without a size")
        about = [header[part] for part in (5, 7, 8) if isinstance(header.get(part), dict)]
        values = about[0].get(1) if about else 0
        yield _Page(header.get(1) == 2, unpacked, packed, values if isinstance(values, int) else 0)
        at += length + packed


def _page_header(descriptor: int, at: int, end: int) -> tuple[dict[int, Any], int]:
    for most in _HEADERS:
        data = os.pread(descriptor, min(most, end - at), at)
        reader = _Compact(data)
        try:
            return reader.struct(), reader.at
        except IndexError:
            continue
    raise TooMuch("one of its pages has no header")


class _Compact:
    """Structs as Thrift's compact protocol writes them; raises `IndexError` at the end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of a Thrift struct by their numbers."""
        fields: dict[int, Any] = {}
        field = 0
        while head := self.byte():
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self.zigzag()
            fields[field] = self.value(kind, depth)
        return fields

    def value(self, kind: int, depth: int) -> Any:
        """Read a value of a Thrift type; None for those that are only skipped."""
        if depth > 8:
            raise TooMuch("one of its pages has a header without bottom")
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self.byte()
        if kind in (4, 5, 6):
            return self.zigzag()
        if kind in (7, 8):
            self.skip(8 if kind == 7 else self.varint())
            return None
        if kind in (9, 10):
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self.varint()
            for _ in range(count):
                self.value(3 if head & 15 in (1, 2) else head & 15, depth + 1)
            return None
        if kind == 12:
            return self.struct(depth + 1)
        raise TooMuch("one of its pages has a header that means nothing")

    def byte(self) -> int:
        """Read one byte."""
        value = self.data[self.at]
        self.at += 1
        return value

    def skip(self, size: int) -> None:
        """Skip `size` bytes; raise `IndexError` beyond the end."""
        self.at += size
        if self.at > len(self.data):
            raise IndexError

    def varint(self) -> int:
        """Read an unsigned integer of 7 bits a byte (LEB128)."""
        value = shift = 0
        while True:
            one = self.byte()
            value |= (one & 127) << shift
            if one < 128:
                return value
            shift += 7
            if shift > 63:
                raise TooMuch("one of its pages has a header that means nothing")

    def zigzag(self) -> int:
        """Read a signed integer in zigzag encoding."""
        value = self.varint()
        return (value >> 1) ^ -(value & 1)
