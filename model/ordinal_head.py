"""Writes an ordinal regression into the head that CityAesthetics published, without training it.

The score that the regression stands for (`ordinal.as_scores`) is a sum of one curve per level,
stretched by one more curve. A network with ReLUs holds such sums exactly up to the number of their
corners: the residual's layers first bend the features, then add up each level's log odds, then give
corners of them; `down` adds these up and bends the sum. So nothing of what was fitted is lost in
learning, as it would be if a network were trained to imitate it (distilled with 140 steps it kept
.976 of .979 average precision here).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.errors import ModelError
from model.head import Head, Residual
from model.ordinal import LEAK, LEVELS, Ordinal, sharpened, stretched, threshold_level

Floats = NDArray[np.float64]
# Log odds beyond these change nothing that can be seen.
FARTHEST = 6.0
# The logit of a score of exactly 0 or 1 is infinite; this close is as good.
NEAREST_END = 5e-4
NEAREST_ONE = 1e-8  # float32 rounds it to 1
FEWEST_CORNERS = 2  # of a level
_SLOPE = 0.01  # of LeakyReLU below zero, in `down`
_BENDS = 62  # of the 64 units in `down` that bend the sum; the other two carry it unbent


def ordinal_head(ordinal: Ordinal, threshold: float, hidden: int = 1024) -> Head:
    """A head that reads raw embeddings and says what `ordinal.as_scores` says at `threshold`.

    It agrees within about 0.003 with 1024 hidden units and 128 features. Raises `ModelError` where
    `hidden` units don't hold the features and 3 corners for each level.
    """
    with torch.device("meta"):  # no random numbers are drawn
        head = Head(ordinal.weights.shape[0], hidden)
    head = head.to_empty(device="cpu").requires_grad_(False).eval()
    for parameter in head.parameters():
        parameter.zero_()
    used = _log_odds(head, ordinal)
    corners = [_corners(k, threshold, hidden - used) for k in range(1, LEVELS + 1)]
    if len(corners[0]) < FEWEST_CORNERS:
        least = used + FEWEST_CORNERS * (LEVELS + 3)
        raise ModelError(f"{hidden} hidden units are too few; this head needs {least}.")
    _bend(head, used, corners)
    slopes, least_heights = zip(
        *(_bent(k + 1, at, threshold) for k, at in enumerate(corners)), strict=True
    )
    _sum_up(head, used, np.concatenate(slopes), sum(least_heights))
    _stretch(head, threshold)
    return head


def _log_odds(head: Head, ordinal: Ordinal) -> int:
    """Up to the residual's second layer, whose first 20 units become each level's log odds and what
    is left of them below zero (`_both`). Returns how many hidden units the inputs of it take.
    """
    bent = ordinal.features
    count = bent.offsets.size if bent else 0
    used = count + 2 * LEVELS
    if used > head.hidden:
        raise ModelError(f"{head.hidden} hidden units are too few for {count} features.")
    lines, bias = _both(ordinal.weights.T), _both(ordinal.bias)
    if bent:
        lines, bias = np.concatenate([bent.directions.T, lines]), np.append(bent.offsets, bias)
    _set(head.first.weight[:used], lines)
    _set(head.first.bias[:used], bias)
    _set(_long(head, 0).weight[:used, :used], np.eye(used))
    sums = _unbent()
    if bent:
        sums = np.concatenate([bent.effects.T, sums], axis=1)
    _set(_long(head, 2).weight[: 2 * LEVELS, :used], _both(sums))
    return used


def _both(values: Floats) -> Floats:
    """`values` (10, …) and the same with the other sign: a LeakyReLU keeps them apart, unlost."""
    return np.concatenate([values, -values])


def _unbent() -> Floats:
    """What makes log odds (10,) again of the LeakyReLU of `_both` of them: (10, 20).

    l(t) - l(-t) = (1 + LEAK) t.
    """
    return np.concatenate([np.eye(LEVELS), -np.eye(LEVELS)], axis=1) / (1 + LEAK)


def _bend(head: Head, used: int, corners: list[Floats]) -> None:
    """Units from `used` on become relu(log odds - corner): the first layer adds nothing there."""
    counts = [len(at) for at in corners]
    end = used + sum(counts)
    rows = np.repeat(_unbent(), counts, axis=0)
    _set(_long(head, 4).weight[used:end, : 2 * LEVELS], rows)
    _set(_long(head, 4).bias[used:end], -np.concatenate(corners))


def _corners(level: int, threshold: float, units: int) -> Floats:
    """Where the curve of a level is bent, in log odds; the level at the threshold has most."""
    share = units // (LEVELS + 3)
    count = share * 4 if level == threshold_level(threshold) else share
    return np.linspace(-FARTHEST, FARTHEST, count)


def _bent(level: int, corners: Floats, threshold: float) -> tuple[Floats, float]:
    """How much the slope changes at each corner (c,), and the curve's value left of the first."""
    heights = sharpened(corners, level, threshold)
    slopes = np.diff(heights) / np.diff(corners)
    return np.diff(slopes, prepend=0.0, append=0.0), float(heights[0])


def _sum_up(head: Head, used: int, slopes: Floats, least: float) -> None:
    """Unit 0 of `down.0` becomes the sum of all levels."""
    _set(_linear(head, 0).weight[0, used : used + len(slopes)], slopes)
    _set(_linear(head, 0).bias[:1], np.array([least]))


def _stretch(head: Head, threshold: float) -> None:
    """The rest of `down` turns the sum into the logit of the score.

    g(t) = g(0) + slope t + Σ change relu(t - corner), where LeakyReLU l gives both
    t = (l(t) - l(-t)) / 1.01 and relu(u) = (l(u) - 0.01 u) / 0.99.
    """
    corners = _stretch_corners(threshold)
    heights = _logit(stretched(corners, threshold), threshold)
    slopes = np.diff(heights) / np.diff(corners)
    changes = np.diff(slopes) / (1 - _SLOPE)  # at the inner corners
    inner = corners[1:-1]
    plain = (slopes[0] - _SLOPE * changes.sum()) / (1 + _SLOPE)
    constant = heights[0] - slopes[0] * corners[0] + _SLOPE * (changes * inner).sum()
    _set(_linear(head, 1).weight[: len(inner) + 2, 0], np.append(np.ones(len(inner) + 1), -1.0))
    _set(_linear(head, 1).bias[: len(inner)], -inner)
    _set(_linear(head, 4).weight[0, : len(inner) + 2], np.concatenate([changes, [plain, -plain]]))
    _set(_linear(head, 4).bias[:1], np.array([constant]))
    _set(_linear(head, 5).weight[:1, :1], np.ones((1, 1)))


def _stretch_corners(threshold: float) -> Floats:
    """Corners of the last curve: evenly over the logits, and where the stretching itself bends."""
    fine = np.linspace(0, LEVELS - 1 + _weight(threshold), 20_001)
    height = _logit(stretched(fine, threshold), threshold)
    bends = np.flatnonzero(np.abs(np.diff(stretched(fine, threshold), 2)) > 1e-7) + 1
    even = np.searchsorted(height, np.linspace(height[0], height[-1], _BENDS + 2 - 12))
    rows = np.unique(np.concatenate([even.clip(0, len(fine) - 1), bends]))
    return fine[rows[np.linspace(0, len(rows) - 1, min(len(rows), _BENDS + 2)).round().astype(int)]]


def _weight(threshold: float) -> float:
    return float(sharpened(np.array([np.inf]), threshold_level(threshold), threshold)[0])


def _logit(scores: Floats, threshold: float) -> Floats:
    """What the tanh at the end turns into `scores`; a threshold of 1 is reached, not neared."""
    highest = 1 - (NEAREST_END if threshold <= 1 - NEAREST_END else NEAREST_ONE)
    return np.arctanh(2 * np.clip(scores, NEAREST_END, highest) - 1)


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


def _set(part: torch.Tensor, values: NDArray[np.floating]) -> None:
    part.copy_(torch.from_numpy(np.ascontiguousarray(values)))
