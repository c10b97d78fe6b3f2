"""Parquet files of a few bytes that would take gigabytes, or minutes, to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet

from tests.support.pictures import jpeg_bytes


def padded(size: int) -> bytes:
    """A picture with so many bytes, nearly all of them nothing."""
    return jpeg_bytes(1).ljust(size, b"\0")


def dictionary(value: bytes | str, rows: int) -> pyarrow.DictionaryArray:
    """One value, for every row."""
    kind = pyarrow.binary() if isinstance(value, bytes) else pyarrow.string()
    where = pyarrow.array(np.zeros(rows, np.int32))
    return pyarrow.DictionaryArray.from_arrays(where, pyarrow.array([value], kind))


def written(path: Path, columns: dict[str, Any], **how: Any) -> None:
    """Without the note that its values are a dictionary's, as any program might read it."""
    options = {"compression": "zstd", "store_schema": False} | how
    parquet.write_table(pyarrow.table(columns), path, **options)


def _page(path: Path) -> None:
    """One page of 272 megabytes."""
    pictures = pyarrow.array([padded(4 << 20)] * 68, pyarrow.binary())
    written(path, {"jpg": pictures}, use_dictionary=False, data_page_size=1 << 30)


def _captions(path: Path) -> None:
    many = 1_000_000
    one = dictionary("x" * 30_000, many)
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, many], pyarrow.int32()), one)
    written(path, {"jpg": pyarrow.array([padded(999)]), "caption": lists})


def _vectors(path: Path) -> None:
    rows, width = 60_000, 768
    values = pyarrow.array(np.zeros(rows * width, np.float32))
    written(path, {"embedding": pyarrow.FixedSizeListArray.from_arrays(values, width)})


def _wide(path: Path) -> None:
    columns = {f"c{number}": pyarrow.array([1], pyarrow.int8()) for number in range(2_000)}
    written(path, columns | {"score": pyarrow.array([1.0])}, compression="none")


BOMBS: dict[str, Callable[[Path], None]] = {
    "one picture": lambda path: written(path, {"jpg": dictionary(padded(435_000), 20_000)}),
    "a few rows of one picture": lambda path: written(
        path, {"jpg": dictionary(padded(100_000), 9_000)}
    ),
    "pictures with long keys": lambda path: written(
        path, {"jpg": dictionary(padded(600), 9_000), "key": dictionary("k" * 30_000, 9_000)}
    ),
    "nothing": lambda path: written(
        path,
        {
            "jpg": pyarrow.nulls(3_000_000, pyarrow.binary()),
            "key": pyarrow.nulls(3_000_000, pyarrow.string()),
        },
    ),
    "one status": lambda path: written(
        path, {"key": dictionary("k" * 30_000, 90_000), "status": dictionary("s" * 30_000, 90_000)}
    ),
    "one path": lambda path: written(
        path, {"path": dictionary("p" * 30_000, 90_000), "score": dictionary("5", 90_000)}
    ),
    "one path as bytes": lambda path: written(
        path, {"path": dictionary(b"p" * 300_000, 90_000), "score": dictionary("5", 90_000)}
    ),
    "a page": _page,
    "captions": _captions,
    "vectors": _vectors,
    "columns": _wide,
}
