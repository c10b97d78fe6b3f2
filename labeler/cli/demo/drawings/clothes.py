"""Neck, shoulders and what is worn on them, and on the head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from labeler.cli.demo.drawings.canvas import INK, Colour, Point, mixed, oval, smooth
from labeler.cli.demo.drawings.figure import Figure

OUTFITS = ("shirt", "jacket", "sailor", "hoodie", "armour", "robe", "dress")
HATS = ("", "", "", "", "", "witch", "band", "flower", "horns", "ears", "crown", "phones", "cap")
METAL: Colour = (176, 184, 198)
GOLD: Colour = (232, 188, 92)


def draw_body(figure: Figure, outfit: str) -> None:
    """From the neck down to the lower edge of the canvas."""
    look = figure.look
    bare = outfit == "dress"
    figure.canvas.shape(figure.at(_torso(figure, 1.45)), look.skin if bare else look.clothes)
    neck = [
        (-0.36, 0.8),
        (0.36, 0.8),
        (0.4, 1.5),
        (0.62, 1.78),
        (0, 2.1),
        (-0.62, 1.78),
        (-0.4, 1.5),
    ]
    figure.canvas.shape(smooth(figure.at(neck)), mixed(look.skin, (120, 50, 60), 0.16), depth=0.5)
    _OUTFITS[outfit](figure)


def _torso(figure: Figure, top: float) -> np.ndarray:
    """The outline of shoulders and chest in head coordinates, down past the canvas."""
    canvas = figure.canvas
    bottom = (canvas.height / canvas.width - figure.centre[1]) / figure.size + 0.4
    broad = 2.15 - 0.35 * figure.childlike
    right: list[Point] = [
        (0.45, top),
        (1.2, top + 0.25),
        (broad, top + 0.65),
        (broad + 0.25, bottom),
    ]
    left = [(-x, y) for x, y in reversed(right)]
    return smooth([*right, (0, bottom + 0.4), *left], steps=7)


def _collar(figure: Figure, colour: Colour, drop: float) -> None:
    for side in (-1, 1):
        wing = [
            (side * 0.42, 1.3),
            (side * 0.78, 1.55),
            (side * 0.55, 1.75 + drop),
            (side * 0.02, 1.85 + drop),
        ]
        figure.canvas.shape(figure.at([*wing, (side * 0.1, 1.65)]), colour, depth=0.3)


def _seam(figure: Figure, colour: Colour, start: float = 1.95) -> None:
    figure.canvas.stroke(figure.at([(0, start), (0.02, 2.8), (0, 4.4)]), colour, figure.size * 0.06)


def _shirt(figure: Figure) -> None:
    dark = mixed(figure.look.clothes, INK, 0.5)
    _seam(figure, dark)
    for y in (2.2, 2.75, 3.3):
        figure.canvas.shape(
            figure.at(oval((0.12, y), 0.07, 0.07, 12)), figure.look.accent, depth=0.2
        )
    _collar(figure, mixed(figure.look.clothes, (255, 255, 255), 0.55), 0.1)


def _jacket(figure: Figure) -> None:
    inner = [(-0.5, 1.55), (0.5, 1.55), (0.2, 3.2), (0, 3.6), (-0.2, 3.2)]
    figure.canvas.shape(figure.at(inner), (244, 242, 240), depth=0.3)
    tie = [(-0.14, 1.85), (0.14, 1.85), (0.2, 2.9), (0, 3.2), (-0.2, 2.9)]
    figure.canvas.shape(figure.at(tie), figure.look.accent, depth=0.4)
    for side in (-1, 1):
        lapel = [
            (side * 0.45, 1.35),
            (side * 0.95, 1.7),
            (side * 0.75, 2.4),
            (side * 0.05, 3.6),
            (side * 0.35, 2.2),
        ]
        figure.canvas.shape(figure.at(lapel), mixed(figure.look.clothes, INK, 0.2), depth=0.4)


def _sailor(figure: Figure) -> None:
    for side in (-1, 1):
        flap = [
            (side * 0.4, 1.3),
            (side * 1.5, 1.75),
            (side * 1.25, 2.6),
            (0, 2.55),
            (side * 0.25, 1.9),
        ]
        figure.canvas.shape(figure.at(flap), figure.look.accent, depth=0.4)
        line = [(side * 1.34, 1.85), (side * 1.12, 2.45), (side * 0.1, 2.42)]
        figure.canvas.stroke(figure.at(line), (250, 250, 250), figure.size * 0.06)
        bow = [(0, 2.5), (side * 0.55, 2.25), (side * 0.6, 2.85)]
        figure.canvas.shape(
            figure.at(bow), mixed(figure.look.accent, (220, 40, 60), 0.6), depth=0.3
        )


def _hoodie(figure: Figure) -> None:
    hood = [
        (-1.3, 1.75),
        (-0.7, 1.3),
        (-0.3, 1.75),
        (0, 1.95),
        (0.3, 1.75),
        (0.7, 1.3),
        (1.3, 1.75),
    ]
    lining = mixed(figure.look.clothes, (255, 255, 255), 0.25)
    figure.canvas.shape(smooth(figure.at([*hood, (0, 2.45)])), lining, depth=0.6)
    for side in (-1, 1):
        cord = [(side * 0.3, 2.1), (side * 0.34, 2.6), (side * 0.28, 3.0)]
        figure.canvas.stroke(figure.at(cord), (250, 248, 240), figure.size * 0.09)


def _armour(figure: Figure) -> None:
    plate = [
        (-1.0, 1.75),
        (-0.4, 1.6),
        (0.4, 1.6),
        (1.0, 1.75),
        (1.15, 3.0),
        (0, 3.6),
        (-1.15, 3.0),
    ]
    figure.canvas.shape(smooth(figure.at(plate)), METAL)
    figure.canvas.stroke(
        figure.at([(0, 1.75), (0, 2.6), (0, 3.5)]), mixed(METAL, INK, 0.5), figure.size * 0.06
    )
    figure.canvas.shape(figure.at(oval((0, 2.2), 0.2, 0.24, 6)), figure.look.accent, depth=0.3)
    for side in (-1, 1):
        for k in range(3):
            guard = oval((side * (1.65 + 0.14 * k), 2.05 + 0.38 * k), 0.62, 0.42)
            figure.canvas.shape(figure.at(guard), mixed(METAL, GOLD, 0.6) if k == 0 else METAL)


def _robe(figure: Figure) -> None:
    trim = figure.look.accent
    left = [(-0.55, 1.35), (-0.2, 1.5), (0.75, 3.4), (0.7, 4.6), (0.35, 4.6), (0.3, 3.4)]
    right = [(0.55, 1.35), (0.2, 1.5), (-0.75, 3.4), (-0.4, 3.6)]
    figure.canvas.shape(figure.at(right), trim, depth=0.3)
    figure.canvas.shape(figure.at(left), trim, depth=0.3)
    for side in (-1, 1):
        fold = [(side * 1.3, 2.0), (side * 1.15, 3.0), (side * 1.4, 4.2)]
        figure.canvas.stroke(
            figure.at(fold), mixed(figure.look.clothes, INK, 0.4), figure.size * 0.07
        )


def _dress(figure: Figure) -> None:
    canvas = figure.canvas
    bottom = (canvas.height / canvas.width - figure.centre[1]) / figure.size + 0.5
    bodice = [
        (-1.55, 2.3),
        (-0.75, 2.35),
        (0, 2.75),
        (0.75, 2.35),
        (1.55, 2.3),
        (1.7, bottom),
        (-1.7, bottom),
    ]
    canvas.shape(smooth(figure.at(bodice)), figure.look.clothes)
    for side in (-1, 1):
        strap = [(side * 0.85, 1.6), (side * 1.0, 2.0), (side * 0.95, 2.45)]
        canvas.stroke(figure.at(strap), mixed(figure.look.clothes, INK, 0.2), figure.size * 0.2)
    for angle in np.linspace(0.25, np.pi - 0.25, 9):
        bead = (0.66 * float(np.cos(angle)), 1.5 + 0.5 * float(np.sin(angle)))
        canvas.shape(figure.at(oval(bead, 0.075, 0.075, 10)), figure.look.accent, depth=0.2)


_OUTFITS: dict[str, Callable[[Figure], None]] = {
    "shirt": _shirt,
    "jacket": _jacket,
    "sailor": _sailor,
    "hoodie": _hoodie,
    "armour": _armour,
    "robe": _robe,
    "dress": _dress,
}


def draw_hat(figure: Figure, hat: str) -> None:
    """What is worn on the head; an unknown name is nothing at all."""
    if hat in _HATS:
        _HATS[hat](figure)


def _witch(figure: Figure) -> None:
    cone = [(-0.95, -1.05), (-0.5, -2.2), (-0.1, -2.9), (0.75, -3.2), (0.35, -2.5), (0.95, -1.05)]
    colour = mixed(figure.look.clothes, (40, 24, 60), 0.55)
    figure.canvas.shape(smooth(figure.at(cone)), colour)
    figure.canvas.shape(figure.at(oval((0, -0.98), 2.1, 0.34)), colour, depth=0.5)
    band = [(-0.93, -1.12), (0, -0.98), (0.93, -1.12), (0.84, -1.42), (0, -1.3), (-0.84, -1.42)]
    figure.canvas.shape(figure.at(band), figure.look.accent, depth=0.3)


def _band(figure: Figure) -> None:
    arch = [(-1.12, -0.55), (-0.8, -1.12), (0, -1.36), (0.8, -1.12), (1.12, -0.55)]
    figure.canvas.stroke(figure.at(arch), figure.look.accent, figure.size * 0.26)
    for side in (-1, 1):
        bow = [(0.75, -1.3), (0.75 + side * 0.55, -1.65), (0.75 + side * 0.6, -1.05)]
        figure.canvas.shape(figure.at(bow), figure.look.accent, depth=0.4)


def _flower(figure: Figure) -> None:
    side = 1 if figure.chance(0.5) else -1
    x, y = side * 0.88, -0.88
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1]:
        petal = (x + 0.22 * float(np.cos(angle)), y + 0.22 * float(np.sin(angle)))
        figure.canvas.shape(figure.at(oval(petal, 0.2, 0.2, 16)), figure.look.accent, depth=0.4)
    figure.canvas.shape(figure.at(oval((x, y), 0.13, 0.13, 14)), GOLD, depth=0.2)


def _horns(figure: Figure) -> None:
    for side in (-1, 1):
        horn = [
            (side * 0.5, -1.2),
            (side * 1.1, -1.75),
            (side * 1.2, -2.4),
            (side * 1.5, -1.7),
            (side * 0.95, -1.0),
        ]
        figure.canvas.shape(smooth(figure.at(horn)), (216, 202, 178), depth=0.6)


def _animal_ears(figure: Figure) -> None:
    for side in (-1, 1):
        ear = [(side * 0.35, -1.38), (side * 0.98, -2.3), (side * 1.15, -0.95)]
        inside = [(side * 0.55, -1.4), (side * 0.94, -2.0), (side * 1.02, -1.1)]
        figure.canvas.shape(figure.at(ear), figure.look.hair)
        figure.canvas.shape(
            figure.at(inside),
            mixed(figure.look.skin, (240, 130, 140), 0.5),
            outline=None,
            depth=0.2,
        )


def _crown(figure: Figure) -> None:
    points: list[Point] = [(-0.8, -1.15), (-0.95, -1.85), (-0.45, -1.5), (0, -2.1), (0.45, -1.5)]
    points += [(0.95, -1.85), (0.8, -1.15)]
    figure.canvas.shape(figure.at(points), GOLD, depth=0.6)
    for x in (-0.45, 0.0, 0.45):
        figure.canvas.shape(
            figure.at(oval((x, -1.32), 0.1, 0.1, 12)), figure.look.accent, depth=0.2
        )


def _phones(figure: Figure) -> None:
    arch = [(-1.2, -0.1), (-1.0, -1.2), (0, -1.75), (1.0, -1.2), (1.2, -0.1)]
    figure.canvas.stroke(figure.at(arch), mixed(figure.look.accent, INK, 0.4), figure.size * 0.2)
    for side in (-1, 1):
        figure.canvas.shape(
            figure.at(oval((side * 1.18, 0.15), 0.26, 0.4)), figure.look.accent, depth=0.5
        )


def _cap(figure: Figure) -> None:
    crown = [(-1.18, -0.55), (-1.0, -1.35), (0, -1.75), (1.0, -1.35), (1.18, -0.55), (0, -0.85)]
    figure.canvas.shape(smooth(figure.at(crown)), figure.look.accent)
    brim = [(-0.95, -0.72), (0, -0.95), (0.95, -0.72), (1.35, -0.42), (0, -0.62), (-1.35, -0.42)]
    figure.canvas.shape(smooth(figure.at(brim)), mixed(figure.look.accent, INK, 0.3), depth=0.4)


_HATS: dict[str, Callable[[Figure], None]] = {
    "witch": _witch,
    "band": _band,
    "flower": _flower,
    "horns": _horns,
    "ears": _animal_ears,
    "crown": _crown,
    "phones": _phones,
    "cap": _cap,
}
