"""Draw scenes without a person, as photographs: a sky, then layers of land or water."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from labeler.cli.demo.drawings.canvas import Rng, Size, Values, fractal, rgb

# Zenith, horizon, sun or moon, nearest land: (4, 3).
LIGHTS = [
    np.array([rgb(code) for code in line.split()], np.float32)
    for line in (
        *("3f7cc4 d6ebf4 fff8e0 3c5a3a", "3b3a78 f7a36a ffe2a8 2a2238"),
        *("6b5aa0 f8c4b4 fff0dc 3a3054", "0c1230 3c4a80 f4f0dc 0c1020"),
        *("14304a 5aa89c e8fff0 0a1c26", "7ab0c4 f4e4d0 ffffff 3f6064"),
        *("7c3050 f4b45c fff4c0 3c1828", "50a0b0 fbe6c0 fffbe8 7a5c3c"),
    )
]
LAYERS = {"mountains": 5, "forest": 5, "dunes": 4, "city": 3, "islands": 2, "sea": 0}


def draw_scene(rng: Rng, size: Size | None = None) -> Image.Image:
    """Return a random scene, RGB, 480 pixels wide without `size`."""
    width, height = size or (480, round(480 * float(rng.choice([0.56, 0.66, 0.75]))))
    light, kind = LIGHTS[int(rng.integers(len(LIGHTS)))], str(rng.choice(list(LAYERS)))
    water = kind in ("sea", "islands") or (kind == "mountains" and rng.random() < 0.4)
    line = float(rng.uniform(0.5, 0.68))
    pixels = _sky(rng, (width, height), line, light)
    for layer in range(LAYERS[kind]):
        near = (layer + 1) / LAYERS[kind]
        base = line if water else line + 0.34 * near - 0.1
        crest = (base - _rise(rng, kind, width, near)) * height
        _land(rng, pixels, crest, near, light, city=kind == "city")
    if water:
        _water(rng, pixels, round(line * height), light)
    soft = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(
        ImageFilter.BoxBlur(0.5)
    )
    grain = rng.standard_normal((height, width, 1), np.float32) * rng.uniform(2, 6)
    return Image.fromarray(np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8))


def _sky(rng: Rng, size: Size, line: float, light: Values) -> Values:
    """Return clouds and a sun or moon, with stars if it is dark: (height, width, 3), 0–255."""
    width, height = size
    zenith, horizon, glow, _ = light
    y, x = np.mgrid[0:height, 0:width, 0:1].astype(np.float32)[:2]  # (height, width, 1) each
    share = np.clip(y / (line * height), 0, 1)
    sky: Values = zenith + (horizon - zenith) * share**1.3
    if zenith.max() < 90:
        stars = rng.random((height, width, 1), np.float32)
        sky += 220 * (1 - share) * np.clip((stars - 0.997) / 0.003, 0, 1)
    clouds = fractal(rng, size, (2, 7))[:, :, None]
    sky += (glow - sky) * np.clip((clouds - rng.uniform(0.45, 0.7)) * 2.5, 0, 1) * 0.6
    sun = (rng.uniform(0.15, 0.85) * width, line * height * rng.uniform(0.3, 0.9))
    away = np.hypot(x - sun[0], y - sun[1]) / width
    disc = np.clip((rng.uniform(-0.01, 0.06) - away) * width / 2 + 0.5, 0, 1)
    return sky + (glow - sky) * np.clip(0.7 * np.exp(-away / 0.14) + disc, 0, 1)


def _rise(rng: Rng, kind: str, width: int, near: float) -> Values:
    """Return how far the land rises above its base, (width,), in heights of the picture."""
    x = np.arange(width)
    if kind == "city":
        blocks = rng.random(60, np.float32)[np.cumsum(rng.random(width) < 16 / width) % 60]
        return (0.05 + 0.25 * blocks) * (1.2 - 0.4 * near)
    rise = fractal(rng, (width, 1), (3, 1), 2 if kind == "dunes" else 6)[0]
    rise *= 0.34 - 0.16 * near if kind == "mountains" else 0.14
    for tree in rng.integers(0, width, round(110 - 60 * near) if kind == "forest" else 0):
        away = np.abs(x - tree) / (width * rng.uniform(0.008, 0.016) * (0.4 + near))
        tall = 0.12 * (0.3 + near) * rng.uniform(0.6, 1.1)
        fir = rise[tree] * 0.9 + tall * (1 - away) - 0.012 * near * (x // 2 % 2)
        rise = np.maximum(rise, fir * (away < 1)).astype(np.float32)
    return rise


def _land(
    rng: Rng, pixels: Values, crest: Values, near: float, light: Values, *, city: bool
) -> None:
    """Paint the ground below the rows `crest` (width,) in place; `near` is 0–1."""
    height, width = pixels.shape[:2]
    below = np.arange(height, dtype=np.float32)[:, None] - crest
    texture = fractal(rng, (width, height), (7, 9), 4) * near * (not city)
    slope = np.clip(np.gradient(texture, axis=1) * width * 0.02, -0.3, 0.3)
    colour = light[1] + (light[3] - light[1]) * near
    ground = colour * (0.9 + 0.3 * texture + slope)[:, :, None]
    if city:
        pane = np.pad(np.ones((4, 3), bool), ((3, 1), (2, 1)))
        lit = np.kron(rng.random((height // 8 + 1, width // 6 + 1)) < 0.3 * near, pane)
        ground[lit[:height, :width] & (below > 6)] = (255, 206, 120)
    mist = 0.3 * (1 - near) * np.clip(below / (0.4 * height), 0, 1)[:, :, None]
    pixels += (ground + (light[2] - ground) * mist - pixels) * np.clip(below, 0, 1)[:, :, None]


def _water(rng: Rng, pixels: Values, line: int, light: Values) -> None:
    """Replace the rows below `line` by a rippled reflection of those above, in place."""
    height, width = pixels.shape[:2]
    rows = np.arange(height - line, dtype=np.float32)[:, None]
    swell = fractal(rng, (width, len(rows)), (3, 24), 4)
    far = 0.15 + 0.85 * rows / len(rows)
    up = np.clip(line - 1 - rows * line / len(rows) * 0.9 + (swell - 0.5) * 40 * far, 0, line - 1)
    water = pixels[up.astype(int), np.arange(width)] * 0.72 + light[0] * 0.17
    shine = (np.clip(swell - 0.68, 0, 1) * 1.2 * far)[:, :, None]
    pixels[line:] = water * (0.85 + 0.3 * swell[:, :, None]) + (light[2] - water) * shine
