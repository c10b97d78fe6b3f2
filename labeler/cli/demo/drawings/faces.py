"""Face, eyes, mouth and what is worn on them."""

from __future__ import annotations

import numpy as np

from labeler.cli.demo.drawings.canvas import INK, Colour, Point, mixed, oval, smooth
from labeler.cli.demo.drawings.figure import Figure

WHITE: Colour = (252, 252, 255)
EYES = ("open", "open", "open", "open", "narrow", "happy", "wink")
MOUTHS = ("smile", "smile", "neutral", "open", "cat", "frown")


def draw_face(figure: Figure) -> None:
    """Everything between the ears, drawn over the back hair and under the front hair."""
    _ears(figure)
    _outline(figure)
    blush = 0.55 if figure.chance(0.6) else 0.2
    for side in (-1, 1):
        centre = figure.at([(side * 0.58, 0.55)])[0]
        cheek = mixed(figure.look.skin, (232, 84, 92), 0.55)
        figure.canvas.glow((centre[0], centre[1]), figure.size * 0.3, cheek, blush)
    _eyes(figure)
    _nose_and_mouth(figure)
    _marks(figure)


def _ears(figure: Figure) -> None:
    pointed = figure.chance(0.15)
    for side in (-1, 1):
        tip = (side * 1.75, -0.35) if pointed else (side * 1.2, -0.12)
        ear = [(side * 0.9, -0.1), tip, (side * 1.14, 0.25), (side * 0.9, 0.45)]
        figure.canvas.shape(smooth(figure.at(ear)), figure.look.skin, depth=0.4)


def _outline(figure: Figure) -> None:
    soft = figure.childlike
    half = [
        (0.0, 1.24 - 0.1 * soft),
        (0.26 + 0.1 * soft, 1.13 - 0.08 * soft),
        (0.68 + 0.08 * soft, 0.78),
        (0.93, 0.32),
        (1.0, -0.2),
        (0.86, -0.8),
        (0.45, -1.15),
    ]
    left = [(-x, y) for x, y in reversed(half[1:])]
    figure.canvas.shape(smooth(figure.at([*half, (0, -1.22), *left])), figure.look.skin)


def _eyes(figure: Figure) -> None:
    kind = str(figure.rng.choice(EYES))
    gaze = float(figure.rng.uniform(-0.05, 0.05))
    slant = float(figure.rng.uniform(-0.05, 0.07))
    brow = float(figure.rng.uniform(-0.1, 0.1))
    for side in (-1, 1):
        closed = kind == "happy" or (kind == "wink" and side == 1)
        x, y = side * 0.43, 0.2
        if closed:
            lid = [(x - 0.22, y + 0.06), (x, y - 0.1), (x + 0.22, y + 0.06)]
            figure.canvas.stroke(figure.at(lid), INK, figure.size * 0.1)
        else:
            _open_eye(figure, side, (x, y), gaze, slant, narrow=kind == "narrow")
        arch = [
            (x - 0.26, y - 0.48 + side * brow),
            (x, y - 0.57),
            (x + 0.26, y - 0.48 - side * brow),
        ]
        hair = mixed(figure.look.hair, INK, 0.45)
        figure.canvas.stroke(figure.at(arch), hair, figure.size * 0.075)


def _open_eye(
    figure: Figure, side: int, centre: Point, gaze: float, slant: float, *, narrow: bool
) -> None:
    canvas, look = figure.canvas, figure.look
    x, y = centre
    height = (0.2 if narrow else 0.27) + 0.06 * figure.childlike
    width = 0.235
    outer = side * slant
    white = [
        (x - width, y - outer + 0.02),
        (x - width * 0.6, y - height * 0.85 - outer * 0.5),
        (x + width * 0.5, y - height * 0.9 + outer * 0.5),
        (x + width, y + outer + 0.02),
        (x + width * 0.55, y + height * 0.75),
        (x - width * 0.55, y + height * 0.75),
    ]
    canvas.shape(smooth(figure.at(white)), WHITE, outline=None, depth=0.2)
    iris = (x + gaze, y + 0.01)
    tall = height * 0.82
    canvas.shape(
        figure.at(oval(iris, 0.165, tall)), mixed(look.eyes, INK, 0.55), outline=None, depth=0
    )
    lower = (iris[0], iris[1] + tall * 0.25)
    canvas.shape(figure.at(oval(lower, 0.135, tall * 0.68)), look.eyes, outline=None, depth=0)
    bright = mixed(look.eyes, WHITE, 0.45)
    shine = (iris[0], iris[1] + tall * 0.55)
    canvas.shape(figure.at(oval(shine, 0.085, tall * 0.3)), bright, outline=None, depth=0)
    canvas.shape(figure.at(oval(iris, 0.07, tall * 0.42)), INK, outline=None, depth=0)
    spot = (iris[0] - 0.06, iris[1] - tall * 0.42)
    canvas.shape(figure.at(oval(spot, 0.06, 0.075)), WHITE, outline=None, depth=0)
    small = (iris[0] + 0.07, iris[1] + tall * 0.4)
    canvas.shape(figure.at(oval(small, 0.03, 0.035)), WHITE, outline=None, depth=0)
    lash = [(px, py - 0.02) for px, py in white[:4]]
    canvas.stroke(figure.at(lash), INK, figure.size * 0.13)
    end = white[0] if side < 0 else white[3]
    flick = [end, (end[0] + side * 0.07, end[1] - 0.06)]
    canvas.stroke(figure.at(flick), INK, figure.size * 0.07)
    under = [white[5], (x, y + height * 0.86), white[4]]
    canvas.stroke(figure.at(under), mixed(look.skin, INK, 0.5), figure.size * 0.035)


def _nose_and_mouth(figure: Figure) -> None:
    canvas = figure.canvas
    shade = mixed(figure.look.skin, (120, 40, 40), 0.45)
    canvas.stroke(figure.at([(0.03, 0.56), (0.07, 0.66), (-0.02, 0.68)]), shade, figure.size * 0.05)
    kind = str(figure.rng.choice(MOUTHS))
    y, lip = 0.88, mixed(figure.look.skin, (110, 24, 36), 0.75)
    if kind == "open":
        mouth = [
            (-0.2, y - 0.04),
            (0, y - 0.01),
            (0.2, y - 0.04),
            (0.13, y + 0.12),
            (-0.13, y + 0.12),
        ]
        canvas.shape(smooth(figure.at(mouth)), (150, 48, 62), depth=0.2)
        tongue = oval((0, y + 0.1), 0.09, 0.045)
        canvas.shape(figure.at(tongue), (232, 120, 122), outline=None, depth=0)
        return
    curves: dict[str, list[Point]] = {
        "smile": [(-0.2, y - 0.04), (0, y + 0.05), (0.2, y - 0.04)],
        "neutral": [(-0.13, y), (0, y + 0.01), (0.13, y)],
        "cat": [
            (-0.2, y - 0.03),
            (-0.1, y + 0.04),
            (0, y - 0.03),
            (0.1, y + 0.04),
            (0.2, y - 0.03),
        ],
        "frown": [(-0.14, y + 0.03), (0, y - 0.02), (0.14, y + 0.03)],
    }
    canvas.stroke(figure.at(curves[kind]), lip, figure.size * 0.055)


def _marks(figure: Figure) -> None:
    """Freckles, a scar, face paint or glasses; most have none of them."""
    kind = str(
        figure.rng.choice(["", "", "", "", "freckles", "scar", "paint", "glasses", "glasses"])
    )
    canvas, shade = figure.canvas, mixed(figure.look.skin, (130, 60, 30), 0.5)
    if kind == "freckles":
        for _ in range(10):
            x = float(figure.rng.choice([-1, 1]) * figure.rng.uniform(0.3, 0.7))
            spot = oval((x, float(figure.rng.uniform(0.48, 0.64))), 0.02, 0.02, 8)
            canvas.shape(figure.at(spot), shade, outline=None, depth=0)
    elif kind == "scar":
        canvas.stroke(
            figure.at([(0.5, 0.42), (0.62, 0.62), (0.66, 0.8)]), shade, figure.size * 0.06
        )
    elif kind == "paint":
        for side in (-1, 1):
            stripe = [
                (side * 0.4, 0.62),
                (side * 0.75, 0.52),
                (side * 0.72, 0.64),
                (side * 0.42, 0.72),
            ]
            canvas.shape(figure.at(stripe), figure.look.accent, outline=None, depth=0)
    elif kind == "glasses":
        _glasses(figure)


def _glasses(figure: Figure) -> None:
    frame = mixed(figure.look.accent, INK, 0.6)
    round_ones = figure.chance(0.5)
    for side in (-1, 1):
        lens = oval((side * 0.44, 0.22), 0.36, 0.34 if round_ones else 0.25, 24)
        closed = np.vstack([lens, lens[:1]])
        figure.canvas.stroke(figure.at(closed[::2]), frame, figure.size * 0.07)
        figure.canvas.stroke(
            figure.at([(side * 0.8, 0.18), (side * 1.02, 0.1)]), frame, figure.size * 0.06
        )
    figure.canvas.stroke(figure.at([(-0.1, 0.2), (0, 0.15), (0.1, 0.2)]), frame, figure.size * 0.06)
