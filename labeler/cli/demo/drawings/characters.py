"""Characters from the waist up: one drawing in three media (shaded, flat, pencil)."""

from __future__ import annotations

from typing import Literal

from PIL import Image

from labeler.cli.demo.drawings import backdrops
from labeler.cli.demo.drawings.canvas import Canvas, PencilCanvas, ShadedCanvas, oval
from labeler.cli.demo.drawings.clothes import HATS, OUTFITS, draw_body, draw_hat
from labeler.cli.demo.drawings.faces import draw_face
from labeler.cli.demo.drawings.figure import Figure, Look, Rng, random_look
from labeler.cli.demo.drawings.hair import LENGTHS, draw_back, draw_front

Medium = Literal["shaded", "flat", "pencil"]
ELABORATE = frozenset({"armour", "robe", "dress"})


def draw_character(
    rng: Rng, medium: Medium, width: int = 384, *, cut_out: bool = False
) -> tuple[Image.Image, int]:
    """A character of random looks; `cut_out` leaves the background transparent (RGBA).

    Also how richly it is dressed: 1 for something on the head, 1 more for an elaborate outfit.
    """
    look = random_look(rng)
    height = round(width * float(rng.choice([1.0, 1.2, 1.33])))
    canvas = _canvas(rng, medium, look, (width, height), cut_out=cut_out)
    childlike = float(rng.uniform(0, 1))
    figure = Figure(
        canvas=canvas,
        rng=rng,
        look=look,
        centre=(
            0.5 + float(rng.uniform(-0.04, 0.04)),
            0.44 * height / width + float(rng.uniform(-0.03, 0.03)),
        ),
        size=float(rng.uniform(0.14, 0.2)),
        childlike=childlike,
    )
    adorned = _draw(figure)
    return canvas.finished(), adorned


def _canvas(
    rng: Rng, medium: Medium, look: Look, size: tuple[int, int], *, cut_out: bool
) -> Canvas:
    if medium == "pencil":
        canvas = PencilCanvas(*size, background=(247, 244, 236), rng=rng)
        canvas.passes = int(rng.integers(1, 4))
        return canvas
    if medium == "flat":
        backdrop = None if cut_out else backdrops.plain(rng, size, look.backdrop)
        return Canvas(*size, background=backdrop, line=float(rng.uniform(0.005, 0.009)))
    backdrop = None if cut_out else backdrops.painted(rng, size, look.backdrop)
    return ShadedCanvas(*size, background=backdrop, line=0.005)


def _draw(figure: Figure) -> int:
    length, outfit, hat = (str(figure.rng.choice(names)) for names in (LENGTHS, OUTFITS, HATS))
    canvas, x, y = figure.canvas, *figure.centre
    tilt = float(figure.rng.normal(0, 0.06))
    neck = (x, y + 1.3 * figure.size)
    canvas.turn = (tilt, neck)
    if isinstance(canvas, PencilCanvas) and figure.chance(0.6):
        _construction_lines(figure)
    draw_back(figure, length)
    canvas.turn = (0.0, neck)
    draw_body(figure, outfit)
    canvas.turn = (tilt, neck)
    draw_face(figure)
    draw_front(figure, length)
    draw_hat(figure, hat)
    return (hat != "") + (outfit in ELABORATE)


def _construction_lines(figure: Figure) -> None:
    circle = figure.at(oval((0, -0.1), 1.35, 1.45))
    figure.canvas.stroke(circle, (150, 150, 160), 0.003)
    figure.canvas.stroke(figure.at([(0, -2), (0, 0), (0, 2)]), (150, 150, 160), 0.003)
    figure.canvas.stroke(figure.at([(-1.6, 0.2), (0, 0.25), (1.6, 0.2)]), (150, 150, 160), 0.003)
