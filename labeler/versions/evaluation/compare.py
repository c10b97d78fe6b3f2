"""A version beside its parent: what can be said to have changed, and which images moved most.

Both are judged by their out-of-fold predictions (each image predicted by a head that had not seen
it), on the images that both have one for, against the hand scores of today; a version made
elsewhere has seen none of the scores, so all its predictions will do. Differences are paired and
resampled by group, so that near-duplicates don't count as evidence twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import db.images.lookup
import db.scores.confirmations
import db.scores.hand_scores
import db.versions.predictions
from db.records import Image, Version
from labeler.collection.arrays import group_numbers
from labeler.core.project import Project
from labeler.versions import predictions
from model.evaluation import metrics
from model.evaluation.censoring import measure_known, side_is_known

Floats = NDArray[np.float64]
FEWEST_SHARED = 10  # images both were judged on, below which nothing is said
HIGHER_IS_BETTER = {
    "mae": False,
    "rank_correlation": True,
    "precision": True,
    "recall": True,
    "false_positives": False,
    "average_precision": True,
}
CUTS = np.arange(1, 100) / 100  # thresholds of a curve


@dataclass(frozen=True, slots=True)
class Change:
    """How one measure of `model.evaluation.metrics` changed from parent to version on the shared
    images.

    `low` and `high` bound the difference (new - old) with 95 % confidence; `verdict` is None where
    that interval holds 0, or there is none: nothing can be said.
    """

    measure: str
    old: float
    new: float
    low: float | None
    high: float | None
    verdict: Literal["better", "worse"] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    shared: int  # images that both were judged on
    changes: list[Change]


@dataclass(frozen=True, slots=True, eq=False)
class JudgedByBoth:
    """Hand scores (n,) and what two versions predicted, (n,) each, 0–1; `groups` (n,) int64.

    `low` and `high` (n,) bound the scores, as in `model.evaluation.censoring`.
    """

    truth: Floats
    new: Floats
    old: Floats
    groups: NDArray[np.int64]
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall of one version at each threshold; (n,) each, NaN where undefined."""

    version: str
    thresholds: Floats
    precision: Floats
    recall: Floats


@dataclass(frozen=True, slots=True)
class MovedPrediction:
    image: Image
    before: float  # 0–1
    after: float


def compare(project: Project, version: Version, parent: Version) -> Comparison:
    """What changed from `parent` to `version`, both judged at the version's threshold."""
    judged = judged_by_both(project, version, parent)
    if len(judged.truth) < FEWEST_SHARED:
        return Comparison(len(judged.truth), [])
    return Comparison(len(judged.truth), kept_differences(project, version, parent, judged))


def judged_by_both(project: Project, version: Version, parent: Version) -> JudgedByBoth:
    """The images with a hand score that both have predicted without having seen it."""
    new, old = (_unseen(project, each) for each in (version, parent))
    ids, values = db.scores.hand_scores.effective(project.store)
    shared = np.array([i in new and i in old for i in ids.tolist()], dtype=bool)
    listed = ids[shared].tolist()
    low, high = db.scores.confirmations.bounds(project.store, ids[shared], values[shared])
    return JudgedByBoth(
        truth=values[shared] / 10,
        new=np.array([new[i] for i in listed], dtype=np.float64),
        old=np.array([old[i] for i in listed], dtype=np.float64),
        groups=group_numbers(project, ids[shared]),
        low=low / 10,
        high=high / 10,
    )


def kept_differences(
    project: Project,
    version: Version,
    parent: Version,
    judged: JudgedByBoth,
    only: Collection[str] = tuple(HIGHER_IS_BETTER),
) -> list[Change]:
    """`differences` at the version's threshold, kept: resampling takes its time, and pages ask
    again and again.
    """
    arrays = tuple(getattr(judged, each.name).tobytes() for each in fields(judged))
    threshold = version.threshold
    changes = project.cache.get(
        "differences",
        (version.id, parent.id, tuple(only)),
        (threshold, *arrays),
        lambda: differences(
            judged.truth,
            judged.new,
            judged.old,
            threshold=threshold,
            groups=judged.groups,
            only=only,
            bounds=(judged.low, judged.high),
        ),
        newest=256,
    )
    return list(changes)


def differences(
    truth: Floats,
    new: Floats,
    old: Floats,
    *,
    threshold: float,
    groups: NDArray[np.int64] | None = None,
    only: Collection[str] = tuple(HIGHER_IS_BETTER),
    bounds: tuple[Floats, Floats] | None = None,
) -> list[Change]:
    """The change of every measure in `only` that both predictions have; all arrays (n,), 0–1.

    `bounds` are those of the scores (see `JudgedByBoth`), the scores themselves without them.
    """
    groups = np.arange(len(truth)) if groups is None else groups
    bounds = (truth, truth) if bounds is None else bounds

    def values_of(said: Floats) -> dict[str, float | None]:
        return measure_known(
            lambda on: metrics.values(said[on], truth[on], threshold, only), *bounds, threshold
        )

    after, before = values_of(new), values_of(old)
    paired = measure_known(
        lambda on: metrics.difference(
            new[on], old[on], truth[on], threshold, groups[on], only=only
        ),
        *bounds,
        threshold,
    )
    changes = []
    for name in paired:
        higher_is_better = HIGHER_IS_BETTER[name]
        old_value, new_value = before[name], after[name]
        if old_value is not None and new_value is not None:
            low, high = paired[name]["low"], paired[name]["high"]
            verdict = _verdict(low, high, higher_is_better)
            changes.append(Change(name, old_value, new_value, low, high, verdict))
    return changes


def curve(project: Project, version: Version) -> Curve | None:
    """Precision and recall when images pass from 1, 2, … 99 % on; None without out-of-fold
    predictions.

    What should pass is what the hand scores that the version was trained on say at its threshold;
    all there are, if it was trained on none.
    """
    unseen = _unseen(project, version)
    ids, values = db.versions.predictions.trained_on(project.store, version.id)
    low, high = db.scores.confirmations.bounds_trained_on(project.store, version.id, ids, values)
    if version.is_foreign:
        ids, values = db.scores.hand_scores.effective(project.store)
        low, high = db.scores.confirmations.bounds(project.store, ids, values)
    known = side_is_known(low / 10, high / 10, version.threshold)
    judged = np.array(
        [k for k, i in enumerate(ids.tolist()) if i in unseen and known[k]], dtype=int
    )
    if not len(judged):
        return None
    said = np.array([unseen[i] for i in ids[judged].tolist()])
    precision, recall = metrics.precision_recall(said, values[judged] / 10, version.threshold, CUTS)
    return Curve(version.name, CUTS, precision, recall)


def moved_most(
    project: Project, version: Version, parent: Version, limit: int
) -> list[MovedPrediction]:
    """The images whose prediction changed most from `parent` to `version`, most first."""
    found = predictions.largest_changes(project, version.id, parent.id, limit)
    images = {
        each.id: each for each in db.images.lookup.by_ids(project.store, [i for i, *_ in found])
    }
    return [MovedPrediction(images[i], before, after) for i, before, after in found if i in images]


def _verdict(
    low: float | None, high: float | None, higher_is_better: bool
) -> Literal["better", "worse"] | None:
    if low is None or high is None or low <= 0 <= high:
        return None
    return "better" if (low > 0) == higher_is_better else "worse"


def _unseen(project: Project, version: Version) -> dict[int, float]:
    if version.is_foreign:
        scored, _ = db.scores.hand_scores.effective(project.store)
        found = db.versions.predictions.predictions(project.store, version.id, scored)
    else:
        found = db.versions.predictions.out_of_fold(project.store, version.id)
    return dict(zip(found.image_ids.tolist(), found.scores.tolist(), strict=True))
