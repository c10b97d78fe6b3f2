"""Pencil sketches without a person: vases, boxes, fruit, trees on a table line."""

from __future__ import annotations

from PIL import Image

from labeler.cli.demo.drawings.canvas import Canvas, PencilCanvas, oval, smooth
from labeler.cli.demo.drawings.figure import Rng

DARK, PALE = (70, 70, 70), (235, 235, 235)


def draw_still_life(rng: Rng, width: int = 360) -> Image.Image:
    """A few objects in a row: RGB."""
    height = round(width * float(rng.choice([0.75, 1.0])))
    canvas = PencilCanvas(width, height, background=(247, 244, 236), rng=rng, line=0.007)
    floor = height / width * 0.78
    canvas.stroke([(0.04, floor - 0.1), (0.5, floor - 0.09), (0.96, floor - 0.1)], DARK, 0.005)
    for x in (0.24, 0.52, 0.79):
        scale = float(rng.uniform(0.75, 1.15)) * min(1.0, height / width + 0.1)
        kind = int(rng.integers(4))
        tone = DARK if rng.random() < 0.5 else PALE
        (_box, _vase, _fruit, _tree)[kind](
            canvas, x, floor + float(rng.uniform(-0.03, 0.06)), scale, tone
        )
    return canvas.finished()


def _box(canvas: Canvas, x: float, y: float, scale: float, tone: tuple[int, int, int]) -> None:
    w, h, d = 0.11 * scale, 0.2 * scale, 0.07 * scale
    canvas.shape([(x - w, y), (x + w, y), (x + w, y - h), (x - w, y - h)], PALE)
    canvas.shape([(x + w, y), (x + w + d, y - d), (x + w + d, y - h - d), (x + w, y - h)], tone)
    canvas.shape(
        [(x - w, y - h), (x + w, y - h), (x + w + d, y - h - d), (x - w + d, y - h - d)], PALE
    )


def _vase(canvas: Canvas, x: float, y: float, scale: float, tone: tuple[int, int, int]) -> None:
    half = [(0.05, 0.0), (0.09, -0.08), (0.11, -0.18), (0.05, -0.27), (0.04, -0.33), (0.07, -0.36)]
    right = [(x + a * scale, y + b * scale) for a, b in half]
    left = [(x - a * scale, y + b * scale) for a, b in reversed(half)]
    canvas.shape(smooth([*right, *left]), tone)
    for lean in (-0.09, 0.0, 0.1):
        tip = (x + lean * scale, y - 0.56 * scale)
        canvas.stroke(
            [(x, y - 0.35 * scale), (x + lean * scale / 2, y - 0.46 * scale), tip], DARK, 0.006
        )
        canvas.shape(oval(tip, 0.035 * scale, 0.035 * scale, 12), PALE)


def _fruit(canvas: Canvas, x: float, y: float, scale: float, tone: tuple[int, int, int]) -> None:
    for dx, dy in ((-0.08, 0.0), (0.08, 0.0), (0.0, -0.12)):
        centre = (x + dx * scale, y + (dy - 0.08) * scale)
        canvas.shape(oval(centre, 0.085 * scale, 0.08 * scale), tone)
        stalk = [
            (centre[0], centre[1] - 0.07 * scale),
            (centre[0] + 0.02, centre[1] - 0.12 * scale),
        ]
        canvas.stroke(stalk, DARK, 0.006)


def _tree(canvas: Canvas, x: float, y: float, scale: float, tone: tuple[int, int, int]) -> None:
    trunk = [
        (x - 0.025, y),
        (x + 0.025, y),
        (x + 0.018, y - 0.25 * scale),
        (x - 0.018, y - 0.25 * scale),
    ]
    canvas.shape(trunk, DARK)
    for dx, dy, r in ((-0.09, 0.3, 0.09), (0.09, 0.3, 0.09), (0.0, 0.4, 0.12)):
        canvas.shape(oval((x + dx * scale, y - dy * scale), r * scale, r * scale, 18), tone)
