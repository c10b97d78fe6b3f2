"""Draw pictures that are mostly text, in words of no language: pages, code, charts, posters."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from labeler.cli.demo.drawings.canvas import PALETTES, Palette, Rng, mixed, rgb
from labeler.cli.demo.drawings.scenes import draw_scene

INK, WHITE = rgb("2c2a32"), rgb("ffffff")
SYLLABLES = "ta,lo,mi,ren,sa,vel,or,in,du,ka,es,tra,po,li,me,nu,fa,quo,ser,ba,el,ti,ro,ga"
_font = functools.cache(ImageFont.load_default)


def draw_document(rng: Rng, width: int = 400) -> tuple[Image.Image, bool]:
    """Return a page or a screen full of words (RGB), and whether it is a page of a document."""
    kind, palette = int(rng.integers(4)), PALETTES[int(rng.integers(len(PALETTES)))]
    image = (_page, _code, _chart, _poster)[kind](rng, width, palette)
    tilt = float(rng.normal(0, 0.9)) if rng.random() < 0.4 else 0.0
    return image.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=rgb("d6d2cc")), kind == 0


def _words(rng: Rng, letters: int) -> str:
    parts = rng.choice(SYLLABLES.split(","), letters), rng.choice(["", " "], letters)
    return "".join(np.ravel(parts, "F"))[:letters].capitalize()


def _paragraphs(draw: ImageDraw.ImageDraw, rng: Rng, box: tuple[int, ...], size: int) -> None:
    left, top, right, bottom = box
    for line, y in enumerate(range(top, bottom - size, round(size * 1.4))):
        share = (1, 1, 1, 1, 1, 0.5, 0)[line % 7]
        words = _words(rng, int(share * (right - left) / (size * 0.52)))
        draw.text((left, y), words, INK, _font(size))


def _page(rng: Rng, width: int, palette: Palette) -> Image.Image:
    height, margin, size = round(width * 1.38), width // 11, int(rng.integers(8, 13))
    image = Image.new("RGB", (width, height), mixed(WHITE, palette[0], float(rng.random()) * 0.4))
    draw = ImageDraw.Draw(image)
    draw.text((margin, margin), _words(rng, 18), INK, _font(size * 2))
    columns = int(rng.integers(1, 3))
    step = (width - margin) // columns
    for x in range(margin, width - margin, step):
        box = (x, margin + size * 4, x + step - margin, height - margin)
        _paragraphs(draw, rng, box, size)
    return image


def _code(rng: Rng, width: int, palette: Palette) -> Image.Image:
    ground, ink = (rgb("1e202a"), WHITE) if rng.random() < 0.7 else (rgb("faf9f5"), INK)
    image, indent = Image.new("RGB", (width, round(width * 0.75)), ground), 0
    draw = ImageDraw.Draw(image)
    for row, y in enumerate(range(10, image.height - 12, 17)):
        indent = max(0, min(4, indent + int(rng.integers(-1, 2))))
        draw.text((6, y), f"{row + 1:>2}", mixed(ground, ink, 0.3), _font(12))
        x = 32.0 + indent * 18
        for _ in range(int(rng.integers(0, 5))):
            word = _words(rng, 6).lower() + str(rng.choice(["", "()", " =", ":", ","]))
            draw.text((x, y), word, mixed(palette[int(rng.integers(4))], ink, 0.3), _font(12))
            x += _font(12).getlength(word) + 8
    return image


def _chart(rng: Rng, width: int, palette: Palette) -> Image.Image:
    image, count = Image.new("RGB", (width, round(width * 0.72)), WHITE), int(rng.integers(5, 10))
    draw, left, bottom = ImageDraw.Draw(image), width // 9, round(width * 0.6)
    draw.text((left, 10), _words(rng, 22), INK, _font(16))
    for y in range(bottom, 40, -40):
        draw.line((left, y, width - left, y), rgb("d6d6dc"))
        draw.text((8, y - 6), str(bottom - y), INK, _font(10))
    step = (width - left * 2) / count
    for k, value in enumerate(rng.uniform(0.15, 0.9, count).tolist()):
        x = left + k * step
        bar = (x + 0.14 * step, bottom - value * (bottom - 45), x + 0.86 * step, bottom)
        draw.rectangle(bar, palette[1 + k % 3])
        draw.text((x + 0.2 * step, bottom + 6), _words(rng, 4), INK, _font(10))
    return image


def _poster(rng: Rng, width: int, palette: Palette) -> Image.Image:
    ground, _, dark, light = palette
    image, margin = (
        Image.new("RGB", (width, width * 5 // 4), mixed(ground, WHITE, 0.6)),
        width // 14,
    )
    draw, wide = ImageDraw.Draw(image), width - 2 * margin
    draw.rectangle((0, 0, width, width // 5), dark)
    draw.text((margin, margin - 8), _words(rng, 13), light, _font(width // 10))
    image.paste(draw_scene(rng, (wide, wide * 5 // 8)), (margin, width // 5 + margin))
    _paragraphs(draw, rng, (margin, width * 22 // 25, width - margin, image.height - margin), 15)
    return image
