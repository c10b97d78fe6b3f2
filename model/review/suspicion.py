"""Which images a person should look at: rules as pure functions of arrays.

Predictions, scores and the threshold are 0–1 (hand score / 10). Unless said otherwise, higher is
more suspicious and rows keep the order of the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, ndtr

from model.estimators.kernels import normalize
from model.estimators.ordinal import LEVELS, reached_levels, threshold_level
from model.passing import passes

Floats = NDArray[np.float64]
# Of a normal distribution, the median of |x| is this share of its standard deviation.
_MEDIAN_TO_SPREAD = 1.4826
_LEAST_SPREAD = 0.02
_DOUBT = 1e-3  # chances are kept this far from 0 and 1
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class StackingWeights:
    """Weights of head and second opinion: log odds = bias + head * a + second_opinion * b.

    a and b are the log odds that each of them alone gives to passing.
    """

    bias: float = 0.0
    head: float = 0.5
    second_opinion: float = 0.5


def residual_spread(out_of_fold: Floats, scores: Floats) -> float:
    """Return a robust standard deviation of out-of-fold residuals, above 0; 0.2 without any.

    The larger of 1.4826 times the median absolute residual (Hampel 1974) and half their root mean
    square: a few wild misses should neither rule nor vanish.
    """
    if len(scores) == 0:
        return 0.2
    residual = np.abs(out_of_fold - scores)
    usual, wild = _MEDIAN_TO_SPREAD * np.median(residual), np.sqrt(np.mean(residual**2)) / 2
    return float(max(usual, wild, _LEAST_SPREAD))


def chance_by_head(predictions: Floats, threshold: float, spread: float) -> Floats:
    """Return the chance (n,) that the true score reaches `threshold`, with normal errors.

    Φ((μ - τ) / s), as in level-set estimation (Bryan et al. 2005); s is `spread`.
    """
    return np.asarray(ndtr((predictions - threshold) / spread))


def chance_by_second_opinion(exceed: NDArray[np.floating], threshold: float) -> Floats:
    """Return the second opinion's chance (n,) that the hand score reaches `threshold`, or NaN.

    `exceed` (n, 10) holds P(hand score >= k). Hand scores are nearly always whole, so a threshold
    between two of them asks for the higher.
    """
    return exceed[:, threshold_level(threshold) - 1].astype(np.float64)


def fit_stacking_weights(
    out_of_fold: Floats,
    exceed: NDArray[np.floating],
    scores: Floats,
    threshold: float,
    spread: float,
) -> StackingWeights:
    """Fit the weights on out-of-fold predictions (n,), second opinions (n, 10) and scores (n,).

    Stacked logistic regression (Platt 1999, Wolpert 1992), pulled a little towards a second opinion
    that is taken at its word, since its temperature is fitted out of fold, and a head that adds
    less. The bias is hardly pulled: most mistakes are of one kind, and a bias near 0 makes the
    surest of them look less sure than they are. Neither weight is ever negative.
    """
    inputs = _log_odds(out_of_fold, exceed, threshold, spread)
    inputs[:, 2] = np.where(np.isnan(inputs[:, 2]), inputs[:, 1], inputs[:, 2])
    sign = np.where(passes(scores, threshold), 1.0, -1.0)
    prior, width = np.array([0.0, 0.4, 1.0]), np.array([3.0, 0.5, 0.5])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margin, penalty_slope = sign * (inputs @ parameters), (parameters - prior) / width**2
        slope = inputs.T @ (-sign * expit(-margin)) + penalty_slope
        penalty = (penalty_slope * (parameters - prior)).sum() / 2
        return float(np.logaddexp(0, -margin).sum() + penalty), slope

    bounds = [(None, None), (0, None), (0, None)]
    fitted = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds).x
    return StackingWeights(*(float(value) for value in fitted))


def chance_of_passing(
    predictions: Floats,
    exceed: NDArray[np.floating],
    threshold: float,
    spread: float,
    weights: StackingWeights | None = None,
) -> Floats:
    """Return the chance (n,) that the true score reaches `threshold`, by head and second opinion.

    Their log odds are added with `weights` (a logarithmic pool, Genest & Zidek
    1986). Without a second opinion the head decides alone.
    """
    weights = weights or StackingWeights()
    inputs = _log_odds(predictions, exceed, threshold, spread)
    head_only = np.isnan(inputs[:, 2])
    both = inputs @ np.array([weights.bias, weights.head, weights.second_opinion])
    return np.asarray(expit(np.where(head_only, inputs[:, 1], both)))


def chance_wrong(predictions: Floats, passing_chance: Floats, threshold: float) -> Floats:
    """Return the chance (n,) of a wrong side: a false positive where the prediction passes, else a
    false negative.
    """
    return np.where(passes(predictions, threshold), 1 - passing_chance, passing_chance)


def hand_score_suspicion(
    out_of_fold: Floats, scores: Floats, exceed: NDArray[np.floating]
) -> Floats:
    """Return how little each hand score (n,) agrees with out-of-fold predictions, 0–1.

    The second opinion's chance that the true score is more than a point away, times the ranked
    probability score (Epstein 1969; Gneiting & Raftery 2007): the mean over the levels k of
    (P(score >= k) - [score >= k])². So a far miss counts more than a near one, a miss by somebody
    sure of it more than by somebody in doubt, and a point up or down, which a person may well be
    off by, hardly at all. `exceed` (n, 10) must be out-of-fold; in rows of NaN the out-of-fold
    prediction (n,) with normal errors stands in for it.
    """
    if len(scores) == 0:
        return np.zeros(0)
    spread, levels = residual_spread(out_of_fold, scores), np.arange(1, LEVELS + 1)
    by_head = ndtr((out_of_fold[:, None] - (levels - 0.5) / 10) / spread)  # (n, 10)
    chances = np.where(np.isnan(exceed).any(axis=1)[:, None], by_head, exceed)
    missed = ((chances - reached_levels(10 * scores)) ** 2).mean(axis=1)
    return np.asarray((1 - _chance_within_a_point(chances, scores)) * missed)


def expected_score(exceed: NDArray[np.floating]) -> Floats:
    """Return the second opinion's mean score (n,), 0–1: the chances of all levels, summed."""
    return exceed.astype(np.float64).sum(axis=1) / 10


def band_violation(predictions: Floats, low: Floats, high: Floats) -> Floats:
    """Return how far predictions (n,) lie outside the expected band of their source, 0 inside.

    `low` and `high` (n,) are 0–1, NaN for a source without a band. Anything above 0 is a mistake
    by the person's own word, so it goes before every guess.
    """
    outside = np.maximum(low - predictions, predictions - high)
    return np.where(np.isnan(outside), 0.0, np.maximum(outside, 0.0))


def nearest_scored(
    embeddings: NDArray[np.float32], scored: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return the `count` nearest rows of `scored` (m, width) for each of `embeddings` (n, width).

    Rows of `scored` (n, k) and their cosines (n, k), nearest first; k is at most m.
    """
    count = min(count, len(scored))
    # The scored ones' lengths divide the products: there are more of them than is copied quickly.
    lengths = np.maximum(np.sqrt(np.einsum("mw,mw->m", scored, scored)), np.float32(1e-12))
    rows = np.zeros((len(embeddings), count), dtype=np.int64)
    cosines = np.zeros((len(embeddings), count))
    for start in range(0, len(embeddings) if count else 0, _ROWS):
        part = slice(start, start + _ROWS)
        alike = normalize(embeddings[part]) @ scored.T / lengths  # (rows, m)
        best = np.argpartition(alike, len(scored) - count, axis=1)[:, len(scored) - count :]
        order = np.argsort(-np.take_along_axis(alike, best, axis=1), axis=1, kind="stable")
        rows[part] = np.take_along_axis(best, order, axis=1)
        cosines[part] = np.take_along_axis(alike, rows[part], axis=1)
    return rows, cosines


def diverse(
    suspicion: Floats,
    embeddings: NDArray[np.float32],
    count: int,
    *,
    alike: float = 0.97,
    share: float = 0.25,
    close: float = 0.85,
) -> NDArray[np.int64]:
    """Return rows (k,) of the most suspicious images, highest first, no page of one cluster.

    Greedy: none with a cosine of `alike` or more to a chosen one, and at most `share` of `count`
    within `close` of any one chosen image. Where that leaves room, the cluster rule (never the
    first one) is dropped. After the pruning in Carbonell & Goldstein's maximal marginal relevance
    (1998).
    """
    order = np.argsort(-suspicion, kind="stable")
    units, most = normalize(embeddings), max(1, int(np.ceil(share * count)))
    chosen = _pick(order, units, [], count, alike=alike, close=close, most=most)
    if len(chosen) < count:
        rest = order[~np.isin(order, chosen)]
        chosen = _pick(rest, units, chosen, count, alike=alike, close=close, most=count)
    return np.array(sorted(chosen, key=lambda row: (-suspicion[row], row)), dtype=np.int64)


def _pick(
    order: NDArray[np.int64],
    units: NDArray[np.float32],
    chosen: list[int],
    count: int,
    *,
    alike: float,
    close: float,
    most: int,
) -> list[int]:
    """`chosen` with rows from `order`, as far as `diverse` allows them."""
    chosen = list(chosen)
    crowd = [int((units[chosen] @ units[row] >= close).sum()) for row in chosen]
    for row in order.tolist():
        if len(chosen) == count:
            break
        cosines = units[chosen] @ units[row]
        near = np.flatnonzero(cosines >= close)
        if (cosines >= alike).any() or any(crowd[k] >= most for k in near):
            continue
        for k in near:
            crowd[k] += 1
        chosen.append(row)
        crowd.append(len(near) + 1)
    return chosen


def _chance_within_a_point(exceed: NDArray[np.floating], scores: Floats) -> Floats:
    """Chance (n,) that the hand score is at most one point from `scores` (n,)."""
    level, rows = np.floor(scores * 10 + 0.5).astype(np.int64), np.arange(len(scores))
    padded = np.pad(exceed.astype(np.float64), ((0, 0), (1, 2)))  # P(hand score >= k), k = 0..12
    padded[:, 0] = 1
    return np.asarray(padded[rows, np.maximum(level - 1, 0)] - padded[rows, level + 2])


def _log_odds(
    predictions: Floats, exceed: NDArray[np.floating], threshold: float, spread: float
) -> Floats:
    """(n, 3): one, and the log odds of passing by head and by second opinion."""
    head = chance_by_head(predictions.astype(np.float64), threshold, spread)
    second_opinion = chance_by_second_opinion(exceed, threshold)
    clipped = [np.clip(chance, _DOUBT, 1 - _DOUBT) for chance in (head, second_opinion)]
    return np.stack([np.ones(len(head)), logit(clipped[0]), logit(clipped[1])], axis=1)
