"""The recipe of CityAesthetics: L1 loss, one image a step, a tiny learning rate.

How several such steps update the weights at once is told in model/training/rank1_adamw.py.
`plain_recipe()` is the same in batches and at a higher rate: what the recipe reaches in seconds.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.devices import best_device, has_bfloat16
from model.heads.head import Head, predict
from model.training.rank1_adamw import STEPS_AT_ONCE, Rank1AdamW
from model.training.recipe import (
    Callback,
    Point,
    TrainingData,
    TrainResult,
    ValidationData,
    no_callback,
    train_result,
)

# Updates the weights for raw embeddings (k, width) with the bounds (k, 2) of their scores, 0–1;
# returns their mean loss.
Update = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
CURVE_POINTS = 40
DROPOUT_LAYER = 2  # the index of the dropout in a head's `down`
_initializing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Original:
    """`steps` of `batch` images each; AdamW, `rate` falling by half a cosine to 0; no early stop.

    Fewer `folds` than elsewhere, since each costs as much as the head itself.
    """

    steps: int = 100_000
    batch: int = 1
    rate: float = 7e-6
    hidden: int = 1024
    folds: int = 3
    name: str = "original"

    def settings(self) -> dict[str, Any]:
        """See `Recipe`."""
        return asdict(self)

    def train(
        self,
        data: TrainingData,
        validation: ValidationData | None = None,
        *,
        seed: int = 0,
        callback: Callback = no_callback,
    ) -> TrainResult:
        """See `Recipe`. Reads raw embeddings and hand scores only, no groups and no threshold."""
        head = _initialized_head(data.embeddings.shape[1], self.hidden, seed).to(best_device())
        shared_dropout = head.down[DROPOUT_LAYER]
        device = next(head.parameters()).device
        head.down[DROPOUT_LAYER] = _SeededDropout(shared_dropout, device, seed)
        curve = _train_head(head, self, data, validation=validation, seed=seed, callback=callback)
        head.down[DROPOUT_LAYER] = shared_dropout
        return train_result(head.cpu().eval().requires_grad_(False), curve, validation)


def plain_recipe() -> Original:
    """Return the recipe `plain`: that of CityAesthetics in batches of 128 at a higher rate."""
    return Original(steps=200, batch=128, rate=3e-4, name="plain")


def _initialized_head(width: int, hidden: int, seed: int) -> Head:
    """Return a head with random weights.

    torch draws them from one generator for the whole process, and heads are made in parallel.
    """
    with _initializing, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Head(width, hidden)


class _SeededDropout(torch.nn.Dropout):
    """Draws from a generator of its own, so that what other threads draw changes nothing."""

    def __init__(self, replaced: torch.nn.Module, device: torch.device, seed: int) -> None:
        assert isinstance(replaced, torch.nn.Dropout)
        super().__init__(replaced.p)
        self.generator = torch.Generator(device).manual_seed(seed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        drawn = torch.rand(x.shape, device=x.device, generator=self.generator)
        return x * ((drawn >= self.p).to(x.dtype) / (1 - self.p))


def _train_head(
    head: Head,
    recipe: Original,
    data: TrainingData,
    *,
    validation: ValidationData | None,
    seed: int,
    callback: Callback,
) -> list[Point]:
    device, steps = next(head.parameters()).device, recipe.steps
    inputs = torch.from_numpy(data.embeddings).to(device)  # (n, width)
    ends = np.stack([data.low, np.minimum(data.high, 10)], axis=1) / 10
    bounds = torch.from_numpy(ends.astype(np.float32)).to(device)  # (n, 2)
    one_by_one = recipe.batch == 1
    update = (_single_image_update if one_by_one else _batch_update)(head, recipe)
    steps_at_once = STEPS_AT_ONCE if one_by_one else 1
    curve: list[Point] = []
    losses, interval = [], max(1, steps // CURVE_POINTS)
    next_rows = _row_sampler(len(bounds), seed)
    for start in range(0, steps, steps_at_once):
        step = min(start + steps_at_once, steps)
        rows = torch.from_numpy(next_rows((step - start) * recipe.batch)).to(device)
        head.train()
        losses.append(update(inputs[rows], bounds[rows]))
        if start // interval < step // interval or step == steps:
            train = float(torch.stack(losses).mean())
            error = validation.error(predict(head, validation.embeddings)) if validation else None
            curve.append({"step": step, "train": train, "held_out": error})
            losses.clear()
        callback(step, steps, curve)
    return curve


def _single_image_update(head: Head, recipe: Original) -> Update:
    """Return an update that takes a step for each of the images."""
    optimizer = Rank1AdamW(
        head, lambda k: recipe.rate * (1 + math.cos(math.pi * k / recipe.steps)) / 2
    )

    def update(x: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
        x.requires_grad_()
        return optimizer.step(lambda: _distances(head(x)[:, 0], bounds)).mean()

    return update


def _batch_update(head: Head, recipe: Original) -> Update:
    """Return an update that takes one step for all of the images."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=recipe.rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    device = next(head.parameters()).device
    in_bfloat16 = has_bfloat16(device)

    def update(x: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16):
            predictions = head(x)[:, 0].float()  # (B,)
        loss = _distances(predictions, bounds).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss.detach()

    return update


def _distances(predictions: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """Return the distance of each prediction (k,) from its score, or from its nearest bound (k, 2).

    The L1 loss where both bounds are the score; nothing is learnt from a prediction between them.
    """
    return torch.relu(bounds[:, 0] - predictions) + torch.relu(predictions - bounds[:, 1])


def _row_sampler(count: int, seed: int) -> Callable[[int], NDArray[np.int64]]:
    """Return a function that yields as many row numbers as asked for, every row once an epoch."""
    generator, remaining = np.random.default_rng(seed), np.zeros(0, dtype=np.int64)

    def next_rows(size: int) -> NDArray[np.int64]:
        nonlocal remaining
        while len(remaining) < size:
            remaining = np.concatenate([remaining, generator.permutation(count)])
        rows, remaining = remaining[:size], remaining[size:]
        return rows

    return next_rows
