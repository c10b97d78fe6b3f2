"""Photo-like scenes without a subject: landscapes, sea, night streets, close-ups, with grain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from labeler.cli.demo.drawings.canvas import Colour
from labeler.cli.demo.drawings.figure import Rng
from labeler.cli.demo.drawings.noise import fractal, ridge

Size = tuple[int, int]

# Zenith and horizon of a sky, and the light that falls on the land.
_SKIES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((58, 112, 188), (196, 220, 238), (255, 250, 235)),
    ((52, 66, 122), (246, 168, 112), (255, 190, 140)),
    ((92, 104, 122), (196, 202, 208), (215, 220, 226)),
    ((88, 72, 132), (248, 196, 176), (255, 205, 190)),
    ((20, 26, 54), (74, 82, 122), (110, 120, 170)),
)


def draw_scene(rng: Rng, width: int = 480) -> Image.Image:
    """A random scene as a camera would take it: RGB."""
    size = (width, round(width * float(rng.choice([0.66, 0.75, 0.56]))))
    names = list(_SCENES)
    pixels = _SCENES[names[int(rng.integers(len(names)))]](rng, size)
    return _developed(rng, pixels)


def _developed(rng: Rng, pixels: np.ndarray) -> Image.Image:
    """Vignette, a little blur and grain: float32 (height, width, 3) of 0–255 to RGB."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - float(rng.uniform(0.08, 0.3)) * (x * x + y * y) / 2
    grain = rng.normal(0, float(rng.uniform(2.5, 7)), (height, width, 1)).astype(np.float32)
    lit = pixels * vignette[:, :, None]
    image = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(0.6))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _sky(rng: Rng, size: Size, horizon: float) -> tuple[np.ndarray, np.ndarray]:
    """A sky (height, width, 3) above `horizon` (share of the height) and its light (3,)."""
    zenith, low, light = (np.array(c, np.float32) for c in _SKIES[int(rng.integers(len(_SKIES)))])
    share = np.clip(np.linspace(0, 1 / horizon, size[1], dtype=np.float32), 0, 1)[:, None, None]
    sky: np.ndarray = zenith + (low - zenith) * share**1.4
    cover = float(rng.uniform(0.35, 0.75))
    clouds = fractal(rng, size, (3, 6), 6, 0.55)[:, :, None]
    thick = np.clip((clouds - cover) * 3.2, 0, 1)
    sky = sky + (light * 0.98 - sky) * thick * 0.85
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    sun = (
        float(rng.uniform(0.1, 0.9)) * size[0],
        horizon * size[1] * float(rng.uniform(0.35, 0.95)),
    )
    glow = np.exp(-np.hypot(x - sun[0], y - sun[1]) / (0.16 * size[0]))[:, :, None]
    return sky + (light - sky) * glow * 0.9, light


def _land(
    rng: Rng, pixels: np.ndarray, crest: np.ndarray, colour: np.ndarray, rough: float
) -> None:
    """Paint textured ground below the line `crest` (width,) of row numbers, in place."""
    height, width = pixels.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    below = np.clip(rows - crest[None, :], 0, 1)[:, :, None]
    texture = fractal(rng, (width, height), (5, 9), 6, 0.6)
    slope = np.gradient(texture, axis=1)[:, :, None] * width * 0.045
    shade = 1 + rough * ((texture[:, :, None] - 0.5) * 0.9 + np.clip(slope, -0.5, 0.5))
    pixels += (colour * shade - pixels) * below


def _mountains(rng: Rng, size: Size) -> np.ndarray:
    pixels, light = _sky(rng, size, 0.6)
    near = np.array(
        rng.choice([(54, 74, 50), (92, 78, 58), (70, 82, 92), (96, 66, 54)]), np.float32
    )
    layers = int(rng.integers(3, 6))
    haze = pixels[int(0.55 * size[1]), size[0] // 2]
    for k in range(layers):
        depth = (k + 1) / layers
        crest = size[1] * (
            0.34 + 0.42 * depth - 0.26 * (1.15 - depth) * ridge(rng, size[0], 2 + 2 * k)
        )
        colour = (haze + (near - haze) * depth**1.2) * (0.55 + 0.45 * light / 255)
        _land(rng, pixels, crest, colour, 0.25 + 0.6 * depth)
    return pixels


def _sea(rng: Rng, size: Size) -> np.ndarray:
    line = float(rng.uniform(0.4, 0.6))
    pixels, light = _sky(rng, size, line)
    top = int(line * size[1])
    rows = size[1] - top
    mirrored = pixels[:top][::-1]
    water = np.asarray(
        Image.fromarray(np.clip(mirrored, 0, 255).astype(np.uint8)).resize((size[0], rows)),
        np.float32,
    )
    waves = fractal(rng, (size[0], rows), (3, 26), 5, 0.7)[:, :, None]
    depth = np.linspace(0.1, 1, rows, dtype=np.float32)[:, None, None]
    deep = np.array(rng.choice([(20, 66, 92), (36, 84, 96), (30, 44, 66)]), np.float32)
    water = water * 0.55 + deep * 0.45
    pixels[top:] = (
        water * (1 + (waves - 0.5) * 0.9 * depth) + light * 0.35 * np.clip(waves - 0.72, 0, 1) * 3
    )
    if rng.random() < 0.6:
        crest = size[1] * (0.86 - 0.1 * ridge(rng, size[0], 2))
        _land(rng, pixels, crest, np.array((196, 170, 128), np.float32) * 0.9, 0.25)
    return pixels


def _field(rng: Rng, size: Size) -> np.ndarray:
    pixels, light = _sky(rng, size, 0.5)
    hills = np.array(rng.choice([(74, 104, 62), (120, 112, 70), (150, 128, 74)]), np.float32)
    _land(rng, pixels, size[1] * (0.5 - 0.1 * ridge(rng, size[0], 3)), hills * 0.75, 0.3)
    ground = hills * (0.5 + 0.5 * light / 255)
    _land(rng, pixels, np.full(size[0], size[1] * 0.54), ground, 0.9)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(0, 9))):
        _tree(rng, image, float(rng.uniform(0.02, 0.98)), float(rng.uniform(0.5, 0.75)))
    return np.asarray(image, np.float32).copy()


def _tree(rng: Rng, image: Image.Image, x: float, base: float) -> None:
    width, height = image.size
    tall = (base - 0.44) * height * float(rng.uniform(0.7, 1.1))
    foot = (x * width, base * height)
    draw = ImageDraw.Draw(image)
    green = np.array((46, 66, 40)) * rng.uniform(0.7, 1.2)
    draw.line(
        [foot, (foot[0], foot[1] - tall * 0.6)], fill=(58, 44, 36), width=max(2, int(tall / 14))
    )
    for _ in range(60):
        spread = rng.normal(0, tall * 0.17, 2)
        cx, cy = foot[0] + spread[0], foot[1] - tall * 0.75 + spread[1]
        r = tall * float(rng.uniform(0.04, 0.1))
        leaf = tuple(int(v) for v in np.clip(green * rng.uniform(0.7, 1.5), 0, 255))
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=leaf)


def _street(rng: Rng, size: Size) -> np.ndarray:
    """Houses at dusk: lit windows, their lights on the wet road."""
    pixels, _ = _sky(rng, size, 0.7)
    image = Image.fromarray(np.clip(pixels * 0.45, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    ground, x = int(0.74 * size[1]), 0
    while x < size[0]:
        wide = int(rng.integers(size[0] // 14, size[0] // 6))
        top = ground - int(rng.integers(size[1] // 5, int(size[1] * 0.6)))
        grey = int(rng.integers(20, 44))
        wall = (grey, grey, grey + 6)
        draw.rectangle((x, top, x + wide, ground), fill=wall)
        for wx in range(x + 4, x + wide - 6, 10):
            for wy in range(top + 6, ground - 8, 13):
                if rng.random() < 0.42:
                    warm = tuple(int(v) for v in rng.integers((200, 150, 70), (256, 226, 160)))
                    draw.rectangle((wx, wy, wx + 4, wy + 6), fill=warm)
        x += wide
    lit = np.asarray(image, np.float32).copy()
    road = lit[ground - (size[1] - ground) : ground][::-1]
    smeared = Image.fromarray(road.astype(np.uint8)).filter(ImageFilter.BoxBlur((2, 14)))
    shine = np.asarray(smeared, np.float32)[: size[1] - ground]
    lit[ground : ground + len(shine)] = shine * 0.8 + 14
    halo = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(7)
    )
    return lit + np.asarray(halo, np.float32) * 0.5


def _close_up(rng: Rng, size: Size) -> np.ndarray:
    """A surface in raking light: bark, sand, stone or leaves."""
    tone = np.array(
        rng.choice([(122, 96, 70), (186, 160, 120), (130, 132, 134), (72, 104, 52)]), np.float32
    )
    cells = [(4, 4), (2, 14), (16, 3)][int(rng.integers(3))]
    relief = fractal(rng, size, cells, 6, 0.62)
    slope = (np.gradient(relief, axis=0) + np.gradient(relief, axis=1)) * size[0] * 0.035
    stain = fractal(rng, size, (2, 2), 3)[:, :, None] - 0.5
    return (
        tone * (1 + np.clip(slope, -0.7, 0.8))[:, :, None] * (1 + stain * np.array((0.5, 0.3, 0.1)))
    )


def _bokeh(rng: Rng, size: Size) -> np.ndarray:
    """Lights out of focus behind nothing in particular."""
    base = fractal(rng, size, (3, 3), 2)[:, :, None] * rng.uniform(20, 90, 3).astype(np.float32)
    image = Image.fromarray(base.astype(np.uint8))
    for _ in range(int(rng.integers(25, 60))):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        r = float(rng.uniform(0.015, 0.07)) * size[0]
        spot = Image.new("L", size)
        ImageDraw.Draw(spot).ellipse((x - r, y - r, x + r, y + r), fill=int(rng.integers(40, 170)))
        warm = tuple(int(v) for v in rng.integers((150, 90, 50), (256, 240, 200)))
        image.paste(warm, mask=spot)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(2)), np.float32).copy()


_SCENES: dict[str, Callable[[Rng, Size], np.ndarray]] = {
    "mountains": _mountains,
    "sea": _sea,
    "field": _field,
    "street": _street,
    "close-up": _close_up,
    "bokeh": _bokeh,
}
