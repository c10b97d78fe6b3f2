"""Read one version and all images of a project at one moment: the input of the review pages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import db.images.counts
import db.images.sources
import db.scores.confirmations
import db.scores.hand_scores
import db.versions.predictions
from db.records import Version
from labeler.collection.arrays import Collection, Floats, Ids, Mask, collection_now
from labeler.core.project import Project
from labeler.core.scale import bounds_words
from labeler.embedding.unit_cache import UnitVectors, unit_vectors


@dataclass(frozen=True, slots=True, eq=False)
class ReviewSnapshot:
    """A project's images with their hand scores and one version's predictions, at one moment."""

    project: Project
    version: Version
    threshold: float
    collection: Collection
    hand_scores: Floats  # (n,) the hand scores that count now, 0–10, NaN for what is unscored
    # (n,) what is known of them: low <= score < high of a confirmation, else both are the score.
    low: Floats
    high: Floats

    @property
    def is_typed(self) -> Mask:
        """Which images (n,) have a hand score whose number somebody said."""
        return np.asarray(self.low == self.high)

    @property
    def vectors(self) -> UnitVectors | None:
        """Return the embeddings that the version reads; None before there are any."""
        return unit_vectors(self.project, self.version.encoder)

    def confirmed_words(self, ids: Ids | list[int]) -> dict[int, str]:
        """Return what is said of those of the images whose hand score is a confirmation."""
        rows = self.collection.rows(ids)
        rows = rows[~np.isnan(self.low[rows]) & ~self.is_typed[rows]]
        ends = zip(self.low[rows].tolist(), self.high[rows].tolist(), strict=True)
        said = [bounds_words(low or None, None if np.isinf(high) else high) for low, high in ends]
        return dict(zip(self.collection.ids[rows].tolist(), said, strict=True))


def review_snapshot(project: Project, version: Version, threshold: float) -> ReviewSnapshot:
    """Read the images as they are now, with their hand scores and the predictions of `version`.

    `threshold` is 0–1.
    """
    collection = collection_now(project, version.id)
    ids, values = db.scores.hand_scores.effective(project.store)
    columns = (values, *db.scores.confirmations.bounds(project.store, ids, values))
    scores, low, high = (collection.spread(ids, each) for each in columns)
    return ReviewSnapshot(project, version, threshold, collection, scores, low, high)
