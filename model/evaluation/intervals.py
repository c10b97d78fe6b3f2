"""Intervals of means, shares and figures of a ranking, from a sample drawn in groups.

Pure functions of arrays: values, the group of each, and weights where images were drawn with
unequal probabilities (1 / probability). Groups, not images, are independent, and there may be few:
variances go by group, and their own uncertainty by Student's t. No interval has width 0, and none
leaves the possible range.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betaincinv, expit, logit, stdtrit

from model.evaluation.proportions import LEVEL
from model.evaluation.weighted_figures import FIGURES, Ranking, Weighted

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
MOST_BLOCKS = 400  # of groups, each left out once by the jackknife
_BLOCK = 1 << 20  # weights at a time: 8 megabytes
_NOTHING = 1e-12
_NORMAL = 1.959964  # standard deviations on both sides of the mean that hold 95 % of a normal


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


def grouped_mean(
    values: Floats,
    groups: Ints,
    level: float = LEVEL,
    *,
    weights: Floats | None = None,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Bounds:
    """Return the mean of `values` (n,), n > 0, in `groups` (n,), with its interval.

    The groups' summed deviations give the variance (jackknife; Efron & Stein 1981), Student's t the
    bounds, within `limits`, between which all values lie. Where groups can't differ (there is one,
    or all have the same mean), finite limits give the interval of a share of as many groups.
    """
    weights = np.ones(len(values)) if weights is None else weights
    mean = float(weights @ values / weights.sum())
    deviations, sizes = _by_group(groups, weights * (values - mean), weights)
    variance, degrees = _variance(deviations / weights.sum(), sizes)
    lowest, highest = limits
    if variance > _NOTHING**2:
        reach = float(stdtrit(degrees, 0.5 + level / 2) * np.sqrt(variance))
        return Bounds(mean, max(mean - reach, lowest), min(mean + reach, highest))
    if not np.isfinite(lowest + highest):
        return Bounds(mean, lowest, highest) if len(sizes) < 2 else Bounds(mean, mean, mean)
    span = highest - lowest
    low, high = share_bounds((mean - lowest) / span, _effective(sizes), level)
    return Bounds(mean, lowest + span * low, lowest + span * high)


def grouped_share(
    hits: Floats | Mask,
    trials: Floats | Mask,
    groups: Ints,
    level: float = LEVEL,
    *,
    weights: Floats | None = None,
) -> Bounds | None:
    """Return the share of `trials` (n,) that are `hits` (n,), by `groups` (n,); None without any.

    The exact interval of a share (Clopper & Pearson 1934) with as many trials as give the same
    variance if each were by itself, fewer by Student's t for few groups (Korn & Graubard 1998).
    """
    weights = np.ones(len(hits)) if weights is None else weights
    weighted = weights * trials
    total = float(weighted.sum())
    if total <= 0:
        return None
    share = float(np.clip(weights @ hits / total, 0, 1))
    rows = weighted > 0
    deviations, sizes = _by_group(
        groups[rows], (weights * hits - share * weighted)[rows], weighted[rows]
    )
    variance, degrees = _variance(deviations / total, sizes)
    independent = _effective(sizes)
    if variance > _NOTHING**2 and 0 < share < 1:
        most = _effective(weighted[rows])
        shrunk = (stdtrit(1e6, 0.5 + level / 2) / stdtrit(degrees, 0.5 + level / 2)) ** 2
        independent = min(share * (1 - share) / variance, most) * shrunk
    return Bounds(share, *share_bounds(share, independent, level))


def shrink(estimates: Sequence[Bounds]) -> list[Bounds]:
    """Return estimates of one quantity in several parts, each pulled towards their common mean.

    The largest of many estimates is mostly large by chance. Empirical Bayes with normal errors:
    the less certain an estimate is, and the less the true values differ, the further it moves. How
    much they differ is estimated from all of them (Morris 1983). The standard errors are read off
    the 95 % intervals.
    """
    if len(estimates) < 2:
        return list(estimates)
    values = np.array([each.value for each in estimates])
    errors = np.array([(each.high - each.low) / 2 for each in estimates]) / _NORMAL
    between = _variance_between(values, errors)
    totals = errors**2 + between
    middle = float((values / totals).sum() / (1 / totals).sum())
    pulled = errors**2 / totals  # 0: stays where it is, 1: moves to the mean
    apart = pulled * (values - middle)
    variances = (1 - pulled) * errors**2 + pulled**2 / (1 / totals).sum()
    variances += 2 / max(1, len(values) - 3) * apart**2
    reach = _NORMAL * np.sqrt(variances)
    return [
        Bounds(float(value), float(value - half), float(value + half))
        for value, half in zip(values - apart, reach, strict=True)
    ]


def _variance_between(values: Floats, errors: Floats) -> float:
    """Return the variance of the true values (k,), k > 1, of estimates with standard `errors` (k,).

    Where their restricted likelihood times the variance is largest: never 0 (Morris & Tang 2011).
    """

    def loss(log_variance: float) -> float:
        totals = errors**2 + np.exp(log_variance)
        middle = (values / totals).sum() / (1 / totals).sum()
        misfit = np.log(totals).sum() + ((values - middle) ** 2 / totals).sum()
        return float(misfit + np.log((1 / totals).sum())) / 2 - log_variance

    middling = 2 * np.log(np.median(errors))
    most = max(middling, 2 * np.log(np.ptp(values) + _NOTHING))
    found = minimize_scalar(loss, bounds=(middling - 10, most + 2), method="bounded")
    return float(np.exp(found.x))


def share_bounds(share: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Return bounds of a true share when `share` (0–1) was seen in `trials`, whole or not.

    Of none in n trials the share is at 95 % at most 1 - 0.025^(1 / n) (Clopper & Pearson 1934).
    """
    tail, hits, misses = (1 - level) / 2, share * trials, (1 - share) * trials
    low = betaincinv(hits, misses + 1, tail) if hits > _NOTHING else 0.0
    high = betaincinv(hits + 1, misses, 1 - tail) if misses > _NOTHING else 1.0
    return float(low), float(high)


def average_precision(
    predictions: Floats,
    good: Mask,
    groups: Ints,
    level: float = LEVEL,
    *,
    weights: Floats | None = None,
) -> Bounds | None:
    """Return the average precision of `predictions` (n,) for `good` (n,); None if none is good.

    Jackknife by group of its log odds. Where no group matters (all good images come first, or
    they are of one group) the interval of a share of as many trials as groups have good images.
    """
    weights = np.ones(len(good)) if weights is None else weights
    ranking = Ranking.of(predictions, good.astype(np.float64), 0.5, good)
    value, left_out = jackknife(ranking, "average_precision", groups, weights)
    if not np.isfinite(value):
        return None
    independent = _effective(_by_group(groups[good], weights[good])[0])
    variance, degrees = _jackknife_variance(left_out, independent - 1)
    if not variance > _NOTHING**2 or not 0 < value < 1:
        return Bounds(value, *share_bounds(value, independent, level))
    reach = stdtrit(degrees, 0.5 + level / 2) * np.sqrt(variance) / (value * (1 - value))
    return Bounds(value, float(expit(logit(value) - reach)), float(expit(logit(value) + reach)))


def rank_correlation(
    first: Floats,
    second: Floats,
    groups: Ints,
    level: float = LEVEL,
    *,
    weights: Floats | None = None,
) -> Bounds | None:
    """Return Spearman's rank correlation of `first` and `second` (n,); None if one is constant.

    Jackknife by group on Fisher's scale. Where no group matters (all are in order), the bounds of
    normal values (Bonett & Wright 2000) as if two neighbours had changed places.
    """
    weights = np.ones(len(first)) if weights is None else weights
    ranking = Ranking.of(first, second, 0.5, np.ones(len(first), dtype=bool))
    value, left_out = jackknife(ranking, "rank_correlation", groups, weights)
    if not np.isfinite(value):
        return None
    independent = _effective(_by_group(groups, weights)[0])
    variance, degrees = _jackknife_variance(left_out, independent - 1)
    if independent <= 3:
        return Bounds(value, -1.0, 1.0)
    most = 1 - 12 / (independent * (independent**2 - 1))
    middle = float(np.clip(value, -most, most))
    spread = np.sqrt(variance) / (1 - middle**2)
    if not variance > _NOTHING**2 or abs(value) > most:
        spread = np.sqrt((1 + middle**2 / 2) / (independent - 3))
        degrees = independent - 1
    reach = stdtrit(degrees, 0.5 + level / 2) * spread
    low, high = (float(np.tanh(np.arctanh(middle) + side * reach)) for side in (-1, 1))
    return Bounds(value, min(low, value), max(high, value))


def paired_differences(
    new: Ranking,
    old: Ranking,
    names: Collection[str],
    groups: Ints,
    level: float = LEVEL,
    *,
    weights: Floats | None = None,
) -> dict[str, Bounds | None]:
    """Return how the figures `names` of `new` differ from those of `old` on the same images.

    Jackknife by group, Student's t; None where one of them is undefined. The bounds are NaN where
    the groups can't tell: there is one, or each leaves the difference as it is.
    """
    weights = np.ones(len(groups)) if weights is None else weights
    found: dict[str, Bounds | None] = {}
    for name in names:
        (value, left_out), (old_value, old_left_out) = (
            jackknife(each, name, groups, weights) for each in (new, old)
        )
        value, left_out = value - old_value, left_out - old_left_out
        variance, degrees = _jackknife_variance(left_out, np.inf)
        reach = float(stdtrit(degrees, 0.5 + level / 2) * np.sqrt(variance)) or np.nan
        found[name] = Bounds(value, value - reach, value + reach) if np.isfinite(value) else None
    return found


def jackknife(ranking: Ranking, name: str, groups: Ints, weights: Floats) -> tuple[float, Floats]:
    """Return a figure of `FIGURES`, and what it is without each group, (blocks,).

    More than `MOST_BLOCKS` groups (n,) are left out in as many blocks. NaN where undefined.
    """
    figure, blocks = FIGURES[name], _blocks(groups)[ranking.order]
    ordered = weights[ranking.order]
    count, step = int(blocks.max()) + 1, max(1, _BLOCK // len(blocks))
    parts = [
        figure(Weighted(ranking, ordered * (blocks != np.arange(start, end)[:, None])))
        for start in range(0, count, step)
        for end in [min(start + step, count)]
    ]
    return float(figure(Weighted(ranking, ordered[None]))[0]), np.concatenate(parts)


def _blocks(groups: Ints) -> Ints:
    """Return the number of the block (n,) of each image: one for each group, or drawn at random."""
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1
    if count <= MOST_BLOCKS:
        return group
    return np.random.default_rng(0).permutation(count)[group] % MOST_BLOCKS


def _jackknife_variance(left_out: Floats, most_degrees: float) -> tuple[float, float]:
    """Return the variance that values (blocks,) without each block give, and its degrees; 0 where
    there is none."""
    count = len(left_out)
    if count < 2 or not np.isfinite(left_out).all():
        return 0.0, 1.0
    deviations = (left_out - left_out.mean()) * (count - 1) / count
    variance, degrees = _variance(deviations, np.ones(count))
    return variance, float(np.clip(degrees, 1, max(1.0, most_degrees)))


def _variance(deviations: Floats, sizes: Floats) -> tuple[float, float]:
    """Return the variance of the sum of independent `deviations` (groups,), and its degrees.

    Each counts for more the larger its group (`sizes`), which pulls the mean to itself: jackknife.
    The degrees of freedom are those of a variance as uncertain as this one (Satterthwaite 1946):
    few where a few groups make most of it. 0 for one group.
    """
    count = len(deviations)
    if count < 2:
        return 0.0, 1.0
    squares = (deviations / np.maximum(1 - sizes / sizes.sum(), _NOTHING)) ** 2
    total = float(squares.sum())
    unequal = float((squares**2).sum()) - total**2 / count
    degrees = 2 * total**2 / unequal if unequal > _NOTHING * total**2 else np.inf
    return (count - 1) / count * total, float(np.clip(degrees, 1, count - 1))


def _by_group(groups: Ints, *columns: Floats) -> list[Floats]:
    """Return the sums of `columns` (n,) by group, (groups,) each."""
    _, place = np.unique(groups, return_inverse=True)
    return [np.bincount(place, weights=column).astype(np.float64) for column in columns]


def _effective(sizes: Floats) -> float:
    """Return how many equal parts count as much as parts of these sizes (k,) (Kish 1965)."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())
