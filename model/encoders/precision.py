"""Parts of an encoder in bfloat16, and how to tell whether its embeddings still agree."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

MIN_COSINE = 0.999  # lowest cosine with float32 that still counts as the same embedding


def lowest_cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the lowest cosine, -1 to 1, of rows of two (n, width) arrays; -1 if not finite."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / np.maximum(lengths, 1e-30)
    return float(np.nan_to_num(cosines, nan=-1.0).min())


class LowPrecision(torch.nn.Module):
    """A part of a network that may be computed in bfloat16; its input and output are float32.

    With `skip` it is a residual block: the input is added to the output, in float32.
    """

    def __init__(self, part: torch.nn.Module, *, skip: bool = False) -> None:
        super().__init__()
        self.part, self.skip, self.dtype = part, skip, torch.float32

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.part(x.to(self.dtype)).float()
        return y.add_(x) if self.skip else y


def in_bfloat16(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of `module` whose `LowPrecision` parts are in bfloat16."""
    copied = copy.deepcopy(module)
    for part in copied.modules():
        if isinstance(part, LowPrecision):
            part.to(torch.bfloat16)
            part.dtype = torch.bfloat16
    return copied


def probe_images() -> list[Image.Image]:
    """Return two drawn images with flat areas, slopes, edges and fine texture, as photos have."""
    rows, columns = np.mgrid[0:320, 0:400]
    slope = np.stack([rows * 0.8, columns * 0.6, 255 - rows * 0.5], axis=2)
    drawing = Image.fromarray(slope.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(drawing)
    draw.ellipse((60, 50, 250, 260), fill=(214, 160, 128), outline=(30, 20, 20), width=5)
    draw.polygon([(230, 300), (390, 300), (310, 110)], fill=(40, 96, 52))
    draw.line((0, 290, 400, 200), fill=(250, 250, 240), width=4)
    waves = np.sin(rows / 3.0) * np.cos(columns / 5.0) * 60 + np.sin(columns / 40.0) * 50 + 128
    noise = np.random.default_rng(0).normal(0, 25, (320, 400, 3))
    texture = Image.fromarray((waves[:, :, None] + noise).clip(0, 255).astype(np.uint8))
    return [drawing, texture]
