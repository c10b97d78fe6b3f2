"""Ordinal logistic regression: for every level k = 1..10, how likely is a hand score of k or more?

One regression per level (cumulative logits after McCullagh 1980, each level with its own
direction), regularised, on inputs that are centred and brought to mean square length 1. numpy and
scipy only. Two models share it: `quick` fits one of raw embeddings, adds learnt features
(model/training/hidden_features.py) and writes both into a head; the second opinion
(model/estimators/kernel_ordinal.py) fits one in the space of a kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, logit

from model.estimators.group_folds import group_folds

Floats = NDArray[np.float64]
LEVELS = 10
# A strength is the variance of the weights' normal prior, for inputs of mean square length 1.
STRENGTHS = (3.0, 10.0, 30.0, 100.0, 300.0)
USUAL_STRENGTH = 30.0
# It is chosen on so many images; the best prior hardly depends on their number.
CHOSEN_ON = 600
MOST_STEPS = 150  # of the optimiser; by then nothing changes that can be seen
LEAK = 0.1  # slope of a feature below 0, as between the layers of the published residual
SHARPEST, DULLEST = 0.02, 5.0  # limits of the temperature
# `sharpened` and `as_scores`: levels are sharpened (1 gives the mean score, towards 0 the median,
# which errs less); the one at the threshold a little less, and it counts for many. Both trade the
# error in points against the order around the threshold; figures change little at half or twice.
SHARPENING = 0.45
THRESHOLD_SHARPENING = 0.6
THRESHOLD_WEIGHT = 20.0
# So much of a level's weight is doubt, which only log odds of this size dispel, and so much a faint
# one, which hardly any do. Without it all clear cases would get one and the same score.
DOUBT, DOUBT_SCALE = 0.02, 2.0
FAINT, FARTHEST = 0.008, 100.0
# A score that just reaches the threshold stands so far above it, of 10: on its side for sure.
CLEARANCE = 0.2
# What doubt leaves of a clear 0 or 10 is taken back within so much of the ends (`_to_the_ends`).
END_REACH = 0.05
NEAREST_END = 5e-4  # a score of exactly 0 or 1 would be an infinite logit
NEAREST_ONE = 1e-8  # float32 rounds what is that close to 1

# seen(step, weights and, last, bias (k + 1, 10)): called after every step of the optimiser.
Seen = Callable[[int, Floats], None]
# Fits to embeddings (n, width) and scores (n,) one model per strength and returns, for other
# embeddings, their log odds (strengths, m, 10).
FitMany = Callable[[NDArray[np.float32], Floats, NDArray[np.float32]], Floats]


def unseen(step: int, weights: Floats) -> None:
    """For callers who don't watch."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Bent directions of raw embeddings, and what each adds to the log odds of every level.

    A feature is leaky(embedding @ direction + offset), where leaky(t) is t above 0, `LEAK` t below.
    """

    directions: Floats  # (width, f)
    offsets: Floats  # (f,)
    effects: Floats  # (f, 10)

    def logits(self, embeddings: Floats) -> Floats:
        """Raw embeddings (n, width) → what is added to the log odds (n, 10)."""
        found = embeddings @ self.directions + self.offsets
        return np.where(found > 0, found, LEAK * found) @ self.effects


@dataclass(frozen=True, slots=True, eq=False)
class Ordinal:
    """A regression of raw embeddings: log odds = embedding @ weights + bias, and the features'."""

    weights: Floats  # (width, 10)
    bias: Floats  # (10,)
    features: Features | None = None

    def logits(self, embeddings: NDArray[np.floating]) -> Floats:
        """Raw embeddings (n, width) → log odds of each level (n, 10)."""
        exact = embeddings.astype(np.float64)
        linear = exact @ self.weights + self.bias
        return linear + self.features.logits(exact) if self.features else linear


class Inputs:
    """Raw embeddings (n, width) as a regression reads them: centred, of mean square length 1, in a
    basis of what they span where there are fewer images than values. That rotation changes nothing
    for a regression but the number of its unknowns.
    """

    def __init__(self, embeddings: NDArray[np.floating]) -> None:
        self.mean = embeddings.mean(axis=0, dtype=np.float64)
        centred = embeddings - self.mean
        size = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
        self.values, basis = _fewest_values(centred / size)  # (n, k)
        self._to_raw = (lambda w: w / size) if basis is None else (lambda w: basis @ w / size)

    def ordinal(self, unknown: Floats) -> Ordinal:
        """What weights and, last, bias (k + 1, 10) of `values` mean for raw embeddings."""
        weights = self._to_raw(unknown[:-1])
        return Ordinal(weights, unknown[-1] - self.mean @ weights)


def fit(
    values: Floats,
    scores: NDArray[np.floating],
    strength: float,
    *,
    steps: int = MOST_STEPS,
    seen: Seen = unseen,
) -> Floats:
    """Weights and, last, bias (k + 1, 10) for inputs (n, k) and hand scores (n,) 0–10.

    A level that every image reaches, or none, keeps the same small doubt for all: half an image.
    """
    reached = reaches(scores)  # (n, 10)
    both = reached.any(axis=0) & ~reached.all(axis=0)
    share = (reached.sum(axis=0) + 0.5) / (len(scores) + 1)
    unknown = np.concatenate([np.zeros((values.shape[1], LEVELS)), logit(share)[None]])

    def noted(step: int, found: Floats) -> None:
        unknown[:, both] = found
        seen(step, unknown)

    if both.any():
        start = unknown[:, both]
        unknown[:, both] = _logistic(
            values, reached[:, both], start, strength, most=steps, seen=noted
        )
    return unknown


def choose_strength(
    embeddings: NDArray[np.float32],
    scores: Floats,
    groups: NDArray[np.int64],
    fit_many: FitMany,
    seed: int = 0,
) -> float:
    """The one of `STRENGTHS` whose held-out log loss is least, over three folds of whole groups.

    The usual one where there are fewer than three groups.
    """
    rows = _some_groups(groups, CHOSEN_ON, seed)
    embeddings, scores, groups = embeddings[rows], scores[rows], groups[rows]
    if len(np.unique(groups)) < 3:
        return USUAL_STRENGTH
    folds = group_folds(scores, groups, 3, seed)
    held_out = np.zeros((len(STRENGTHS), len(scores), LEVELS))
    for fold in range(3):
        out = folds == fold
        held_out[:, out] = fit_many(embeddings[~out], scores[~out], embeddings[out])
    reached = reaches(scores)
    losses = [log_loss(each / best_temperature(each, scores), reached) for each in held_out]
    return STRENGTHS[int(np.argmin(losses))]


def best_temperature(logits: Floats, scores: NDArray[np.floating]) -> float:
    """What held-out `logits` (n, 10) must be divided by to be honest (Guo et al. 2017)."""
    reached = reaches(scores)
    found = minimize_scalar(
        lambda log_t: log_loss(logits / np.exp(log_t), reached),
        bounds=(np.log(SHARPEST), np.log(DULLEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def chances(logits: Floats, temperature: float = 1.0) -> NDArray[np.float32]:
    """Log odds (n, 10) → chances (n, 10), made non-increasing: the mean of the two envelopes."""
    chance = expit(logits / temperature)
    lowest = np.minimum.accumulate(chance, axis=1)
    highest = np.maximum.accumulate(chance[:, ::-1], axis=1)[:, ::-1]
    return ((lowest + highest) / 2).astype(np.float32)


def as_scores(logits: Floats, threshold: float) -> Floats:
    """Log odds of the levels (n, 10) → one score each (n,), 0–1, that orders well everywhere.

    A sum of chances that a score of k is reached, in which the level at `threshold` (0–1) weighs
    more, so that around it images are in the order of their chance to pass; then stretched back.
    """
    total = sum(sharpened(logits[:, k - 1], k, threshold) for k in range(1, LEVELS + 1))
    return stretched(np.asarray(total), threshold)


def sharpened(logits: Floats, level: int, threshold: float) -> Floats:
    """What one level (1–10) adds to the sum, from its log odds (n,): between 0 and its weight.

    It rises up to `FARTHEST`, so that of two clear cases the clearer one is further up.
    """
    weight, scale = 1.0, SHARPENING
    if level == threshold_level(threshold):
        weight, scale = THRESHOLD_WEIGHT, THRESHOLD_SHARPENING
    far = np.clip(np.arcsinh(logits) / np.arcsinh(FARTHEST), -1, 1)
    sure = (weight - DOUBT - FAINT) * expit(logits / scale)
    return np.asarray(sure + DOUBT * expit(logits / DOUBT_SCALE) + FAINT * (far + 1) / 2)


def stretched(total: Floats, threshold: float) -> Floats:
    """The sum of all levels (n,), 0 to `THRESHOLD_WEIGHT` + 9 → scores (n,), 0–1, monotonically.

    A certain score of k gets k / 10, but the lowest that passes at least `CLEARANCE` more than the
    threshold; a chance of one half to pass gets exactly `threshold`.
    """
    level, cut = threshold_level(threshold), threshold * 10
    full = level - 1 + THRESHOLD_WEIGHT
    knots = {0.0: 0.0, level - 1.0: level - 1.0, level - 1 + THRESHOLD_WEIGHT / 2: cut}
    knots |= {full: max(level, min(10.0, cut + CLEARANCE)), 9 + THRESHOLD_WEIGHT: 10.0}
    knots |= {full + 1: level + 1.0} if level < LEVELS else {}
    places = sorted(knots)
    plain = np.interp(total, places, [knots[place] for place in places]) / 10
    return _to_the_ends(plain, threshold)


def _to_the_ends(scores: Floats, threshold: float) -> Floats:
    """Scores (n,) 0–1 → the same but for those nearest to 0 and 1, whose logits go on evenly to
    those of the nearest score to 0 or 1 that there is. The threshold and what just passes stay.
    """
    low = min(END_REACH, threshold)
    high = min(END_REACH, max(0.0, 1 - threshold - CLEARANCE / 10))
    least = min(NEAREST_END, max(threshold / 2, NEAREST_ONE))
    most = 1 - NEAREST_END if threshold <= 1 - NEAREST_END else 1.0
    found = scores.clip(least, most)
    for reach, end in ((low, least), (high, 1 - most)):
        if reach > end:
            share = (1 - scores.clip(0, reach) / reach) * (logit(end) - logit(reach))
            found = np.where(scores < reach, expit(logit(reach) + share), found)
        scores, found = 1 - scores, 1 - found
    return np.asarray(found)


def threshold_level(threshold: float) -> int:
    """The lowest whole hand score, 1–10, that reaches `threshold` (0–1)."""
    return int(np.clip(np.ceil(threshold * 10 - 1e-9), 1, LEVELS))


def reaches(scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each hand score (n,) 0–10 is k or more, for k = 1..10: (n, 10)."""
    return np.asarray(scores[:, None] >= np.arange(1, LEVELS + 1) - 1e-9)


def log_loss(logits: Floats, reached: NDArray[np.bool_]) -> float:
    """Mean of -log of the chance given to what is true."""
    return float(np.logaddexp(0, np.where(reached, -logits, logits)).mean())


def _fewest_values(inputs: Floats) -> tuple[Floats, Floats | None]:
    if len(inputs) >= inputs.shape[1]:
        return inputs, None
    values, vectors = np.linalg.eigh(inputs @ inputs.T)
    kept = values > 1e-10 * max(float(values[-1]), 1e-300)
    size = np.sqrt(values[kept])
    return vectors[:, kept] * size, inputs.T @ (vectors[:, kept] / size)


def _logistic(
    inputs: Floats,
    reached: NDArray[np.bool_],
    start: Floats,
    strength: float,
    *,
    most: int,
    seen: Seen,
) -> Floats:
    """Weights and, last, bias (width + 1, k) of k L2-regularised logistic regressions."""
    # In float32, half the time; only sums are taken in float64.
    sign = np.where(reached, np.float32(1), np.float32(-1))
    single = inputs.astype(np.float32)
    steps = 0

    def loss(flat: Floats) -> tuple[float, Floats]:
        unknown = flat.reshape(start.shape)
        halved = unknown.astype(np.float32)
        margin = sign * (single @ halved[:-1] + halved[-1])
        missed = expit(-margin)
        pull = -sign * missed
        slope = np.concatenate([single.T @ pull, pull.sum(axis=0, keepdims=True)], dtype=np.float64)
        slope[:-1] += unknown[:-1] / strength
        penalty = float((unknown[:-1] ** 2).sum()) / (2 * strength)
        loss = -log_expit(margin).sum(dtype=np.float64)
        return float(loss) + penalty, slope.ravel()

    def stepped(flat: Floats) -> None:
        nonlocal steps
        steps += 1
        seen(steps, flat.reshape(start.shape))

    limits = {"maxiter": most, "ftol": 1e-5}
    found = minimize(
        loss, start.ravel(), jac=True, method="L-BFGS-B", options=limits, callback=stepped
    )
    return np.asarray(found.x).reshape(start.shape)


def _some_groups(groups: NDArray[np.int64], wanted: int, seed: int) -> NDArray[np.int64]:
    """Rows of whole groups drawn at random until there are `wanted`, all if there are fewer."""
    if len(groups) <= wanted:
        return np.arange(len(groups))
    _, group = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(int(group.max()) + 1)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return np.sort(np.argsort(place[group], kind="stable")[:wanted])
