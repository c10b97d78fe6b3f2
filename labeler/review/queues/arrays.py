"""The input of the page selection as arrays: read from a store, or simulated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from labeler.collection.arrays import Collection, Ids
from labeler.embedding.unit_cache import UnitEmbeddings
from labeler.review.near_duplicates import nearness_in
from labeler.review.queues.suspects import RankedCandidates, rank_predicted
from model.estimators.kernel_ordinal import KernelFeatures, KernelOrdinal
from model.estimators.near_duplicates import Nearness
from model.review.suspicion import StackingWeights

# So many images, the likeliest mistakes before any answer, are predicted again after each answer.
SHORTLIST = 2000


@dataclass(frozen=True, eq=False)
class ReviewArrays:
    """A collection, one version's predictions of it, and their measured errors.

    Properties are computed when they are first read, and kept.
    """

    images: Collection
    threshold: float  # 0–1, from where an image passes
    spread: float  # standard deviation of the predictions' errors, 0–1
    weighing: StackingWeights
    units: UnitEmbeddings
    opinion: KernelOrdinal | None  # None where its file is gone

    @cached_property
    def ranked(self) -> RankedCandidates:
        """Return all images with a prediction, scored ones as well, the likeliest mistake first."""
        return rank_predicted(self.images, self.threshold, self.spread, self.weighing)

    @cached_property
    def shortlist(self) -> tuple[Ids, KernelFeatures]:
        """Return the ids (k,) of the likeliest mistakes, ascending, and their kernel features.

        Scored images stay in it, so it does not change while the person answers. Needs `opinion`.
        """
        assert self.opinion is not None
        uncertain = np.flatnonzero(~self.ranked.certain)[:SHORTLIST]
        ids = np.sort(self.ranked.take(uncertain).ids)
        return ids, self.opinion.transform(self.units.of(ids))

    @cached_property
    def nearness(self) -> Nearness:
        """Return the distances below which two images of this collection are the same picture."""
        return nearness_in(self.images, self.units)
