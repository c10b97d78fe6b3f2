"""The interface of files with embeddings: blocks of rows, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow


BLOCK = 4096  # rows
NPY, TABLE = ".npy", ".parquet"


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a file: their names (n,) and embeddings (n, width), read on access.

    `scores` (n,) are the rows' hand scores, 0–10, NaN for none; None if the file has no scores.
    """

    file: str
    names: pyarrow.Array
    vectors: NDArray[np.floating]
    scores: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.names)


class EmbeddingFile(Protocol):
    """A file, or a folder of files, with embeddings.

    `shown` is its path for messages, `base` the folder that the rows' relative names start from.
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
        """Return about `count` embeddings (n, width), spread over the file."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Yield all rows in order, at most BLOCK at a time; raises `BadInput` for a broken file."""
        ...


@dataclass(frozen=True, slots=True)
class Columns:
    """Options for reading the files.

    `paths` is the file that lists the paths of a .npy file's rows. `path` and `vector` name the
    columns with the paths and the embeddings.
    """

    paths: Path | None = None
    path: str | None = None
    vector: str | None = None


class Unusable(Exception):
    """A file can't be used; the message is a sentence about it."""
