"""The images drawn at random by which a version is judged, and what it predicted for them unseen.

Those drawn after the version's training come first: nothing that was trained or reviewed could know
them. Until there are enough, those drawn before it are used, each predicted by a head that was
trained without it. No figure mixes the two: a review that follows up what a draw showed teaches the
held-out head, too, so that earlier draws say less about a version that was trained after a review.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import db.images.counts
import db.scores.confirmations
import db.scores.random_sample
import db.versions.predictions
from db.records import RandomSample, Version
from labeler.collection.arrays import group_numbers
from labeler.core.project import Project
from labeler.core.text import count_of
from labeler.versions.evaluation.held_out import held_out_predictions
from model.evaluation.random_draws import RandomDraws
from model.passing import least_passing

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Basis = Literal["after", "before", "all", "none"]

FEWEST_DRAWS = 20  # below which no figure is told


@dataclass(frozen=True, slots=True, eq=False)
class VersionDraws:
    """The draws that judge a version, and their `basis`.

    `after`: drawn after its training from all images that it had not seen. `before`: drawn before
    it, predicted out of fold. `all`: every image of the collection is scored, none is left to draw.
    `none`: fewer than `FEWEST_DRAWS` of either; `draws` holds what there is after it. `ids` (m,)
    are the images of `draws`; `after` counts the draws after the training, and `skipped` the images
    that were drawn at any time and got no score.
    """

    version: Version
    basis: Basis
    draws: RandomDraws
    ids: Ids
    after: int
    skipped: int

    def sentence(self) -> str:
        """Return what the figures are of, and what would make them sharper."""
        if self.skipped and self.basis in ("after", "before"):
            verb = "image was" if self.skipped == 1 else "images were"
            return f"{self._basis_sentence()} {self.skipped:,} drawn {verb} skipped: not in it."
        return self._basis_sentence()

    def _basis_sentence(self) -> str:
        name, draws = self.version.name, count_of(self.draws.count, "image")
        if self.basis == "after":
            after = "" if self.version.is_foreign else f" after {name} was trained"
            sentence = (
                f"On {draws} drawn at random{after}, of the {self.draws.population:,} that "
                f"{name} had not seen."
            )
            more = 3 * self.draws.count
            if more > self.draws.population - len(self.ids):
                return sentence
            return f"{sentence} {more:,} more would halve the intervals."
        if self.basis == "before":
            return (
                f"On {draws} drawn at random before {name} was trained, each predicted by a head "
                "that was trained without it. Images drawn from now on judge it better: score "
                f"{FEWEST_DRAWS - self.after} more in the order Random."
            )
        if self.basis == "all":
            return (
                f"On all {draws} of the collection, each predicted by a head that was trained "
                "without it: no image is left to draw."
            )
        missing = FEWEST_DRAWS - self.draws.count
        return (
            f"How good {name} is for the collection can't be told yet: score "
            f"{count_of(missing, 'more image')} in the order Random, or let random checks be "
            "mixed into the other orders."
        )


def version_draws(
    project: Project, version: Version, sample: RandomSample | None = None
) -> VersionDraws:
    """Return the draws that judge `version` at the project's threshold.

    `sample` is that of the project, read once where many versions are asked for.
    """
    sample = sample or db.scores.random_sample.random_sample(project.store)
    out_of_fold, unseen = held_out_predictions(project, version, sample.image_ids)
    skipped, predictions = len(sample.skipped), np.fmax(out_of_fold, unseen)
    is_census = not db.images.counts.by_hand_score(project.store).waiting
    if is_census and len(predictions) >= FEWEST_DRAWS and not np.isnan(predictions).any():
        draws, ids = _draws(project, version, sample, predictions, "all")
        return VersionDraws(version, "all", draws, ids, 0, 0)
    after, ids_after = _draws(project, version, sample, unseen, "after")
    if after.count >= FEWEST_DRAWS:
        return VersionDraws(version, "after", after, ids_after, after.count, skipped)
    before, ids_before = _draws(project, version, sample, out_of_fold, "before")
    if before.count >= FEWEST_DRAWS:
        return VersionDraws(version, "before", before, ids_before, after.count, skipped)
    return VersionDraws(version, "none", after, ids_after, after.count, skipped)


def drawn_since(sample: RandomSample, trained: Ids) -> NDArray[np.bool_]:
    """Return which images of `sample` (n,) were drawn behind all draws among the images `trained`.

    What was imported since has its places in the random order, too, some of them before the one
    that had been reached. Draws there are of the new images alone and stand for themselves.
    """
    known = np.isin(sample.image_ids, trained) & sample.drawn
    reached = sample.keys[known].max(initial=-1)
    return np.asarray(sample.drawn & (sample.keys > reached))


def unseen_counts(project: Project, version_id: int) -> tuple[int, int]:
    """Return how many fine images that the version was not trained on pass by prediction, and fail;
    kept until images come or go, or there are other predictions.
    """
    store, threshold = project.store, project.threshold
    batches = db.versions.predictions.prediction_batches(store, version_id)
    return project.cache.get(
        "unseen counts",
        (version_id, threshold),
        (batches, db.images.counts.image_stamp(store)),
        lambda: db.scores.random_sample.unseen_counts(store, version_id, least_passing(threshold)),
        newest=256,
    )


def _draws(
    project: Project, version: Version, sample: RandomSample, predictions: Floats, basis: Basis
) -> tuple[RandomDraws, Ids]:
    """Return the draws among the images that have one of `predictions` (n,), NaN where not, and
    these images."""
    rows = ~np.isnan(predictions)
    passing, failing = unseen_counts(project, version.id)
    population = passing + failing
    if basis != "after":
        population = db.images.counts.by_state(project.store)["fine"]
    drawn = sample.drawn if basis == "before" else np.ones(len(rows), dtype=bool)
    if basis == "after":
        trained, _ = db.versions.predictions.trained_on(project.store, version.id)
        drawn = drawn_since(sample, trained)
    drawn, ids = drawn[rows], sample.image_ids[rows]
    low, high = db.scores.confirmations.bounds(project.store, ids, sample.values[rows])
    draws = RandomDraws(
        predictions=predictions[rows],
        scores=sample.values[rows] / 10,
        drawn=drawn,
        population=max(population, len(ids)),
        threshold=project.threshold,
        passing=passing if basis == "after" else None,
        groups=None if basis == "after" else group_numbers(project, ids),
        bounds=(low / 10, high / 10),
    )
    return draws, ids
