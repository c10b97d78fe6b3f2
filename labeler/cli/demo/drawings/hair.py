"""Hair behind the head and in front of it, and what is worn in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from labeler.cli.demo.drawings.canvas import Colour, Point, mixed, oval, smooth
from labeler.cli.demo.drawings.figure import Figure

LENGTHS = ("short", "bob", "long", "waves", "tails", "ponytail", "bun", "curls", "spikes")


def draw_back(figure: Figure, length: str) -> None:
    """What hangs or stands behind the head."""
    colour = mixed(figure.look.hair, (30, 20, 50), 0.22)
    _BACK[length](figure, colour)


def draw_front(figure: Figure, length: str) -> None:
    """Cap, fringe and side locks; drawn over the face."""
    if length == "curls":
        _curly_cap(figure)
        return
    if length not in ("short", "spikes", "bun") or figure.chance(0.4):
        _side_locks(figure, 1.35 if length in ("long", "waves", "bob") else 0.9)
    _cap(figure, spiky=length == "spikes")
    _strands(figure)


def _short(figure: Figure, colour: Colour) -> None:
    shape = [
        (-1.12, 0.5),
        (-1.22, -0.5),
        (-0.7, -1.4),
        (0, -1.6),
        (0.7, -1.4),
        (1.22, -0.5),
        (1.12, 0.5),
    ]
    figure.canvas.shape(smooth(figure.at([*shape, (0.5, 0.9), (-0.5, 0.9)])), colour)


def _fall(figure: Figure, colour: Colour, bottom: float, spread: float, wave: float) -> None:
    """Straight or wavy hair down to `bottom`, the tips in points."""
    heights = np.linspace(-0.9, bottom, 6)
    swing = wave * np.array([0, 1, -1, 1, -1, 1])
    widths = np.interp(heights, [-0.9, 0.4, bottom], [1.05, 1.28, spread])
    right: list[Point] = [
        (float(w + s), float(h)) for w, s, h in zip(widths, swing, heights, strict=True)
    ]
    left: list[Point] = [
        (-float(w + s), float(h)) for w, s, h in zip(widths, swing, heights, strict=True)
    ]
    tips: list[Point] = []
    count = 7
    for k in range(1, count):
        x = spread - 2 * spread * k / count
        dip = 0.22 if k % 2 else -0.12
        tips.append((x, bottom + dip + float(figure.rng.uniform(-0.06, 0.06))))
    top: list[Point] = [(-0.55, -1.5), (0, -1.66), (0.55, -1.5)]
    figure.canvas.shape(smooth(figure.at([*top, *right, *tips, *left[::-1]]), steps=6), colour)


def _tails(figure: Figure, colour: Colour) -> None:
    _short(figure, colour)
    length = float(figure.rng.uniform(1.6, 3.0))
    for side in (-1, 1):
        tail = [(side * 0.95, -0.9), (side * 1.75, -0.95), (side * 2.15, 0.1), (side * 2.0, length)]
        tail += [(side * 1.6, length - 0.35), (side * 1.45, 0.5), (side * 1.25, -0.4)]
        figure.canvas.shape(smooth(figure.at(tail)), colour)
        band = figure.at(oval((side * 1.14, -0.86), 0.2, 0.2, 14))
        figure.canvas.shape(band, figure.look.accent, depth=0.3)


def _ponytail(figure: Figure, colour: Colour) -> None:
    side = 1 if figure.chance(0.5) else -1
    tail = [(side * 0.3, -1.4), (side * 1.2, -1.9), (side * 2.0, -1.1), (side * 1.9, 0.6)]
    tail += [(side * 2.2, 1.7), (side * 1.5, 1.1), (side * 1.35, -0.2), (side * 0.8, -0.9)]
    figure.canvas.shape(smooth(figure.at(tail)), colour)
    _short(figure, colour)


def _bun(figure: Figure, colour: Colour) -> None:
    twin = figure.chance(0.5)
    for x in (-0.85, 0.85) if twin else (0.0,):
        size = 0.5 if twin else 0.62
        figure.canvas.shape(figure.at(oval((x, -1.5 if twin else -1.75), size, size)), colour)
    _short(figure, colour)


def _curls(figure: Figure, colour: Colour) -> None:
    radius = float(figure.rng.uniform(1.35, 1.7))
    for angle in np.linspace(0.1 * np.pi, -1.1 * np.pi, 15):
        centre = (radius * np.cos(angle), radius * np.sin(angle) * 0.95 - 0.25)
        figure.canvas.shape(figure.at(oval(centre, 0.46, 0.46, 16)), colour, depth=0.6)
    figure.canvas.shape(figure.at(oval((0, -0.3), radius, radius)), colour, outline=None)


def _spikes(figure: Figure, colour: Colour) -> None:
    points: list[Point] = []
    for k, angle in enumerate(np.linspace(0.2 * np.pi, -1.2 * np.pi, 17)):
        reach = (1.95 if k % 2 else 1.2) + float(figure.rng.uniform(-0.15, 0.2))
        points.append((reach * float(np.cos(angle)), reach * float(np.sin(angle)) - 0.25))
    figure.canvas.shape(figure.at(points), colour)


_BACK: dict[str, Callable[[Figure, Colour], None]] = {
    "short": _short,
    "bob": lambda figure, colour: _fall(figure, colour, 1.15, 1.15, 0.0),
    "long": lambda figure, colour: _fall(figure, colour, 3.1, 1.55, 0.0),
    "waves": lambda figure, colour: _fall(figure, colour, 2.6, 1.6, 0.13),
    "tails": _tails,
    "ponytail": _ponytail,
    "bun": _bun,
    "curls": _curls,
    "spikes": _spikes,
}


def _cap(figure: Figure, *, spiky: bool) -> None:
    high = 1.62 if spiky else 1.52
    outer: list[Point] = [(-1.1, 0.25), (-1.16, -0.4), (-0.86, -1.15), (0, -high), (0.86, -1.15)]
    outer += [(1.16, -0.4), (1.1, 0.25)]
    fringe = _fringe(figure)
    curve = smooth(outer, closed=False, steps=7)
    figure.canvas.shape(figure.at(np.vstack([curve, fringe])), figure.look.hair, depth=0.9)


def _fringe(figure: Figure) -> np.ndarray:
    """The lower edge of the front hair, right to left: locks that end in points."""
    style = str(figure.rng.choice(["points", "straight", "parted", "swept", "swept"]))
    count = int(figure.rng.integers(4, 8))
    edges = np.linspace(0.98, -0.98, count + 1)
    line: list[np.ndarray] = []
    for start, end in itertools.pairwise(edges):
        middle = (start + end) / 2
        tip = -0.12 + float(figure.rng.uniform(-0.1, 0.1)) + 0.25 * abs(middle)
        notch = -0.52
        if style == "straight":
            tip, notch = -0.16, -0.22
        elif style == "parted":
            tip, notch = -0.75 + 0.95 * abs(middle), -0.85 + 0.75 * abs(middle)
        elif style == "swept":
            middle, tip = end - 0.04, tip + 0.06
        knots = [
            (start, notch),
            ((start * 2 + middle) / 3, (notch + tip) / 2 - 0.02),
            (middle, tip),
        ]
        line.append(smooth(knots, closed=False, steps=4))
    return np.vstack([*line, np.array([[-0.98, -0.3]])])


def _side_locks(figure: Figure, length: float) -> None:
    for side in (-1, 1):
        reach = length + float(figure.rng.uniform(-0.15, 0.15))
        lock = [(side * 0.8, -0.7), (side * 1.16, -0.5), (side * 1.2, 0.4), (side * 1.02, reach)]
        lock += [(side * 0.9, reach * 0.6), (side * 0.92, 0.1)]
        figure.canvas.shape(smooth(figure.at(lock)), figure.look.hair, depth=0.5)


def _strands(figure: Figure) -> None:
    """A light band and dark strands, so that the hair reads as hair."""
    dark, light = (
        mixed(figure.look.hair, (30, 20, 40), 0.4),
        mixed(figure.look.hair, (255, 255, 250), 0.5),
    )
    for x in np.linspace(-0.72, 0.72, 7):
        top = (x * 0.35, -1.42 + 0.1 * abs(x))
        bend = (x * 0.95 + float(figure.rng.uniform(-0.05, 0.05)), -0.95)
        figure.canvas.stroke(figure.at([top, bend, (x * 1.12, -0.5)]), dark, figure.size * 0.04)
    for x in np.linspace(-0.62, 0.62, 6):
        drop = -1.02 + 0.22 * x * x
        glint = [(x * 0.9, drop - 0.1), (x, drop), (x * 1.04, drop + 0.1)]
        figure.canvas.stroke(figure.at(glint), light, figure.size * 0.09)


def _curly_cap(figure: Figure) -> None:
    for angle in np.linspace(-0.08 * np.pi, -0.92 * np.pi, 9):
        centre = (0.98 * float(np.cos(angle)), 0.95 * float(np.sin(angle)) - 0.32)
        figure.canvas.shape(figure.at(oval(centre, 0.36, 0.34, 16)), figure.look.hair, depth=0.5)
