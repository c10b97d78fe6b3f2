"""The recipe of CityAesthetics: L1 loss, one image a step, a tiny learning rate.

How several such steps go through the weights at once is told in model/training/rank1_adamw.py.
`plain()` is the same in batches and at a higher rate: what the recipe comes to in seconds.
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
from model.training.rank1_adamw import STRETCH, SingleSteps
from model.training.recipe import Attempt, HeldOut, Lesson, Point, Watch, attempt, unwatched

# Takes steps for raw embeddings (k, width) with scores (k,) 0–1, and tells their mean loss.
Follow = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOOKS = 40  # points of the loss curve
DROPPING = 2  # the place of the dropout in a head's `down`
_making = threading.Lock()


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
        head = _made(lesson.embeddings.shape[1], self.hidden, seed).to(best_device())
        usual = head.down[DROPPING]
        head.down[DROPPING] = _Dropout(usual, next(head.parameters()).device, seed)
        curve = _learn(head, self, lesson, held_out=held_out, seed=seed, watch=watch)
        head.down[DROPPING] = usual
        return attempt(head.cpu().eval().requires_grad_(False), curve, held_out)


def plain() -> Original:
    return Original(steps=200, batch=128, rate=3e-4, name="plain")


def _made(width: int, hidden: int, seed: int) -> Head:
    """A head with random weights. torch draws them from one generator for the whole process, and
    others are made side by side.
    """
    with _making, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Head(width, hidden)


class _Dropout(torch.nn.Dropout):
    """Draws from a generator of its own, so that what others draw meanwhile changes nothing."""

    def __init__(self, usual: torch.nn.Module, device: torch.device, seed: int) -> None:
        assert isinstance(usual, torch.nn.Dropout)
        super().__init__(usual.p)
        self.generator = torch.Generator(device).manual_seed(seed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        drawn = torch.rand(x.shape, device=x.device, generator=self.generator)
        return x * ((drawn >= self.p).to(x.dtype) / (1 - self.p))


def _learn(
    head: Head,
    recipe: Original,
    lesson: Lesson,
    *,
    held_out: HeldOut | None,
    seed: int,
    watch: Watch,
) -> list[Point]:
    device, steps = next(head.parameters()).device, recipe.steps
    inputs = torch.from_numpy(lesson.embeddings).to(device)  # (n, width)
    scores = torch.from_numpy((lesson.scores / 10).astype(np.float32)).to(device)  # (n,)
    learn, at_once = (_singly, STRETCH) if recipe.batch == 1 else (_in_batches, 1)
    follow = learn(head, recipe)
    curve: list[Point] = []
    errors, every = [], max(1, steps // LOOKS)
    rows = _rows(len(scores), seed)
    for start in range(0, steps, at_once):
        step = min(start + at_once, steps)
        chosen = torch.from_numpy(rows((step - start) * recipe.batch)).to(device)
        head.train()
        errors.append(follow(inputs[chosen], scores[chosen]))
        if start // every < step // every or step == steps:
            train = float(torch.stack(errors).mean())
            error = held_out.error(predict(head, held_out.embeddings)) if held_out else None
            curve.append({"step": step, "train": train, "held_out": error})
            errors.clear()
        watch(step, steps, curve)
    return curve


def _singly(head: Head, recipe: Original) -> Follow:
    """A step for each of the images."""
    steps = SingleSteps(
        head, lambda k: recipe.rate * (1 + math.cos(math.pi * k / recipe.steps)) / 2
    )

    def follow(x: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        x.requires_grad_()
        return steps.follow(lambda: torch.abs(head(x)[:, 0] - truth)).mean()

    return follow


def _in_batches(head: Head, recipe: Original) -> Follow:
    """One step for all of the images."""
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
    device = next(head.parameters()).device
    quickly = has_bfloat16(device)

    def follow(x: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=quickly):
            said = head(x)[:, 0].float()
        loss = (said - truth).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        return loss.detach()

    return follow


def _rows(count: int, seed: int) -> Callable[[int], NDArray[np.int64]]:
    """Hands out row numbers without end, as many as are asked for, every row once an epoch."""
    draw, left = np.random.default_rng(seed), np.zeros(0, dtype=np.int64)

    def following(size: int) -> NDArray[np.int64]:
        nonlocal left
        while len(left) < size:
            left = np.concatenate([left, draw.permutation(count)])
        taken, left = left[:size], left[size:]
        return taken

    return following
