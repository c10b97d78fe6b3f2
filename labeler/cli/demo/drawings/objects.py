"""Draw things without a person: still lifes in pencil, icons, sprites and tiles."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from labeler.cli.demo.drawings.canvas import PALETTES, PAPER, Canvas, Palette, Rng, mixed, rgb

DARK, GREY = rgb("464646"), rgb("6e6e6e")
THINGS = (  # a box, a vase with flowers, fruit, a bottle, a plant in a pot; they stand on y = 0
    """shape pale 1 -1.1,0! 1.1,0! 1.1,-2! -1.1,-2! shape dark 1 1.1,0! 1.8,-.6! 1.8,-2.6! 1.1,-2!
    shape pale 1 -1.1,-2! 1.1,-2! 1.8,-2.6! -.4,-2.6!""",
    """mirror dark 1 0,-3.4! .7,-3.5! .4,-2.9 1.1,-1.7 .9,-.5 .5,0! 0,0! line dark .06 0,-3.4 0,-5.4
    lines dark .06 .2,-3.4 .4,-4.2 1,-4.9 oval pale 1 0,-5.5 .5,.5 ovals dark 1 1.05,-5 .42,.42
    oval dark 0 0,-5.5 .2,.2""",
    """ovals pale 1 .8,-.85 .85,.82 oval dark 1 0,-2.1 .85,.82 line dark .06 0,-2.8 .1,-3.2 .3,-3.4
    line dark .06 -.8,-1.5 -.7,-1.9 -.4,-2.1 pair dark 0 .2,-3.3 .6,-3.6 .9,-3.4 .5,-3.2""",
    """mirror pale 1 0,-4.6! .3,-4.6! .35,-3.3 .85,-2.6 .85,0! 0,0!
    mirror dark 1 0,-5! .32,-5! .32,-4.5! 0,-4.5! mirror dark 1 0,-2! .85,-2! .85,-.7! 0,-.7!""",
    """pair dark 1 0,-1.7 .6,-3.2 1.9,-3.9! 1.5,-2.6 mirror dark 1 0,-4.9! .5,-3.4 0,-1.7!
    pair pale 1 0,-1.7 1.2,-2.1 2.2,-1.9! 1.3,-1.5 mirror pale 1 0,-1.7! 1.1,-1.7! .8,0! 0,0!""",
)
ICONS = (  # star, heart, leaf, drop, moon, bolt, flower
    "mirror sign .4 0,-.62! .17,-.2! .62,-.18! .27,.12! .4,.56! 0,.3!",
    "mirror sign .4 0,-.28! .3,-.52 .6,-.2 .35,.25 0,.6!",
    "shape sign .4 -.5,.55! -.5,-.1 0,-.5 .55,-.55! .5,0 .1,.45 "
    "line ground .06 -.4,.45 0,.05 .35,-.35",
    "mirror sign .4 0,-.65! .2,-.3 .45,.15 .32,.5 0,.62 line ground .09 -.25,.2 -.2,.38 -.05,.46",
    "shape sign .4 .2,-.6! -.35,-.45 -.55,.1 -.2,.55 .55,.4! .1,.25 -.1,-.15",
    "shape sign .4 .15,-.65! -.45,.12! -.05,.12! -.2,.65! .45,-.18! .05,-.18!",
    "ovals sign .4 .36,-.12 .24,.24 oval sign .4 0,-.4 .24,.24 ovals sign .4 .23,.3 .24,.24 "
    "oval dark .5 0,0 .22,.22",
)


def draw_still_life(rng: Rng, width: int = 380) -> Image.Image:
    """Return a pencil sketch of three things on a table, RGB."""
    height = round(width * float(rng.choice([0.75, 1.0])))
    canvas = Canvas("pencil", rng, Image.new("RGB", (width, height), PAPER))
    canvas.origin, canvas.unit = height * 0.76j, width * 0.07
    canvas.draw("line dark .06 .4,0 7,.05 13.9,0", {"dark": DARK})
    for place, thing in zip((0.22, 0.5, 0.79), rng.permutation(len(THINGS)), strict=False):
        canvas.origin = complex(width * place, height * rng.uniform(0.8, 0.9))
        canvas.unit = height * float(rng.uniform(0.085, 0.105))
        colours = {"dark": DARK, "pale": PAPER if rng.random() < 0.6 else GREY}
        canvas.draw(THINGS[thing], colours, flip=bool(rng.random() < 0.5))
    return canvas.finished()


def draw_pattern(rng: Rng, width: int = 256) -> Image.Image:
    """Return an icon or a sprite on a transparent ground (RGBA), or a tile (RGB)."""
    palette = PALETTES[int(rng.integers(len(PALETTES)))]
    return (_icon, _sprite, _tile)[int(rng.integers(3))](rng, width, palette)


def _icon(rng: Rng, width: int, palette: Palette) -> Image.Image:
    canvas = Canvas("shaded", rng, Image.new("RGBA", (width, width)))
    canvas.origin, canvas.unit = complex(width / 2, width / 2), width / 2.1
    colours = {"ground": palette[2], "sign": palette[3], "dark": mixed(palette[2], (0, 0, 0), 0.2)}
    badge = "mirror ground .6 0,-.95 .74,-.93 .93,-.74 .95,0 .93,.74 .74,.93 0,.95"
    canvas.draw(badge if rng.random() < 0.6 else "oval ground .6 0,0 .97,.97", colours)
    canvas.draw(ICONS[int(rng.integers(len(ICONS)))], colours)
    return canvas.finished()


def _sprite(rng: Rng, width: int, palette: Palette) -> Image.Image:
    """Return mirrored random pixels: a creature of sorts."""
    cells = int(rng.choice([11, 13, 15]))
    middle = cells // 2
    y, x = np.mgrid[0:cells, 0 : middle + 1]
    near = 1 - np.hypot((x - middle) / middle, (y - middle) / middle)
    body = rng.random(x.shape) * 0.6 + near > 0.6
    tones = np.array([(*mixed(colour, (0, 0, 0), 0.2), 255) for colour in palette[1:]], np.uint8)
    bands = tones[np.clip((y + x + rng.integers(0, 2, x.shape)) // 5, 0, 2)]
    half = bands * body[:, :, None]
    half[middle - 1 : middle + 1, middle - 2] = ((255, 255, 255, 255), (24, 20, 32, 255))
    whole = np.concatenate([half, half[:, -2::-1]], axis=1)
    return Image.fromarray(np.pad(whole, ((1, 1), (1, 1), (0, 0)))).resize(
        (width, width), Image.Resampling.NEAREST
    )


def _tile(rng: Rng, width: int, palette: Palette) -> Image.Image:
    """Return a repeated ornament: discs, diamonds or triangles."""
    image = Image.new("RGB", (3 * width, 3 * width), palette[0])
    draw, kind, count = ImageDraw.Draw(image), int(rng.integers(3)), int(rng.integers(4, 8))
    side = 3 * width / count
    for row, column in np.ndindex(count, count):
        x, y = (column + 0.5) * side, (row + 0.5) * side
        tones = (palette[int(rng.integers(1, 4))], palette[0], palette[1 + (row + column) % 3])
        for reach, tone in zip((0.48, 0.3, 0.16), tones, strict=True):
            if kind == 0:
                draw.circle((x, y), reach * side, tone)
            elif kind == 1:
                draw.regular_polygon((x, y, reach * side), 4, 45, tone)
        if kind == 2:
            corners = rng.permutation([(-1, -1), (1, -1), (1, 1), (-1, 1)])[:3] * side / 2 + (x, y)
            draw.polygon(corners.ravel().tolist(), tones[0])
    return image.reduce(3)
