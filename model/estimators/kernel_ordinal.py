"""The second opinion: P(hand score >= k), k = 1..10, judged by similar scored images.

An ordinal logistic regression (model/estimators/ordinal.py) in the space of a Gaussian kernel on
embeddings of unit length, with its own uncertainty: an image unlike all that was scored gets
probabilities near one half, by Laplace's approximation (Gaussian process classification,
Rasmussen & Williams 2006, section 3.4). It reads the same embeddings as the head but errs
differently, since it compares neighbours where the head follows directions: where they disagree,
one of them is wrong. numpy and scipy only, so that the pages can use it without torch.
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
from model.estimators.ordinal import LEVELS, Floats, Known, probabilities
from model.files.arrays import read_arrays

# The kernel's width as a share of the median distance between scored images: half to twice of it
# found nearly as many mistakes on six tastes; shorter ones see single images, longer ones all.
WIDTH_SHARE = 0.6
# The kernel looks at so many scored images at most (Nyström's approximation, Williams & Seeger
# 2001); up to that number it is exact.
LANDMARKS = 1024
_MIN_EIGENVALUE = 1e-6  # of the largest eigenvalue: directions below it are noise
_MAX_NEWTON_STEPS = 40  # of Newton's method, for a few hundred answers; it converges in under ten
_ROWS = 8192
_MAX_BYTES = 1 << 29  # bytes; landmarks of 4,096 values take 17 million


@dataclass(frozen=True, slots=True, eq=False)
class KernelFeatures:
    """Kernel features of n images: what a `KernelOrdinal` computes of them once, to predict often.

    `residual_variance` is the part of k(x, x) = 1 that no scored image explains, 0–1.
    """

    units: NDArray[np.float32]  # (n, width), unit length
    features: NDArray[np.float32]  # (n, k)
    residual_variance: NDArray[np.float32]  # (n,)

    def __len__(self) -> int:
        return len(self.units)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> KernelFeatures:
        """Return the features of `rows`, row numbers or a mask."""
        return KernelFeatures(self.units[rows], self.features[rows], self.residual_variance[rows])


@dataclass(frozen=True, slots=True, eq=False)
class KernelOrdinal:
    """An ordinal logistic regression on kernel features.

    `strength` is the prior variance of the weights. `temperature` divides the log odds: above 1 the
    fit was surer than its held-out predictions allow.
    """

    landmarks: NDArray[np.float32]  # (m, width), unit length
    width: float  # of the kernel, as a distance of unit embeddings
    size: float  # root mean square length of the scored images' features before scaling
    projection: NDArray[np.float32]  # (m, k)
    offset: NDArray[np.float32]  # (k,)
    spread: Floats  # (k,) sum of squares of each feature over the scored images
    weights: Floats  # (k, 10)
    bias: Floats  # (10,)
    mean_variance: Floats  # (10,) mean p (1 - p) of each level over the scored images
    strength: float
    temperature: float = 1.0

    def transform(self, embeddings: NDArray[np.floating]) -> KernelFeatures:
        """Return the kernel features of raw embeddings (n, width)."""
        units = _unit(embeddings)
        alike = rbf_kernel(units, self.landmarks, self.width)  # (n, m)
        features = alike @ self.projection + self.offset
        # Of k(x, x) = 1, what the landmarks' span leaves over.
        spanned = ((features - self.offset) ** 2).sum(axis=1) * self.size**2
        return KernelFeatures(units, features, np.maximum(1 - spanned, 0).astype(np.float32))

    def logits(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return log odds of each level, (n, 10), for raw embeddings (n, width).

        They include the uncertainty: the less is known, the nearer to 0.
        """
        logits = np.zeros((len(embeddings), LEVELS))
        for start in range(0, len(embeddings), _ROWS):
            features = self.transform(embeddings[start : start + _ROWS])
            mean, variance = self._mean(features), self._variance(features)
            logits[start : start + _ROWS] = moderate(mean, variance)
        return logits / self.temperature

    def exceed(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return P(hand score >= k), k = 1..10, (n, 10), for raw embeddings (n, width).

        It never increases with k.
        """
        return probabilities(self.logits(embeddings))

    def condition_on(
        self,
        features: KernelFeatures,
        answered: KernelFeatures,
        passed: NDArray[np.bool_],
        level: int,
    ) -> Floats:
        """Return log odds (n,) that images reach `level` (1–10), given which of `answered` do.

        `passed` (m,) says whether each of the m answered images does. The answers update the fit
        as new data update a Gaussian process whose prior is the fit before (Rasmussen & Williams
        2006, algorithms 3.1 and 3.2): milliseconds, and no training.
        """
        k = level - 1
        mean, variance = self._mean(features)[:, k], self._variance(features)[:, k]
        if len(answered):
            among, between = (self._covariance(each, answered, k) for each in (answered, features))
            gain, precision = _laplace(self._mean(answered)[:, k], among, passed)
            mean = mean + between @ gain
            variance = np.maximum(variance - ((between @ precision) * between).sum(axis=1), 0)
        return moderate(mean, variance) / self.temperature

    def _mean(self, kernel: KernelFeatures) -> Floats:
        return np.asarray(kernel.features @ self.weights + self.bias)

    def _variance(self, kernel: KernelFeatures) -> Floats:
        """Return that of the log odds, (n, 10): small near scored images, `strength` far away."""
        spanned = kernel.features.astype(np.float64) ** 2 @ self._remaining()
        return np.asarray(
            spanned + self.strength * kernel.residual_variance[:, None] / self.size**2
        )

    def _covariance(self, rows: KernelFeatures, columns: KernelFeatures, k: int) -> Floats:
        """Return that of the log odds of level k + 1 between images, (n, m), after the fit."""
        similar = rbf_kernel(rows.units, columns.units, self.width)
        spanned = (rows.features - self.offset) @ (columns.features - self.offset).T * self.size**2
        learnt = (rows.features * self._remaining()[:, k]) @ columns.features.T
        residual = self.strength * (similar - spanned) / self.size**2
        return np.asarray(learnt + residual, dtype=np.float64)

    def _remaining(self) -> Floats:
        """Return the posterior variance of the weights, (k, 10)."""
        return 1 / (self.spread[:, None] * self.mean_variance + 1 / self.strength)

    def save(self, path: Path, write: Callable[[Path, bytes], object] = Path.write_bytes) -> None:
        """Write one .npz file; `write` puts bytes into a file."""
        buffer = io.BytesIO()
        np.savez(buffer, **{key: getattr(self, name) for name, key in _NPZ_KEYS.items()})
        write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> KernelOrdinal:
        """Read what `save` wrote, or a release before; raises `ModelError` for anything else."""
        try:
            arrays = read_arrays(path, _NPZ_KEYS.values(), _MAX_BYTES)
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
            name: arrays[key] if arrays[key].ndim else float(arrays[key])
            for name, key in _NPZ_KEYS.items()
        }
        return cls(**values)


# Fields and their names in the .npz file, which stay: files of every release open.
_NPZ_KEYS = {name: {"mean_variance": "doubt"}.get(name, name) for name in KernelOrdinal.__slots__}


def fit(
    embeddings: NDArray[np.floating],
    scores: NDArray[np.floating],
    strength: float = ordinal.DEFAULT_STRENGTH,
    temperature: float = 1.0,
    seed: int = 0,
    *,
    known: Known | None = None,
) -> KernelOrdinal:
    """Fit a second opinion to raw embeddings (n, width) and hand scores (n,) 0–10, whole or not.

    `known` (n, 10) are the levels that are learnt of each score, all without it.
    """
    space = _FeatureMap(_unit(embeddings), seed)
    return replace(space.regression(scores, strength, known), temperature=temperature)


def choose_strength(
    embeddings: NDArray[np.float32],
    scores: Floats,
    groups: NDArray[np.int64],
    seed: int = 0,
    *,
    known: Known | None = None,
) -> float:
    """See `ordinal.choose_strength`."""

    def fit_many(
        train: NDArray[np.float32],
        train_scores: Floats,
        train_known: Known,
        others: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        space = _FeatureMap(_unit(train), seed)
        models = [space.regression(train_scores, each, train_known) for each in ordinal.STRENGTHS]
        return np.stack([each.logits(others) for each in models])

    return ordinal.choose_strength(embeddings, scores, groups, fit_many, seed, known=known)


def moderate(mean: Floats, variance: Floats) -> Floats:
    """Return the log odds of the expected probability, for log odds of that mean and variance.

    σ(mean / √(1 + π variance / 8)) approximates the expected probability (MacKay 1992).
    """
    return np.asarray(mean / np.sqrt(1 + np.pi / 8 * variance))


def _unit(embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
    return normalize(embeddings.astype(np.float64)).astype(np.float32)


class _FeatureMap:
    """The kernel's features of scored images: centred, uncorrelated, of mean square length 1."""

    def __init__(self, units: NDArray[np.float32], seed: int) -> None:
        rows = np.random.default_rng(seed).permutation(len(units))[:LANDMARKS]
        self.landmarks = units[np.sort(rows)]
        self.width = WIDTH_SHARE * (median_distance(self.landmarks) or 1.0)
        values, vectors = np.linalg.eigh(
            rbf_kernel(self.landmarks, self.landmarks, self.width).astype(np.float64)
        )
        kept = values > _MIN_EIGENVALUE * values[-1]
        whitening = vectors[:, kept] / np.sqrt(values[kept])  # (m, j)
        features = rbf_kernel(units, self.landmarks, self.width) @ whitening  # (n, j)
        mean = features.mean(axis=0)
        features -= mean
        # Of the (j, j) products, not of all n rows: a third of the time.
        squares, axes = np.linalg.eigh(features.T @ features)
        squares = np.maximum(squares, 0)
        self.size = float(np.sqrt(squares.sum() / len(units))) or 1.0
        self.features = features @ axes / self.size  # (n, k)
        self.spread = squares / self.size**2
        self.projection = whitening @ axes / self.size
        self.offset = -mean @ axes / self.size

    def regression(
        self, scores: NDArray[np.floating], strength: float, known: Known | None = None
    ) -> KernelOrdinal:
        parameters = ordinal.fit(self.features, scores, strength, known=known)
        probability = expit(self.features @ parameters[:-1] + parameters[-1])
        variance = probability * (1 - probability)
        # An image of which a level is not known tells nothing about that level.
        variance = variance if known is None else variance * known
        return KernelOrdinal(
            landmarks=self.landmarks,
            width=self.width,
            size=self.size,
            projection=self.projection.astype(np.float32),
            offset=self.offset.astype(np.float32),
            spread=self.spread,
            weights=parameters[:-1],
            bias=parameters[-1],
            mean_variance=variance.mean(axis=0),
            strength=strength,
        )


def _laplace(mean: Floats, covariance: Floats, passed: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return what a covariance with m answered images is multiplied by: (m,) moves the mean of log
    odds, (m, m) on both sides reduces their variance.
    """
    truth, gain, log_odds = passed.astype(np.float64), np.zeros(len(mean)), mean.copy()
    for _ in range(_MAX_NEWTON_STEPS):
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
    """Raise `ValueError` where the arrays don't fit together or are no numbers."""
    m, _ = arrays["landmarks"].shape
    k = arrays["offset"].size
    expected = {
        "projection": (m, k),
        "offset": (k,),
        "spread": (k,),
        "weights": (k, LEVELS),
        "bias": (LEVELS,),
        "doubt": (LEVELS,),
    }
    expected |= dict.fromkeys(("width", "size", "strength", "temperature"), ())
    wrong = [name for name, shape in expected.items() if arrays[name].shape != shape]
    wrong += [name for name, kind in kinds.items() if kind != "f"]
    if wrong:
        raise ValueError(f"arrays of other shapes or types: {', '.join(wrong)}")
    if broken := [name for name in kinds if not np.isfinite(np.asarray(arrays[name])).all()]:
        raise ValueError(f"arrays with NaN or infinity: {', '.join(broken)}")
