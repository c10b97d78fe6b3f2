"""Read one version and all images of a project at one moment: the input of the review pages."""

from __future__ import annotations

from dataclasses import dataclass

import db.images.counts
import db.images.sources
import db.scores.hand_scores
import db.versions.predictions
from db.records import Version
from labeler.collection.arrays import Collection, Floats, collection_now
from labeler.core.project import Project
from labeler.embedding.unit_cache import UnitVectors, unit_vectors


@dataclass(frozen=True, slots=True, eq=False)
class ReviewSnapshot:
    """A project's images with their hand scores and one version's predictions, at one moment."""

    project: Project
    version: Version
    threshold: float
    collection: Collection
    hand_scores: Floats  # (n,) the hand scores that count now, 0–10, NaN for what is unscored

    @property
    def vectors(self) -> UnitVectors | None:
        """Return the embeddings that the version reads; None before there are any."""
        return unit_vectors(self.project, self.version.encoder)


def review_snapshot(project: Project, version: Version, threshold: float) -> ReviewSnapshot:
    """Read the images as they are now, with their hand scores and the predictions of `version`.

    `threshold` is 0–1.
    """
    collection = collection_now(project, version.id)
    ids, values = db.scores.hand_scores.effective(project.store)
    return ReviewSnapshot(project, version, threshold, collection, collection.spread(ids, values))
