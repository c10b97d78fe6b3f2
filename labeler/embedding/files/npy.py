"""Embeddings in .npy files: an array with a row for each image, or a file for each image.

CityClassifiers datasets have the latter: `data/CLIP/7_name/cat.npy`, where the number at the
beginning of the folder's name is the hand score.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labeler.core.files.names import readable_name
from labeler.embedding.files.block import BLOCK, Block, Unusable
from labeler.embedding.files.row_names import names_in, numbered
from model.files.arrays import read_array_header
from model.files.bounded import open_plain

if TYPE_CHECKING:
    import pyarrow

_SCORED = re.compile(r"(\d+(?:\.\d+)?)(?:_.*)?")


@dataclass(frozen=True, slots=True)
class Header:
    """Header of a .npy file; its numbers begin at byte `offset`."""

    rows: int
    width: int
    number_format: np.dtype[Any]
    offset: int
    is_single: bool  # one image's embedding: (width,) or (1, width)


def read_header(path: Path) -> Header:
    """Return a .npy file's header; raises `Unusable`, also if the file is too short for it."""
    shape, number_format, offset = _said(path)
    if number_format.kind != "f":
        raise Unusable(f"It holds {number_format}, not numbers with a point; save it as float16.")
    is_single = len(shape) == 1 or (len(shape) == 2 and shape[0] == 1)
    if len(shape) not in (1, 2) or shape[-1] <= 0 or shape[0] < 0:
        raise Unusable(f"It has the shape {shape}, not (rows, values); save one row per image.")
    rows, width = (1, shape[-1]) if is_single else shape
    if not rows:
        raise Unusable("It holds no embeddings.")
    missing = offset + rows * width * number_format.itemsize - path.stat().st_size
    if missing > 0:
        raise Unusable(f"It is cut off: {missing:,} bytes are missing; get it again.")
    return Header(rows, width, number_format, offset, is_single)


def _said(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return shape, number format and the byte at which the numbers begin."""
    try:
        with open_plain(path) as file:
            shape, by_columns, number_format = read_array_header(file)
            offset = file.tell()
    except OSError as error:
        raise Unusable(f"It can't be opened ({error.strerror}); get it again.") from error
    except ValueError as error:
        raise Unusable(f"It is not an array as numpy saves it ({error}); get it again.") from error
    if by_columns and len(shape) > 1 and 1 not in shape:
        raise Unusable("It is stored by columns; save it again with numpy.ascontiguousarray.")
    return shape, number_format, offset


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """An array with a row for each image; `named` is a table of their names and its column."""

    path: Path
    shown: str
    header: Header
    named: tuple[Path, str | None] | None

    @property
    def base(self) -> Path:
        """Return the folder of the list of names; of clip-retrieval's metadata, the one above."""
        if self.named is None:
            return self.path.absolute().parent
        folder = self.named[0].absolute().parent
        return folder.parent if folder.name == "metadata" else folder

    @property
    def rows(self) -> int:
        """Return the number of embeddings."""
        return self.header.rows

    @property
    def width(self) -> int:
        """Return the number of values in each embedding."""
        return self.header.width

    def vectors(self, start: int, stop: int) -> NDArray[np.floating]:
        """Return rows `start` to `stop` (n, width), memory-mapped; writes don't reach the file."""
        header = self.header
        size = header.number_format.itemsize * header.width
        shape = (stop - start, header.width)
        offset = header.offset + start * size
        return np.memmap(self.path, header.number_format, "c", offset=offset, shape=shape)

    def sample(self, count: int) -> NDArray[np.floating]:
        """Return about `count` embeddings (n, width), spread over the file."""
        rows = np.linspace(0, self.rows - 1, min(count, self.rows), dtype=np.int64)
        return np.array(self.vectors(0, self.rows)[rows])

    def blocks(self) -> Iterator[Block]:
        """Yield all rows in order, at most BLOCK at a time."""
        start = 0
        for names in self._names():
            stop = start + len(names)
            yield Block(self.shown, names, self.vectors(start, stop))
            start = stop

    def _names(self) -> Iterator[pyarrow.Array]:
        if self.named is None:
            for start in range(0, self.rows, BLOCK):
                yield numbered(self.shown, start, min(BLOCK, self.rows - start))
            return
        yield from names_in(*self.named, self.shown)


def array_file(path: Path, header: Header, named: tuple[Path, str | None] | None) -> ArrayFile:
    """Open a .npy file with the names of its rows; raises `BadInput` if it is none."""
    return ArrayFile(path, readable_name(path), header, named)


@dataclass(frozen=True, slots=True)
class VectorFolder:
    """Files with one embedding each, all of one width; their paths are the rows' names."""

    shown: str
    base: Path
    headers: Mapping[Path, Header]
    width: int

    @property
    def rows(self) -> int:
        """Return the number of files, one embedding each."""
        return len(self.headers)

    def sample(self, count: int) -> NDArray[np.floating]:
        """Return about `count` embeddings (n, width), spread over the folder."""
        paths = list(self.headers)
        rows = np.linspace(0, self.rows - 1, min(count, self.rows), dtype=np.int64)
        return self._read([paths[row] for row in rows])

    def blocks(self) -> Iterator[Block]:
        """Yield all embeddings in order, at most BLOCK at a time."""
        # Imported where they are used: pyarrow takes long to load, and is for names in a table.
        import pyarrow

        paths = list(self.headers)
        for start in range(0, len(paths), BLOCK):
            part = paths[start : start + BLOCK]
            names = pyarrow.array([readable_name(path) for path in part])
            scores = np.array([score_of(path.absolute().parent.name) for path in part])
            yield Block(self.shown, names, self._read(part), scores)

    def _read(self, paths: list[Path]) -> NDArray[np.float32]:
        """Return the embeddings (n, width); of a file that can't be read NaN, to be left out."""
        rows = np.full((len(paths), self.width), np.nan, dtype=np.float32)
        for row, path in zip(rows, paths, strict=True):
            header = self.headers[path]
            try:
                row[:] = np.fromfile(path, header.number_format, header.width, offset=header.offset)
            except (OSError, ValueError):
                continue
        return rows


def vector_folder(folder: Path, headers: Mapping[Path, Header]) -> list[VectorFolder]:
    """Return the single vectors under a folder, grouped by width."""
    of_width: dict[int, dict[Path, Header]] = defaultdict(dict)
    for path, header in headers.items():
        of_width[header.width][path] = header
    shown, base = readable_name(folder), folder.absolute()
    return [VectorFolder(shown, base, part, width) for width, part in of_width.items()]


def is_trial(path: Path) -> bool:
    """Return whether it is CityClassifiers' test.npy: a copy of one of the embeddings beside it."""
    return path.name == "test.npy" and any(
        other.is_dir() and not np.isnan(score_of(other.name)) for other in path.parent.iterdir()
    )


def score_of(folder: str) -> float:
    """Return the hand score, 0–10, at the start of a folder's name (7, 7_name); NaN for none."""
    number = _SCORED.fullmatch(folder)
    score = float(number[1]) if number else np.nan
    return score if 0 <= score <= 10 else np.nan
