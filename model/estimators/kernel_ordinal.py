"""The second opinion: how likely is a hand score of k or more, by images that look alike?

An ordinal logistic regression (model/estimators/ordinal.py) in the space of a Gaussian kernel on
embeddings of unit length, with an honest uncertainty: an image unlike all that was scored gets
chances near one half, as Laplace's approximation has it (Gaussian process classification, Rasmussen
& Williams 2006, section 3.4). It sees what the head sees but errs differently, since it knows
neighbourhoods where the head knows directions: where they contradict each other, one of them is
wrong. numpy and scipy only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from model.errors import ModelError
from model.estimators import ordinal
from model.estimators.kernels import median_distance, normalize, rbf_kernel
from model.estimators.ordinal import LEVELS, Floats, chances
from model.files.arrays import read_arrays

# The kernel's width as a share of the median distance between scored images: half to twice of it
# found nearly as many mistakes on six tastes; shorter ones see single images, longer ones all.
WIDTH_SHARE = 0.6
# The kernel looks at so many scored images at most (Nyström's approximation, Williams & Seeger
# 2001); up to that number it is exact.
LANDMARKS = 1024
_SMALLEST = 1e-6  # of the largest eigenvalue: directions below it are noise
_ROUNDS = 40  # of Newton's method, for a few hundred answers; it converges in under ten
_ROWS = 8192
_LARGEST = 1 << 29  # bytes; landmarks of 4,096 values take 17 million


@dataclass(frozen=True, slots=True, eq=False)
class Glimpse:
    """What an opinion sees of n images: unit embeddings (n, width), their features (n, k), and how
    much of each lies beyond all scored images (n,), 0–1.
    """

    units: NDArray[np.float32]
    features: NDArray[np.float32]
    beyond: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.units)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Glimpse:
        return Glimpse(self.units[rows], self.features[rows], self.beyond[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """`strength` is the prior variance of the weights, `temperature` divides the log odds: above 1,
    the fit was surer than its held-out hits allow.
    """

    landmarks: NDArray[np.float32]  # (m, width), unit length
    width: float  # of the kernel, as a distance of unit embeddings
    size: float  # root mean square length of the scored images' features before scaling
    projection: NDArray[np.float32]  # (m, k)
    offset: NDArray[np.float32]  # (k,)
    spread: Floats  # (k,) sum of squares of each feature over the scored images
    weights: Floats  # (k, 10)
    bias: Floats  # (10,)
    doubt: Floats  # (10,) mean p (1 - p) of each level over the scored images
    strength: float
    temperature: float = 1.0

    def see(self, embeddings: NDArray[np.floating]) -> Glimpse:
        """Raw embeddings (n, width) as this opinion sees them."""
        units = _unit(embeddings)
        alike = rbf_kernel(units, self.landmarks, self.width)  # (n, m)
        features = alike @ self.projection + self.offset
        # Of k(x, x) = 1, what the landmarks' span leaves over.
        spanned = ((features - self.offset) ** 2).sum(axis=1) * self.size**2
        return Glimpse(units, features, np.maximum(1 - spanned, 0).astype(np.float32))

    def logits(self, embeddings: NDArray[np.floating]) -> Floats:
        """Raw embeddings (n, width) → log odds of each level (n, 10), uncertainty included."""
        found = np.zeros((len(embeddings), LEVELS))
        for start in range(0, len(embeddings), _ROWS):
            seen = self.see(embeddings[start : start + _ROWS])
            sure, variance = self._mean(seen), self._variance(seen)
            found[start : start + _ROWS] = moderated(sure, variance)
        return found / self.temperature

    def exceed(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Raw embeddings (n, width) → P(hand score >= k) for k = 1..10, (n, 10), non-increasing."""
        return chances(self.logits(embeddings))

    def after(
        self, seen: Glimpse, answered: Glimpse, passed: NDArray[np.bool_], level: int
    ) -> Floats:
        """Log odds (n,) that images reach `level` (1–10), given which of `answered` (m,) do.

        The answers update the fit as new data update a Gaussian process whose prior is what was
        learnt before (Rasmussen & Williams 2006, algorithms 3.1 and 3.2): a local matter of
        milliseconds, before any training.
        """
        k = level - 1
        mean, variance = self._mean(seen)[:, k], self._variance(seen)[:, k]
        if len(answered):
            among, between = (self._covariance(one, answered, k) for one in (answered, seen))
            pull, shrink = _laplace(self._mean(answered)[:, k], among, passed)
            mean = mean + between @ pull
            variance = np.maximum(variance - ((between @ shrink) * between).sum(axis=1), 0)
        return moderated(mean, variance) / self.temperature

    def _mean(self, seen: Glimpse) -> Floats:
        return np.asarray(seen.features @ self.weights + self.bias)

    def _variance(self, seen: Glimpse) -> Floats:
        """Of the log odds (n, 10): little where many alike were scored, `strength` far from all."""
        known = seen.features.astype(np.float64) ** 2 @ self._remaining()
        return np.asarray(known + self.strength * seen.beyond[:, None] / self.size**2)

    def _covariance(self, one: Glimpse, other: Glimpse, k: int) -> Floats:
        """Of the log odds of level k + 1 between images (n, m), given what was learnt."""
        alike = rbf_kernel(one.units, other.units, self.width)
        spanned = (one.features - self.offset) @ (other.features - self.offset).T * self.size**2
        known = (one.features * self._remaining()[:, k]) @ other.features.T
        beyond = self.strength * (alike - spanned) / self.size**2
        return np.asarray(known + beyond, dtype=np.float64)

    def _remaining(self) -> Floats:
        """Variance of the weights (k, 10) that the scored images have left."""
        return 1 / (self.spread[:, None] * self.doubt + 1 / self.strength)

    def save(self, path: Path, write: Callable[[Path, bytes], object] = Path.write_bytes) -> None:
        """Write one .npz file; `write` puts bytes into a file."""
        packed = io.BytesIO()
        np.savez(packed, **{name: getattr(self, name) for name in self.__slots__})
        write(path, packed.getvalue())

    @classmethod
    def load(cls, path: Path) -> Opinion:
        """Read what `save` wrote; raises `ModelError` for anything else."""
        try:
            arrays = read_arrays(path, cls.__slots__, _LARGEST)
            kinds: dict[str, str] = {name: array.dtype.kind for name, array in arrays.items()}
            _check(arrays, kinds)
        except FileNotFoundError:
            raise ModelError(f"{path} is missing; train a version again.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path} is not a second opinion of this version of labeler ({error}); "
                "train a version again."
            ) from error
        values: dict[str, Any] = {
            name: array if array.ndim else float(array) for name, array in arrays.items()
        }
        return cls(**values)


def fit(
    embeddings: NDArray[np.floating],
    scores: NDArray[np.floating],
    strength: float = ordinal.USUAL_STRENGTH,
    temperature: float = 1.0,
    seed: int = 0,
) -> Opinion:
    """Fit to raw embeddings (n, width) and hand scores (n,) 0–10, fractions included."""
    space = _Space(_unit(embeddings), seed)
    return replace(space.opinion(scores, strength), temperature=temperature)


def choose_strength(
    embeddings: NDArray[np.float32], scores: Floats, groups: NDArray[np.int64], seed: int = 0
) -> float:
    """See `ordinal.choose_strength`."""

    def fit_many(
        known: NDArray[np.float32], given: Floats, others: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        space = _Space(_unit(known), seed)
        fits = [space.opinion(given, each) for each in ordinal.STRENGTHS]
        return np.stack([each.logits(others) for each in fits])

    return ordinal.choose_strength(embeddings, scores, groups, fit_many, seed)


def moderated(mean: Floats, variance: Floats) -> Floats:
    """Log odds whose mean is `mean` and whose variance is `variance`, as certain as they can be.

    σ(mean / √(1 + π variance / 8)) approximates the expected chance (MacKay 1992).
    """
    return np.asarray(mean / np.sqrt(1 + np.pi / 8 * variance))


def _unit(embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
    return normalize(embeddings.astype(np.float64)).astype(np.float32)


class _Space:
    """The kernel's features of scored images: centred, uncorrelated, of mean square length 1."""

    def __init__(self, units: NDArray[np.float32], seed: int) -> None:
        rows = np.random.default_rng(seed).permutation(len(units))[:LANDMARKS]
        self.landmarks = units[np.sort(rows)]
        self.width = WIDTH_SHARE * (median_distance(self.landmarks) or 1.0)
        values, vectors = np.linalg.eigh(
            rbf_kernel(self.landmarks, self.landmarks, self.width).astype(np.float64)
        )
        kept = values > _SMALLEST * values[-1]
        whitening = vectors[:, kept] / np.sqrt(values[kept])  # (m, j)
        found = rbf_kernel(units, self.landmarks, self.width) @ whitening  # (n, j)
        mean = found.mean(axis=0)
        found -= mean
        # Of the (j, j) products, not of all n rows: a third of the time.
        squares, axes = np.linalg.eigh(found.T @ found)
        squares = np.maximum(squares, 0)
        self.size = float(np.sqrt(squares.sum() / len(units))) or 1.0
        self.features = found @ axes / self.size  # (n, k)
        self.spread = squares / self.size**2
        self.projection = whitening @ axes / self.size
        self.offset = -mean @ axes / self.size

    def opinion(self, scores: NDArray[np.floating], strength: float) -> Opinion:
        found = ordinal.fit(self.features, scores, strength)
        chance = expit(self.features @ found[:-1] + found[-1])
        return Opinion(
            landmarks=self.landmarks,
            width=self.width,
            size=self.size,
            projection=self.projection.astype(np.float32),
            offset=self.offset.astype(np.float32),
            spread=self.spread,
            weights=found[:-1],
            bias=found[-1],
            doubt=(chance * (1 - chance)).mean(axis=0),
            strength=strength,
        )


def _laplace(mean: Floats, covariance: Floats, passed: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How answers (m,) pull log odds, (m,), and shrink their variance, (m, m), by covariance."""
    truth, gain, log_odds = passed.astype(np.float64), np.zeros(len(mean)), mean.copy()
    for _ in range(_ROUNDS):
        slope = truth - expit(log_odds)
        weight = np.maximum(expit(log_odds) * expit(-log_odds), 1e-9)
        root = np.sqrt(weight)
        system = np.eye(len(mean)) + root[:, None] * covariance * root
        aim = weight * (log_odds - mean) + slope
        gain = aim - root * np.linalg.solve(system, root * (covariance @ aim))
        moved = mean + covariance @ gain - log_odds
        log_odds = log_odds + np.clip(moved, -2, 2)
        if np.abs(moved).max() < 1e-6:
            break
    weight = np.maximum(expit(log_odds) * expit(-log_odds), 1e-9)
    root = np.sqrt(weight)
    system = np.eye(len(mean)) + root[:, None] * covariance * root
    return gain, root[:, None] * np.linalg.solve(system, np.diag(root))


def _check(arrays: dict[str, NDArray[np.generic]], kinds: Mapping[str, str]) -> None:
    """Raises `ValueError` where the arrays don't fit together or are no numbers."""
    m, _ = arrays["landmarks"].shape
    k = arrays["offset"].size
    wanted = {
        "projection": (m, k),
        "offset": (k,),
        "spread": (k,),
        "weights": (k, LEVELS),
        "bias": (LEVELS,),
        "doubt": (LEVELS,),
    }
    wanted |= dict.fromkeys(("width", "size", "strength", "temperature"), ())
    wrong = [name for name, shape in wanted.items() if arrays[name].shape != shape]
    wrong += [name for name, kind in kinds.items() if kind != "f"]
    if wrong:
        raise ValueError(f"arrays of other shapes or types: {', '.join(wrong)}")
