"""Estimate a version's mistakes on a population from the images of it that were drawn at random.

The draws must be random whatever the model predicted, and the predictions made without having seen
the scores. Then nothing else is assumed: each image is one draw, near-duplicates or not.
Predictions and scores are 0–1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation.censoring import side_is_known
from model.evaluation.intervals import Bounds
from model.evaluation.proportions import always_valid, wilson
from model.evaluation.random_draws import RandomDraws
from model.finite import check_finite
from model.passing import passes

# Drawn images on a side of the threshold, below which no share is told: with 20 a share of a tenth
# is known as 1 % to 32 %.
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mistakes on one side of the threshold, or on both.

    Of `judged` drawn images `mistakes` were wrong, and `skipped` ones got no score. The population
    has about `side` images there. `share` (0–1) is of all of them, with a 95 % interval that holds
    whatever the skipped images are; `always` bounds it however often it is looked at while draws
    are added. `left` counts the mistakes that no hand score has shown yet. The last three are
    `None` below `FEWEST`.
    """

    mistakes: int
    judged: int
    skipped: int
    side: int
    known: int
    share: Bounds | None
    always: Bounds | None
    left: Bounds | None


@dataclass(frozen=True, slots=True)
class Audit:
    """What the draws say about a version; `good` is the share that should pass, of all images.

    It is also the baseline: with nothing let through, that share of what fails would be false
    negatives, and with everything let through the others would be false positives. `left` counts
    the mistakes of both kinds that no hand score has shown yet, `None` unless both are known.
    """

    judged: int
    false_positives: Estimate
    false_negatives: Estimate
    good: Bounds | None
    left: Bounds | None


def audit(
    draws: RandomDraws,
    skipped: NDArray[np.float64] | None = None,
    never_drawn: NDArray[np.float64] | None = None,
) -> Audit:
    """Return the audit of a version by `draws`.

    `skipped` (s,) are its predictions for the images that were drawn and got no score, and
    `never_drawn` (k,) those for images that could not be drawn any more, since they had been
    skipped before. Raises `ModelError` for what is not finite.
    """
    never_drawn = np.zeros(0) if never_drawn is None else never_drawn
    check_finite("hand score", draws.scores, "leave the image out")
    check_finite("prediction", draws.predictions, "leave the image out, or predict it again")
    skipped = np.zeros(0) if skipped is None else skipped
    good = passes(draws.scores, draws.threshold)
    known = side_is_known(draws.low, draws.high, draws.threshold)
    if not draws.count:
        nothing = Estimate(0, 0, len(skipped), 0, 0, None, None, None)
        return Audit(0, nothing, nothing, None, None)
    weights = draws.weights()
    passing, skips_pass, out_pass = (
        passes(each, draws.threshold) for each in (draws.predictions, skipped, never_drawn)
    )
    positives, negatives, both, should_pass = (
        estimate(draws.drawn, weights, among, hits, skipped=int(skips), never_drawn=int(out))
        for among, hits, skips, out in (
            (passing & known, ~good, skips_pass.sum(), out_pass.sum()),
            (~passing & known, good, (~skips_pass).sum(), (~out_pass).sum()),
            (known, passing != good, len(skipped), len(never_drawn)),
            (known, good, len(skipped), len(never_drawn)),
        )
    )
    both_known = positives.share is not None and negatives.share is not None
    return Audit(
        judged=draws.count,
        false_positives=positives,
        false_negatives=negatives,
        good=should_pass.share,
        left=both.left if both_known else None,
    )


def estimate(
    drawn: NDArray[np.bool_],
    weights: NDArray[np.float64],
    among: NDArray[np.bool_],
    hits: NDArray[np.bool_],
    *,
    skipped: int = 0,
    never_drawn: int = 0,
) -> Estimate:
    """Estimate how many of the images `among` (m,) are `hits` (m,), by their `weights` (m,).

    Images that are not `drawn` (m,) stand for themselves alone. The interval is Wilson's (1927)
    with as many trials as the unequal weights are worth (Kish 1965); its ends are those of all
    skipped images being hits, and of none (Manski 1989); `never_drawn` images of the side may all
    be, or none.
    """
    rows, others = among & drawn, among & ~drawn
    judged, mistakes = int(rows.sum()), int((rows & hits).sum())
    side, known = float(weights[among].sum()), int((among & hits).sum())
    counts = (mistakes, judged, skipped, round(side), known)
    if judged < FEWEST:
        return Estimate(*counts, None, None, None)
    drawn_weights = weights[rows]
    represented, fixed = float(drawn_weights.sum()), float(weights[others & hits].sum())
    share = float(drawn_weights[hits[rows]].sum()) / represented
    trials = represented**2 / float((drawn_weights**2).sum())
    answered = judged / (judged + skipped)
    fewest, most = share * answered, share * answered + 1 - answered
    trials /= answered
    intervals = [
        (interval(fewest, trials)[0], interval(most, trials)[1])
        for interval in (wilson, always_valid)
    ]
    out = min(never_drawn, represented)
    plain, always = (
        Bounds(
            min(1.0, (fixed + represented * share) / side),
            (fixed + (represented - out) * min(low, share)) / side,
            min(1.0, (fixed + (represented - out) * max(high, share) + out) / side),
        )
        for low, high in intervals
    )
    most_left = max(0.0, side - float(among.sum()))
    left = Bounds(
        *(
            min(max(0.0, end * side - known), most_left)
            for end in (plain.value, plain.low, plain.high)
        )
    )
    return Estimate(*counts, plain, always, left)
