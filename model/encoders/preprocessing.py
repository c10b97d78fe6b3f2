"""How a picture becomes an encoder's square input: resized, cropped, as bytes."""

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
QUICK_ON = ("AVX2", "AVX512")
LONGEST = 2
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Framing:
    """Resize to `size` × `size`, then subtract `mean` and divide by `std` (of RGB in 0–1).

    'shortest' scales the shorter side to `size` and takes the centre; 'squash' ignores the shape.
    """

    size: int
    resize: Literal["shortest", "squash"]
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def frame(self, image: Image.Image) -> NDArray[np.uint8]:
        """RGB picture → uint8 (3, size, size), as torchvision's Resize and CenterCrop give it.

        The three colours of a pixel lie side by side in memory, as encoders compute them.
        """
        quick = torch.backends.cpu.get_cpu_capability() in QUICK_ON
        if quick and max(image.size) <= LONGEST * min(image.size):
            return self._whole(image)
        return self._box(image)

    def _whole(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resized by torch, then cropped."""
        width, height = image.size
        if self.resize == "shortest":
            width, height = scaled((width, height), self.size)
        else:
            width, height = self.size, self.size
        pixels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)[None]
        resized = interpolate(pixels, (height, width), mode=self.interpolation, antialias=True)
        left, top = corner((width, height), self.size)
        return resized[0, :, top : top + self.size, left : left + self.size].numpy()

    def _box(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resized by Pillow, and only what the crop keeps.

        These are the pixels of cropping afterwards (up to rounding between the two passes), and a
        strip of 1 × 60,000 pixels stays as cheap as any other picture.
        """
        box = centre_box(image.size, self.size) if self.resize == "shortest" else None
        square = image.resize((self.size, self.size), FILTERS[self.interpolation], box)
        return np.asarray(square, dtype=np.uint8).transpose(2, 0, 1)

    def described(self) -> dict[str, Any]:
        """In plain JSON values, for the store."""
        return {
            "size": self.size,
            "resize": self.resize,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def scaled(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """A (width, height) whose shorter side is `size`; the longer is cut off to whole pixels."""
    shorter = min(shape)
    wide, high = (size if side == shorter else int(size * side / shorter) for side in shape)
    return wide, high


def corner(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Left and top of the square in the middle, rounded half to even as torchvision does."""
    left, top = (round((side - size) / 2) for side in shape)
    return left, top


def centre_box(shape: tuple[int, int], size: int) -> Box:
    """The part of a (width, height) picture that fills the square, in its own pixels."""
    whole = scaled(shape, size)
    at = corner(whole, size)
    left, top = (place * side / to for place, side, to in zip(at, shape, whole, strict=True))
    wide, high = (size * side / to for side, to in zip(shape, whole, strict=True))
    return left, top, min(left + wide, shape[0]), min(top + high, shape[1])
