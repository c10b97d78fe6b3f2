"""Features learnt on top of a regression: what it misses because its lines are straight.

Directions of the embeddings, each bent once at 0 (`ordinal.Features`), fitted to the log loss that
a given ordinal regression leaves. They start without any effect, so that with a few scores next to
nothing happens and with many what interacts is found. AdamW (Loshchilov & Hutter 2019) in float32,
its rate rising over a fifth of the steps and falling by half a cosine to 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from model.estimators.ordinal import LEAK, Features, Floats, Ordinal, reaches

BATCH = 128
RATE = 1e-3
DECAY = 1.0
_RISING = 0.2  # of the steps
# seen(epoch, the regression with its features so far): called after every epoch.
Seen = Callable[[int, Ordinal], None]


def learn_features(
    regression: Ordinal,
    embeddings: NDArray[np.float32],
    scores: NDArray[np.float64],
    *,
    count: int,
    epochs: int,
    seed: int,
    seen: Seen,
) -> Ordinal:
    """`regression` with `count` features learnt from raw embeddings (n, width), scores (n,) 0–10.

    The same seed gives the same features on the same machine, whatever else draws random numbers.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    size = float((embeddings - mean).std()) or 1.0
    learner = _Learner(
        (embeddings - mean) / size, scores, regression.logits(embeddings), count, seed
    )
    steps = epochs * learner.batches

    def raw() -> Ordinal:
        directions, offsets, effects = learner.found()
        directions = directions / size
        return Ordinal(
            regression.weights,
            regression.bias,
            Features(directions, offsets - mean @ directions, effects),
        )

    for epoch in range(epochs):
        learner.epoch(
            [_rate((epoch * learner.batches + k) / steps) for k in range(learner.batches)]
        )
        seen(epoch + 1, raw())
    return raw()


class _Learner:
    """Inputs (n, width) of mean 0 and size 1, and the regression's log odds (n, 10)."""

    def __init__(
        self, inputs: Floats, scores: NDArray[np.float64], known: Floats, count: int, seed: int
    ) -> None:
        self.inputs = torch.from_numpy(inputs.astype(np.float32))
        self.known = torch.from_numpy(known.astype(np.float32))
        self.reached = torch.from_numpy(reaches(scores).astype(np.float32))
        self.draw = torch.Generator().manual_seed(seed)
        width, levels = inputs.shape[1], known.shape[1]
        start = torch.randn(width, count, generator=self.draw) / width**0.5
        self.directions = start.requires_grad_()
        self.offsets = torch.zeros(count, requires_grad=True)
        self.effects = torch.zeros(count, levels, requires_grad=True)
        groups = [
            {"params": [self.directions, self.effects], "weight_decay": DECAY},
            {"params": [self.offsets], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE, fused=True)

    @property
    def batches(self) -> int:
        """In an epoch."""
        return -(-len(self.inputs) // BATCH)

    def epoch(self, rates: list[float]) -> None:
        """Every image once, in random order."""
        order = torch.randperm(len(self.inputs), generator=self.draw)
        for rows, rate in zip(order.split(BATCH), rates, strict=True):
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            loss = functional.binary_cross_entropy_with_logits(self(rows), self.reached[rows])
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        x = torch.addmm(self.offsets, self.inputs[rows], self.directions)  # (B, count)
        return torch.addmm(
            self.known[rows], functional.leaky_relu(x, LEAK), self.effects
        )  # (B, 10)

    def found(self) -> list[Floats]:
        """Directions (width, count), offsets (count,) and effects (count, 10)."""
        parts = (self.directions, self.offsets, self.effects)
        return [part.detach().numpy().astype(np.float64) for part in parts]


def _rate(share: float) -> float:
    """The learning rate when `share` of the steps, 0–1, is done."""
    if share < _RISING:
        return RATE * share / _RISING
    return RATE * (1 + float(np.cos(np.pi * (share - _RISING) / (1 - _RISING)))) / 2
