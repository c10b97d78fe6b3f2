"""A canvas of smooth outlines: the same motif in flat colour, in shaded colour or in pencil.

Coordinates are fractions of the canvas width, x to the right and y down. Everything is drawn at
twice its size and reduced at the end, which is what makes the edges smooth.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLING = 2
_NEAREST = Image.Resampling.NEAREST
_SEVEN_TENTHS = [round(0.7 * value) for value in range(256)]
INK: Colour = (38, 30, 44)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0–1) of `second`."""
    r, g, b = (round(x + (y - x) * share) for x, y in zip(first, second, strict=True))
    return r, g, b


def smooth(
    points: Sequence[Point] | np.ndarray, *, closed: bool = True, steps: int = 8
) -> np.ndarray:
    """A Catmull–Rom curve through the points: float64 (n, 2)."""
    knots = np.asarray(points, dtype=float)
    if closed:
        knots = np.vstack([knots[-1:], knots, knots[:2]])
    else:
        knots = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    a, b, c, d = (knots[k : len(knots) - 3 + k] for k in range(4))
    curve = b + 0.5 * t * (
        c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))
    )  # (steps, segments, 2)
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    return curve if closed else np.vstack([curve, knots[-2:-1]])


def oval(centre: Point, width: float, height: float, count: int = 28) -> np.ndarray:
    """The outline of an ellipse with these half axes: float64 (count, 2)."""
    angle = np.linspace(0, 2 * math.pi, count, endpoint=False)
    return np.column_stack([centre[0] + width * np.cos(angle), centre[1] + height * np.sin(angle)])


def _flat(pixels: np.ndarray) -> list[float]:
    """x, y, x, y, … of positions (n, 2), as Pillow takes them."""
    return pixels.ravel().tolist()


@functools.cache
def _fading(strength: float) -> list[int]:
    """From a radial gradient (0 in the middle) to the mask of a glow: 256 values of 0–255."""
    return [max(0, round((255 - min(255.0, value * 1.42)) * strength)) for value in range(256)]


@dataclass
class Canvas:
    """Flat colour with an outline; what is drawn later covers what was drawn before."""

    width: int
    height: int
    background: Image.Image | Colour | None = None  # None: transparent
    line: float = 0.006  # outline width
    turn: tuple[float, Point] = (0.0, (0.0, 0.0))  # angle in radians and the point turned about
    image: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        size = (self.width * OVERSAMPLING, self.height * OVERSAMPLING)
        if isinstance(self.background, Image.Image):
            self.image = self.background.resize(size, Image.Resampling.BILINEAR).convert("RGBA")
        else:
            fill = (0, 0, 0, 0) if self.background is None else (*self.background, 255)
            self.image = Image.new("RGBA", size, fill)

    @property
    def unit(self) -> float:
        """Pixels per canvas width while drawing."""
        return float(self.width * OVERSAMPLING)

    def placed(self, points: Sequence[Point] | np.ndarray) -> np.ndarray:
        """Pixel positions (n, 2) of canvas coordinates, turned as `turn` says."""
        angle, pivot = self.turn[0], np.array(self.turn[1])
        moved = np.asarray(points, dtype=float) - pivot
        cos, sin = math.cos(angle), math.sin(angle)
        turned = moved @ np.array([[cos, sin], [-sin, cos]])
        return (turned + pivot) * self.unit

    def shape(
        self,
        points: Sequence[Point] | np.ndarray,
        colour: Colour,
        *,
        outline: Colour | None = INK,
        depth: float = 1.0,  # noqa: ARG002 — how round the shape is, for canvases that shade
    ) -> None:
        """Fill a closed outline."""
        pixels = self.placed(points)
        ImageDraw.Draw(self.image).polygon(_flat(pixels), fill=(*colour, 255))
        if outline is not None:
            self._trace(pixels, outline, self.line)

    def stroke(
        self, points: Sequence[Point] | np.ndarray, colour: Colour, width: float | None = None
    ) -> None:
        """Draw an open line that thins out towards both ends."""
        curve = self.placed(smooth(points, closed=False))
        along = np.gradient(curve, axis=0)
        length = np.hypot(along[:, 0], along[:, 1])[:, None]
        across = np.column_stack([-along[:, 1], along[:, 0]]) / np.maximum(length, 1e-9)
        swell = np.sin(np.linspace(0.08, math.pi - 0.08, len(curve)))[:, None] ** 0.6
        half = across * swell * (width or self.line) * self.unit / 2
        ribbon = np.vstack([curve + half, (curve - half)[::-1]])
        ImageDraw.Draw(self.image).polygon(_flat(ribbon), fill=(*colour, 255))

    def glow(self, centre: Point, radius: float, colour: Colour, strength: float) -> None:
        """A soft round patch of colour, such as a blush; `strength` 0–1."""
        (x, y), r = self.placed([centre])[0], radius * self.unit
        side = max(2, round(2 * r))
        mask = Image.radial_gradient("L").resize((side, side), _NEAREST).point(_fading(strength))
        self.image.paste((*colour, 255), (round(x - r), round(y - r)), mask)

    def finished(self) -> Image.Image:
        """The picture at its own size: RGB, or RGBA where it is transparent."""
        image = self.image.reduce(OVERSAMPLING)
        return image if self.background is None else image.convert("RGB")

    def _trace(self, pixels: np.ndarray, colour: Colour, width: float) -> None:
        ImageDraw.Draw(self.image).line(
            _flat(np.vstack([pixels, pixels[:2]])),
            fill=(*colour, 255),
            width=max(2, round(width * self.unit)),
            joint="curve",
        )


@dataclass
class ShadedCanvas(Canvas):
    """Light from the upper left: every shape gets a gradient, a soft shadow edge and a rim."""

    shadow: Colour = (58, 40, 92)
    light: Colour = (255, 246, 226)

    def shape(
        self,
        points: Sequence[Point] | np.ndarray,
        colour: Colour,
        *,
        outline: Colour | None = INK,
        depth: float = 1.0,
    ) -> None:
        if depth <= 0:
            super().shape(points, colour, outline=outline)
            return
        pixels = self.placed(points)
        pad = round(0.02 * self.unit)
        left, top = np.floor(pixels.min(axis=0)).astype(int) - pad
        right, bottom = np.ceil(pixels.max(axis=0)).astype(int) + pad
        mask = Image.new("L", (int(right - left), int(bottom - top)))
        ImageDraw.Draw(mask).polygon(_flat(pixels - (left, top)), fill=255)
        self.image.paste(self._lit(mask, colour, depth), (int(left), int(top)), mask)
        if outline is not None:
            tinted = mixed(outline, mixed(colour, (0, 0, 0), 0.6), 0.55)
            self._trace(pixels, tinted, self.line * 0.8)

    def _lit(self, mask: Image.Image, colour: Colour, depth: float) -> Image.Image:
        """The lit surface inside `mask`, worked out at half its size: it has no sharp edges."""
        small = mask.reduce(2)
        away = max(2, round(0.011 * depth * self.unit))
        shade = ImageChops.subtract(small, ImageChops.offset(small, -away, -away))
        near = max(1, away // 3)
        rim = ImageChops.subtract(small, ImageChops.offset(small, near, near))
        fall = Image.linear_gradient("L").resize((1, small.height)).resize(small.size, _NEAREST)
        dark, bright = mixed(colour, self.shadow, 0.42), mixed(colour, self.light, 0.38)
        lit = Image.new("RGB", small.size, mixed(colour, self.light, 0.10))
        lit.paste(mixed(colour, self.shadow, 0.26), mask=fall)
        lit.paste(dark, mask=shade.filter(ImageFilter.BoxBlur(away / 2)))
        rim = rim.filter(ImageFilter.BoxBlur(near / 2))
        lit.paste(bright, mask=rim.point(_SEVEN_TENTHS))
        return lit.resize(mask.size, Image.Resampling.BILINEAR)


@dataclass
class PencilCanvas(Canvas):
    """Wobbly grey lines on paper; shapes are left the colour of the paper."""

    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    paper: Colour = (247, 244, 236)
    graphite: Colour = (74, 72, 78)
    passes: int = 2

    def shape(
        self,
        points: Sequence[Point] | np.ndarray,
        colour: Colour,
        *,
        outline: Colour | None = INK,
        depth: float = 1.0,
    ) -> None:
        pixels = self.placed(points)
        ImageDraw.Draw(self.image).polygon(_flat(pixels), fill=(*self.paper, 255))
        darkness = 1 - sum(colour) / 765
        if outline is None:
            tone = mixed(self.paper, self.graphite, min(1.0, darkness) if depth <= 0 else 0.0)
            ImageDraw.Draw(self.image).polygon(_flat(pixels), fill=(*tone, 255))
            return
        if depth > 0.5 and darkness > 0.45:
            self._hatch(pixels, darkness)
        for _ in range(self.passes):
            self._wobble(np.vstack([pixels, pixels[: max(2, len(pixels) // 9)]]), self.line)

    def stroke(
        self, points: Sequence[Point] | np.ndarray, colour: Colour, width: float | None = None
    ) -> None:
        curve = self.placed(smooth(points, closed=False))
        pale = sum(colour) / 765  # white lines on cloth are only hinted at
        for _ in range(1 if pale > 0.9 else self.passes):
            self._wobble(curve, min(width or self.line, 0.012))

    def glow(self, centre: Point, radius: float, colour: Colour, strength: float) -> None:
        """Pencil has no glow."""

    def _wobble(self, curve: np.ndarray, width: float) -> None:
        knots = self.rng.normal(0, 0.0022 * self.unit, (max(2, len(curve) // 6), 2))
        where = np.linspace(0, len(knots) - 1, len(curve))
        wobble = np.column_stack(
            [np.interp(where, np.arange(len(knots)), knots[:, axis]) for axis in (0, 1)]
        )
        grey = mixed(self.graphite, self.paper, float(self.rng.uniform(0, 0.35)))
        ImageDraw.Draw(self.image).line(
            _flat(curve + wobble),
            fill=(*grey, 255),
            width=max(1, round(width * self.unit * 0.55)),
            joint="curve",
        )

    def _hatch(self, pixels: np.ndarray, darkness: float) -> None:
        left, top = np.floor(pixels.min(axis=0)).astype(int)
        right, bottom = np.ceil(pixels.max(axis=0)).astype(int)
        size = (max(1, right - left), max(1, bottom - top))
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon(_flat(pixels - (left, top)), fill=255)
        lines = Image.new("L", size)
        draw = ImageDraw.Draw(lines)
        gap = max(5, round(0.018 * self.unit * (1.5 - darkness)))
        for start in range(-size[1], size[0], gap):
            jitter = float(self.rng.normal(0, gap / 4))
            draw.line([(start + jitter, size[1]), (start + size[1] * 0.8, 0)], fill=150, width=2)
        self.image.paste(
            (*self.graphite, 255), (int(left), int(top)), ImageChops.multiply(mask, lines)
        )
