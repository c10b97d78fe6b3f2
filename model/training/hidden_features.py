"""Hidden features on top of an ordinal regression: the interactions that a linear model misses.

Each is a leaky ReLU of a direction of the embeddings (`ordinal.Features`), fitted to the log loss
that a given ordinal regression leaves. They start without any effect, so that a few scores change
next to nothing. AdamW (Loshchilov & Hutter 2019) in float32, its rate rising over a fifth of the
steps and falling by half a cosine to 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from model.estimators.ordinal import LEAK, Features, Floats, Known, Ordinal, reached_levels

BATCH = 128
RATE = 1e-3
WEIGHT_DECAY = 1.0
_WARMUP = 0.2  # of the steps
# callback(epoch, the regression with its features so far): called after every epoch.
EpochCallback = Callable[[int, Ordinal], None]


def learn_features(
    regression: Ordinal,
    embeddings: NDArray[np.float32],
    scores: NDArray[np.float64],
    *,
    known: Known | None = None,
    count: int,
    epochs: int,
    seed: int,
    callback: EpochCallback,
) -> Ordinal:
    """Return `regression` with `count` hidden features, fitted to raw embeddings and hand scores.

    `embeddings` (n, width), `scores` (n,) 0–10, `known` (n, 10) the levels that are learnt of each
    score, all without it. The same seed gives the same features on the same
    machine, whatever else draws random numbers.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    scale = float((embeddings - mean).std()) or 1.0
    training = _FeatureTraining(
        (embeddings - mean) / scale,
        scores,
        known,
        regression.logits(embeddings),
        count=count,
        seed=seed,
    )
    steps = epochs * training.batches

    def with_features() -> Ordinal:
        directions, offsets, effects = training.parameters()
        directions = directions / scale  # of raw embeddings
        return Ordinal(
            regression.weights,
            regression.bias,
            Features(directions, offsets - mean @ directions, effects),
        )

    for epoch in range(epochs):
        training.run_epoch(
            [_rate((epoch * training.batches + k) / steps) for k in range(training.batches)]
        )
        callback(epoch + 1, with_features())
    return with_features()


class _FeatureTraining:
    """Inputs (n, width) of mean 0 and deviation 1, and the regression's log odds (n, 10)."""

    def __init__(
        self,
        inputs: Floats,
        scores: NDArray[np.float64],
        known: Known | None,
        base_logits: Floats,
        *,
        count: int,
        seed: int,
    ) -> None:
        self.inputs = torch.from_numpy(inputs.astype(np.float32))
        self.base_logits = torch.from_numpy(base_logits.astype(np.float32))
        self.targets = torch.from_numpy(reached_levels(scores).astype(np.float32))
        self.known = None if known is None else torch.from_numpy(known.astype(np.float32))
        self.generator = torch.Generator().manual_seed(seed)
        width, levels = inputs.shape[1], base_logits.shape[1]
        start = torch.randn(width, count, generator=self.generator) / width**0.5
        self.directions = start.requires_grad_()
        self.offsets = torch.zeros(count, requires_grad=True)
        self.effects = torch.zeros(count, levels, requires_grad=True)
        groups = [
            {"params": [self.directions, self.effects], "weight_decay": WEIGHT_DECAY},
            {"params": [self.offsets], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)

    @property
    def batches(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self.inputs) // BATCH)

    def run_epoch(self, rates: list[float]) -> None:
        """Take a step at each of `rates`, one a batch, over every image once in random order."""
        order = torch.randperm(len(self.inputs), generator=self.generator)
        for rows, rate in zip(order.split(BATCH), rates, strict=True):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = functional.binary_cross_entropy_with_logits(
                self(rows),
                self.targets[rows],
                weight=None if self.known is None else self.known[rows],
            )
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        x = torch.addmm(self.offsets, self.inputs[rows], self.directions)  # (B, count)
        return torch.addmm(
            self.base_logits[rows], functional.leaky_relu(x, LEAK), self.effects
        )  # (B, 10)

    def parameters(self) -> list[Floats]:
        """Return directions (width, count), offsets (count,) and effects (count, 10)."""
        parts = (self.directions, self.offsets, self.effects)
        return [part.detach().numpy().astype(np.float64) for part in parts]


def _rate(done: float) -> float:
    """Return the learning rate when the share `done` of the steps, 0–1, is done."""
    if done < _WARMUP:
        return RATE * done / _WARMUP
    return RATE * (1 + float(np.cos(np.pi * (done - _WARMUP) / (1 - _WARMUP)))) / 2
