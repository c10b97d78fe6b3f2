"""Embeddings in files: found, checked before they are read, and read block by block.

Known are folders as clip-retrieval writes them (img_emb/img_emb_N.npy, and metadata/
metadata_N.parquet with one image_path for each row) and single .npy files. Nothing in such a file
is ever run, and it is mapped in parts, so that it may be larger than the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labeler.errors import BadInput
from labeler.finding import readable_name

if TYPE_CHECKING:
    import pyarrow

BLOCK = 4096
NAME_COLUMN = "image_path"
_ARRAY = re.compile(r"img_emb_(\d+)\.npy")


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a file in order: their names (n,) and embeddings (n, width), read when used."""

    file: str
    names: pyarrow.Array
    vectors: NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class EmbeddingFile:
    """A file that can be read; `shown` is its path as the person would write it."""

    path: Path
    shown: str
    metadata: Path | None
    rows: int
    width: int
    number_format: np.dtype[Any]
    offset: int

    def vectors(self, start: int, stop: int) -> NDArray[np.floating]:
        """Rows `start` to `stop`, mapped; what is written into them doesn't reach the file."""
        size = self.number_format.itemsize * self.width
        shape = (stop - start, self.width)
        offset = self.offset + start * size
        return np.memmap(self.path, self.number_format, "c", offset=offset, shape=shape)

    def some(self, places: NDArray[np.int64]) -> NDArray[np.floating]:
        """The rows at `places`, copied."""
        return np.array(self.vectors(0, self.rows)[places])

    def blocks(self) -> Iterator[Block]:
        """All rows in order, at most 4096 at a time."""
        start = 0
        for names in self._names():
            stop = start + len(names)
            yield Block(self.shown, names, self.vectors(start, stop))
            start = stop

    def _names(self) -> Iterator[pyarrow.Array]:
        import pyarrow
        from pyarrow import compute, parquet

        if self.metadata is None:
            for start in range(0, self.rows, BLOCK):
                yield self._numbered(start, min(BLOCK, self.rows - start))
            return
        start = 0
        try:
            with parquet.ParquetFile(self.metadata) as opened:
                for batch in opened.iter_batches(BLOCK, columns=[NAME_COLUMN]):
                    names = batch.column(0).cast(pyarrow.string())
                    yield compute.coalesce(names, self._numbered(start, len(names)))
                    start += len(names)
        except pyarrow.ArrowException as error:
            raise BadInput(f"{self.metadata} can't be read ({error}); get it again.") from error

    def _numbered(self, start: int, count: int) -> pyarrow.Array:
        import pyarrow

        return pyarrow.array([f"{self.shown}:{row}" for row in range(start, start + count)])


@dataclass
class EmbeddingFiles:
    """What a path holds; `unusable` are (file, reason)."""

    files: list[EmbeddingFile] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """Embeddings in all files."""
        return sum(file.rows for file in self.files)


class _Unusable(Exception):
    """Why a file can't be read."""


def holds_embeddings(path: Path) -> bool:
    """Whether `path` is a .npy file or a folder as clip-retrieval writes them; opens nothing."""
    return path.suffix.lower() == ".npy" if not path.is_dir() else bool(_arrays(path))


def find_embeddings(path: Path) -> EmbeddingFiles:
    """The files of a path for which `holds_embeddings`, by their numbers.

    Raises `BadInput` if `path` isn't there.
    """
    if not path.exists():
        raise BadInput(f"{readable_name(path)} is not there; check the path.")
    found = EmbeddingFiles()
    for file in _arrays(path) if path.is_dir() else [path]:
        try:
            found.files.append(_checked(file))
        except _Unusable as problem:
            found.unusable.append((readable_name(file), str(problem)))
    return found


def _arrays(folder: Path) -> list[Path]:
    """The arrays in a folder of clip-retrieval, or in its img_emb itself."""
    for place in (folder / "img_emb", folder):
        named = {file: found for file in _listed(place) if (found := _ARRAY.fullmatch(file.name))}
        if named:
            return sorted(named, key=lambda file: (int(named[file][1]), file.name))
    return []


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir()) if folder.is_dir() else []
    except OSError:
        return []


def _checked(path: Path) -> EmbeddingFile:
    shape, number_format, offset = _header(path)
    if number_format.kind != "f":
        raise _Unusable(f"It holds {number_format}, not numbers with a point; save it as float16.")
    if len(shape) != 2 or not shape[1]:
        raise _Unusable(f"It has the shape {shape}, not (rows, values); save one row per image.")
    if not shape[0]:
        raise _Unusable("It holds no embeddings.")
    missing = offset + shape[0] * shape[1] * number_format.itemsize - path.stat().st_size
    if missing > 0:
        raise _Unusable(f"It is cut off: {missing:,} bytes are missing; get it again.")
    shown = readable_name(path)
    return EmbeddingFile(path, shown, _metadata(path, shape[0]), *shape, number_format, offset)


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, number format and where the numbers begin."""
    reading = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in reading:
                raise ValueError(f"version {version} of the format")
            shape, by_columns, number_format = reading[version](file)
            offset = file.tell()
    except OSError as error:
        raise _Unusable(f"It can't be opened ({error.strerror}); check its permissions.") from error
    except ValueError as error:
        raise _Unusable(f"It is not an array as numpy saves it ({error}); get it again.") from error
    if number_format.hasobject:
        raise _Unusable("It holds Python objects, which are never opened; save it as float16.")
    if by_columns:
        raise _Unusable("It is stored by columns; save it again with numpy.ascontiguousarray.")
    return shape, number_format, offset


def _metadata(path: Path, rows: int) -> Path | None:
    """The table with the names of an array's rows, None where there is none."""
    import pyarrow
    from pyarrow import parquet

    number = _ARRAY.fullmatch(path.name)
    folder = path.resolve().parent.parent / "metadata"
    file = folder / f"metadata_{number[1]}.parquet" if number else None
    if file is None or not file.is_file():
        return None
    try:
        with parquet.ParquetFile(file) as opened:
            described, columns = opened.metadata.num_rows, opened.schema_arrow.names
    except (pyarrow.ArrowException, OSError) as error:
        raise _Unusable(f"{file.name} beside it can't be read ({error}); get it again.") from error
    if described != rows:
        raise _Unusable(
            f"{file.name} names {described:,} rows, but it has {rows:,}, so nobody knows which is "
            "which; get both again."
        )
    return file if NAME_COLUMN in columns else None
