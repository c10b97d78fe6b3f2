"""The kinds of picture in the demo collection, and the taste by which they are scored.

The rule stands in for a person who likes finished characters: a shaded character gets 6 and a flat
one 4, with 1 more for something on the head and 1 more for an elaborate outfit; a sketched
character 4, any other sketch 3; sprites, icons and tiles 2; a page of a document 0 and other
pictures of text 1; a scene 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from labeler.cli.demo.drawings.characters import draw_character
from labeler.cli.demo.drawings.figure import Rng
from labeler.cli.demo.drawings.pages import draw_page
from labeler.cli.demo.drawings.patterns import draw_pattern
from labeler.cli.demo.drawings.scenes import draw_scene
from labeler.cli.demo.drawings.still_lifes import draw_still_life


@dataclass(frozen=True)
class Drawing:
    """A picture (RGB or RGBA) and the hand score, 0–10, that the rule gives it."""

    image: Image.Image
    score: int


def draw(kind: str, rng: Rng) -> Drawing:
    """A picture of one of `SHARES`' kinds; the same generator state gives the same picture."""
    return _MOTIFS[kind](rng)


def _shaded(rng: Rng) -> Drawing:
    image, adorned = draw_character(rng, "shaded", int(rng.integers(320, 460)))
    return Drawing(image, 6 + adorned)


def _flat(rng: Rng) -> Drawing:
    width = int(rng.integers(300, 440))
    image, adorned = draw_character(rng, "flat", width, cut_out=bool(rng.random() < 0.25))
    return Drawing(image, 4 + adorned)


def _sketch(rng: Rng) -> Drawing:
    if rng.random() < 0.65:
        return Drawing(draw_character(rng, "pencil", int(rng.integers(300, 420)))[0], 4)
    return Drawing(draw_still_life(rng), 3)


def _text(rng: Rng) -> Drawing:
    image, is_document = draw_page(rng)
    return Drawing(image, 0 if is_document else 1)


_MOTIFS: dict[str, Callable[[Rng], Drawing]] = {
    "characters": _shaded,
    "flat": _flat,
    "sketches": _sketch,
    "text": _text,
    "scenes": lambda rng: Drawing(draw_scene(rng), 0),
    "patterns": lambda rng: Drawing(draw_pattern(rng), 2),
}
# What share of the collection each kind is.
SHARES = {
    "characters": 0.22,
    "flat": 0.22,
    "sketches": 0.15,
    "text": 0.13,
    "scenes": 0.16,
    "patterns": 0.12,
}
