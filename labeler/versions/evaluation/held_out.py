"""What a version predicts for scored images without having seen their scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import db.versions.predictions
from db.records import Version
from labeler.core.project import Project

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


def held_out_predictions(project: Project, version: Version, ids: Ids) -> tuple[Floats, Floats]:
    """Predictions 0–1 for `ids` (n,): (out-of-fold, of a head that was not trained on the image).

    Each (n,), NaN where there is none; at most one of the two is there, since an image that the
    version was trained on has only the former.
    """
    held_out = db.versions.predictions.out_of_fold(project.store, version.id)
    trained, _ = db.versions.predictions.trained_on(project.store, version.id)
    is_new, unseen = ~np.isin(ids, trained), np.full(len(ids), np.nan)
    unseen[is_new] = stored_predictions(project, version, ids[is_new])
    return _placed(ids, held_out.image_ids, held_out.scores), unseen


def stored_predictions(project: Project, version: Version, ids: Ids) -> Floats:
    """Return what the version's own head predicts for `ids` (n,), 0–1, NaN where nothing."""
    stored = db.versions.predictions.predictions(project.store, version.id, ids)
    return _placed(ids, stored.image_ids, stored.scores)


def _placed(ids: Ids, known: Ids, values: NDArray[np.float32]) -> Floats:
    """`values` (k,) of the images `known` (k,) in the order of `ids` (n,), NaN for the others."""
    value_of = dict(zip(known.tolist(), values.tolist(), strict=True))
    return np.array([value_of.get(i, np.nan) for i in ids.tolist()], dtype=np.float64)
