"""The images in a band of predictions or hand scores, sorted, as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import db.scores.hand_scores
from labeler.collection.arrays import Ids, images_now
from labeler.core.project import Project
from labeler.versions.predictions import sorted_by_score

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
    """Return ids (N,) with a prediction in the band (0–1), ascending, and the predictions (N,).

    `source_id` and `scored`, if not None, limit them to one source and to (un)scored images.
    """
    in_band = sorted_by_score(project, version_id).within(low, high)
    if source_id is None and scored is None:
        return in_band.ids, in_band.scores
    images = images_now(project)
    mask = np.ones(len(images), dtype=bool)
    if source_id is not None:
        mask &= images.sources == source_id
    if scored is not None:
        scored_ids, _ = db.scores.hand_scores.effective(project.store)
        mask &= images.marked(scored_ids) == scored
    included = mask[images.rows(in_band.ids)]
    return in_band.ids[included], in_band.scores[included]


def by_hand_score(
    project: Project, low: float, high: float, *, source_id: int | None
) -> tuple[Ids, Values]:
    """Return ids (N,) of readable images with a hand score in the band (0–10), ascending, and the
    scores (N,).
    """
    images, (ids, values) = images_now(project), db.scores.hand_scores.effective(project.store)
    rows = images.rows(ids)
    mask = (values >= low) & (values <= high) & images.readable[rows]
    if source_id is not None:
        mask &= images.sources[rows] == source_id
    ids, values = ids[mask], values[mask]
    order = np.argsort(values, kind="stable")
    return ids[order], values[order]


def without_hand_score(project: Project, *, source_id: int | None) -> Ids:
    """Return ids (N,) of readable images without a hand score, ascending."""
    images, (scored_ids, _) = images_now(project), db.scores.hand_scores.effective(project.store)
    mask = images.readable & ~images.marked(scored_ids)
    if source_id is not None:
        mask &= images.sources == source_id
    return images.ids[mask]
