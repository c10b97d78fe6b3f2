"""Draw characters from the waist up, in any medium.

The unit of the parts is half the width of the head; the origin lies between the eyes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from labeler.cli.demo.drawings.canvas import (
    PALETTES,
    PAPER,
    Canvas,
    Colour,
    Medium,
    Palette,
    Rng,
    Size,
    mixed,
    rgb,
)
from labeler.cli.demo.drawings.scenes import draw_scene

_SHORT = "mirror hair_dark 1 0,-1.55 .8,-1.38 1.2,-.6 1.12,.35 .6,.7 0,.7"
HAIR = (  # behind the head
    _SHORT,
    "mirror hair_dark 1 0,-1.6 .9,-1.35 1.35,-.5 1.4,.6 1.6,1.8 1.4,3.1 .9,2.8! .6,3.1 0,2.7",
    "mirror hair_dark 1 0,-1.6 .95,-1.4 1.42,-.5 1.48,.5 1.2,1.25 .6,1.1 0,1",
    """mirror hair_dark 1 0,-1.6 .9,-1.4 1.4,-.6 1.3,.2 1.75,.9 1.5,1.6 1.9,2.3 1.3,2.9 .5,2.5 0,2.6
    lines hair .07 1.3,.5 1.5,1.1 1.25,1.7 1.5,2.4""",
    """ovals hair_dark .6 1.35,.3 .55,.55 ovals hair_dark .6 1.6,-.45 .6,.6
    ovals hair_dark .6 1.25,-1.2 .6,.6 ovals hair_dark .6 .5,-1.6 .62,.6
    mirror hair_dark .3 0,-1.7 1.2,-1.3 1.5,0 .8,.9 0,.9""",
    """ovals hair .8 .95,-1.5 .55,.52 lines hair_dark .06 .75,-1.75 1.1,-1.65 1.15,-1.3""" + _SHORT,
    _SHORT
    + """pair hair 1 1,-.95 1.7,-1.1 2.2,-.1 2.15,1.4 1.75,2.7! 1.6,1.4 1.45,.2
    lines hair_dark .06 1.5,-.7 1.85,.2 1.8,1.6 ovals accent .5 1.2,-.85 .2,.24""",
    """mirror hair_dark 1 0,-1.7 .35,-2.2! .6,-1.65 1.15,-2! 1.15,-1.3 1.85,-1.25! 1.4,-.6 1.95,-.2!
    1.3,.1 1.6,.7! 1,.6 0,.6""",
)
FRINGES = (
    """shape hair .8 -1.1,.35! -1.2,-.5 -.8,-1.35 0,-1.6 .85,-1.35 1.22,-.5 1.1,.4! .95,-.25
    .35,-.75 -.2,-.4 -.85,-.1! -.95,-.2 line hair_light .09 -.75,-1 -.2,-1.22 .4,-1.2
    line hair_dark .05 .3,-1.3 -.1,-1 -.45,-.45 line hair_dark .05 .45,-1.25 .8,-.9 1.02,-.3""",
    """mirror hair .8 0,-1.58 .85,-1.35 1.2,-.5 1.12,.5! .92,-.1 .7,-.55 .25,-.95 0,-1.1
    lines hair_light .09 .45,-1.28 .8,-1 1,-.65 lines hair_dark .05 .1,-1.35 .6,-.95 .98,-.3""",
    """mirror hair .8 0,-1.58 .85,-1.35 1.2,-.5 1.1,.5! .95,.2! .9,-.22! .45,-.28 0,-.3
    line hair_light .1 -.7,-1.02 0,-1.15 .7,-1.02
    lines hair_dark .05 .2,-1.2 .25,-.7 .22,-.32 lines hair_dark .05 .5,-1.1 .62,-.7 .6,-.3""",
    """shape hair .8 -1.12,.5! -1.22,-.5 -.85,-1.35 0,-1.6 .85,-1.35 1.22,-.5 1.12,.5! .98,-.1
    .8,-.5! .62,-.05! .4,-.5! .15,0! -.1,-.5! -.3,-.05! -.5,-.5! -.75,.05! -.95,-.2
    line hair_light .09 -.7,-1 0,-1.18 .7,-1 lines hair_dark .05 .15,-1.3 .5,-.95 .6,-.4""",
)
BODY = """mirror skin 1 0,.6! .42,.7 .4,1.5 .7,1.95 0,2.4
    mirror skin_dark 0 0,1 .42,.95 .4,1.4 .25,1.6 0,1.72
    mirror cloth 1.6 0,2.25! .46,1.74! 1.3,2.02 1.95,2.35 2.35,3.2 2.5,6! 0,6!
    lines cloth_dark .06 1.6,3.1 1.5,4 1.55,5.5"""
PLAIN = (
    """mirror accent .4 0,1.75 .5,1.5! .62,1.8 .58,2.1 0,2.3
    mirror accent 0 0,3! 2.24,3! 2.36,3.4! 0,3.4!
    mirror light 0 0,3.55! 2.39,3.55! 2.4,3.75! 0,3.75!""",
    """mirror light .4 0,1.9! .46,1.72! .5,2.2 0,3.7!
    mirror accent .4 0,2! .16,2.05! .1,2.3! .2,3.3! 0,3.6!
    pair cloth_dark .5 .46,1.62! .85,1.95! .75,2.5! .95,2.65! .05,4.2! .2,3.2!""",
    """mirror cloth_dark .7 0,2.3 .5,2 .62,1.35! 1.15,1.6 1.2,2.25 .6,2.75 0,2.95
    lines light .1 .4,2.7 .42,3.1 .38,3.6""",
    """pair light .4 .02,2.3! .44,1.6! .95,2.05! .5,2.6! line cloth_dark .06 0,2.4 0,4 0,6
    oval light 0 .14,3 .07,.07 oval light 0 .14,3.8 .07,.07""",
)
ELABORATE = (
    """mirror metal 1.4 0,2 .6,1.8 1.4,2.3 1.55,3.4 1,4.6 0,4.9!
    lines gold .14 1.45,2.3 1.55,3.4 1,4.6 .1,4.95 lines metal_dark .07 .05,2.6 .7,3.3 1.4,3.4
    pair metal 1 1.15,2.15 1.7,1.75 2.4,2 2.75,2.9 2.6,3.4! 2,3
    pair gold .4 1.7,1.68 2.5,1.95 2.85,2.9! 2.5,2.3 1.7,1.95!
    mirror gold .6 0,1.85 .55,1.45! .75,1.7 .6,2.15 0,2.45 oval gem .5 0,2.85 .26,.34""",
    """pair gold .5 .3,2.3 .5,1.5! 1.55,.75! 1.85,1.9! 1.2,2.5!
    pair cloth_dark .5 .4,2.3 .58,1.62! 1.45,.98! 1.7,1.85! 1.1,2.4!
    pair accent .6 .3,1.75! 1,2.1! .75,3.2! .2,4.6! .2,6! 0,6! 0,3!
    lines gold .14 1.02,2.1 .78,3.2 .24,4.6 .22,6 ovals gold .3 1.6,3.4 .16,.16
    ovals gold .3 1.75,4.2 .16,.16 oval gold .5 0,2.75 .36,.36 oval gem .5 0,2.75 .2,.2""",
    """mirror skin 1 0,1.6! .42,1.5 .6,1.85 1.3,1.98 2,2.3 2.42,3.2 2.56,6! 1.7,6! 1.5,3.6 0,3.6
    ovals accent 1 2.05,3.05 .68,.62 mirror cloth 1.2 0,3.25! .7,2.75! 1.5,3.1! 1.6,6! 0,6!
    lines gold .12 .03,3.22 .7,2.73 1.5,3.08 lines gold .09 .5,1.8 .4,2.3 .03,2.55
    oval gem .5 0,2.7 .2,.24 ovals gem .3 .38,2.42 .1,.11
    ovals gold .3 .55,3.5 .1,.1 ovals gold .3 .2,4 .1,.1""",
)
HATS = (  # crown, witch hat, cat ears, horns, headphones, wreath, beret
    """mirror gold .6 0,-1.2 .55,-1.25 .85,-1.1! 1.05,-2! .6,-1.65! .3,-2.2! 0,-1.7!
    oval gem .4 0,-1.42 .14,.17 ovals gem .4 .55,-1.4 .1,.12""",
    """mirror cloth_dark 1 0,-1.35 1.2,-1.2 2.1,-.75! 1.6,-1.35 .9,-1.7 0,-1.8
    shape cloth_dark 1 -1.05,-1.35! -.7,-2.2 -.2,-3! .5,-3.3! .35,-2.8 .75,-2.1 1.05,-1.35! 0,-1.15
    mirror accent .5 0,-1.2! 1.05,-1.35! .95,-1.65! 0,-1.5! oval gold .4 0,-1.4 .2,.2""",
    """pair hair .7 .3,-1.4! .85,-2.4! 1.2,-.95! pair blush .4 .5,-1.45! .85,-2.05! 1.02,-1.15!""",
    """pair light .8 .5,-1.25 1,-1.45 1.35,-1.9 1.3,-2.6! 1.75,-1.9 1.5,-1.2 .9,-.9
    lines metal_dark .06 1.1,-1.5 1.2,-1.35 1.3,-1.15
    lines metal_dark .06 1.3,-1.85 1.45,-1.7 1.6,-1.6""",
    """mirror cloth_dark .5 0,-1.9 .9,-1.6 1.4,-.6 1.35,0! 1.2,-.6 .8,-1.4 0,-1.65
    ovals accent .8 1.25,.1 .34,.5 ovals cloth_dark .4 1.35,.1 .18,.32""",
    """pair leaf .4 .1,-1.3! .5,-1.75! .6,-1.25! pair leaf .4 .7,-1.2! 1.3,-1.5! 1.1,-.9!
    ovals accent .5 .45,-1.35 .27,.27 ovals light .5 .9,-1.05 .25,.25 oval accent .5 0,-1.4 .3,.3
    oval gold 0 0,-1.4 .12,.12 ovals gold 0 .45,-1.35 .1,.1 ovals gold 0 .9,-1.05 .1,.1""",
    """shape accent 1 -1.15,-1 -1.5,-1.5 -.7,-2.1 .5,-2.1 1.35,-1.6 1.15,-1.05 0,-1.35
    line cloth_dark .12 -1.15,-1 0,-1.33 1.15,-1.05 line accent .12 .1,-2 .12,-2.2 .2,-2.35""",
)
HEAD = """pair skin .5 .9,-.1 1.2,-.1 1.15,.35 .9,.5
    mirror skin 1 0,-1.2 .6,-1.1 .98,-.45 .98,.25 .74,.82 .3,1.18 0,1.26
    ovals blush 0 .62,.6 .2,.12 line skin_dark .07 .02,.55 .08,.68 -.03,.7"""
EYES = (
    """ovals white 0 .44,.2 .25,.27 ovals eye_dark 0 .43,.21 .19,.26 ovals eye 0 .43,.3 .15,.15
    ovals ink 0 .43,.2 .08,.13 oval white 0 .36,.09 .07,.08 oval white 0 -.5,.09 .07,.08
    lines ink .13 .14,.16 .26,-.06 .5,-.12 .74,.12 lines hair_dark .08 .2,-.36 .45,-.48 .72,-.36""",
    """ovals white 0 .44,.24 .25,.18 ovals eye_dark 0 .43,.25 .18,.18 ovals eye 0 .43,.31 .13,.1
    oval white 0 .37,.17 .06,.06 oval white 0 -.49,.17 .06,.06
    lines ink .14 .14,.16 .28,.06 .52,.04 .76,.18 lines hair_dark .08 .2,-.3 .45,-.38 .72,-.32""",
    """lines ink .12 .2,.28 .34,.1 .52,.1 .68,.28 lines hair_dark .08 .2,-.32 .45,-.46 .72,-.34""",
)
MOUTHS = (
    "line lip .07 -.22,.87 0,.96 .22,.87",
    "line lip .07 -.14,.92 0,.94 .14,.9",
    "mirror lip .2 0,.86 .2,.82! .14,1 0,1.04",
)
GLASSES = """lines frame .07 .44,-.1 .78,.1 .72,.5 .44,.56 .16,.48 .12,.1 .46,-.1
    line frame .07 -.14,.16 0,.1 .14,.16"""
SKINS = "ffe0c8 f8d0b0 eab88e d09a6c a87048 945f40 784a36"
HAIR_COLOURS = "2e2530 4a3028 7c4a2c c98a3e eacb8a a83c2c e4e2ea 4a5c94 d8789c 3f8078 7c5ca8"
GEMS = "48a868 3c74c8 7850b8 c8486c c87838 34a8a8"
FIXED = "white fcfcff ink 2c2030 gold e8b84c metal b8c0d0 metal_dark 6c7488 leaf 5c8c50"
MIXED = (  # a colour, what it is mixed of, and the share of the second
    *("skin_dark skin 8c3c48 .35", "blush skin ec5c6c .35", "lip skin 8c1c34 .7"),
    *("hair_dark hair 2a1c3c .3", "hair_light hair fff4e4 .4", "eye_dark eye 2a1c3c .6"),
    *("cloth_dark cloth 2a1c3c .4", "frame cloth 2a1c3c .7", "light accent ffffff .75"),
)


def draw_portrait(rng: Rng, medium: Medium, *, cut_out: bool = False) -> tuple[Image.Image, int]:
    """Return a character of random looks and how richly it is dressed, 0–2.

    Something on the head counts 1, an elaborate outfit 1. The picture is RGB, or with `cut_out`
    RGBA with a transparent background.
    """
    width = int(rng.integers(320, 460))
    size = (width, round(width * float(rng.choice([1.0, 1.2, 1.33]))))
    palette = PALETTES[int(rng.integers(len(PALETTES)))]
    canvas = Canvas(medium, rng, _backdrop(rng, medium, size, palette, cut_out=cut_out))
    canvas.unit = width * float(rng.uniform(0.16, 0.21))
    canvas.origin = complex(width * rng.normal(0.5, 0.02), size[1] * 0.36 + canvas.unit / 2)
    colours, flip = _colours(rng, palette), bool(rng.random() < 0.5)
    if medium == "pencil":
        colours |= dict.fromkeys(("skin", "skin_dark", "blush"), PAPER)
    adorned, elaborate = bool(rng.random() < 8 / 13), bool(rng.random() < 3 / 7)
    hair, hat, eyes, fringe = (_one(rng, parts) for parts in (HAIR, HATS, EYES, FRINGES))
    glasses = GLASSES if rng.random() < 0.15 else ""
    canvas.tilt = tilt = float(rng.normal(0, 0.05))
    canvas.draw(hair, colours, flip=flip)
    canvas.tilt = 0
    canvas.draw(BODY + _one(rng, ELABORATE if elaborate else PLAIN), colours, flip=flip)
    canvas.tilt = tilt
    face = HEAD + eyes + glasses + _one(rng, MOUTHS) + fringe
    canvas.draw(face + hat if adorned else face, colours, flip=flip)
    return canvas.finished(), adorned + elaborate


def _one(rng: Rng, parts: tuple[str, ...]) -> str:
    return parts[int(rng.integers(len(parts)))]


def _colours(rng: Rng, palette: Palette) -> dict[str, Colour]:
    fixed = FIXED.split()
    colours = {name: rgb(code) for name, code in zip(fixed[::2], fixed[1::2], strict=True)}
    for name, codes in (("skin", SKINS), ("hair", HAIR_COLOURS), ("eye", GEMS), ("gem", GEMS)):
        colours[name] = rgb(str(rng.choice(codes.split())))
    colours |= {"cloth": palette[2], "accent": palette[3]}
    for name, first, second, share in (line.split() for line in MIXED):
        colours[name] = mixed(colours[first], rgb(second), float(share))
    return colours


def _backdrop(
    rng: Rng, medium: Medium, size: Size, palette: Palette, *, cut_out: bool
) -> Image.Image:
    if cut_out:
        return Image.new("RGBA", size)
    if medium == "pencil":
        return Image.new("RGB", size, PAPER)
    return (_scenery if medium == "shaded" else _plain)(rng, size, palette)


def _scenery(rng: Rng, size: Size, palette: Palette) -> Image.Image:
    """Return a scene out of focus, with a few lights in front of it."""
    small = (size[0] // 3, size[1] // 3)
    scene = draw_scene(rng, small)
    for x, y, r in rng.random((int(rng.integers(24)), 3)) * (*small, 0.05 * small[0]):
        ImageDraw.Draw(scene, "RGBA").circle((x, y), r, (*palette[3], 70))
    return scene.filter(ImageFilter.GaussianBlur(1.5)).resize(size, Image.Resampling.BICUBIC)


def _plain(rng: Rng, size: Size, palette: Palette) -> Image.Image:
    """Return one colour, or that with a disc, dots or hills."""
    (width, height), (first, second, *_) = size, palette
    image = Image.new("RGB", size, first)
    draw, kind = ImageDraw.Draw(image), int(rng.integers(4))
    if kind == 1:
        draw.circle((0.5 * width, 0.48 * width), 0.42 * width, second)
    elif kind == 2:
        for x, y in np.ndindex(10, 14):
            centre = ((x + y % 2 / 2) * width / 9, y * width / 9)
            draw.circle(centre, width / 50, mixed(first, second, 0.45))
    elif kind == 3:
        for x, y, r in rng.random((3, 3)) * (width, 0.2 * height, 0.4 * width):
            draw.circle(
                (x, y + height), 0.4 * width + r, mixed(first, second, 0.3 + 0.5 * x / width)
            )
    return image
