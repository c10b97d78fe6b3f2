"""Resize and crop an image to an encoder's square input, as uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# torch resizes bytes with the numbers of Pillow (its code comes from there) and in a quarter of the
# time, but only where it has instructions for it, and only a picture as a whole: one that is longer
# than this many times its width would be resized mostly to be cut off.
TORCH_RESIZE_ON = ("AVX2", "AVX512")
MAX_ASPECT = 2
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ResizeCrop:
    """Resize to `size` × `size` pixels; the encoder subtracts `mean`, divides by `std` (RGB 0–1).

    'shortest' scales the shorter side to `size` and takes the centre; 'squash' ignores the shape.
    """

    size: int
    resize: Literal["shortest", "squash"]
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return uint8 (3, size, size) of an RGB image, as torchvision's Resize and CenterCrop do.

        The three colours of a pixel are adjacent in memory, the layout that encoders compute in.
        """
        in_torch = torch.backends.cpu.get_cpu_capability() in TORCH_RESIZE_ON
        if in_torch and max(image.size) <= MAX_ASPECT * min(image.size):
            return self._resize_by_torch(image)
        return self._resize_by_pillow(image)

    def _resize_by_torch(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize all of the image, then crop."""
        width, height = image.size
        if self.resize == "shortest":
            width, height = scaled_size((width, height), self.size)
        else:
            width, height = self.size, self.size
        pixels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)[None]
        resized = interpolate(pixels, (height, width), mode=self.interpolation, antialias=True)
        left, top = crop_corner((width, height), self.size)
        return resized[0, :, top : top + self.size, left : left + self.size].numpy()

    def _resize_by_pillow(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize only what the crop keeps.

        The pixels are those of cropping afterwards, up to rounding between the two passes, and a
        strip of 1 × 60,000 pixels costs no more than any other image.
        """
        box = crop_box(image.size, self.size) if self.resize == "shortest" else None
        square = image.resize((self.size, self.size), FILTERS[self.interpolation], box)
        return np.asarray(square, dtype=np.uint8).transpose(2, 0, 1)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values, for the store."""
        return {
            "size": self.size,
            "resize": self.resize,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def scaled_size(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Return (width, height) with the shorter side `size`; the longer is rounded down."""
    shorter = min(shape)
    wide, high = (size if side == shorter else int(size * side / shorter) for side in shape)
    return wide, high


def crop_corner(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Return left and top of the centre square, rounded half to even as torchvision does."""
    left, top = (round((side - size) / 2) for side in shape)
    return left, top


def crop_box(shape: tuple[int, int], size: int) -> Box:
    """Return the box of a (width, height) image that fills the square, in its own pixels."""
    scaled = scaled_size(shape, size)
    corner = crop_corner(scaled, size)
    left, top = (
        offset * side / scaled_side
        for offset, side, scaled_side in zip(corner, shape, scaled, strict=True)
    )
    wide, high = (
        size * side / scaled_side for side, scaled_side in zip(shape, scaled, strict=True)
    )
    return left, top, min(left + wide, shape[0]), min(top + high, shape[1])
