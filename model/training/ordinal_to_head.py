"""Writes an ordinal regression into the head that CityAesthetics published, without training it.

The score that the regression stands for (`ordinal.as_scores`) is a sum of one curve per level,
stretched by one more curve. A network with ReLUs holds such sums up to the number of their corners,
so nothing of what was fitted is lost in learning, as it would be if a network were trained to
imitate it (distilled with 140 steps it kept .976 of .979 average precision here).

People run such heads in bfloat16, whose numbers have 8 bits, so every layer rounds. What is written
here says the same then, because

- all weights are numbers that bfloat16 and float16 hold both (`_held`);
- nothing large is taken from something large: a level's curve is a sum of ramps that are exactly 0
  or 1 but for the one that its log odds are on, and a ramp's own corner is where it is exact;
- what must be exact is there several times at different sizes, so that the roundings differ
  (`_copies`): the lines, the sum of all levels, the logit at the end;
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
    FARTHEST,
    LEAK,
    LEVELS,
    NEAREST_ONE,
    THRESHOLD_WEIGHT,
    Ordinal,
    sharpened,
    stretched,
    threshold_level,
)
from model.heads.head import Head, Residual

Floats = NDArray[np.float64]
MOST_COPIES = 4  # of a level's line
_SLOPE = 0.01  # of LeakyReLU below zero, in `down`
_BENDS = 62  # of the 64 units in `down` that bend the sum; the other two carry it unbent
_SHARES = LEVELS + 1  # of the ramps: the level at the threshold gets what is left of two
_MOST_CORNERS = 11  # of a level; more are rounded more often
_MOST_PAIRS = 150  # of units for corners of the level at the threshold, which counts for many
_MANTISSAS = 5 * np.arange(26, 52)  # of bfloat16 numbers, 8 bits, of which a tenth has 8 bits, too
_FEW_CORNERS, _REACH_OF_FEW = 7, 3.0
_FINE = 4.0  # how close to even odds the places begin among which edges of ramps are chosen
_EVENLY = 0.3  # the share of ramps that are spread over all sizes of log odds, bent or not


def ordinal_head(ordinal: Ordinal, threshold: float, hidden: int = 1024) -> Head:
    """A head that reads raw embeddings and says what `ordinal.as_scores` says at `threshold`.

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
    _lines(head, ordinal, copies)
    _ramps(head, used, _corners(head, ordinal, copies, curves))
    middle = _flattest(threshold)
    _sum_up(head, used, curves, middle)
    _stretch(head, threshold, middle)
    return head


def _sizes(ordinal: Ordinal, hidden: int) -> tuple[int, int]:
    """How many hidden units the features and lines take, and how often a line is there."""
    count = ordinal.features.offsets.size if ordinal.features else 0
    least = count + LEVELS + 1 + 2 * _SHARES
    if hidden < least:
        raise ModelError(f"{hidden} hidden units are too few; this head needs {least}.")
    wanted = count + 2 * _SHARES * _MOST_CORNERS
    copies = int(np.clip((hidden - wanted) // LEVELS, 1, MOST_COPIES))
    return count + copies * LEVELS + 1, copies


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """A level's share of the sum as ramps between 0 and 1: at each corner, in log odds, one ends
    that is `width` wide and one begins. `rise` (c, 2) is what the sum gains over them, `least` the
    sum left of all. A corner is held by `copies` pairs of units (c,).
    """

    corners: Floats  # (c,)
    width: Floats
    rise: Floats
    least: float
    copies: NDArray[np.int64]


def _curves(threshold: float, ramps: int, units: int) -> list[_Curve]:
    """The levels of a head that has so many `ramps` for all of them, and `units` for corners."""
    at = threshold_level(threshold)
    usual = _odd(min(_MOST_CORNERS, ramps // (2 * _SHARES)))
    most = _odd(min(4 * usual, 2 * _MOST_CORNERS, ramps // 2 - usual * (LEVELS - 1)))
    spare = min(_MOST_PAIRS, units // 2 - usual * (LEVELS - 1) - most)
    curves = []
    for level in range(1, LEVELS + 1):
        count, pairs = (most, spare) if level == at else (usual, 0)
        edges = _edges(level, threshold, count)
        corners, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        knots = np.insert(edges, np.arange(1, count + 1), corners)
        heights = sharpened(knots, level, threshold)
        rise = np.diff(heights).reshape(-1, 2)
        # The steeper a ramp, the more a rounding of its units counts, however far away it is.
        steep = rise.sum(axis=1) / width
        more = np.minimum(pairs * steep / steep.sum(), _MANTISSAS.size - 1).astype(np.int64)
        curves.append(_Curve(corners, width, rise, float(heights[0]), 1 + more))
    return curves


def _odd(count: int) -> int:
    return max(1, count - (count + 1) % 2)


def _edges(level: int, threshold: float, count: int) -> Floats:
    """Where `count` pairs of ramps meet (count + 1,): close together where the curve bends."""
    # A few ramps have none to spare for log odds where hardly anything changes.
    reach = FARTHEST if count >= _FEW_CORNERS else _REACH_OF_FEW
    fine = np.sinh(np.linspace(0, np.arcsinh(_FINE * reach), 4001)) / _FINE
    slope = np.gradient(sharpened(fine, level, threshold), fine)
    bend = np.sqrt(np.abs(np.gradient(slope, fine))) * np.gradient(fine)
    even = bend / bend.sum() + _EVENLY / len(fine)
    place = np.concatenate([[0.0], np.cumsum(even[1:])])
    right = np.interp(np.arange(1, count + 1, 2) / count * place[-1], place, fine)
    return np.concatenate([-right[::-1], right])


def _lines(head: Head, ordinal: Ordinal, copies: int) -> None:
    """The first layer: features, `copies` of each level's line, and a unit that is always 1. The
    residual's first layer hands on all of them, and the lines with the other sign, too.
    """
    bent = ordinal.features
    count = bent.offsets.size if bent else 0
    if bent:
        _set(head.first.weight[:count], bent.directions.T)
        _set(head.first.bias[:count], bent.offsets)
    for k, line in enumerate(_copies(_whole(ordinal), copies)[0]):
        rows = slice(count + k * LEVELS, count + (k + 1) * LEVELS)
        _set(head.first.weight[rows], line[:, :-1])
        _set(head.first.bias[rows], line[:, -1])
    end = count + copies * LEVELS
    _set(head.first.bias[end : end + 1], np.ones(1))
    handed = _long(head, 0).weight
    _set(handed[: end + 1, : end + 1], np.eye(end + 1))
    if bent:  # what a bias alone can't hold of it
        _set(handed[:count, end], bent.offsets - _held(bent.offsets))
    _set(handed[end + 1 : end + 1 + copies * LEVELS, count:end], -np.eye(copies * LEVELS))


def _whole(ordinal: Ordinal) -> Floats:
    """Weights and, last, bias of each level's line (10, width + 1)."""
    return np.concatenate([ordinal.weights, ordinal.bias[None]]).T


def _corners(head: Head, ordinal: Ordinal, copies: int, curves: list[_Curve]) -> list[Floats]:
    """The residual's second layer: log odds less each corner in several sizes, and the same with
    the other sign. Returns for each corner what makes ramps of its units.

    l(t) - l(-t) = (1 + LEAK) t, and relu(t) = (l(t) + LEAK l(-t)) / (1 - LEAK²).
    """
    found, shares = _copies(_whole(ordinal), copies)
    lines = np.concatenate([share * np.eye(LEVELS) for share in shares / (1 + LEAK)], axis=1)
    lost = ordinal.bias - shares @ found[:, :, -1]
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
    row[:, one] += _held(corner) - corner  # what a bias alone can't hold of it
    layer = _long(head, 2)
    for start, sign in ((0, 1.0), (len(row), -1.0)):
        _set(layer.weight[start : start + len(row), : row.shape[1]], sign * row)
        _set(layer.bias[start : start + len(row)], -sign * corner)
    return factors


def _leak_free(size: float, which: NDArray[np.integer]) -> Floats:
    """Numbers up to `size` and more than half of that, of which `LEAK` times is held exactly, too:
    what the two units of a corner leave of each other beyond it is then nothing.
    """
    top = 2.0 ** np.floor(np.log2(size / _MANTISSAS[-1]))
    return np.asarray(_MANTISSAS[which % _MANTISSAS.size] * top)


def _ramps(head: Head, used: int, factors: list[Floats]) -> None:
    """Units from `used` on are ramps; the first layer adds nothing there. First those that rise to
    1 at their corner, then those that fall from 1 there:
    1 - relu(corner - log odds) / width and 1 - relu(log odds - corner) / width.
    """
    count, pairs = len(factors), sum(map(len, factors))
    made = np.zeros((count, pairs))
    made[np.repeat(np.arange(count), [*map(len, factors)]), np.arange(pairs)] = np.concatenate(
        factors
    )
    layer = _long(head, 4)
    falling = -np.hstack([made, LEAK * made])
    rising = -np.hstack([LEAK * made, made])
    _set(layer.weight[used : used + 2 * count, : 2 * pairs], np.vstack([rising, falling]))
    _set(layer.bias[used : used + 2 * count], np.ones(2 * count))


def _sum_up(head: Head, used: int, curves: list[_Curve], middle: float) -> None:
    """`down.0` becomes the sum of all levels less `middle`, 128 times."""
    rise = np.concatenate([curve.rise for curve in curves])  # (c, 2)
    # The falling ramps are 1 where the sum has yet to gain.
    constant = sum(curve.least for curve in curves) + rise[:, 1].sum() - middle
    whole = np.concatenate([rise[:, 0], -rise[:, 1], [constant]])
    layer = _linear(head, 0)
    copies, _ = _copies(whole, layer.out_features)
    _set(layer.weight[:, used : used + len(whole) - 1], copies[:, :-1])
    _set(layer.bias, copies[:, -1])


def _stretch(head: Head, threshold: float, middle: float) -> None:
    """The rest of `down` turns the sum into the logit of the score.

    Right of `middle` a corner bends by relu(t - corner), left of it by relu(corner - t), where
    LeakyReLU l gives relu(u) = (l(u) - 0.01 u) / 0.99 and u = (l(u) - l(-u)) / 1.01.
    """
    corners, heights = _stretch_corners(threshold, middle)
    slopes = np.diff(heights) / np.diff(corners)
    inner, changes = corners[1:-1], np.diff(slopes) / (1 - _SLOPE)
    side = np.where((inner > 0) | ((inner == 0) & (changes >= 0)), 1.0, -1.0)
    # What is left for the line is the slope at `middle` without what the units leak there.
    plain = slopes[(side < 0).sum()] - _SLOPE * (side * changes).sum()
    plain /= 1 + _SLOPE
    weights = np.concatenate([changes, [plain, -plain]])
    signs = np.concatenate([side, [1.0, -1.0]])
    at = np.concatenate([inner, [0.0, 0.0]])
    sums = _linear(head, 0).out_features
    _set(_linear(head, 1).weight[: len(at)], signs[:, None] * _copies(np.zeros(1), sums)[1])
    _set(_linear(head, 1).bias[: len(at)], -signs * at)
    bent = -signs * at  # at `middle`
    constant = np.interp(0, corners, heights) - weights @ np.where(bent > 0, bent, _SLOPE * bent)
    layer, last = _linear(head, 4), _linear(head, 5)
    copies, shares = _copies(np.append(weights, constant), layer.out_features)
    _set(layer.weight[:, : len(at)], copies[:, :-1])
    _set(layer.bias, copies[:, -1])
    _set(last.weight[0], shares)


def _flattest(threshold: float) -> float:
    """The sum at which the logit of the score begins to grow least: it grows more and more to both
    sides, so a curve that is bent away from here takes nothing back.
    """
    sums = np.linspace(0, LEVELS - 1 + THRESHOLD_WEIGHT, 2901)
    slopes = np.diff(_logit(sums, threshold))
    slopes[slopes <= 0] = np.inf  # beyond the last score there is
    return float(sums[np.flatnonzero(slopes <= 1.5 * slopes.min())[0]])


def _logit(sums: Floats, threshold: float) -> Floats:
    """What the tanh at the end turns into scores; to what is nearest 1, float32 rounds it to 1."""
    return np.arctanh(2 * np.minimum(stretched(sums, threshold), 1 - NEAREST_ONE) - 1)


def _stretch_corners(threshold: float, middle: float) -> tuple[Floats, Floats]:
    """Corners of the last curve, from `middle`, and the logits there: each next one is where the
    curve between those before differs most from its score.
    """
    fine = np.linspace(-middle, LEVELS - 1 + THRESHOLD_WEIGHT - middle, 20_001)
    fine = np.unique(_held(fine))
    score = stretched(fine + middle, threshold)
    # Where the last score is reached early, the logit may as well go on.
    ends = np.flatnonzero((score > score[0]) & (score < score[-1]))
    fine, score = (each[ends[0] - 1 : ends[-1] + 2] for each in (fine, score))
    logit = _logit(fine + middle, threshold)
    rows = [0, int(np.searchsorted(fine, 0.0)), len(fine) - 1]
    while len(rows) < _BENDS + 2:
        rows.sort()
        wrong = np.abs((np.tanh(np.interp(fine, fine[rows], logit[rows])) + 1) / 2 - score)
        row = int(wrong.argmax())
        if row in rows:
            break
        rows.append(row)
    rows = sorted(set(rows))
    return fine[rows], logit[rows]


def _copies(values: Floats, count: int) -> tuple[Floats, Floats]:
    """`values` (…,) as (count, …) of different sizes, and the shares (count,) by which their sum is
    `values` again: each makes up for what was lost in holding those before.
    """
    sizes = 2.0 ** (np.arange(count) / count)
    shares = _held(1 / (count * sizes))
    found, said = [], np.zeros(np.shape(values))
    for k, share in enumerate(shares):
        found.append(_held(((k + 1) / count * values - said) / share))
        said = said + share * found[-1]
    return np.array(found), shares


def _held(values: NDArray[np.floating] | float) -> Floats:
    """The nearest numbers that bfloat16 and float16 hold both."""
    exact = torch.as_tensor(np.asarray(values, dtype=np.float64))
    return np.asarray(exact.to(torch.bfloat16).to(torch.float16).double().numpy())


def _linear(head: Head, place: int) -> nn.Linear:
    layer = head.down[place]
    assert isinstance(layer, nn.Linear)
    return layer


def _long(head: Head, place: int) -> nn.Linear:
    residual = head.up[1]
    assert isinstance(residual, Residual)
    layer = residual.long[place]
    assert isinstance(layer, nn.Linear)
    return layer


def _set(part: torch.Tensor, values: Floats) -> None:
    part.copy_(torch.from_numpy(_held(np.ascontiguousarray(values))))
