"""Which images a band takes, in which order: as arrays in memory, that pages are cut from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import db.scores.hand_scores
from labeler.collection.arrays import Ids, images_now
from labeler.core.project import Project
from labeler.versions.predictions import by_score

Values = NDArray[np.floating]


def by_prediction(
    project: Project,
    version_id: int,
    low: float,
    high: float,
    *,
    source_id: int | None,
    scored: bool | None,
) -> tuple[Ids, Values]:
    """Images (n,) predicted within the band, 0–1, by rising prediction, and the predictions (n,).

    Those of one source only, and only those (not) `scored` by hand, if that is said.
    """
    found = by_score(project, version_id).within(low, high)
    if source_id is None and scored is None:
        return found.ids, found.scores
    images = images_now(project)
    wanted = np.ones(len(images), dtype=bool)
    if source_id is not None:
        wanted &= images.sources == source_id
    if scored is not None:
        by_hand, _ = db.scores.hand_scores.effective(project.store)
        wanted &= images.marked(by_hand) == scored
    taken = wanted[images.rows(found.ids)]
    return found.ids[taken], found.scores[taken]


def by_hand_score(
    project: Project, low: float, high: float, *, source_id: int | None
) -> tuple[Ids, Values]:
    """Readable images (n,) with a hand score within the band, 0–10, by rising score, and those."""
    images, (ids, values) = images_now(project), db.scores.hand_scores.effective(project.store)
    rows = images.rows(ids)
    wanted = (values >= low) & (values <= high) & images.readable[rows]
    if source_id is not None:
        wanted &= images.sources[rows] == source_id
    ids, values = ids[wanted], values[wanted]
    order = np.argsort(values, kind="stable")
    return ids[order], values[order]


def without_hand_score(project: Project, *, source_id: int | None) -> Ids:
    """Readable images (n,) without a hand score, by rising id."""
    images, (by_hand, _) = images_now(project), db.scores.hand_scores.effective(project.store)
    wanted = images.readable & ~images.marked(by_hand)
    if source_id is not None:
        wanted &= images.sources == source_id
    return images.ids[wanted]
