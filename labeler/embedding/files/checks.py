"""Whether embeddings in files are what is wanted: of that encoder's width, and as long as its own.

Vectors that another encoder made, or that are normalised where raw ones are read, look fine and
mean nothing: they are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeler.core.errors import BadInput
from labeler.embedding.files.block import EmbeddingFile

SAMPLE = 512
_FEWEST_OF_A_FILE = 16
# What float16 leaves of a length of 1; nearly all of a sample must have it.
_UNIT, _NEARLY_ALL = 0.01, 0.9


@dataclass(frozen=True, slots=True)
class ExpectedEmbeddings:
    """What embeddings must be. `reader` is who reads them, `normalised` None if of any length.

    `instead_of_unit` and `instead_of_raw` are what to do with vectors of the other kind,
    the end of a sentence.
    """

    reader: str
    identity: str
    width: int
    normalised: bool | None
    instead_of_unit: str
    instead_of_raw: str

    def misfit(self, file: EmbeddingFile) -> str | None:
        """Why the file's width rules it out; None if it doesn't."""
        if file.width == self.width:
            return None
        return (
            f"It holds {file.width} values for each image, but {self.reader} reads {self.width}: "
            "another encoder made it."
        )


def sample_of(files: Sequence[EmbeddingFile], wanted: ExpectedEmbeddings) -> NDArray[np.float32]:
    """Some embeddings (n, width) of all files, the finite ones; raises `BadInput` if their lengths
    are wrong.
    """
    share = max(_FEWEST_OF_A_FILE, SAMPLE // max(len(files), 1))
    parts = [np.zeros((0, wanted.width), dtype=np.float32)]
    for file in files:
        rows = file.sample(share).astype(np.float32)
        long = lengths(rows)
        finite = np.isfinite(long)
        if finite.any():
            _check_lengths(file, long[finite], wanted)
            parts.append(rows[finite])
    return np.concatenate(parts)


def lengths(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Euclidean length (n,) of each of rows (n, width); infinite or NaN where a value is."""
    values = rows.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.einsum("ij,ij->i", values, values))


def _check_lengths(
    file: EmbeddingFile, long: NDArray[np.float32], wanted: ExpectedEmbeddings
) -> None:
    is_unit = bool((np.abs(long - 1) < _UNIT).mean() >= _NEARLY_ALL)
    if wanted.normalised is None or is_unit == wanted.normalised:
        return
    if is_unit:
        raise BadInput(
            f"The embeddings in {file.shown} are normalised (all have length 1), but "
            f"{wanted.reader} reads those of {wanted.identity} raw, so its predictions would be "
            f"wrong; {wanted.instead_of_unit}"
        )
    raise BadInput(
        f"The embeddings in {file.shown} are raw (lengths around {np.median(long):.3g}), but "
        f"{wanted.reader} reads those of {wanted.identity} normalised, so its predictions would be "
        f"wrong; {wanted.instead_of_raw}"
    )
