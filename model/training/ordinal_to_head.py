"""Write an ordinal regression into the head that CityAesthetics published, without training.

The score that the regression gives (`ordinal.to_scores`) is a sum of one curve per level,
stretched by one more curve. A network with ReLUs holds such sums up to the number of their corners,
so nothing of what was fitted is lost in learning, as it would be if a network were trained to
imitate it (distilled in 140 steps it kept .976 of .979 average precision here).

People run such heads in bfloat16, whose numbers have 8 bits, so every layer rounds. The head gives
the same scores then, because

- all weights are numbers that bfloat16 and float16 hold both (`_rounded`);
- nothing large is taken from something large: a level's curve is a sum of ramps that are exactly 0
  or 1 but for the one that its log odds are on, and a ramp's own corner is where it is exact;
- what must be exact is there several times at different sizes, so that the roundings differ
  (`_split_copies`): the lines, the sum of all levels, the logit at the end;
- the sum is 0 at the threshold, and the last curve's corners grow away from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.errors import ModelError
from model.estimators.ordinal import (
    LARGEST_LOG_ODDS,
    LEAK,
    LEVELS,
    SMALLEST_GAP_TO_ONE,
    THRESHOLD_WEIGHT,
    Ordinal,
    level_term,
    threshold_level,
    total_to_scores,
)
from model.heads.head import Head, Residual

Floats = NDArray[np.float64]
MAX_COPIES = 4  # of a level's line
_SLOPE = 0.01  # of LeakyReLU below zero, in `down`
_BENDS = 62  # of the 64 units in `down` that bend the sum; the other two carry it unbent
_PARTS = LEVELS + 1  # of the ramps: the level at the threshold gets what is left of two
_MAX_CORNERS = 11  # of a level; more are rounded more often
_MAX_PAIRS = 150  # of units for corners of the level at the threshold, which counts for many
_MANTISSAS = 5 * np.arange(26, 52)  # of bfloat16 numbers, 8 bits, of which a tenth has 8 bits, too
_FEW_CORNERS, _REACH_OF_FEW = 7, 3.0
_FINE = 4.0  # how close to even odds the places begin among which edges of ramps are chosen
_EVENLY = 0.3  # the share of ramps that are spread over all sizes of log odds, bent or not


def ordinal_to_head(ordinal: Ordinal, threshold: float, hidden: int = 1024) -> Head:
    """Return a head on raw embeddings with the scores of `ordinal.to_scores` at `threshold` (0–1).

    It agrees within about 0.01 with 1024 hidden units and 128 features, mostly within 0.002. Raises
    `ModelError` where `hidden` units don't hold features, lines and two ramps for each level.
    """
    with torch.device("meta"):  # no random numbers are drawn
        head = Head(ordinal.weights.shape[0], hidden)
    head = head.to_empty(device="cpu").requires_grad_(False).eval()
    for parameter in head.parameters():
        parameter.zero_()
    used, copies = _sizes(ordinal, hidden)
    curves = _curves(threshold, hidden - used, hidden)
    _write_lines(head, ordinal, copies)
    _write_ramps(head, used, _write_corners(head, ordinal, copies, curves))
    middle = _flattest_sum(threshold)
    _write_sum(head, used, curves, middle)
    _write_stretch(head, threshold, middle)
    return head


def _sizes(ordinal: Ordinal, hidden: int) -> tuple[int, int]:
    """Return how many hidden units features and lines take, and the copies of each line."""
    count = ordinal.features.offsets.size if ordinal.features else 0
    required = count + LEVELS + 1 + 2 * _PARTS
    if hidden < required:
        raise ModelError(f"{hidden} hidden units are too few; this head needs {required}.")
    ramp_units = count + 2 * _PARTS * _MAX_CORNERS
    copies = int(np.clip((hidden - ramp_units) // LEVELS, 1, MAX_COPIES))
    return count + copies * LEVELS + 1, copies


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """A level's part of the sum as ramps between 0 and 1.

    At each corner, in log odds, a ramp `width` wide ends and one begins. `rise` (c, 2) is what the
    sum gains over them, `least` the sum left of all. `copies` (c,) pairs of units hold a corner.
    """

    corners: Floats  # (c,)
    width: Floats
    rise: Floats
    least: float
    copies: NDArray[np.int64]


def _curves(threshold: float, ramps: int, units: int) -> list[_Curve]:
    """Return the curves of all levels, for a head with `ramps` and `units` for their corners."""
    at = threshold_level(threshold)
    usual = _odd(min(_MAX_CORNERS, ramps // (2 * _PARTS)))
    most = _odd(min(4 * usual, 2 * _MAX_CORNERS, ramps // 2 - usual * (LEVELS - 1)))
    spare_pairs = min(_MAX_PAIRS, units // 2 - usual * (LEVELS - 1) - most)
    curves = []
    for level in range(1, LEVELS + 1):
        count, pairs = (most, spare_pairs) if level == at else (usual, 0)
        edges = _edges(level, threshold, count)
        corners, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        knots = np.insert(edges, np.arange(1, count + 1), corners)
        heights = level_term(knots, level, threshold)
        rise = np.diff(heights).reshape(-1, 2)
        # The steeper a ramp, the more a rounding of its units counts, however far away it is.
        steep = rise.sum(axis=1) / width
        more = np.minimum(pairs * steep / steep.sum(), _MANTISSAS.size - 1).astype(np.int64)
        curves.append(_Curve(corners, width, rise, float(heights[0]), 1 + more))
    return curves


def _odd(count: int) -> int:
    return max(1, count - (count + 1) % 2)


def _edges(level: int, threshold: float, count: int) -> Floats:
    """Return where `count` pairs of ramps meet, (count + 1,), denser where the curve bends."""
    # A few ramps have none to spare for log odds where hardly anything changes.
    reach = LARGEST_LOG_ODDS if count >= _FEW_CORNERS else _REACH_OF_FEW
    fine = np.sinh(np.linspace(0, np.arcsinh(_FINE * reach), 4001)) / _FINE
    slope = np.gradient(level_term(fine, level, threshold), fine)
    bend = np.sqrt(np.abs(np.gradient(slope, fine))) * np.gradient(fine)
    even = bend / bend.sum() + _EVENLY / len(fine)
    place = np.concatenate([[0.0], np.cumsum(even[1:])])
    right = np.interp(np.arange(1, count + 1, 2) / count * place[-1], place, fine)
    return np.concatenate([-right[::-1], right])


def _write_lines(head: Head, ordinal: Ordinal, copies: int) -> None:
    """Write the first layer: features, `copies` of each level's line, and a unit that is always 1.

    The residual's first layer passes on all of them, and the lines with the other sign, too.
    """
    features = ordinal.features
    count = features.offsets.size if features else 0
    if features:
        _assign(head.first.weight[:count], features.directions.T)
        _assign(head.first.bias[:count], features.offsets)
    for k, line in enumerate(_split_copies(_stacked(ordinal), copies)[0]):
        rows = slice(count + k * LEVELS, count + (k + 1) * LEVELS)
        _assign(head.first.weight[rows], line[:, :-1])
        _assign(head.first.bias[rows], line[:, -1])
    end = count + copies * LEVELS
    _assign(head.first.bias[end : end + 1], np.ones(1))
    passed_on = _residual_layer(head, 0).weight
    _assign(passed_on[: end + 1, : end + 1], np.eye(end + 1))
    if features:  # what a bias alone can't hold of it
        _assign(passed_on[:count, end], features.offsets - _rounded(features.offsets))
    _assign(passed_on[end + 1 : end + 1 + copies * LEVELS, count:end], -np.eye(copies * LEVELS))


def _stacked(ordinal: Ordinal) -> Floats:
    """Return weights and, last, bias of each level's line, (10, width + 1)."""
    return np.concatenate([ordinal.weights, ordinal.bias[None]]).T


def _write_corners(head: Head, ordinal: Ordinal, copies: int, curves: list[_Curve]) -> list[Floats]:
    """Write the residual's second layer: log odds less each corner, scaled, with both signs.

    Returns for each corner the factors that make ramps of its units.

    l(t) - l(-t) = (1 + LEAK) t, and relu(t) = (l(t) + LEAK l(-t)) / (1 - LEAK²).
    """
    copied, shares = _split_copies(_stacked(ordinal), copies)
    lines = np.concatenate([share * np.eye(LEVELS) for share in shares / (1 + LEAK)], axis=1)
    lost = ordinal.bias - shares @ copied[:, :, -1]
    log_odds = np.concatenate([lines, lost[:, None], -lines], axis=1)
    one = LEVELS * copies
    if ordinal.features:
        log_odds = np.concatenate([ordinal.features.effects.T, log_odds], axis=1)
        one += ordinal.features.offsets.size
    rows: list[Floats] = []
    at: list[Floats] = []
    factors: list[Floats] = []
    for level, curve in enumerate(curves):
        for corner, width, count in zip(curve.corners, curve.width, curve.copies, strict=True):
            steepness = 1 / (width * (1 - LEAK**2) * count)
            # Adjacent corners are rounded differently, too.
            factor = _leak_free(steepness, np.arange(count) + 5 * len(factors))
            factors.append(factor)
            rows.append(steepness / factor[:, None] * log_odds[level])
            at.append(steepness / factor * corner)
    row, corner = np.concatenate(rows), np.concatenate(at)
    row[:, one] += _rounded(corner) - corner  # what a bias alone can't hold of it
    layer = _residual_layer(head, 2)
    for start, sign in ((0, 1.0), (len(row), -1.0)):
        _assign(layer.weight[start : start + len(row), : row.shape[1]], sign * row)
        _assign(layer.bias[start : start + len(row)], -sign * corner)
    return factors


def _leak_free(size: float, which: NDArray[np.integer]) -> Floats:
    """Return numbers up to `size` and above half of it, of which `LEAK` times is exact, too.

    The leaks of a corner's two units then cancel exactly beyond it.
    """
    top = 2.0 ** np.floor(np.log2(size / _MANTISSAS[-1]))
    return np.asarray(_MANTISSAS[which % _MANTISSAS.size] * top)


def _write_ramps(head: Head, used: int, factors: list[Floats]) -> None:
    """Write the ramps: units from `used` on, where the first layer adds nothing.

    First those that rise to 1 at their corner, then those that fall from 1 there:
    1 - relu(corner - log odds) / width and 1 - relu(log odds - corner) / width.
    """
    count, pairs = len(factors), sum(map(len, factors))
    inputs = np.zeros((count, pairs))
    inputs[np.repeat(np.arange(count), [*map(len, factors)]), np.arange(pairs)] = np.concatenate(
        factors
    )
    layer = _residual_layer(head, 4)
    falling = -np.hstack([inputs, LEAK * inputs])
    rising = -np.hstack([LEAK * inputs, inputs])
    _assign(layer.weight[used : used + 2 * count, : 2 * pairs], np.vstack([rising, falling]))
    _assign(layer.bias[used : used + 2 * count], np.ones(2 * count))


def _write_sum(head: Head, used: int, curves: list[_Curve], middle: float) -> None:
    """Write `down.0`: the sum of all levels less `middle`, 128 times."""
    rise = np.concatenate([curve.rise for curve in curves])  # (c, 2)
    # The falling ramps are 1 where the sum has yet to gain.
    constant = sum(curve.least for curve in curves) + rise[:, 1].sum() - middle
    whole = np.concatenate([rise[:, 0], -rise[:, 1], [constant]])
    layer = _down_layer(head, 0)
    copies, _ = _split_copies(whole, layer.out_features)
    _assign(layer.weight[:, used : used + len(whole) - 1], copies[:, :-1])
    _assign(layer.bias, copies[:, -1])


def _write_stretch(head: Head, threshold: float, middle: float) -> None:
    """Write the rest of `down`, which turns the sum into the logit of the score.

    Right of `middle` a corner bends by relu(t - corner), left of it by relu(corner - t), where
    LeakyReLU l gives relu(u) = (l(u) - 0.01 u) / 0.99 and u = (l(u) - l(-u)) / 1.01.
    """
    corners, heights = _stretch_corners(threshold, middle)
    slopes = np.diff(heights) / np.diff(corners)
    inner, changes = corners[1:-1], np.diff(slopes) / (1 - _SLOPE)
    side = np.where((inner > 0) | ((inner == 0) & (changes >= 0)), 1.0, -1.0)
    # What is left for the line is the slope at `middle` without what the units leak there.
    line_slope = slopes[(side < 0).sum()] - _SLOPE * (side * changes).sum()
    line_slope /= 1 + _SLOPE
    weights = np.concatenate([changes, [line_slope, -line_slope]])
    signs = np.concatenate([side, [1.0, -1.0]])
    at = np.concatenate([inner, [0.0, 0.0]])
    sums = _down_layer(head, 0).out_features
    _assign(
        _down_layer(head, 1).weight[: len(at)], signs[:, None] * _split_copies(np.zeros(1), sums)[1]
    )
    _assign(_down_layer(head, 1).bias[: len(at)], -signs * at)
    bent = -signs * at  # at `middle`
    constant = np.interp(0, corners, heights) - weights @ np.where(bent > 0, bent, _SLOPE * bent)
    layer, last = _down_layer(head, 4), _down_layer(head, 5)
    copies, shares = _split_copies(np.append(weights, constant), layer.out_features)
    _assign(layer.weight[:, : len(at)], copies[:, :-1])
    _assign(layer.bias, copies[:, -1])
    _assign(last.weight[0], shares)


def _flattest_sum(threshold: float) -> float:
    """Return the sum at which the logit of the score begins to grow least.

    It grows faster to both sides, so a curve bent away from here needs no negative parts.
    """
    sums = np.linspace(0, LEVELS - 1 + THRESHOLD_WEIGHT, 2901)
    slopes = np.diff(_logit(sums, threshold))
    slopes[slopes <= 0] = np.inf  # beyond the last score there is
    return float(sums[np.flatnonzero(slopes <= 1.5 * slopes.min())[0]])


def _logit(sums: Floats, threshold: float) -> Floats:
    """Return the logits of the scores of sums, cut off where float32 rounds the score to 1."""
    return np.arctanh(2 * np.minimum(total_to_scores(sums, threshold), 1 - SMALLEST_GAP_TO_ONE) - 1)


def _stretch_corners(threshold: float, middle: float) -> tuple[Floats, Floats]:
    """Return corners of the last curve, measured from `middle`, and the logits there.

    Greedy: each next corner is where the curve between those before differs most in score.
    """
    fine = np.linspace(-middle, LEVELS - 1 + THRESHOLD_WEIGHT - middle, 20_001)
    fine = np.unique(_rounded(fine))
    score = total_to_scores(fine + middle, threshold)
    # Where the last score is reached early, the logit may as well go on.
    ends = np.flatnonzero((score > score[0]) & (score < score[-1]))
    fine, score = (each[ends[0] - 1 : ends[-1] + 2] for each in (fine, score))
    logit = _logit(fine + middle, threshold)
    rows = [0, int(np.searchsorted(fine, 0.0)), len(fine) - 1]
    while len(rows) < _BENDS + 2:
        rows.sort()
        error = np.abs((np.tanh(np.interp(fine, fine[rows], logit[rows])) + 1) / 2 - score)
        row = int(error.argmax())
        if row in rows:
            break
        rows.append(row)
    rows = sorted(set(rows))
    return fine[rows], logit[rows]


def _split_copies(values: Floats, count: int) -> tuple[Floats, Floats]:
    """Return `values` (…,) as (count, …) of different sizes, and the weights (count,) of their sum.

    The weighted sum is `values` again: each copy makes up for the rounding of those before.
    """
    sizes = 2.0 ** (np.arange(count) / count)
    shares = _rounded(1 / (count * sizes))
    parts, total = [], np.zeros(np.shape(values))
    for k, share in enumerate(shares):
        parts.append(_rounded(((k + 1) / count * values - total) / share))
        total = total + share * parts[-1]
    return np.array(parts), shares


def _rounded(values: NDArray[np.floating] | float) -> Floats:
    """Return the nearest numbers that bfloat16 and float16 both represent."""
    exact = torch.as_tensor(np.asarray(values, dtype=np.float64))
    return np.asarray(exact.to(torch.bfloat16).to(torch.float16).double().numpy())


def _down_layer(head: Head, place: int) -> nn.Linear:
    layer = head.down[place]
    assert isinstance(layer, nn.Linear)
    return layer


def _residual_layer(head: Head, place: int) -> nn.Linear:
    residual = head.up[1]
    assert isinstance(residual, Residual)
    layer = residual.long[place]
    assert isinstance(layer, nn.Linear)
    return layer


def _assign(part: torch.Tensor, values: Floats) -> None:
    part.copy_(torch.from_numpy(_rounded(np.ascontiguousarray(values))))
