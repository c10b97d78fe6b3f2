"""From any mode that Pillow decodes to upright RGB on white."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageCms

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


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turned as the EXIF `orientation` (1–8) asks."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def flatten(image: Image.Image) -> Image.Image:
    """RGB of a loaded picture of any mode; what is transparent becomes white, in proportion."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.mode == "LAB":
        return _from_lab(image)
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    flat = Image.new("RGB", image.size, WHITE)
    flat.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return flat


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey (mode L) of 16-bit, 32-bit and floating-point grey, scaled and never clipped.

    16-bit values (0–65535) are divided by 257. Wider integers, and floats outside 0–1 and 0–255,
    have no known white, so their own range is stretched over black to white; NaN becomes black.
    """
    values = np.asarray(image).astype(np.float64)  # (height, width)
    key = image.info.get("transparency")
    low, scale = _black_and_scale(values, image.mode)
    grey = np.nan_to_num((values - low) * scale, nan=0.0, posinf=255.0, neginf=0.0)
    grey = np.clip(np.round(grey), 0, 255).astype(np.uint8)
    if isinstance(key, int):
        grey[values == key] = 255
    return Image.fromarray(grey)


def _black_and_scale(values: np.ndarray, mode: str) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if mode.startswith("I") and low >= 0 and high <= 65535:
        return 0.0, 1 / 257
    if mode == "F" and low >= 0 and high <= 255:
        return 0.0, 255.0 if high <= 1 else 1.0
    return low, 255 / (high - low) if high > low else 0.0


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # only None when converting in place
    return converted
