"""Draw outlines in one of three media: flat colour, shaded colour or pencil.

A part of a figure is text: operation, colour, number and points, again and again. Points are
written as in an SVG polygon, "x,y x,y …" with y down; a curve runs through them, and "!" behind a
point makes it a corner. Operations: `shape`, `pair` (a shape and its mirror image), `mirror` (the
right half of a symmetric shape, from the top down), `oval`, `ovals` (centre and half axes),
`line`, `lines`. The number is a line's width, or how round a shape is, 0 for a mark on a surface.
"""

from __future__ import annotations

import cmath
import functools
import math
import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, ...]  # red, green, blue; 0–255
Palette = list[Colour]
Medium = Literal["flat", "shaded", "pencil"]
Size = tuple[int, int]  # width, height
Points = NDArray[np.complex128]  # x + iy, y down
Values = NDArray[np.float32]
Rng = np.random.Generator

OVERSAMPLING = 2  # everything is drawn larger and reduced at the end, which smooths the edges


def rgb(code: str) -> Colour:
    """Return the colour of six hexadecimal digits."""
    return tuple(bytes.fromhex(code))


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` with `share` (0–1) of `second`."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


PAPER, GRAPHITE = rgb("f7f4ec"), rgb("4a484e")
_HALF = [value // 2 for value in range(256)]
# Backdrop, its second colour, clothes, accent.
PALETTES = [
    [rgb(code) for code in line.split()]
    for line in (
        *("f3d6b4 e58f6e 2f4f74 f0b26a", "a9d5da 5c93ae d94a52 f6e3b8"),
        *("2c4a56 3f9488 e4b95f e0694c", "d3bfe2 f3bfd2 5a4b86 f6a9b8"),
        *("cfd8b0 a3b884 b5672f f3e6c0", "16223f 33507a 4fb3ac f2c35a"),
        *("f9dcdc ec8d88 6f9488 f3bd66", "c9d6d2 8ea9a8 6b6078 f5c2c4"),
        *("fbd09c f2994e 3e5f84 e25f5c", "bcd9bb 74a595 46728a fbd585"),
        *("dba9f2 8f56c4 42216e f9b53c", "ffe3b6 deb08e 9a3334 f8c66a"),
    )
]


def fractal(rng: Rng, size: Size, cells: Size, octaves: int = 5) -> Values:
    """Return smooth noise, (height, width) in 0–1, at first with `cells` waves across and down."""
    total = np.zeros((size[1], size[0]), np.float32)
    for octave in range(octaves):
        grid = rng.random((cells[1] * 2**octave + 1, cells[0] * 2**octave + 1), dtype=np.float32)
        layer = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(layer) * np.float32(0.5**octave)
    low, high = total.min(), total.max()
    return (total - low) / max(high - low, np.float32(1e-6))


def curve(points: Points, *, closed: bool = True, steps: int = 7) -> Points:
    """Return a Catmull–Rom curve through the points; one that stands twice is a corner."""
    ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    knots = np.concatenate([ends[0], points, ends[1]])
    a, b, c, d = (knots[k : len(knots) - 3 + k] for k in range(4))
    a, b, c, d = (knot[b != c, None] for knot in (a, b, c, d))
    t = np.linspace(0, 1, steps, endpoint=False)
    bends = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return bends.ravel() if closed else np.append(bends, points[-1])


@functools.cache
def parse(part: str) -> list[tuple[str, str, float, Points]]:
    """Return operation, colour, number and outline of every entry of a part."""
    entries = []
    for operation, colour, number, text in re.findall(r"([a-z]+) (\w+) ([\d.]+) ([^a-z]+)", part):
        pairs = [point for point in text.split() for _ in range(1 + point.endswith("!"))]
        points = np.array([pair.rstrip("!").split(",") for pair in pairs], float) @ (1, 1j)
        if operation.startswith("oval"):
            (centre, half), t = points, np.linspace(0, math.tau, 48, endpoint=False)
            points = centre + half.real * np.cos(t) + 1j * half.imag * np.sin(t)
        elif operation == "mirror":
            points = curve(np.append(points, _mirrored(points[points.real != 0][::-1])))
        else:
            points = curve(points, closed=not operation.startswith("line"))
        entries.append((operation, colour, float(number), points))
    return entries


def _mirrored(points: Points) -> Points:
    return -points.conj()


def _flat(points: Points) -> list[float]:
    """Return x, y, x, y, … as Pillow takes them."""
    return np.ascontiguousarray(points).view(float).tolist()


class Canvas:
    """A picture in one medium; a later shape covers earlier ones.

    Coordinates count in `unit` pixels of the finished picture from `origin`, turned by `tilt`
    (radians).
    """

    origin: complex = 0
    unit: float = 1
    tilt: float = 0

    def __init__(self, medium: Medium, rng: Rng, background: Image.Image) -> None:
        self.medium, self.rng = medium, rng
        width, height = background.size
        self.image = background.resize((width * OVERSAMPLING, height * OVERSAMPLING))

    def finished(self) -> Image.Image:
        """Return the picture in the size and the mode of the background."""
        return self.image.reduce(OVERSAMPLING)

    def draw(self, part: str, colours: dict[str, Colour], *, flip: bool = False) -> None:
        """Draw a part of a figure; `flip` mirrors it."""
        turn = self.unit * OVERSAMPLING * cmath.exp(1j * self.tilt)
        for operation, colour, number, outline in parse(part):
            draw = self._line if operation.startswith("line") else self._shape
            for side in (False, True) if operation in ("pair", "lines", "ovals") else (False,):
                points = _mirrored(outline) if side != flip else outline
                draw(points * turn + self.origin * OVERSAMPLING, colours[colour], number)

    def _shape(self, outline: Points, colour: Colour, depth: float) -> None:
        darkness = 1 - sum(colour) / 765
        if self.medium == "shaded" and depth:
            self._shade(outline, colour, max(8.0, 0.3 * depth * self.unit * OVERSAMPLING))
        elif self.medium == "pencil" and depth:
            self._sketch(outline, darkness)
        else:
            pencil = self.medium == "pencil"
            self._fill(outline, mixed(PAPER, GRAPHITE, 1.2 * darkness) if pencil else colour)

    def _line(self, bends: Points, colour: Colour, width: float) -> None:
        """Draw an open line that thins out towards its ends."""
        if self.medium == "pencil":
            self._by_hand(bends)
            return
        along = np.gradient(bends)
        swell = np.sin(np.linspace(0.1, math.pi - 0.1, len(bends))) ** 0.6
        half = swell * max(1.0, width * self.unit * OVERSAMPLING / 2)
        across = 1j * half * along / np.maximum(np.abs(along), 1e-9)
        self._fill(np.append(bends + across, (bends - across)[::-1]), colour)

    def _fill(self, outline: Points, colour: Colour) -> None:
        ImageDraw.Draw(self.image).polygon(_flat(outline), fill=colour)

    def _mask(self, outline: Points, pad: float) -> tuple[Image.Image, tuple[int, int]]:
        """Return the filled outline with a margin (L), and where its upper left corner lies."""
        left, top = (math.floor(axis.min() - pad) for axis in (outline.real, outline.imag))
        width, height = (math.ceil(np.ptp(axis) + 2 * pad) for axis in (outline.real, outline.imag))
        mask = Image.new("L", (width + 1, height + 1))
        ImageDraw.Draw(mask).polygon(_flat(outline - complex(left, top)), fill=255)
        return mask, (left, top)

    def _shade(self, outline: Points, colour: Colour, reach: float) -> None:
        """Fill with light from the upper left, which fades `reach` pixels from the edges."""
        mask, corner = self._mask(outline, reach)
        soft, step = mask.reduce(4).filter(ImageFilter.BoxBlur(reach / 8)), max(1, round(reach / 8))
        dark, bright = (ImageChops.invert(ImageChops.offset(soft, k, k)) for k in (-step, step))
        lit = Image.new("RGB", soft.size, colour)
        lit.paste(mixed(colour, (48, 16, 84), 0.6), mask=dark)
        lit.paste(mixed(colour, (255, 236, 200), 0.6), mask=bright.point(_HALF))
        self.image.paste(lit.resize(mask.size), corner, mask)

    def _sketch(self, outline: Points, darkness: float) -> None:
        """Trace the outline twice on blank paper, and hatch what is dark."""
        self._fill(outline, PAPER)
        mask, corner = self._mask(outline, 0)
        lines, gap = Image.new("L", mask.size), round(12 * (1.5 - darkness))
        for start in range(-mask.height, mask.width if darkness > 0.4 else -mask.height, gap):
            x = start + float(self.rng.normal(0, gap / 4))
            hatch = (x, mask.height, x + 0.8 * mask.height, 0)
            ImageDraw.Draw(lines).line(hatch, fill=150, width=2)
        self.image.paste(GRAPHITE, corner, ImageChops.multiply(mask, lines))
        for _ in range(2):
            self._by_hand(np.append(outline, outline[:3]))

    def _by_hand(self, bends: Points) -> None:
        knots = self.rng.normal(0, OVERSAMPLING, (max(2, len(bends) // 6), 2)) @ (1, 1j)
        shake = np.interp(np.linspace(0, 1, len(bends)), np.linspace(0, 1, len(knots)), knots)
        grey = mixed(GRAPHITE, PAPER, float(self.rng.uniform(0, 0.35)))
        ImageDraw.Draw(self.image).line(_flat(bends + shake), fill=grey, width=3, joint="curve")
