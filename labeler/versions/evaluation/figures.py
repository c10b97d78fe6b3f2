"""How good a version is: on images drawn at random, and on the images that a person chose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import db.scores.confirmations
import db.scores.hand_scores
import db.versions.predictions
from db.records import RandomSample, Version
from labeler.collection.arrays import Floats, Ids, group_numbers
from labeler.core.project import Project
from labeler.versions.evaluation.random_draws import Basis, version_draws
from model.evaluation import metrics
from model.evaluation.censoring import measure_known
from model.evaluation.random_draws import RandomDraws, baseline, figures


@dataclass(frozen=True, slots=True)
class Figures:
    """A version's measures (see `model.evaluation.metrics`), and on how many images they rest."""

    judged: int
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Headline(Figures):
    """The measures that hold for the collection; `sentence` says on which draws they rest."""

    basis: Basis
    sentence: str


def headline(project: Project, version: Version, sample: RandomSample | None = None) -> Headline:
    """Return the measures of `version` on images drawn at random, at the project's threshold.

    They are empty where there are too few draws. `sample` is the project's, read once where many
    versions are asked for.
    """
    judged = version_draws(project, version, sample)
    draws = judged.draws
    found: dict[str, Any] = {}
    if judged.basis != "none":
        found = project.cache.get(  # The jackknife takes its time, and pages ask again and again.
            "headline",
            (version.id, judged.basis),
            (draws.threshold, draws.population, draws.passing, *_stamp(draws)),
            lambda: _measured_on_all(draws) if judged.basis == "all" else _measured_on_draws(draws),
            newest=256,
        )
    return Headline(draws.count, found, judged.basis, judged.sentence())


def with_headline(
    project: Project, version: Version, sample: RandomSample | None = None
) -> Version:
    """Return `version` with the measures of its headline as its metrics."""
    return replace(version, metrics=headline(project, version, sample).metrics)


def on_chosen_images(project: Project, version: Version) -> Figures:
    """Return the measures on all images with a hand score, the chosen ones among them: they say
    nothing of the collection.

    Those of the training, out of fold; of a version made elsewhere those on every image that has a
    hand score and a prediction: it has seen none of the scores.
    """
    if not version.is_foreign:
        return Figures(version.scored_count, version.metrics)
    ids, values = db.scores.hand_scores.effective(project.store)
    made = db.versions.predictions.predictions(project.store, version.id, ids)
    rows = np.isin(ids, made.image_ids)
    truth, groups = values[rows] / 10, group_numbers(project, ids[rows])
    low, high = db.scores.confirmations.bounds(project.store, ids[rows], values[rows])
    predictions = made.scores.astype(np.float64)
    found = project.cache.get(  # The jackknife takes its time, and pages ask again and again.
        "figures",
        version.id,
        (version.threshold, *(each.tobytes() for each in (predictions, truth, groups, low, high))),
        lambda: _measured(predictions, truth, groups, version.threshold, (low / 10, high / 10)),
        newest=16,
    )
    return Figures(len(truth), found)


def _stamp(draws: RandomDraws) -> tuple[bytes, ...]:
    arrays = (draws.predictions, draws.scores, draws.drawn, draws.low, draws.high)
    return tuple(each.tobytes() for each in arrays)


def _measured_on_draws(draws: RandomDraws) -> dict[str, Any]:
    found: dict[str, Any] = dict(figures(draws))
    found["baseline"] = baseline(draws)
    found["judged"] = draws.count
    return found


def _measured_on_all(draws: RandomDraws) -> dict[str, Any]:
    groups = np.arange(len(draws.scores)) if draws.groups is None else draws.groups
    bounds = draws.low, draws.high
    return _measured(draws.predictions, draws.scores, groups, draws.threshold, bounds)


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
