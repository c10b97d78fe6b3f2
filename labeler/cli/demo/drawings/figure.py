"""What one character is: its colours, its proportions and where its head is."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeler.cli.demo.drawings.canvas import Canvas, Colour, Point

Rng = np.random.Generator

_SKINS: tuple[Colour, ...] = (
    *((255, 226, 205), (250, 211, 186), (238, 190, 156), (214, 158, 120), (176, 120, 84)),
    *((134, 88, 62), (96, 62, 48), (204, 222, 190), (190, 204, 236)),
)
_HAIR: tuple[Colour, ...] = (
    *((52, 42, 48), (88, 58, 44), (140, 86, 48), (214, 164, 88), (240, 214, 150)),
    *((178, 62, 46), (226, 226, 236), (96, 120, 196), (226, 128, 166), (96, 160, 140)),
    *((142, 104, 186), (70, 84, 116)),
)


@dataclass(frozen=True)
class Look:
    """The colours of a character."""

    skin: Colour
    hair: Colour
    eyes: Colour
    clothes: Colour
    accent: Colour
    backdrop: Colour


@dataclass(frozen=True)
class Figure:
    """A head on a canvas: `at(u, v)` takes head coordinates, where the cheeks are at u = ±1."""

    canvas: Canvas
    rng: Rng
    look: Look
    centre: Point
    size: float  # half the width of the head, as a fraction of the canvas width
    childlike: float  # 0–1: larger eyes and a rounder face

    def at(self, points: Sequence[Point] | np.ndarray) -> np.ndarray:
        """Canvas coordinates (n, 2) of head coordinates."""
        return np.asarray(self.centre) + np.asarray(points, dtype=float) * self.size

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)


def vivid(hue: float, saturation: float = 0.6, value: float = 0.85) -> Colour:
    """A colour by hue, saturation and value, all 0–1; the hue may run over."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(255 * r), round(255 * g), round(255 * b)


def random_look(rng: Rng) -> Look:
    """Colours that go together: clothes and backdrop stand apart by hue."""
    hue = float(rng.random())
    accent = hue + float(rng.choice([0.08, 0.45, 0.55]))
    return Look(
        skin=_SKINS[int(rng.choice(len(_SKINS), p=_skin_weights()))],
        hair=_HAIR[int(rng.integers(len(_HAIR)))],
        eyes=vivid(float(rng.random()), 0.65, 0.7),
        clothes=vivid(hue, float(rng.uniform(0.3, 0.75)), float(rng.uniform(0.35, 0.9))),
        accent=vivid(accent, float(rng.uniform(0.35, 0.8)), float(rng.uniform(0.65, 0.98))),
        backdrop=vivid(hue + 0.5, float(rng.uniform(0.12, 0.4)), float(rng.uniform(0.55, 0.95))),
    )


def _skin_weights() -> np.ndarray:
    weights = np.array([3, 3, 3, 2, 2, 2, 1.5, 0.5, 0.5])
    return weights / weights.sum()
