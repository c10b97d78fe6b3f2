"""What review pages are selected from, as arrays: read from a store, or made up to simulate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from labeler.collection.arrays import Collection, Ids
from labeler.embedding.unit_cache import UnitEmbeddings
from labeler.review.near_duplicates import nearness_in
from labeler.review.queues.suspects import Ranked, suspects
from model.estimators.kernel_ordinal import KernelFeatures, KernelOrdinal
from model.estimators.near_duplicates import Nearness
from model.review.suspicion import StackingWeights

# The second opinion is asked again about so many images, the likeliest mistakes by its first word.
SHORTLIST = 2000


@dataclass(frozen=True, eq=False)
class ReviewArrays:
    """A collection, one version's predictions of it, and what these proved to be worth.

    What follows from them is computed when it is first asked for, and kept with them.
    """

    images: Collection
    threshold: float  # 0–1, from where an image passes
    spread: float  # standard deviation of the predictions' errors, 0–1
    weighing: StackingWeights
    units: UnitEmbeddings
    opinion: KernelOrdinal | None  # None where its file is gone

    @cached_property
    def ranked(self) -> Ranked:
        """All images that are predicted, scored ones as well, the likeliest mistake first."""
        return suspects(self.images, self.threshold, self.spread, self.weighing)

    @cached_property
    def shortlist(self) -> tuple[Ids, KernelFeatures]:
        """Ids of the likeliest mistakes, rising, and how the second opinion sees them.

        Scored images stay in it, so that it holds while the person answers. Needs an opinion.
        """
        assert self.opinion is not None
        uncertain = np.flatnonzero(~self.ranked.certain)[:SHORTLIST]
        ids = np.sort(self.ranked.take(uncertain).ids)
        return ids, self.opinion.transform(self.units.of(ids))

    @cached_property
    def nearness(self) -> Nearness:
        """What counts as the same picture here."""
        return nearness_in(self.images, self.units)
