"""Slices: how predictions err by source and by tag, where a bias shows.

Judged are the scored images that the version was trained on, by their out-of-fold predictions, and
the other images of the random sample. Images that a review showed since are left out until the next
version: they were shown because their predictions looked wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import db.images.counts
import db.images.sources
import db.images.tags
import db.scores.confirmations
import db.scores.random_sample
import db.versions.registry
from db.records import Version
from labeler.collection.arrays import group_numbers, images_now
from labeler.core.errors import BadInput, LabelerError
from labeler.core.project import Project
from labeler.versions.evaluation.held_out import held_out_predictions
from model.evaluation import slices as slicing
from model.evaluation.intervals import Bounds, grouped_mean
from model.evaluation.slices import Slice

KINDS = ("source", "tag")


@dataclass(frozen=True, slots=True)
class SliceReport:
    """The slices of one kind that have enough images, worst first, of the `judged` images.

    `overall` is the signed error of all of them, in points; `None` if there are too few.
    """

    kind: str
    version: str
    judged: int
    overall: Bounds | None
    slices: list[Slice]

    def sentences(self, most: int = 3) -> list[str]:
        """The slices that stand out, one sentence each, and how many were looked at."""
        if not self.slices:
            return [f"No {self.kind} has {slicing.FEWEST} judged images that differ."]
        looked = f"{len(self.slices)} {self.kind}{'s' if len(self.slices) > 1 else ''}"
        biased = [one for one in self.slices if one.stands_out]
        if not biased:
            return [f"None of {looked} with enough images stands out."]
        stand = "stands" if len(biased) == 1 else "stand"
        told = [_sentence(self.kind, one) for one in biased[:most]]
        return [*told, f"{len(biased)} of {looked} {stand} out, at a level set for so many looks."]


def _sentence(kind: str, one: Slice) -> str:
    way = "high" if one.bias.value > 0 else "low"
    size = abs(one.bias.value)
    return f"Predicted scores of {kind} “{one.name}” run {size:.1f} too {way} (n = {one.images})."


def slice_report(project: Project, kind: str) -> SliceReport:
    """The slices of the active version by `kind`: source or tag.

    Raises `BadInput` for another kind and `LabelerError` where there is no active version.
    """
    if kind not in KINDS:
        raise BadInput(f"There are no slices by {kind!r}; there are those by {', '.join(KINDS)}.")
    version = db.versions.registry.active(project.store)
    if version is None:
        raise LabelerError("Slices need a trained version; make one with: labeler train")
    ids, said, scores = _judged(project, version)
    groups = group_numbers(project, ids)
    members = _by_source(project, ids) if kind == "source" else _by_tag(project, ids)
    enough = len(np.unique(groups)) >= slicing.FEWEST
    return SliceReport(
        kind=kind,
        version=version.name,
        judged=len(ids),
        overall=grouped_mean(10 * (said - scores), groups, limits=(-10, 10)) if enough else None,
        slices=slicing.slices(members, said, scores, project.threshold, groups),
    )


def _judged(
    project: Project, version: Version
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Ids (n,), predictions made without having seen the image, and hand scores; both 0–1.

    A bias is in points, so only typed scores tell of it.
    """
    sample = db.scores.random_sample.random_sample(project.store)
    held_out, stored = held_out_predictions(project, version, sample.image_ids)
    all_scored = not db.images.counts.by_hand_score(project.store).waiting
    said = np.where(sample.drawn | all_scored, np.fmax(held_out, stored), held_out)
    low, high = db.scores.confirmations.bounds(project.store, sample.image_ids, sample.values)
    rows = ~np.isnan(said) & (low == high)
    return sample.image_ids[rows], said[rows], sample.values[rows] / 10


def _by_source(project: Project, ids: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    images = images_now(project)
    sources = images.sources[images.rows(ids)]
    return {
        source.name: np.flatnonzero(sources == source.id)
        for source in db.images.sources.sources(project.store)
    }


def _by_tag(project: Project, ids: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    found = db.images.tags.among_scored(project.store, slicing.FEWEST)
    return {tag: np.flatnonzero(np.isin(ids, carrying)) for tag, carrying in found.items()}
