"""Estimate a version's mistakes from a random sample of scored images.

The sample must be random whatever the model predicted, and its predictions made without having
seen the images. Then nothing else is assumed: each image is one draw, near-duplicates or not.
Predictions and scores are 0–1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation.intervals import Bounds
from model.evaluation.proportions import LEVEL, Proportion, exact_count, proportion
from model.finite import check_finite
from model.passing import passes

# Sampled images on a side of the threshold, below which no share is told: with 20 a share of a
# tenth is known as 1 % to 32 %.
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mistakes on one side of the threshold.

    Of `judged` sampled images `mistakes` were wrong; the collection has `side` images there, of
    which `known` are wrong by hand scores that it has already. `share` (0–1) is of all on that
    side, `left` counts those that no hand score has shown yet; both are `None` below `FEWEST`.
    """

    mistakes: int
    judged: int
    side: int
    known: int
    share: Bounds | None
    left: Bounds | None


@dataclass(frozen=True, slots=True)
class Audit:
    """What the sample says about a version; `good` is the share that should pass, of all images.

    It is also the baseline: with nothing let through, that share of what fails would be false
    negatives, and with everything let through the others would be false positives. `left` counts
    the mistakes of both kinds that no hand score has shown yet, `None` unless both are known.
    """

    judged: int
    false_positives: Estimate
    false_negatives: Estimate
    good: Proportion | None
    left: Bounds | None


def audit(
    predictions: NDArray[np.float64],
    scores: NDArray[np.float64],
    threshold: float,
    *,
    sides: tuple[int, int],
    known: tuple[int, int],
) -> Audit:
    """Return the audit of a version whose predictions (n,) for the sampled images have scores (n,).

    `sides` are how many images of the whole collection pass by prediction, and fail; `known` how
    many false positives and false negatives its hand scores show already. Raises `ModelError` for
    what is not finite.
    """
    check_finite("hand score", scores, "leave the image out")
    check_finite("prediction", predictions, "leave the image out, or predict it again")
    passing, good = passes(predictions, threshold), passes(scores, threshold)
    counts = [
        (int((rows & (good != should_pass)).sum()), int(rows.sum()))
        for rows, should_pass in ((passing, True), (~passing, False))
    ]
    positives, negatives = (
        estimate(*count, side, known_mistakes)
        for count, side, known_mistakes in zip(counts, sides, known, strict=True)
    )
    return Audit(
        judged=len(scores),
        false_positives=positives,
        false_negatives=negatives,
        good=proportion(int(good.sum()), len(good)),
        left=_sum(positives, negatives),
    )


def estimate(mistakes: int, judged: int, side: int, known: int) -> Estimate:
    """Estimate the mistakes among all `side` images from `mistakes` of `judged` sampled ones."""
    if judged < FEWEST:
        return Estimate(mistakes, judged, side, known, None, None)
    side = max(side, judged)
    low, high = exact_count(mistakes, judged, side)
    share = Bounds(mistakes / judged, low / side, high / side)
    return Estimate(mistakes, judged, side, known, share, _remaining(mistakes, judged, side, known))


def _remaining(mistakes: int, judged: int, side: int, known: int, level: float = LEVEL) -> Bounds:
    """Return the mistakes not known yet: all that there are by the sample, less the known."""
    totals = (mistakes / judged * side, *exact_count(mistakes, judged, side, level))
    return Bounds(*(max(0.0, total - known) for total in totals))


def _sum(*kinds: Estimate) -> Bounds | None:
    """Return the sum, each part at half the error rate so that the sum keeps 95 % (Bonferroni)."""
    if any(kind.share is None for kind in kinds):
        return None
    level = 1 - (1 - LEVEL) / len(kinds)
    parts = [_remaining(kind.mistakes, kind.judged, kind.side, kind.known, level) for kind in kinds]
    return Bounds(*(sum(getattr(part, end) for part in parts) for end in Bounds.__slots__))
