"""Random checks: images that are mixed into other orders because they are next in the random one.

They keep the random sample growing while a person scores what is newest or what the model picks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from db.records import Image
from labeler.core.project import Project


@dataclass(frozen=True, slots=True)
class ImagesWithChecks:
    """Images to show, and the ids of those among them that are random checks."""

    images: list[Image]
    draws: frozenset[int]


def with_checks(
    project: Project, images: Sequence[Image], limit: int, draw: Callable[[], list[Image]]
) -> ImagesWithChecks:
    """`images` with a check behind some of them, as often as the project says; at most `limit`.

    `draw` gives those that are next in the random order; it is asked if checks are wanted.
    """
    every = project.audit_every
    if not every or not images:
        return ImagesWithChecks(list(images), frozenset())
    drawn = draw()
    if every == 1:
        return ImagesWithChecks(drawn, frozenset(image.id for image in drawn))
    waiting, shown, draws = iter(drawn), dict[int, Image](), set[int]()
    for image in images:
        if image.id in shown:
            continue
        shown[image.id] = image
        if is_followed_by_check(image.id, every):
            check = next((one for one in waiting if one.id not in shown), None)
            if check is not None:
                shown[check.id] = check
                draws.add(check.id)
    listed = list(shown.values())[:limit]
    return ImagesWithChecks(listed, frozenset(image.id for image in listed if image.id in draws))


def is_followed_by_check(image_id: int, every: int) -> bool:
    """Whether a check comes behind this image, so that one of `every` images is one.

    By chance, but always the same for the same image: a reload moves nothing.
    """
    return every == 2 or random.Random(f"check behind {image_id}").randrange(every - 1) == 0
