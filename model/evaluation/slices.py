"""Figures of parts of a collection: where predictions are too high or too low.

Predictions and scores are 0–1, errors are told in points of 10 and signed: above 0 the prediction
runs too high. Intervals count a group of near-duplicates as one piece of evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation.intervals import Bounds, grouped_mean, shrink
from model.evaluation.proportions import LEVEL, Proportion, proportion
from model.finite import check_finite
from model.passing import passes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Groups of images in a slice, below which nothing is said about it.
FEWEST = 10
# Points of 10: a smaller bias can be certain, but nobody would notice it.
NOTICEABLE = 0.25


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the collection: `bias` is the mean signed error and `mae` the mean error.

    `bias` is pulled towards the mean of all slices (`intervals.shrink`), since the worst of many
    look worse than they are. `false_positives` is of its images that pass, `false_negatives` of
    those that fail. It `stands_out` if its own mean is `NOTICEABLE` and leaves out 0 at a level
    that allows for all the slices looked at.
    """

    name: str
    images: int
    bias: Bounds
    mae: Bounds
    false_positives: Proportion | None
    false_negatives: Proportion | None
    stands_out: bool

    @property
    def surely(self) -> float:
        """Return by how much, in points, predictions are off at least.

        It is the bound of the bias that is nearer to 0, below 0 where the interval holds 0; few
        images can't make it large.
        """
        return max(self.bias.low, -self.bias.high)


def slices(
    rows_of: Mapping[str, Ints],
    predictions: Floats,
    scores: Floats,
    threshold: float,
    groups: Ints,
) -> list[Slice]:
    """Return the slices with at least `FEWEST` groups, worst first.

    Arrays are (n,); the rows of a slice index into them. The error rate at which a slice stands out
    is divided by the number of slices (Bonferroni). Raises `ModelError` for what is not finite.
    """
    check_finite("hand score", scores, "leave the image out")
    check_finite("prediction", predictions, "leave the image out, or predict it again")
    large_enough = {
        name: rows for name, rows in rows_of.items() if len(np.unique(groups[rows])) >= FEWEST
    }
    corrected_level = 1 - (1 - LEVEL) / max(1, len(large_enough))
    errors = 10 * (predictions - scores)
    passing, good = passes(predictions, threshold), passes(scores, threshold)
    biases = shrink([_mean_error(errors[rows], groups[rows]) for rows in large_enough.values()])
    result = []
    for (name, rows), bias in zip(large_enough.items(), biases, strict=True):
        own = _mean_error(errors[rows], groups[rows], corrected_level)
        one = Slice(
            name=name,
            images=len(rows),
            bias=bias,
            mae=grouped_mean(np.abs(errors[rows]), groups[rows], limits=(0, 10)),
            false_positives=_wrong(passing[rows], ~good[rows], groups[rows]),
            false_negatives=_wrong(~passing[rows], good[rows], groups[rows]),
            stands_out=abs(own.value) >= NOTICEABLE and (own.low > 0 or own.high < 0),
        )
        result.append(one)
    return sorted(result, key=lambda one: (-one.surely, one.name))


def _mean_error(errors: Floats, groups: Ints, level: float = LEVEL) -> Bounds:
    return grouped_mean(errors, groups, level, limits=(-10, 10))


def _wrong(rows: NDArray[np.bool_], is_wrong: NDArray[np.bool_], groups: Ints) -> Proportion | None:
    return proportion(int((rows & is_wrong).sum()), int(rows.sum()), len(np.unique(groups[rows])))
