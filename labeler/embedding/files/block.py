"""What embeddings are read as: blocks of rows, from files of any format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow


BLOCK = 4096
NPY, TABLE = ".npy", ".parquet"


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a file in order: their names (n,) and embeddings (n, width), read when used.

    `scores` (n,) are hand scores 0–10 that come with them, NaN where there is none.
    """

    file: str
    names: pyarrow.Array
    vectors: NDArray[np.floating]
    scores: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.names)


class EmbeddingFile(Protocol):
    """A file (or a folder of small ones) that can be read.

    `shown` is its path as the person would write it, `base` the folder that relative names of its
    rows are seen from.
    """

    @property
    def shown(self) -> str: ...
    @property
    def base(self) -> Path: ...
    @property
    def rows(self) -> int: ...
    @property
    def width(self) -> int: ...

    def sample(self, count: int) -> NDArray[np.floating]:
        """About `count` of its embeddings (n, width), from all over it."""
        ...

    def blocks(self) -> Iterator[Block]:
        """All rows in order, at most 4096 at a time; raises `BadInput` if it turns out broken."""
        ...


@dataclass(frozen=True, slots=True)
class Columns:
    """What files don't tell by themselves: `paths` is a list of a .npy file's paths, the others are
    names of columns, in it or in a Parquet file of vectors.
    """

    paths: Path | None = None
    path: str | None = None
    vector: str | None = None


class Unusable(Exception):
    """Why a file can't be read."""
