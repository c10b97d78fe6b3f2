"""The second opinion: for every level k, how likely is a hand score of k or more?

One logistic regression per level on L2-normalised, centred embeddings (cumulative logits after
McCullagh 1980, each level with its own direction), made non-increasing in k and calibrated on
predictions that were held out. It sees what the head sees but errs differently: where it
contradicts the head, one of them is wrong. numpy and scipy only.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

from model.errors import ModelError
from model.folds import group_folds

Floats = NDArray[np.float64]
LEVELS = 10
# Variance of the weights' normal prior, for embeddings of mean square 1.
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
USUAL_STRENGTH = 10.0
# It is chosen on so many images; the best prior hardly depends on their number.
CHOSEN_ON = 600
MOST_STEPS = 150  # of the optimiser; by then nothing changes that can be seen
SHARPEST, DULLEST = 0.2, 5.0  # limits of the temperature
# `as_scores`: how far the levels are sharpened (1 gives the mean score, towards 0 the median, which
# errs less), and for how many levels the one at the threshold counts. Both trade the error in
# points against the order around the threshold; the figures change little from half to twice.
SHARPENING = 0.5
THRESHOLD_WEIGHT = 10.0
# A score that just reaches the threshold stands so far above it, of 10: on its side for sure.
CLEARANCE = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """`temperature` divides the logits: above 1, the fit was surer than its held-out hits allow."""

    mean: Floats  # (width,) of the unit embeddings
    weights: Floats  # (width, 10)
    bias: Floats  # (10,)
    strength: float = USUAL_STRENGTH
    temperature: float = 1.0

    def logits(self, embeddings: NDArray[np.floating]) -> Floats:
        """Raw embeddings (n, width) → log odds of each level (n, 10) before calibration."""
        return (unit(embeddings) - self.mean) @ self.weights + self.bias

    def exceed(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Raw embeddings (n, width) → P(hand score >= k) for k = 1..10, (n, 10), non-increasing."""
        return chances(self.logits(embeddings), self.temperature)

    def save(self, path: Path) -> None:
        """Write one .npz file that appears whole or not at all."""
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:
                np.savez(file, **{name: getattr(self, name) for name in self.__slots__})
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Opinion:
        """Read what `save` wrote; raises `ModelError` for anything else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name].astype(np.float64) for name in cls.__slots__}
        except FileNotFoundError:
            raise ModelError(f"{path} is missing; train a version again.") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"{path} is not a second opinion ({error}); train a version again."
            ) from error
        width = arrays["mean"].size
        wanted = {"mean": (width,), "weights": (width, LEVELS), "bias": (LEVELS,)}
        shapes = {"strength": (), "temperature": ()} | wanted
        if any(arrays[name].shape != shape for name, shape in shapes.items()):
            raise ModelError(f"{path} has arrays of other shapes; train a version again.")
        return cls(
            arrays["mean"],
            arrays["weights"],
            arrays["bias"],
            float(arrays["strength"]),
            float(arrays["temperature"]),
        )


def fit(
    embeddings: NDArray[np.floating],
    scores: NDArray[np.floating],
    strength: float = USUAL_STRENGTH,
    temperature: float = 1.0,
) -> Opinion:
    """Fit to raw embeddings (n, width) and hand scores (n,) 0–10, fractions included.

    A level that every image reaches, or none, keeps the same small doubt for all: half an image.
    """
    return replace(_fits(embeddings, scores, (strength,))[0], temperature=temperature)


def out_of_fold(
    embeddings: NDArray[np.floating],
    scores: NDArray[np.floating],
    folds: NDArray[np.int64],
    strength: float = USUAL_STRENGTH,
) -> Floats:
    """Uncalibrated log odds (n, 10) for each image, by a fit to all folds but its own."""
    found = np.zeros((len(scores), LEVELS))
    for fold in np.unique(folds):
        out = folds == fold
        found[out] = fit(embeddings[~out], scores[~out], strength).logits(embeddings[out])
    return found


def choose_strength(
    embeddings: NDArray[np.floating],
    scores: NDArray[np.floating],
    groups: NDArray[np.int64],
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
        for place, fitted in enumerate(_fits(embeddings[~out], scores[~out], STRENGTHS)):
            held_out[place, out] = fitted.logits(embeddings[out])
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


def calibrated(opinion: Opinion, temperature: float) -> Opinion:
    return replace(opinion, temperature=temperature)


def chances(logits: Floats, temperature: float = 1.0) -> NDArray[np.float32]:
    """Log odds (n, 10) → chances (n, 10), made non-increasing: the mean of the two envelopes."""
    chance = expit(logits / temperature)
    lowest = np.minimum.accumulate(chance, axis=1)
    highest = np.maximum.accumulate(chance[:, ::-1], axis=1)[:, ::-1]
    return ((lowest + highest) / 2).astype(np.float32)


def as_scores(logits: Floats, threshold: float) -> Floats:
    """Log odds of the levels (n, 10) → one score each (n,), 0–1, that orders well everywhere.

    A sum of chances that a score of k is reached, in which the level at `threshold` (0–1) weighs
    more, so that around it images are in the order of their chance to pass; then stretched back
    (monotonically) so that a certain k gets k / 10, and a chance of one half exactly `threshold`.
    """
    level = threshold_level(threshold)
    sharp, at_threshold = expit(logits / SHARPENING), expit(logits[:, level - 1])
    total = sharp.sum(axis=1) + THRESHOLD_WEIGHT * at_threshold - sharp[:, level - 1]
    cut, full = threshold * 10, level - 1 + THRESHOLD_WEIGHT
    knots = {0.0: 0.0, level - 1.0: level - 1.0, level - 1 + THRESHOLD_WEIGHT / 2: cut}
    knots |= {full: max(level, min(10.0, cut + CLEARANCE)), 9 + THRESHOLD_WEIGHT: 10.0}
    knots |= {full + 1: level + 1.0} if level < LEVELS else {}
    knots[0.0] = 0.0
    places = sorted(knots)
    return np.asarray(np.interp(total, places, [knots[place] for place in places])) / 10


def threshold_level(threshold: float) -> int:
    """The lowest whole hand score, 1–10, that reaches `threshold` (0–1)."""
    return int(np.clip(np.ceil(threshold * 10 - 1e-9), 1, LEVELS))


def reaches(scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each hand score (n,) 0–10 is k or more, for k = 1..10: (n, 10)."""
    return np.asarray(scores[:, None] >= np.arange(1, LEVELS + 1) - 1e-9)


def log_loss(logits: Floats, reached: NDArray[np.bool_]) -> float:
    """Mean of -log of the chance given to what is true."""
    return float(np.logaddexp(0, np.where(reached, -logits, logits)).mean())


def unit(embeddings: NDArray[np.floating]) -> Floats:
    """Rows of length 1, float64; a row of zeros stays."""
    embeddings = embeddings.astype(np.float64)
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)


def _fits(
    embeddings: NDArray[np.floating], scores: NDArray[np.floating], strengths: Sequence[float]
) -> list[Opinion]:
    """An uncalibrated opinion for each of `strengths` (rising), each starting from the last."""
    units = unit(embeddings)
    mean = units.mean(axis=0)
    centred = units - mean
    size = np.sqrt((centred**2).sum(axis=1).mean()) or 1.0
    reached = reaches(scores)  # (n, 10)
    both = reached.any(axis=0) & ~reached.all(axis=0)
    share = (reached.sum(axis=0) + 0.5) / (len(scores) + 1)
    inputs, basis = _fewest_values(centred / size)
    unknown = np.concatenate([np.zeros((inputs.shape[1], LEVELS)), logit(share)[None]])
    found = []
    for strength in strengths:
        if both.any():
            unknown[:, both] = _logistic(inputs, reached[:, both], unknown[:, both], strength)
        weights = unknown[:-1] if basis is None else basis @ unknown[:-1]
        found.append(Opinion(mean, weights / size, unknown[-1].copy(), strength))
    return found


def _fewest_values(inputs: Floats) -> tuple[Floats, Floats | None]:
    """`inputs` (n, width) in a basis (width, k) of what they span, if there are fewer images than
    values: a rotation changes nothing for a regression but the number of its unknowns.
    """
    if len(inputs) >= inputs.shape[1]:
        return inputs, None
    values, vectors = np.linalg.eigh(inputs @ inputs.T)
    kept = values > 1e-10 * max(float(values[-1]), 1e-300)
    size = np.sqrt(values[kept])
    return vectors[:, kept] * size, inputs.T @ (vectors[:, kept] / size)


def _logistic(inputs: Floats, reached: NDArray[np.bool_], start: Floats, strength: float) -> Floats:
    """Weights and, last, bias (width + 1, k) of k L2-regularised logistic regressions."""
    sign, single = np.where(reached, 1.0, -1.0), inputs.astype(np.float32)  # half the time

    def loss(flat: Floats) -> tuple[float, Floats]:
        unknown = flat.reshape(start.shape)
        margin = sign * (single @ unknown[:-1].astype(np.float32) + unknown[-1])
        pull = -sign * expit(-margin)
        slope = np.concatenate(
            [single.T @ pull.astype(np.float32), pull.sum(axis=0, keepdims=True)]
        )
        slope[:-1] += unknown[:-1] / strength
        penalty = (unknown[:-1] ** 2).sum() / (2 * strength)
        return float(np.logaddexp(0, -margin).sum() + penalty), slope.ravel()

    limits = {"maxiter": MOST_STEPS, "ftol": 1e-5}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=limits)
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
