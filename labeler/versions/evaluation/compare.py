"""A version beside its parent: what can be said to have changed, and which images moved most.

Both are judged by images that were drawn at random and that neither was trained on, so that no
review has followed them up; differences are paired. One measure decides, the mean error, at a few
fixed numbers of draws: at all of them together "better" or "worse" is told of two equal versions in
at most 5 of 100 cases (group-sequential test; Lan & DeMets 1983).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import db.images.counts
import db.images.lookup
import db.scores.confirmations
import db.scores.random_sample
import db.versions.predictions
from db.records import Image, RandomSample, Version
from labeler.core.project import Project
from labeler.versions import predictions
from labeler.versions.evaluation.held_out import stored_predictions
from labeler.versions.evaluation.random_draws import FEWEST_DRAWS, drawn_since, version_draws
from model.evaluation import metrics, random_draws
from model.evaluation.random_draws import Difference, RandomDraws

Floats = NDArray[np.float64]
NORMAL = NormalDist()
PRIMARY = "mae"
# Draws at which the verdict is looked for, and how much of the 5 % is spent there.
LOOKS = {25: 0.005, 50: 0.01, 100: 0.02, 200: 0.0075, 400: 0.0075}
HIGHER_IS_BETTER = {
    "mae": False,
    "rank_correlation": True,
    "precision": True,
    "recall": True,
    "average_precision": True,
}
CUTS = np.arange(1, 100) / 100  # thresholds of a curve
Verdict = Literal["better", "worse"]


@dataclass(frozen=True, slots=True)
class Change:
    """How one measure of `model.evaluation.metrics` changed from parent to version.

    `low` and `high` bound the difference (new - old) with 95 % confidence at this number of draws.
    Only the measure `PRIMARY` has a `verdict`, None where nothing can be told yet.
    """

    measure: str
    old: float
    new: float
    low: float | None
    high: float | None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed on `draws` images drawn at random that neither version had seen.

    A verdict was told at `told_at` draws. Without one, the look at `needed` draws would tell a
    difference as large as was seen in four of five cases, None where no look would; `next_look` is
    the number of draws at which it is looked for next, None behind the last of `LOOKS`.
    """

    draws: int
    changes: list[Change]
    told_at: int | None = None
    needed: int | None = None

    @property
    def verdict(self) -> Verdict | None:
        """Return the verdict of the measure that decides."""
        return next((each.verdict for each in self.changes if each.measure == PRIMARY), None)

    @property
    def next_look(self) -> int | None:
        """Return the number of draws at which the verdict is looked for next."""
        return next((look for look in LOOKS if look > self.draws), None)


@dataclass(frozen=True, slots=True, eq=False)
class PairedDraws:
    """The draws that two versions are compared by, with the predictions of the newer one; `old`
    (m,) are those of the other."""

    draws: RandomDraws
    old: Floats


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


def compare(
    project: Project, version: Version, parent: Version, sample: RandomSample | None = None
) -> Comparison:
    """Return what changed from `parent` to `version`, both judged at the project's threshold.

    `sample` is that of the project, read once where many are compared.
    """
    paired = paired_draws(project, version, parent, sample)
    draws = paired.draws
    if draws.count < FEWEST_DRAWS:
        return Comparison(draws.count, [])
    return project.cache.get(  # The jackknife takes its time, and pages ask again and again.
        "comparisons",
        (version.id, parent.id),
        (
            draws.threshold,
            draws.population,
            *(each.tobytes() for each in (draws.predictions, paired.old, draws.drawn)),
            *(each.tobytes() for each in (draws.scores, draws.low, draws.high)),
        ),
        lambda: compared(paired),
        newest=256,
    )


def paired_draws(
    project: Project, version: Version, parent: Version, sample: RandomSample | None = None
) -> PairedDraws:
    """Return the images drawn at random that neither version was trained on."""
    sample = sample or db.scores.random_sample.random_sample(project.store)
    trained = np.union1d(
        *(
            db.versions.predictions.trained_on(project.store, each.id)[0]
            for each in (version, parent)
        )
    )
    unseen = ~np.isin(sample.image_ids, trained)
    ids = sample.image_ids[unseen]
    new, old = (stored_predictions(project, each, ids) for each in (version, parent))
    rows = ~np.isnan(new) & ~np.isnan(old)
    fine = db.images.counts.by_state(project.store)["fine"]
    drawn = drawn_since(sample, trained)[unseen][rows]
    ids, scores = ids[rows], sample.values[unseen][rows]
    low, high = db.scores.confirmations.bounds(project.store, ids, scores)
    draws = RandomDraws(
        predictions=new[rows],
        scores=scores / 10,
        drawn=drawn,
        population=max(fine - len(trained), int(rows.sum())),
        threshold=project.threshold,
        bounds=(low / 10, high / 10),
    )
    return PairedDraws(draws, old[rows])


def compared(paired: PairedDraws) -> Comparison:
    """Return the comparison of two versions on their draws."""
    draws = paired.draws
    differences = {
        name: random_draws.difference(draws, paired.old, name) for name in HIGHER_IS_BETTER
    }
    changes = [
        Change(name, each.old, each.new, each.low, each.high)
        for name, each in differences.items()
        if each is not None
    ]
    told_at, verdict = _verdict(paired, differences[PRIMARY])
    changes = [
        replace(each, verdict=verdict) if each.measure == PRIMARY else each for each in changes
    ]
    needed = None if verdict else _needed(draws.count, differences[PRIMARY])
    return Comparison(draws.count, changes, told_at, needed)


def _needed(count: int, seen: Difference | None) -> int | None:
    """Return the first look that would tell the difference `seen` on `count` draws in four of five
    cases, if it is as large as that."""
    if seen is None or seen.low is None or seen.high is None or not seen.high > seen.low:
        return None
    distance = abs(seen.value) / ((seen.high - seen.low) / 2 / NORMAL.inv_cdf(0.975))
    for look, spent in LOOKS.items():
        enough = NORMAL.inv_cdf(1 - spent / 2) + NORMAL.inv_cdf(0.8)
        if look > count and distance * np.sqrt(look / count) >= enough:
            return look
    return None


def _verdict(paired: PairedDraws, on_all: Difference | None) -> tuple[int | None, Verdict | None]:
    """Return the first look that tells something, and what; nothing where the interval `on_all`
    draws lies on the other side of 0."""
    for look, spent in LOOKS.items():
        found = _at_look(paired, look, 1 - spent)
        if found is None or found.low is None or found.high is None:
            continue
        if found.low <= 0 <= found.high:
            continue
        if on_all is not None and on_all.low is not None and on_all.high is not None:
            opposite = on_all.high if found.value > 0 else -on_all.low
            if opposite < 0:
                return None, None
        return look, "better" if (found.value > 0) == HIGHER_IS_BETTER[PRIMARY] else "worse"
    return None, None


def _at_look(paired: PairedDraws, look: int, level: float) -> Difference | None:
    """Return the difference on the first `look` draws, None where there are fewer."""
    places = np.flatnonzero(paired.draws.drawn)
    if len(places) < look:
        return None
    until = int(places[look - 1]) + 1
    draws = paired.draws
    first = replace(
        draws,
        predictions=draws.predictions[:until],
        scores=draws.scores[:until],
        drawn=draws.drawn[:until],
        bounds=(draws.low[:until], draws.high[:until]),
    )
    return random_draws.difference(first, paired.old[:until], PRIMARY, level)


def curve(project: Project, version: Version) -> Curve | None:
    """Return precision and recall when images pass from 1, 2, … 99 % on, by the draws that judge
    the version; None where there are too few. What should pass is what the hand scores say at the
    project's threshold.
    """
    judged = version_draws(project, version)
    if judged.basis == "none":
        return None
    draws = judged.draws
    precision, recall = metrics.precision_recall(
        draws.predictions, draws.scores, draws.threshold, CUTS, draws.weights()
    )
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
