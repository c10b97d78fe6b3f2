"""The recipe of CityAesthetics, faithfully: L1 loss, one image at a time, a tiny learning rate.

`plain()` is the same in batches and at a higher rate: what the recipe comes to in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.head import Head, predict
from model.precision import has_bfloat16
from model.recipes import (
    Attempt,
    HeldOut,
    Lesson,
    Point,
    Watch,
    attempt,
    best_device,
    unwatched,
)

LOOKS = 40  # points of the loss curve


@dataclass(frozen=True, slots=True)
class Original:
    """`steps` of `batch` images each, AdamW from `rate` by half a cosine to 0; no early end.

    Fewer `folds` than elsewhere, since each costs as much as the head itself.
    """

    steps: int = 100_000
    batch: int = 1
    rate: float = 7e-6
    hidden: int = 1024
    folds: int = 3
    name: str = "original"

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def train(
        self,
        lesson: Lesson,
        held_out: HeldOut | None = None,
        *,
        seed: int = 0,
        watch: Watch = unwatched,
    ) -> Attempt:
        """See `Recipe`. Raw embeddings and hand scores only: nobody else is asked."""
        device = best_device()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            head = Head(lesson.embeddings.shape[1], self.hidden).to(device)
            return _learn(head, self, lesson, held_out=held_out, seed=seed, watch=watch)


def plain() -> Original:
    return Original(steps=200, batch=128, rate=3e-4, name="plain")


def _learn(
    head: Head,
    recipe: Original,
    lesson: Lesson,
    *,
    held_out: HeldOut | None,
    seed: int,
    watch: Watch,
) -> Attempt:
    device, steps = next(head.parameters()).device, recipe.steps
    inputs = torch.from_numpy(lesson.embeddings).to(device)  # (n, width)
    scores = torch.from_numpy((lesson.scores / 10).astype(np.float32)).to(device)  # (n,)
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    curve: list[Point] = []
    errors, every = [], max(1, steps // LOOKS)
    quickly = recipe.batch > 1 and has_bfloat16(device)
    batches = _batches(len(scores), recipe.batch, seed)
    for step in range(1, steps + 1):
        head.train()
        rows = torch.from_numpy(next(batches)).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=quickly):
            said = head(inputs[rows])[:, 0].float()
        loss = (said - scores[rows]).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        errors.append(loss.detach())
        if step % every == 0 or step == steps:
            train = float(torch.stack(errors).mean())
            error = held_out.error(predict(head, held_out.embeddings)) if held_out else None
            curve.append({"step": step, "train": train, "held_out": error})
            errors.clear()
        watch(step, steps, curve)
    return attempt(head.cpu().eval().requires_grad_(False), curve, held_out)


def _batches(count: int, size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers (size,) without end, every row once an epoch."""
    draw, rows = np.random.default_rng(seed), np.zeros(0, dtype=np.int64)
    while True:
        while len(rows) < size:
            rows = np.concatenate([rows, draw.permutation(count)])
        yield rows[:size]
        rows = rows[size:]
