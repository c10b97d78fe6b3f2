"""Pictures from dark to bright, each with a pattern of its own, and an encoder for brightness.

No two are near-duplicates, and a head soon learns that bright is good.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.pictures import noise_image

SIDE = 6


def draw_shades(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """`count` pictures, the first the darkest; other seeds give other patterns."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        pattern = np.asarray(noise_image(1000 * seed + number), dtype=np.float64) - 128
        level = 60 + 135 * number / max(1, count - 1)
        path = folder / f"shade {number:03}.png"
        Image.fromarray((level + pattern * 0.45).clip(0, 255).astype(np.uint8)).save(path)
        paths.append(path)
    return paths


class Brightness:
    """An encoder of 6 × 6 grey values around 0; counts what it was asked to encode."""

    identity = "lite"
    width = SIDE * SIDE
    normalised = False

    def __init__(self, size: int = SIDE) -> None:
        self.preprocessing: dict[str, Any] = {"size": size}
        self.encoded = 0

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.encoded += len(batch)
        return (batch.reshape(-1, self.width) / 255 - 0.5).astype(np.float32)
