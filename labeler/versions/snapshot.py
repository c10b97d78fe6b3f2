"""One version beside the whole collection at one moment: what review cards are made from."""

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
class Standing:
    """Where a collection stands against one version: what a page of cards is made from."""

    project: Project
    version: Version
    threshold: float
    everything: Collection
    given: Floats  # (n,) the hand scores that count now, 0–10, NaN for what is unscored

    @property
    def vectors(self) -> UnitVectors | None:
        """The embeddings that the version reads; None before there are any."""
        return unit_vectors(self.project, self.version.encoder)


def standing(project: Project, version: Version, threshold: float) -> Standing:
    """The project's images as they are now, with the predictions of `version`."""
    everything = collection_now(project, version.id)
    ids, values = db.scores.hand_scores.effective(project.store)
    return Standing(project, version, threshold, everything, everything.spread(ids, values))
