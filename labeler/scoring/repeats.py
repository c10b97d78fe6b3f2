"""Repeats: now and then a person is shown an image that they scored a while ago, as if it were new.

The two scores tell how far the person agrees with themselves (`labeler/scoring/agreement.py`). The
second one is history like any other: the rule of the project decides which one counts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import db.scores.repeats
from db.records import Image
from labeler.core.project import Project
from labeler.scoring.random_checks import is_followed


def with_repeats(
    project: Project,
    images: Sequence[Image],
    limit: int,
    scorer: str | None,
    exclude: Collection[int] = (),
) -> tuple[list[Image], frozenset[int]]:
    """Return `images` with a repeat behind some of them, at most `limit` in all, and the ids of the
    repeats.

    One of the project's `repeat_every` images shown is a repeat, 0 means none; none is in
    `exclude`. A person with few scores gets none.
    """
    every = project.repeat_every
    followed = [image.id for image in images if every and is_followed("repeat", image.id, every)]
    if not followed:
        return list(images), frozenset()
    left_out = {*exclude, *(image.id for image in images)}
    repeats = db.scores.repeats.repeats_behind(project.store, scorer, followed, left_out)
    shown = [one for image in images for one in (image, repeats.get(image.id)) if one is not None][
        :limit
    ]
    ids = {repeat.id for repeat in repeats.values()}
    return shown, frozenset(image.id for image in shown if image.id in ids)
