"""Random checks: the next images of the random order, mixed into another order.

With them the random sample grows while a person scores in another order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from db.records import Image
from labeler.core.project import Project


@dataclass(frozen=True, slots=True)
class ImagesWithChecks:
    """Images to show; `draws` are the ids of the random checks among them."""

    images: list[Image]
    draws: frozenset[int]


def with_checks(
    project: Project, images: Sequence[Image], limit: int, draw: Callable[[], list[Image]]
) -> ImagesWithChecks:
    """Return `images` with a random check behind some of them, at most `limit` in all.

    One of the project's `audit_every` images shown is a check; 0 means none, 1 checks alone. `draw`
    returns the next images of the random order; it is called only if there are checks.
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
    """Return whether a check follows this image, so that one of `every` images is a check."""
    return is_followed("check", image_id, every)


def is_followed(by: str, image_id: int, every: int) -> bool:
    """Return whether something mixed in follows this image, one of `every` images shown.

    The choice is random, but fixed for each image: reloading the page doesn't change it.
    """
    return every == 2 or random.Random(f"{by} behind {image_id}").randrange(every - 1) == 0
