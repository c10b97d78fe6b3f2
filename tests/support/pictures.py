"""Small pictures of every awkward sort, made on the spot; other tests import these makers."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]
RED: Colour = (230, 30, 30)
BLUE: Colour = (30, 60, 220)


def noise_image(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A smooth random RGB picture; each seed looks different."""
    grid = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)


def make_jpeg(path: Path, seed: int = 0, size: tuple[int, int] = (64, 48), **save: Any) -> Path:
    """Write a random JPEG; `save` goes to Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise_image(seed, size).save(path, "JPEG", **({"quality": 90} | save))
    return path


def make_collection(folder: Path, n: int, seed: int = 0) -> list[Path]:
    """`n` different small JPEGs in `folder`, named 000.jpg and so on."""
    return [make_jpeg(folder / f"{k:03}.jpg", seed * 100_003 + k) for k in range(n)]


def make_halves(path: Path, left: Colour = RED, right: Colour = BLUE, **save: Any) -> Path:
    """60 × 40, one colour left and one right: tells how a picture was turned."""
    image = Image.new("RGB", (60, 40), right)
    image.paste(left, (0, 0, 30, 40))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **save)
    return path


def with_orientation(orientation: int) -> Image.Exif:
    """EXIF data that only says how the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_bomb(width: int, height: int) -> bytes:
    """A tiny PNG whose header promises width × height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 64)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def jpeg_bytes(seed: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    noise_image(seed, size).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
