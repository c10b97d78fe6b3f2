"""What is behind a character."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from labeler.cli.demo.drawings.canvas import Colour, mixed
from labeler.cli.demo.drawings.figure import Rng

WHITE: Colour = (255, 255, 255)


def plain(rng: Rng, size: tuple[int, int], colour: Colour) -> Image.Image:
    """One colour, at most with stripes, dots or a disc."""
    image = Image.new("RGB", size, colour)
    draw = ImageDraw.Draw(image)
    lighter = mixed(colour, WHITE, 0.35)
    width, height = size
    kind = str(rng.choice(["bare", "bare", "stripes", "dots", "disc"]))
    if kind == "stripes":
        for x in range(-height, width, width // 8):
            draw.line([(x, height), (x + height, 0)], fill=lighter, width=width // 20)
    elif kind == "dots":
        step = width // 10
        for row, y in enumerate(range(0, height + step, step)):
            for x in range(step // 2 * (row % 2), width + step, step):
                draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=lighter)
    elif kind == "disc":
        reach = 0.42 * width
        draw.ellipse(
            (width / 2 - reach, 0.1 * height, width / 2 + reach, 0.1 * height + 2 * reach),
            fill=lighter,
        )
    return image


def painted(rng: Rng, size: tuple[int, int], colour: Colour) -> Image.Image:
    """A gradient sky with soft lights, rays or hills."""
    width, height = size
    dark, light = mixed(colour, (40, 24, 84), 0.55), mixed(colour, (255, 232, 196), 0.6)
    if rng.random() < 0.5:
        dark, light = light, dark
    image = _gradient(size, dark, light)
    kind = str(rng.choice(["bokeh", "bokeh", "rays", "hills", "window"]))
    overlay = Image.new("L", size)
    draw = ImageDraw.Draw(overlay)
    if kind == "bokeh":
        for _ in range(26):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            r = float(rng.uniform(0.015, 0.07)) * width
            draw.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.integers(30, 150)))
    elif kind == "rays":
        centre = (width * float(rng.uniform(0.2, 0.8)), height * 0.1)
        for k in range(0, 24, 2):
            first, last = (math.tau * (k + shift) / 24 for shift in (0, 1))
            far = 2 * height
            draw.polygon(
                [
                    centre,
                    *(
                        (centre[0] + far * math.cos(a), centre[1] + far * math.sin(a))
                        for a in (first, last)
                    ),
                ],
                fill=70,
            )
    elif kind == "hills":
        for k in range(3):
            xs = np.linspace(0, width, 24)
            ys = height * (0.5 + 0.15 * k) + 0.06 * height * np.sin(
                xs / width * rng.uniform(4, 9) + rng.uniform(0, 6)
            )
            draw.polygon(
                [(0, height), *zip(xs.tolist(), ys.tolist(), strict=True), (width, height)],
                fill=50 + 45 * k,
            )
    else:
        for x in (0.12, 0.58):
            draw.rectangle((x * width, 0.05 * height, (x + 0.3) * width, 0.6 * height), fill=150)
    image.paste(
        WHITE if kind != "hills" else mixed(colour, (24, 40, 60), 0.6),
        mask=overlay.filter(ImageFilter.GaussianBlur(width / 160)),
    )
    return image


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    ramp = np.linspace(np.array(top), np.array(bottom), size[1]).astype(np.uint8)  # (height, 3)
    return Image.fromarray(np.repeat(ramp[:, None], size[0], axis=1))
