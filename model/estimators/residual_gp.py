"""Predict how a few corrections would move other predictions, without training, in milliseconds.

The head's errors are modelled as a smooth function over the embeddings, a Gaussian process with
mean zero (Rasmussen & Williams 2006, equation 2.23). Each correction is one observation of it; the
errors of neighbours follow. The next training is the decision: this is an estimate of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.estimators.kernels import median_distance, rbf_kernel

Floats = NDArray[np.float64]
# Widths that are tried, as shares of the median distance between two images. The usual median
# heuristic (1) moves the whole collection for one correction, and wrongly so.
SHARES = (0.25, 0.35, 0.5)
USUAL_SHARE = 0.35
# Variance of what is an image's own against that of the errors that neighbours share: a near-twin
# follows three quarters of the way.
NOISE = 0.3
MOST = 400  # residuals that the width is chosen on
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class Kernel:
    """k(x, y) = exp(-|x - y|² / (2 width²)) on embeddings of unit length."""

    width: float
    noise: float = NOISE

    def __call__(self, some: NDArray[np.floating], others: NDArray[np.floating]) -> Floats:
        """Unit embeddings (n, dim), (m, dim) → (n, m), 0–1."""
        return rbf_kernel(some, others, self.width).astype(np.float64)


def shifts(
    kernel: Kernel,
    others: NDArray[np.floating],
    corrected: NDArray[np.floating],
    residuals: Floats,
) -> Floats:
    """Return how far the predictions of `others` (n, dim) would move, (n,), as `residuals` do.

    `residuals` (m,) are score minus prediction of the `corrected` (m, dim); all embeddings are of
    unit length. k(others, corrected) (K + noise I)⁻¹ residuals: two corrections of the same picture
    count hardly more than one.
    """
    if not len(corrected):
        return np.zeros(len(others))
    covariance = kernel(corrected, corrected) + kernel.noise * np.eye(len(corrected))
    return kernel(others, corrected) @ np.linalg.solve(covariance, residuals)


def choose_kernel(units: NDArray[np.floating], residuals: Floats) -> Kernel:
    """Return the kernel under which out-of-fold `residuals` (n,) at `units` (n, dim) are likeliest.

    By marginal likelihood (Rasmussen & Williams 2006, section 5.4.1), the errors' variance being
    the best one for each width; of widths that are hardly less likely (a factor of e) the largest.
    The usual width where there are few residuals.
    """
    step = max(1, len(units) // MOST)
    units, residuals = units[::step][:MOST], residuals[::step][:MOST]
    if len(units) < _FEWEST:
        return usual_kernel(units)
    median = median_distance(units) or 1.0
    kernels = [Kernel(share * median) for share in SHARES]
    likely = [_likelihood(kernel, units, residuals) for kernel in kernels]
    return [k for k, each in zip(kernels, likely, strict=True) if each >= max(likely) - 1][-1]


def usual_kernel(units: NDArray[np.floating]) -> Kernel:
    """Return the kernel that is taken at `units` (n, dim) where no residuals choose one."""
    return Kernel(USUAL_SHARE * (median_distance(units) or 1.0))


def _likelihood(kernel: Kernel, units: NDArray[np.floating], residuals: Floats) -> float:
    """Return the log marginal likelihood up to a constant, the variance profiled out."""
    covariance = kernel(units, units) + kernel.noise * np.eye(len(units))
    root = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(root, residuals)
    variance = max(float(whitened @ whitened) / len(units), 1e-12)
    return float(-len(units) / 2 * np.log(variance) - np.log(np.diag(root)).sum())
