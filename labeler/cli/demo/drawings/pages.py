"""Pictures that are mostly text: pages, code, charts and captioned frames."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from labeler.cli.demo.drawings.canvas import Colour, mixed
from labeler.cli.demo.drawings.figure import Rng, vivid

INK: Colour = (40, 40, 46)
_SYLLABLES = (
    *("ta", "lo", "mi", "ren", "sa", "vel", "or", "in", "du", "ka", "es", "tra"),
    *("po", "li", "me", "nu", "fa", "quo", "ser", "ba", "el", "ti", "ro", "ga"),
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_page(rng: Rng, width: int = 400) -> tuple[Image.Image, bool]:
    """One page or screen full of words in no language (RGB); True for a page of a document."""
    names = list(_PAGES)
    name = names[int(rng.integers(len(names)))]
    image = _PAGES[name](rng, width)
    if rng.random() < 0.4:
        tilt = float(rng.normal(0, 0.9))
        image = image.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=(214, 210, 204))
    return image, name == "document"


@functools.cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _word(rng: Rng) -> str:
    return "".join(rng.choice(_SYLLABLES, int(rng.integers(1, 4))))


def _lines(rng: Rng, count: int, letters: int) -> list[str]:
    lines = []
    for _ in range(count):
        line = _word(rng).capitalize()
        while len(line) < letters:
            line += (", " if rng.random() < 0.1 else " ") + _word(rng)
        lines.append(line[:letters])
    return lines


def _block(
    draw: ImageDraw.ImageDraw, rng: Rng, box: tuple[int, int, int, int], size: int, ink: Colour
) -> None:
    """Fill a box with paragraphs."""
    x, y, right, bottom = box
    letters = max(6, int((right - x) / (size * 0.52)))
    while y < bottom - size:
        for line in _lines(rng, int(rng.integers(3, 8)), letters):
            if y > bottom - size:
                return
            draw.text((x, y), line, fill=ink, font=_font(size))
            y += round(size * 1.4)
        y += size


def _document(rng: Rng, width: int) -> Image.Image:
    height = round(width * 1.38)
    paper = mixed((255, 255, 255), (244, 232, 208), float(rng.random()))
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    margin, size = width // 11, int(rng.integers(8, 13))
    draw.text((margin, margin), _lines(rng, 1, 18)[0], fill=INK, font=_font(size * 2))
    columns = int(rng.integers(1, 3))
    wide = (width - margin * (columns + 1)) // columns
    for column in range(columns):
        x = margin + column * (wide + margin)
        _block(draw, rng, (x, margin + size * 4, x + wide, height - margin), size, INK)
    return image


def _code(rng: Rng, width: int) -> Image.Image:
    dark = rng.random() < 0.7
    ground: Colour = (30, 32, 40) if dark else (250, 250, 248)
    image = Image.new("RGB", (width, round(width * 0.75)), ground)
    draw = ImageDraw.Draw(image)
    indent, size = 0, 12
    for row, y in enumerate(range(10, image.height - size, 17)):
        indent = max(0, min(4, indent + int(rng.integers(-1, 2))))
        draw.text(
            (6, y), f"{row + 1:>2}", fill=mixed(ground, (128, 128, 128), 0.7), font=_font(size)
        )
        x = 32 + indent * 18
        for _ in range(int(rng.integers(0, 5))):
            word = _word(rng) + str(rng.choice(["", "()", " =", ":", ","]))
            colour = vivid(float(rng.choice([0.08, 0.35, 0.55, 0.8])), 0.5, 0.95 if dark else 0.5)
            draw.text((x, y), word, fill=colour, font=_font(size))
            x += 7 * len(word) + 8
    return image


def _chart(rng: Rng, width: int) -> Image.Image:
    height = round(width * 0.72)
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    left, bottom, count = width // 9, round(height * 0.82), int(rng.integers(5, 10))
    draw.text((left, 10), _lines(rng, 1, 22)[0], fill=INK, font=_font(16))
    step = (width - left * 2) / count
    values = rng.uniform(0.15, 0.85, count) * (bottom - 50)
    for k, value in enumerate(values):
        x = left + k * step
        fill = vivid(0.55 + 0.06 * (k % 3), 0.55, 0.8)
        draw.rectangle((x + 3, bottom - value, x + step - 3, bottom), fill=fill)
        draw.text((x + 4, bottom + 6), _word(rng)[:4], fill=INK, font=_font(10))
    for y in np.linspace(40, bottom, 6):
        draw.line([(left, y), (width - left, y)], fill=(200, 200, 204))
        draw.text((6, y - 6), str(int(bottom - y)), fill=INK, font=_font(10))
    return image


def _window(rng: Rng, width: int) -> Image.Image:
    """A program's dialogue: title bar, list, buttons."""
    height = round(width * 0.7)
    image = Image.new("RGB", (width, height), (236, 236, 240))
    draw = ImageDraw.Draw(image)
    bar = vivid(float(rng.random()), 0.35, 0.55)
    draw.rectangle((0, 0, width, 26), fill=bar)
    draw.text((10, 5), _lines(rng, 1, 20)[0], fill=(255, 255, 255), font=_font(14))
    draw.rectangle(
        (12, 40, width * 0.35, height - 48), fill=(255, 255, 255), outline=(180, 180, 190)
    )
    for k, line in enumerate(_lines(rng, 9, 14)):
        draw.text((18, 46 + 20 * k), line, fill=INK, font=_font(12))
    _block(draw, rng, (round(width * 0.4), 44, width - 14, height - 52), 12, INK)
    for k in range(3):
        x = width - 14 - 84 * (k + 1)
        draw.rounded_rectangle(
            (x, height - 36, x + 76, height - 12), 5, fill=(250, 250, 252), outline=(150, 150, 160)
        )
        draw.text((x + 12, height - 31), _word(rng)[:7], fill=INK, font=_font(12))
    return image


_PAGES: dict[str, Callable[[Rng, int], Image.Image]] = {
    "document": _document,
    "code": _code,
    "chart": _chart,
    "window": _window,
}
