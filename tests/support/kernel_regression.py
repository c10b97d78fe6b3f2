"""The second opinion's model in plain words, slow and without shortcuts, to compare it with."""

from __future__ import annotations

import numpy as np
from scipy.optimize import root
from scipy.special import expit, logit

from model.estimators import kernel_ordinal

LEVEL = 5  # that answers are about


def unit(embeddings: np.ndarray) -> np.ndarray:
    wide = embeddings.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


class KernelRegression:
    """The same model, but one number per scored image and no shortcut: Newton's method on the
    centred kernel, and the posterior of a Gaussian process with one noise for all images.
    """

    def __init__(self, embeddings: np.ndarray, scores: np.ndarray, strength: float) -> None:
        self.known, self.strength, count = unit(embeddings), strength, len(scores)
        apart = np.sqrt(np.maximum(2 - 2 * self.known @ self.known.T, 0))
        self.width = kernel_ordinal.WIDTH_SHARE * np.median(apart[np.triu_indices(count, 1)])
        self.size = 1.0
        self.mean = self.kernel(self.known, self.known).mean(axis=0)
        inner = self.centred(self.known, self.known)
        self.size = np.trace(inner) / count
        self.inner = inner / self.size
        found = [self._newton(scores >= level) for level in range(1, 11)]
        self.pull, self.bias = np.stack([f[0] for f in found], 1), np.array([f[1] for f in found])
        chance = expit(self.inner @ self.pull + self.bias)
        self.doubt = (chance * (1 - chance)).mean(axis=0)

    def kernel(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.exp(-(2 - 2 * one @ other.T) / (2 * self.width**2))

    def centred(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        means = [self.kernel(each, self.known).mean(axis=1) for each in (one, other)]
        found = self.kernel(one, other) - means[0][:, None] - means[1] + self.mean.mean()
        return found / self.size

    def _newton(self, reached: np.ndarray) -> tuple[np.ndarray, float]:
        count, ones = len(reached), np.ones((len(reached), 1))
        pull, bias = np.zeros(count), 0.0
        if reached.all() or not reached.any():
            return pull, float(logit((reached.sum() + 0.5) / (count + 1)))
        for _ in range(60):
            said = self.inner @ pull + bias
            weight = expit(said) * expit(-said) + 1e-12
            ridge = self.inner + np.diag(1 / (weight * self.strength))
            system = np.block([[ridge, ones], [ones.T, np.zeros((1, 1))]])
            aim = said + (reached - expit(said)) / weight
            pull, bias = np.split(np.linalg.solve(system, np.append(aim, 0)), [count])
        return pull, float(bias[0])

    def means(self, embeddings: np.ndarray) -> np.ndarray:
        return self.centred(unit(embeddings), self.known) @ self.pull + self.bias

    def covariance(self, one: np.ndarray, other: np.ndarray, level: int) -> np.ndarray:
        """Of log odds, given the scored images."""
        a, b = (self.strength * self.centred(unit(each), self.known) for each in (one, other))
        seen = self.strength * self.inner + np.eye(len(self.known)) / self.doubt[level - 1]
        prior = self.strength * self.centred(unit(one), unit(other))
        return prior - a @ np.linalg.solve(seen, b.T)

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        pairs = [self.covariance(embeddings, embeddings, level) for level in range(1, 11)]
        variance = np.stack([np.diag(pair) for pair in pairs], axis=1)
        return self.means(embeddings) / np.sqrt(1 + np.pi / 8 * variance)

    def after(self, new: np.ndarray, answered: np.ndarray, passed: np.ndarray) -> np.ndarray:
        """Laplace's approximation, the mode found by a root finder."""
        before, among = (
            self.means(answered)[:, LEVEL - 1],
            self.covariance(answered, answered, LEVEL),
        )
        found = root(lambda g: g - (passed - expit(before + among @ g)), np.zeros(len(passed)))
        assert found.success
        odds = before + among @ found.x
        between = self.covariance(new, answered, LEVEL)
        known = np.linalg.inv(among + np.diag(1 / (expit(odds) * expit(-odds))))
        variance = np.diag(self.covariance(new, new, LEVEL) - between @ known @ between.T)
        mean = self.means(new)[:, LEVEL - 1] + between @ found.x
        return mean / np.sqrt(1 + np.pi / 8 * variance)
