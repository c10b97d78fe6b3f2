"""Small things and repeats: pixel sprites, icons, tiles."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from labeler.cli.demo.drawings.canvas import Canvas, Colour, mixed, oval, smooth
from labeler.cli.demo.drawings.figure import Rng, vivid

WHITE: Colour = (255, 255, 255)


def draw_pattern(rng: Rng, width: int = 256) -> Image.Image:
    """A sprite, an icon or a tile: RGB, or RGBA with a transparent ground."""
    names = list(_PATTERNS)
    return _PATTERNS[names[int(rng.integers(len(names)))]](rng, width)


def _sprite(rng: Rng, width: int) -> Image.Image:
    """Mirrored random pixels: a creature of sorts."""
    cells = int(rng.choice([9, 11, 13]))
    half = rng.random((cells, cells // 2 + 1))
    y, x = np.mgrid[0:cells, 0 : cells // 2 + 1]
    near = 1 - np.hypot((x - cells // 2) / (cells / 2), (y - cells / 2) / (cells / 2))
    body = half * 0.7 + near > 0.62
    hue = float(rng.random())
    tones = np.array(
        [vivid(hue + shift, 0.6, value) for shift, value in ((0, 0.9), (0.04, 0.65), (0.1, 0.4))]
    )
    pixels = np.zeros((cells, cells // 2 + 1, 4), np.uint8)
    pixels[..., :3] = tones[rng.integers(0, 3, body.shape)]
    pixels[..., 3] = np.where(body, 255, 0)
    pixels[cells // 3, cells // 2 - 1] = (20, 20, 28, 255)
    whole = np.concatenate([pixels, pixels[:, -2::-1]], axis=1)
    scale = max(1, width // (cells + 2))
    image = Image.new("RGBA", (width, width))
    grown = Image.fromarray(whole).resize((cells * scale, cells * scale), Image.Resampling.NEAREST)
    image.paste(grown, ((width - grown.width) // 2, (width - grown.height) // 2))
    return image


def _icon(rng: Rng, width: int) -> Image.Image:
    hue = float(rng.random())
    canvas = Canvas(width, width, line=0.02)
    ground, sign = vivid(hue, 0.5, 0.8), vivid(hue + 0.5, 0.25, 0.98)
    square = [
        (0.12, 0.08),
        (0.5, 0.06),
        (0.88, 0.08),
        (0.94, 0.5),
        (0.88, 0.92),
        (0.5, 0.94),
        (0.12, 0.92),
        (0.06, 0.5),
    ]
    canvas.shape(smooth(square), ground, outline=mixed(ground, (0, 0, 0), 0.5))
    kind = str(rng.choice(["star", "heart", "drop", "gear", "arrow"]))
    if kind in ("star", "gear"):
        points, inner = (5, 0.14) if kind == "star" else (9, 0.25)
        angle = np.linspace(-math.pi / 2, 1.5 * math.pi, 2 * points, endpoint=False)
        reach = np.where(np.arange(2 * points) % 2, inner, 0.33)
        shape = np.column_stack([0.5 + reach * np.cos(angle), 0.5 + reach * np.sin(angle)])
        canvas.shape(shape, sign)
        if kind == "gear":
            canvas.shape(oval((0.5, 0.5), 0.1, 0.1), ground)
    elif kind == "heart":
        half = [(0.5, 0.34), (0.62, 0.22), (0.8, 0.3), (0.78, 0.5), (0.5, 0.8)]
        canvas.shape(smooth([*half, (0.22, 0.5), (0.2, 0.3), (0.38, 0.22)]), sign)
    elif kind == "drop":
        canvas.shape(
            smooth([(0.5, 0.15), (0.7, 0.5), (0.66, 0.76), (0.5, 0.84), (0.34, 0.76), (0.3, 0.5)]),
            sign,
        )
    else:
        head = [(0.52, 0.24), (0.84, 0.5), (0.52, 0.76)]
        canvas.shape([(0.18, 0.42), (0.52, 0.42), *head, (0.52, 0.58), (0.18, 0.58)], sign)
    return canvas.finished()


def _tiles(rng: Rng, width: int) -> Image.Image:
    """Checks, stripes, circles or quarter arcs, repeated."""
    hue = float(rng.random())
    first, second = vivid(hue, 0.35, 0.9), vivid(hue + float(rng.choice([0.05, 0.5])), 0.55, 0.6)
    image = Image.new("RGB", (width * 2, width * 2), first)
    draw = ImageDraw.Draw(image)
    kind = str(rng.choice(["checks", "circles", "arcs", "diamonds"]))
    step = 2 * width // int(rng.integers(4, 10))
    for row, y in enumerate(range(0, 2 * width + step, step)):
        for column, x in enumerate(range(0, 2 * width + step, step)):
            _tile(draw, rng, kind, (x, y, step), second, odd=(row + column) % 2 == 1)
    return image.reduce(2)


def _tile(
    draw: ImageDraw.ImageDraw,
    rng: Rng,
    kind: str,
    at: tuple[int, int, int],
    colour: Colour,
    *,
    odd: bool,
) -> None:
    x, y, step = at
    if kind == "checks" and odd:
        draw.rectangle((x, y, x + step, y + step), fill=colour)
    elif kind == "circles":
        inset = step * (0.12 if odd else 0.28)
        draw.ellipse((x + inset, y + inset, x + step - inset, y + step - inset), fill=colour)
    elif kind == "diamonds":
        half = step / 2
        draw.polygon(
            [(x + half, y), (x + step, y + half), (x + half, y + step), (x, y + half)], fill=colour
        )
    elif kind == "arcs":
        pen, half = max(3, step // 6), step / 2
        reach = half + pen / 2
        corners = ((0, 0, 0), (1, 1, 180)) if rng.random() < 0.5 else ((1, 0, 90), (0, 1, 270))
        for right, down, start in corners:
            cx, cy = x + right * step, y + down * step
            draw.arc(
                (cx - reach, cy - reach, cx + reach, cy + reach), start, start + 90, colour, pen
            )


_PATTERNS: dict[str, Callable[[Rng, int], Image.Image]] = {
    "sprite": _sprite,
    "icon": _icon,
    "tiles": _tiles,
}
