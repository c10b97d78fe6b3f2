"""Draw a picture of one of the demo's kinds, and score it by a rule.

The rule stands in for a person who likes finished characters: a shaded character gets 6 and a flat
one 4, with 1 more for something on the head and 1 more for an elaborate outfit; a sketched
character 4, any other sketch 3; sprites, icons and tiles 2; a page of a document 0 and other
pictures of text 1; a scene 0.
"""

from __future__ import annotations

from PIL import Image

from labeler.cli.demo.drawings.canvas import Rng
from labeler.cli.demo.drawings.documents import draw_document
from labeler.cli.demo.drawings.objects import draw_pattern, draw_still_life
from labeler.cli.demo.drawings.portraits import draw_portrait
from labeler.cli.demo.drawings.scenes import draw_scene

# What share of the collection each kind is.
SHARES = {
    **{"characters": 0.22, "flat": 0.22, "sketches": 0.15},
    **{"text": 0.13, "scenes": 0.16, "patterns": 0.12},
}


def draw(kind: str, rng: Rng) -> tuple[Image.Image, int]:
    """Return a picture (RGB or RGBA) of one of `SHARES`' kinds and its score, 0–10.

    The same state of the generator gives the same picture.
    """
    if kind == "characters":
        image, adornments = draw_portrait(rng, "shaded")
        return image, 6 + adornments
    if kind == "flat":
        image, adornments = draw_portrait(rng, "flat", cut_out=rng.random() < 0.25)
        return image, 4 + adornments
    if kind == "sketches":
        figure = rng.random() < 0.65
        return (draw_portrait(rng, "pencil")[0], 4) if figure else (draw_still_life(rng), 3)
    if kind == "text":
        image, is_page = draw_document(rng)
        return image, 0 if is_page else 1
    return (draw_scene(rng), 0) if kind == "scenes" else (draw_pattern(rng), 2)
