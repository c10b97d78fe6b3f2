"""Train, validation and test: assigned by group and seed, unchanged when images are added.

Each group (`labeler.exports.datasets.split_groups`) gets a number in [0, 1) by hashing the seed and
its key; nothing else decides, so images that are added later move none of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from labeler.core.errors import BadInput

SPLITS = ("train", "validation", "test")
USUAL = "80:10:10"


@dataclass(frozen=True, slots=True)
class SplitShares:
    """The share of the groups in each split, 0–1; they add up to 1."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1

    def __str__(self) -> str:
        return ":".join(f"{100 * share:g}" for share in (self.train, self.validation, self.test))


def read_shares(text: str) -> SplitShares:
    """Parse `80:10:10` or `90:10` (no validation); raises `BadInput`."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if len(parts) == 2:
        parts.insert(1, 0.0)
    if len(parts) != 3 or not all(math.isfinite(p) and p >= 0 for p in parts) or not sum(parts):
        raise BadInput(
            f"{text!r} is not TRAIN:VALIDATION:TEST with three shares, such as {USUAL}; 100:0:0 "
            "keeps all in train."
        )
    return SplitShares(*(part / sum(parts) for part in parts))


def splits_of(keys: Sequence[str], shares: SplitShares, seed: int) -> NDArray[np.int8]:
    """Return the split of each key: (N,) int8, indices in `SPLITS`."""
    drawn = np.array([_draw(key, seed) for key in keys], dtype=np.float64)
    bounds = np.array([shares.train, shares.train + shares.validation])
    if not shares.test:  # 0.8 + 0.2 may differ from 1 in floating point
        bounds[1] = 1
    return np.searchsorted(bounds, drawn, side="right").astype(np.int8)


def _draw(key: str, seed: int) -> float:
    """Return a number in [0, 1) from the hash of seed and key."""
    digest = blake2b(f"{seed}:{key}".encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)
