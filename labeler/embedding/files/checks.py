"""Checks that embeddings in files fit an encoder: their width and their lengths.

Vectors of another encoder, or normalised ones where raw ones are expected, would give wrong
predictions without any error, so they are refused.
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
    """Requirements on embeddings of the encoder `identity`.

    `reader` is the subject in messages; `normalised` is None if every length is allowed.
    `instead_of_unit` and `instead_of_raw` end the message about vectors of the other kind: what to
    do.
    """

    reader: str
    identity: str
    width: int
    normalised: bool | None
    instead_of_unit: str
    instead_of_raw: str

    def misfit(self, file: EmbeddingFile) -> str | None:
        """Return why the file's width does not fit, as a sentence; None if it fits."""
        if file.width == self.width:
            return None
        return (
            f"It holds {file.width} values for each image, but {self.reader} reads {self.width}: "
            "another encoder made it."
        )


def sample_of(files: Sequence[EmbeddingFile], expected: ExpectedEmbeddings) -> NDArray[np.float32]:
    """Return some finite embeddings (n, width) of each file.

    Raises `BadInput` if a file's vectors are normalised and must not be, or the reverse.
    """
    share = max(_FEWEST_OF_A_FILE, SAMPLE // max(len(files), 1))
    parts = [np.zeros((0, expected.width), dtype=np.float32)]
    for file in files:
        rows = file.sample(share).astype(np.float32)
        norms = lengths(rows)
        finite = np.isfinite(norms)
        if finite.any():
            _check_lengths(file, norms[finite], expected)
            parts.append(rows[finite])
    return np.concatenate(parts)


def lengths(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the Euclidean length (n,) of `rows` (n, width); not finite where a value is not."""
    values = rows.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.einsum("ij,ij->i", values, values))


def _check_lengths(
    file: EmbeddingFile, norms: NDArray[np.float32], expected: ExpectedEmbeddings
) -> None:
    is_unit = bool((np.abs(norms - 1) < _UNIT).mean() >= _NEARLY_ALL)
    if expected.normalised is None or is_unit == expected.normalised:
        return
    if is_unit:
        raise BadInput(
            f"The embeddings in {file.shown} are normalised (all have length 1), but "
            f"{expected.reader} reads those of {expected.identity} raw, so its predictions would "
            f"be wrong; {expected.instead_of_unit}"
        )
    raise BadInput(
        f"The embeddings in {file.shown} are raw (lengths around {np.median(norms):.3g}), but "
        f"{expected.reader} reads those of {expected.identity} normalised, so its predictions "
        f"would be wrong; {expected.instead_of_raw}"
    )
