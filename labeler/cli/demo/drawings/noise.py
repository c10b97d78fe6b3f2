"""Random fields that look natural: sums of smooth noise at several scales."""

from __future__ import annotations

import numpy as np
from PIL import Image


def fractal(
    rng: np.random.Generator,
    size: tuple[int, int],
    coarse: tuple[int, int] = (3, 2),
    octaves: int = 5,
    roughness: float = 0.5,
) -> np.ndarray:
    """float32 (height, width) in 0–1: `coarse` cells at first, twice as many in each octave."""
    total = np.zeros((size[1], size[0]), np.float32)
    for octave in range(octaves):
        cells = tuple(n * 2**octave + 1 for n in coarse)
        grid = rng.random((cells[1], cells[0]), dtype=np.float32)
        layer = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(layer) * roughness**octave
    low, high = total.min(), total.max()
    return (total - low) / max(float(high - low), 1e-6)


def ridge(rng: np.random.Generator, width: int, cells: int, octaves: int = 5) -> np.ndarray:
    """float32 (width,) in 0–1: the profile of a mountain range."""
    return fractal(rng, (width, 1), (cells, 1), octaves, 0.5)[0]
