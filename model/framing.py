"""How a picture becomes an encoder's square input: resized, cropped, as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
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
        """RGB picture → uint8 (3, size, size), as torchvision's Resize and CenterCrop give it."""
        box = centre_box(image.size, self.size) if self.resize == "shortest" else None
        # Resizing only the box gives the pixels of cropping afterwards (up to rounding between the
        # two passes), and a strip of 1 × 60,000 pixels stays as cheap as any other picture.
        square = image.resize((self.size, self.size), FILTERS[self.interpolation], box)
        return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))

    def described(self) -> dict[str, Any]:
        """In plain JSON values, for the store."""
        return {
            "size": self.size,
            "resize": self.resize,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def centre_box(shape: tuple[int, int], size: int) -> Box:
    """The part of a (width, height) picture that fills the square, in its own pixels.

    Rounds as torchvision does: the longer side is cut off to whole pixels when it is scaled, and
    the crop's corner is rounded half to even.
    """
    shorter = min(shape)
    scaled = [size if side == shorter else int(size * side / shorter) for side in shape]
    corner = [round((side - size) / 2) for side in scaled]
    left, top = (at * side / to for at, side, to in zip(corner, shape, scaled, strict=True))
    wide, high = (size * side / to for side, to in zip(shape, scaled, strict=True))
    return left, top, min(left + wide, shape[0]), min(top + high, shape[1])
