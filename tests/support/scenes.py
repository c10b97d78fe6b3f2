"""Drawn pictures of many shapes, for encoders to look at."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw


@cache
def pictures() -> list[Image.Image]:
    """Drawn scenes of many shapes, from a small icon to a panorama."""
    shapes = [(500, 500), (640, 420), (283, 400), (224, 224), (60, 90), (1200, 150), (5, 3)]
    rng = np.random.default_rng(5)
    drawn = []
    for number, (width, height) in enumerate(shapes):
        rows, columns = np.mgrid[0:height, 0:width]
        slopes = np.stack([rows / height, columns / width, (rows + columns) % 60 / 60], axis=2)
        image = Image.fromarray((slopes * 200 + rng.normal(20, 6, slopes.shape)).astype(np.uint8))
        pen = ImageDraw.Draw(image)
        pen.ellipse((width // 4, height // 5, width // 2, height * 3 // 4), (240, 190 - number, 90))
        pen.line((0, height, width, 0), (20, 30, 20 * number), 3)
        drawn.append(image)
    return drawn


def prepared(encoder) -> np.ndarray:
    return np.stack([encoder.prepare(image) for image in pictures()])
