"""Convert images of any mode that Pillow decodes to upright RGB on white."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

PIECE = 1 << 20  # pixels that are converted at once
Convert = Callable[[Image.Image], Image.Image]
WHITE = (255, 255, 255)

# EXIF orientation -> the turn that makes the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ON_ITS_SIDE = 5  # the first orientation that exchanges width and height


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image rotated and flipped as the EXIF `orientation` (1–8) says."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def flatten(image: Image.Image, factor: int = 1) -> Image.Image:
    """Return a loaded image of any mode as RGB; transparency is blended with white.

    Squares of `factor` pixels are averaged. In pieces: converting many modes takes several times
    their own memory.
    """
    if factor == 1 and is_plain(image):
        return image
    convert = _conversion(image)
    size = (-(-image.width // factor), -(-image.height // factor))
    flat = Image.new("RGB", size)
    for box in _pieces(image.size, factor):
        piece = convert(image.crop(box))
        place = (box[0] // factor, box[1] // factor)
        flat.paste(piece.reduce(factor) if factor > 1 else piece, place)
    return flat


def is_plain(image: Image.Image) -> bool:
    """Return whether the image is RGB already, with nothing transparent."""
    return image.mode == "RGB" and "transparency" not in image.info


def _pieces(size: tuple[int, int], factor: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes of about PIECE pixels, their sides multiples of `factor` but for the last."""
    across = max(min(size[0], PIECE) // factor, 1) * factor
    if across < size[0] <= PIECE:
        across += factor
    down = max(PIECE // across // factor, 1) * factor
    for top in range(0, size[1], down):
        for left in range(0, size[0], across):
            yield left, top, min(left + across, size[0]), min(top + down, size[1])


def _conversion(image: Image.Image) -> Convert:
    """Return the conversion to RGB on white, for pieces of the image."""
    if is_plain(image):
        return lambda piece: piece
    if image.mode.startswith("I") or image.mode == "F":
        black, scale = _black_and_scale(image)
        return lambda piece: _eight_bit(piece, black, scale).convert("RGB")
    if image.mode == "LAB":
        transform = _from_lab()
        return lambda piece: _applied(transform, piece)
    if image.has_transparency_data:
        return lambda piece: _on_white(piece.convert("RGBA"))
    return lambda piece: piece.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    flat = Image.new("RGB", image.size, WHITE)
    flat.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return flat


def _eight_bit(image: Image.Image, black: float, scale: float) -> Image.Image:
    """Return grey (mode L) of 16-bit, 32-bit or floating-point grey; NaN becomes black."""
    values = _values(image)
    key = image.info.get("transparency")
    grey = np.nan_to_num((values - black) * scale, nan=0.0, posinf=255.0, neginf=0.0)
    grey = np.clip(np.round(grey), 0, 255).astype(np.uint8)
    if isinstance(key, int):
        grey[values == key] = 255
    return Image.fromarray(grey)


def _values(image: Image.Image) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # some NaNs are said to be invalid, others not
        return np.asarray(image).astype(np.float64)  # (height, width)


def _black_and_scale(image: Image.Image) -> tuple[float, float]:
    """Return what to subtract from the values and then multiply by: scaled, never clipped.

    16-bit values (0–65535) are divided by 257. Wider integers, and floats outside 0–1 and 0–255,
    have no known white, so their own range is stretched over black to white.
    """
    low, high = _range(image)
    if image.mode.startswith("I") and low >= 0 and high <= 65535:
        return 0.0, 1 / 257
    if image.mode == "F" and low >= 0 and high <= 255:
        return 0.0, 255.0 if high <= 1 else 1.0
    return low, 255 / (high - low) if high > low else 0.0


def _range(image: Image.Image) -> tuple[float, float]:
    """Return the least and the greatest finite value; zeros where there is none."""
    low, high = np.inf, -np.inf
    for box in _pieces(image.size, 1):
        values = _values(image.crop(box))
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _from_lab() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only None when converting in place
    return converted
