"""Protects that the quick ways from a file to an embedding give what the plain, slow one gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labeler.embedding.embed import prepare_file
from model.encoders.preprocessing import ResizeCrop


def plain_pixels(path: Path, size: int) -> np.ndarray:
    """The whole file decoded, its shorter side scaled and the middle cut out: (3, size, size)."""
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    scale = size / min(photo.size)
    wide, high = (int(side * scale + 1e-9) for side in photo.size)
    scaled = photo.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    return np.asarray(scaled.crop((left, top, left + size, top + size))).transpose(2, 0, 1)


def detailed_photo(path: Path, seed: int, shape: tuple[int, int], quality: int = 90) -> Path:
    """Edges and grain, as a camera's JPEG has them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    scene = Image.fromarray(coarse).resize(shape, Image.Resampling.BICUBIC)
    tiles = Image.fromarray(coarse[::-1]).resize(shape, Image.Resampling.NEAREST)
    grain = rng.normal(0, 6, (shape[1], shape[0], 1)).astype(np.float32)
    pixels = np.asarray(Image.blend(scene, tiles, 0.4), dtype=np.float32) + grain
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=quality)
    return path


def test_the_quickest_way_to_an_embedding_agrees_with_the_plain_one(tmp_path):
    """Decoded smaller, resized by torch and computed in bfloat16, against the whole in float32."""
    from model.encoders.load import load_encoder
    from model.encoders.precision import lowest_cosine

    kinds = (((1800, 1792), 90), ((1792, 2000), 75))
    paths = [
        detailed_photo(tmp_path / f"{seed}.jpg", seed, *kind) for seed, kind in enumerate(kinds)
    ]
    quick = load_encoder("lite", precision="bfloat16")
    pixels = np.stack([prepare_file(quick, path) for path in paths])
    plain = np.stack([plain_pixels(path, 224) for path in paths])
    assert not np.array_equal(pixels[0], plain[0])
    expected = load_encoder("lite", precision="float32").encode(plain)
    assert lowest_cosine(quick.encode(pixels), expected) >= 0.999


class Square:
    """An encoder of 32 × 32 pixels that keeps the size of what it was shown."""

    identity, width, normalised = "square", 1, False

    def __init__(self) -> None:
        self.framing = ResizeCrop(32, "shortest", "bicubic", (0.5,) * 3, (0.5,) * 3)
        self.preprocessing = self.framing.to_json()
        self.seen: tuple[int, int] = (0, 0)

    def prepare(self, image):
        self.seen = image.size
        return self.framing.apply(image)

    def encode(self, batch):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("shape", "decoded"),
    [
        ((512, 384), (256, 192)),
        ((1024, 2048), (128, 256)),  # an eighth
        ((516, 1024), (129, 256)),  # both sides are multiples of 4, not of 8
        ((510, 516), (255, 258)),
        ((357, 257), (357, 257)),  # half a pixel at the edge would move what is cut out
        ((300, 254), (300, 254)),  # less than four times what the encoder takes would remain
    ],
)
def test_a_jpeg_is_decoded_smaller_only_where_the_same_is_cut_out(tmp_path, shape, decoded):
    path = detailed_photo(tmp_path / "photo.jpg", 3, shape)
    encoder = Square()
    found = prepare_file(encoder, path)
    assert encoder.seen == decoded
    assert np.abs(found - plain_pixels(path, 32).astype(float)).mean() < 1
