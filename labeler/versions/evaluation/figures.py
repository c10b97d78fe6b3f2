"""How good a version is, with intervals: by its training, or by all hand scores if it saw none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import db.scores.confirmations
import db.scores.hand_scores
import db.versions.predictions
from db.records import Version
from labeler.collection.arrays import Floats, Ids, group_numbers
from labeler.core.project import Project
from model.evaluation import metrics
from model.evaluation.censoring import measure_known


@dataclass(frozen=True, slots=True)
class Figures:
    """A version's measures (see `model.evaluation.metrics`), and on how many images they rest."""

    judged: int
    metrics: dict[str, Any]


def figures(project: Project, version: Version) -> Figures:
    """Those of its training, out of fold; of a version made elsewhere those on every image that has
    a hand score and a prediction: it has seen none of the scores.
    """
    if not version.is_foreign:
        return Figures(version.scored_count, version.metrics)
    ids, values = db.scores.hand_scores.effective(project.store)
    made = db.versions.predictions.predictions(project.store, version.id, ids)
    rows = np.isin(ids, made.image_ids)
    truth, groups = values[rows] / 10, group_numbers(project, ids[rows])
    low, high = db.scores.confirmations.bounds(project.store, ids[rows], values[rows])
    said = made.scores.astype(np.float64)
    found = project.cache.get(  # Resampling takes its time, and pages ask again and again.
        "figures",
        version.id,
        (version.threshold, *(each.tobytes() for each in (said, truth, groups, low, high))),
        lambda: _measured(said, truth, groups, version.threshold, (low / 10, high / 10)),
        newest=16,
    )
    return Figures(len(truth), found)


def with_figures(project: Project, version: Version) -> Version:
    """`version` with these measures as its metrics."""
    return replace(version, metrics=figures(project, version).metrics)


def _measured(
    predictions: Floats,
    scores: Floats,
    groups: Ids,
    threshold: float,
    bounds: tuple[Floats, Floats],
) -> dict[str, Any]:
    found: dict[str, Any] = measure_known(
        lambda on: metrics.measure(predictions[on], scores[on], threshold, groups[on]),
        *bounds,
        threshold,
    )
    found["baseline"] = measure_known(
        lambda on: metrics.baseline(scores[on], threshold, groups[on]), *bounds, threshold
    )
    found["judged"] = len(scores)
    return found
