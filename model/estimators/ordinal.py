"""Ordinal logistic regression: for every level k = 1..10, how likely is a hand score of k or more?

One regression per level (cumulative logits after McCullagh 1980, each level with its own
direction), regularised, on inputs that are centred and brought to mean square length 1. numpy and
scipy only. Two models share it: `quick` fits one of raw embeddings, adds learnt features
(model/training/hidden_features.py) and writes both into a head; the second opinion
(model/estimators/kernel_ordinal.py) fits one in the space of a kernel.

Of some scores only an interval is known (they are interval-censored): its likelihood is
P(score >= low) - P(score >= high), as in ordinal regression of grouped or censored answers
(McCullagh 1980; Agresti 2010, section 3.4; for survival times Prentice & Gloeckler 1978). Of a
score on one side of a threshold that is the chance of a single level, whose loss alone is active:
`known_levels`.
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
STRENGTHS = (3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)
DEFAULT_STRENGTH = 30.0
# It is chosen on so many images; the best prior hardly depends on their number.
STRENGTH_SAMPLE = 600
MAX_STEPS = 150  # of the optimiser; by then nothing changes that can be seen
LEAK = 0.1  # slope of a feature below 0, as between the layers of the published residual
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.02, 5.0  # limits of the temperature
# `level_term` and `to_scores`: levels are sharpened (1 gives the mean score, towards 0 the median,
# which errs less); the one at the threshold a little less, and it counts for many. Both trade the
# error in points against the order around the threshold; figures change little at half or twice.
TERM_SCALE = 0.45
THRESHOLD_TERM_SCALE = 0.6
THRESHOLD_WEIGHT = 20.0
# Parts of a level's weight that rise more slowly, over log odds of this size: without them all
# clear cases would get one and the same score.
BROAD_WEIGHT, BROAD_SCALE = 0.02, 2.0
FAR_WEIGHT, LARGEST_LOG_ODDS = 0.008, 100.0
# A score that just reaches the threshold stands so far above it, of 10: on its side for sure.
CLEARANCE = 0.2
# Scores this near to 0 and 1 are moved further out (`_extend_to_ends`).
END_REACH = 0.05
SMALLEST_GAP_TO_END = 5e-4  # a score of exactly 0 or 1 would be an infinite logit
SMALLEST_GAP_TO_ONE = 1e-8  # float32 rounds what is that close to 1

# callback(step, weights and, last, bias (k + 1, 10)): called after every step of the optimiser.
StepCallback = Callable[[int, Floats], None]
# Which levels (n, 10) of hand scores are learnt.
Known = NDArray[np.bool_]
# Fits to embeddings (n, width), scores (n,) and what is known of them (n, 10) one model per
# strength and returns, for other embeddings, their log odds (strengths, m, 10).
FitMany = Callable[[NDArray[np.float32], Floats, Known, NDArray[np.float32]], Floats]


def no_callback(step: int, weights: Floats) -> None:
    """Do nothing after a step."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Hidden features of raw embeddings, and what each adds to the log odds of every level.

    A feature is leaky(embedding @ direction + offset), where leaky(t) is t above 0, `LEAK` t below.
    """

    directions: Floats  # (width, f)
    offsets: Floats  # (f,)
    effects: Floats  # (f, 10)

    def logits(self, embeddings: Floats) -> Floats:
        """Return what raw embeddings (n, width) add to the log odds, (n, 10)."""
        projected = embeddings @ self.directions + self.offsets
        return np.where(projected > 0, projected, LEAK * projected) @ self.effects


@dataclass(frozen=True, slots=True, eq=False)
class Ordinal:
    """A regression of raw embeddings: log odds = embedding @ weights + bias, and the features'."""

    weights: Floats  # (width, 10)
    bias: Floats  # (10,)
    features: Features | None = None

    def logits(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return the log odds of each level, (n, 10), for raw embeddings (n, width)."""
        exact = embeddings.astype(np.float64)
        linear = exact @ self.weights + self.bias
        return linear + self.features.logits(exact) if self.features else linear


class Inputs:
    """Raw embeddings (n, width) scaled for a regression: centred, of mean square length 1.

    Where there are fewer images than values, in a basis of what they span: that rotation changes
    nothing for a regression but the number of its unknowns.
    """

    def __init__(self, embeddings: NDArray[np.floating]) -> None:
        self.mean = embeddings.mean(axis=0, dtype=np.float64)
        centred = embeddings - self.mean
        scale = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
        self.values, basis = _reduced_basis(centred / scale)  # (n, k)
        self._to_raw = (lambda w: w / scale) if basis is None else (lambda w: basis @ w / scale)

    def ordinal(self, parameters: Floats) -> Ordinal:
        """Return weights and, last, bias (k + 1, 10) of `values` as those of raw embeddings."""
        weights = self._to_raw(parameters[:-1])
        return Ordinal(weights, parameters[-1] - self.mean @ weights)


def fit(
    values: Floats,
    scores: NDArray[np.floating],
    strength: float,
    *,
    known: Known | None = None,
    steps: int = MAX_STEPS,
    callback: StepCallback = no_callback,
) -> Floats:
    """Return weights and, last, bias (k + 1, 10) for inputs (n, k) and hand scores (n,) 0–10.

    `known` (n, 10) are the levels that are learnt of each score, all of them without it. A level
    that every such image reaches, or none, gets a bias alone, as if half an image differed.
    """
    targets = reached_levels(scores)  # (n, 10)
    known = np.ones_like(targets) if known is None else known
    reached, counts = (targets & known).sum(axis=0), known.sum(axis=0)
    both = (reached > 0) & (reached < counts)
    base_rate = (reached + 0.5) / (counts + 1)
    parameters = np.concatenate([np.zeros((values.shape[1], LEVELS)), logit(base_rate)[None]])

    def on_step(step: int, weights: Floats) -> None:
        parameters[:, both] = weights
        callback(step, parameters)

    if both.any():
        start = parameters[:, both]
        parameters[:, both] = _logistic(
            values,
            targets[:, both],
            start,
            strength,
            known=known[:, both],
            max_steps=steps,
            callback=on_step,
        )
    return parameters


def choose_strength(
    embeddings: NDArray[np.float32],
    scores: Floats,
    groups: NDArray[np.int64],
    fit_many: FitMany,
    seed: int = 0,
    *,
    known: Known | None = None,
) -> float:
    """Return the one of `STRENGTHS` with the least held-out log loss, over three group folds.

    `DEFAULT_STRENGTH` where there are fewer than three groups. `known` (n, 10) as in `fit`.
    """
    rows = _sample_groups(groups, STRENGTH_SAMPLE, seed)
    embeddings, scores, groups = embeddings[rows], scores[rows], groups[rows]
    known = np.ones((len(scores), LEVELS), dtype=bool) if known is None else known[rows]
    if len(np.unique(groups)) < 3:
        return DEFAULT_STRENGTH
    folds = group_folds(scores, groups, 3, seed)
    held_out_logits = np.zeros((len(STRENGTHS), len(scores), LEVELS))
    for fold in range(3):
        held_out = folds == fold
        held_out_logits[:, held_out] = fit_many(
            embeddings[~held_out], scores[~held_out], known[~held_out], embeddings[held_out]
        )
    targets = reached_levels(scores)
    losses = [
        log_loss(each / best_temperature(each, scores, known), targets, known)
        for each in held_out_logits
    ]
    return STRENGTHS[int(np.argmin(losses))]


def best_temperature(
    logits: Floats, scores: NDArray[np.floating], known: Known | None = None
) -> float:
    """Return the number that calibrates held-out `logits` (n, 10) when they are divided by it.

    Temperature scaling (Guo et al. 2017): the least log loss, within 0.02–5. `known` as in `fit`.
    """
    targets = reached_levels(scores)
    result = minimize_scalar(
        lambda log_t: log_loss(logits / np.exp(log_t), targets, known),
        bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)),
        method="bounded",
    )
    return float(np.exp(result.x))


def probabilities(logits: Floats, temperature: float = 1.0) -> NDArray[np.float32]:
    """Return P(hand score >= k), (n, 10), made non-increasing: the mean of the two envelopes."""
    probability = expit(logits / temperature)
    lowest = np.minimum.accumulate(probability, axis=1)
    highest = np.maximum.accumulate(probability[:, ::-1], axis=1)[:, ::-1]
    return ((lowest + highest) / 2).astype(np.float32)


def to_scores(logits: Floats, threshold: float) -> Floats:
    """Return scores (n,), 0–1, for the log odds of the levels (n, 10).

    The sum of the levels' probabilities, in which the level at `threshold` (0–1) weighs more, so
    that images around it are in the order of their probability to pass; then mapped back to 0–1.
    """
    total = sum(level_term(logits[:, k - 1], k, threshold) for k in range(1, LEVELS + 1))
    return total_to_scores(np.asarray(total), threshold)


def level_term(logits: Floats, level: int, threshold: float) -> Floats:
    """Return what one level (1–10) adds to the sum, for its log odds (n,): from 0 to its weight.

    It rises up to `LARGEST_LOG_ODDS`, so that of two clear cases the clearer one is further up.
    """
    weight, scale = 1.0, TERM_SCALE
    if level == threshold_level(threshold):
        weight, scale = THRESHOLD_WEIGHT, THRESHOLD_TERM_SCALE
    distance = np.clip(np.arcsinh(logits) / np.arcsinh(LARGEST_LOG_ODDS), -1, 1)
    main = (weight - BROAD_WEIGHT - FAR_WEIGHT) * expit(logits / scale)
    return np.asarray(
        main + BROAD_WEIGHT * expit(logits / BROAD_SCALE) + FAR_WEIGHT * (distance + 1) / 2
    )


def total_to_scores(total: Floats, threshold: float) -> Floats:
    """Return scores (n,), 0–1, for the sum of all levels (n,), 0 to `THRESHOLD_WEIGHT` + 9.

    Monotonic. A certain score of k gets k / 10, but the lowest that passes at least `CLEARANCE`
    more than the threshold; a probability of one half to pass gets exactly `threshold`.
    """
    level, cut = threshold_level(threshold), threshold * 10
    full = level - 1 + THRESHOLD_WEIGHT
    knots = {0.0: 0.0, level - 1.0: level - 1.0, level - 1 + THRESHOLD_WEIGHT / 2: cut}
    knots |= {full: max(level, min(10.0, cut + CLEARANCE)), 9 + THRESHOLD_WEIGHT: 10.0}
    knots |= {full + 1: level + 1.0} if level < LEVELS else {}
    places = sorted(knots)
    scores = np.interp(total, places, [knots[place] for place in places]) / 10
    return _extend_to_ends(scores, threshold)


def _extend_to_ends(scores: Floats, threshold: float) -> Floats:
    """Return scores (n,) 0–1 with those nearest to 0 and 1 moved further out.

    Their logits rise linearly to those of the score nearest to 0 or 1 that is allowed. The
    threshold and what just passes stay.
    """
    low = min(END_REACH, threshold)
    high = min(END_REACH, max(0.0, 1 - threshold - CLEARANCE / 10))
    least = min(SMALLEST_GAP_TO_END, max(threshold / 2, SMALLEST_GAP_TO_ONE))
    most = 1 - SMALLEST_GAP_TO_END if threshold <= 1 - SMALLEST_GAP_TO_END else 1.0
    result = scores.clip(least, most)
    for reach, end in ((low, least), (high, 1 - most)):
        if reach > end:
            share = (1 - scores.clip(0, reach) / reach) * (logit(end) - logit(reach))
            result = np.where(scores < reach, expit(logit(reach) + share), result)
        scores, result = 1 - scores, 1 - result
    return np.asarray(result)


def threshold_level(threshold: float) -> int:
    """Return the lowest whole hand score, 1–10, that reaches `threshold` (0–1)."""
    return int(np.clip(np.ceil(threshold * 10 - 1e-9), 1, LEVELS))


def reached_levels(scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether each hand score (n,) 0–10 is k or more, for k = 1..10: (n, 10)."""
    return np.asarray(scores[:, None] >= np.arange(1, LEVELS + 1) - 1e-9)


def known_levels(scores: NDArray[np.floating], low: Floats, high: Floats) -> Known:
    """Return the levels (n, 10) to learn of scores (n,) 0–10 that lie within low <= score < high.

    All of a score that is known itself (low = high). Of an interval those at its ends: the lowest
    level that reaches `low`, and `high`. The others follow from these or are not known, and taking
    only those that follow would bias their rate: of the images on one side alone.
    """
    levels = np.arange(1, LEVELS + 1)
    ends = [np.ceil(each - 1e-9)[:, None] == levels for each in (low, high)]
    reached = reached_levels(scores)
    return (low == high)[:, None] | (ends[0] & reached) | (ends[1] & ~reached)


def log_loss(logits: Floats, targets: NDArray[np.bool_], known: Known | None = None) -> float:
    """Return the mean of -log of the probability given to what is true; all (n, 10)."""
    losses = np.logaddexp(0, np.where(targets, -logits, logits))
    return float((losses if known is None else losses[known]).mean())


def _reduced_basis(inputs: Floats) -> tuple[Floats, Floats | None]:
    if len(inputs) >= inputs.shape[1]:
        return inputs, None
    values, vectors = np.linalg.eigh(inputs @ inputs.T)
    kept = values > 1e-10 * max(float(values[-1]), 1e-300)
    size = np.sqrt(values[kept])
    return vectors[:, kept] * size, inputs.T @ (vectors[:, kept] / size)


def _logistic(
    inputs: Floats,
    targets: NDArray[np.bool_],
    start: Floats,
    strength: float,
    *,
    known: Known,
    max_steps: int,
    callback: StepCallback,
) -> Floats:
    """Return weights and, last, bias (width + 1, k) of k L2-regularised logistic regressions."""
    # In float32, half the time; only sums are taken in float64. What is not known has no slope, and
    # a loss that never changes.
    sign = np.where(targets, np.float32(1), np.float32(-1)) * known
    unknown_loss = np.log(2) * (~known).sum()
    single = inputs.astype(np.float32)
    steps = 0

    def loss(flat: Floats) -> tuple[float, Floats]:
        parameters = flat.reshape(start.shape)
        single_parameters = parameters.astype(np.float32)
        margin = sign * (single @ single_parameters[:-1] + single_parameters[-1])
        error = expit(-margin)
        residual = -sign * error
        slope = np.concatenate(
            [single.T @ residual, residual.sum(axis=0, keepdims=True)], dtype=np.float64
        )
        slope[:-1] += parameters[:-1] / strength
        penalty = float((parameters[:-1] ** 2).sum()) / (2 * strength)
        loss = -log_expit(margin).sum(dtype=np.float64)
        return float(loss) - unknown_loss + penalty, slope.ravel()

    def on_step(flat: Floats) -> None:
        nonlocal steps
        steps += 1
        callback(steps, flat.reshape(start.shape))

    options = {"maxiter": max_steps, "ftol": 1e-5}
    result = minimize(
        loss, start.ravel(), jac=True, method="L-BFGS-B", options=options, callback=on_step
    )
    return np.asarray(result.x).reshape(start.shape)


def _sample_groups(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return rows of whole groups drawn at random until there are `count`, all if fewer."""
    if len(groups) <= count:
        return np.arange(len(groups))
    _, group = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(int(group.max()) + 1)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return np.sort(np.argsort(place[group], kind="stable")[:count])
