"""The recipe of CityAesthetics, faithfully: L1 loss, one image at a time, a tiny learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from model.head import Head
from model.recipes import Attempt, HeldOut, Lesson, Watch, best_device, some_threads, unwatched

LOOKS = 40  # points of the loss curve


@dataclass(frozen=True, slots=True)
class Original:
    """`steps` images seen one by one, AdamW from `rate` by half a cosine to 0; no early end.

    Fewer `folds` than elsewhere, since each costs as much as the head itself.
    """

    steps: int = 100_000
    rate: float = 7e-6
    hidden: int = 1024
    folds: int = 3

    name: ClassVar[str] = "original"
    stops_early: ClassVar[bool] = False

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def train(
        self,
        lesson: Lesson,
        held_out: HeldOut | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
        watch: Watch = unwatched,
    ) -> Attempt:
        """See `Recipe`. Raw embeddings and hand scores only: nobody else is asked."""
        steps, device = steps or self.steps, best_device()
        with some_threads(), torch.random.fork_rng():
            torch.manual_seed(seed)
            head = Head(lesson.embeddings.shape[1], self.hidden).to(device)
            return _learn(
                head, self, lesson, held_out=held_out, steps=steps, seed=seed, watch=watch
            )


def _learn(
    head: Head,
    recipe: Original,
    lesson: Lesson,
    *,
    held_out: HeldOut | None,
    steps: int,
    seed: int,
    watch: Watch,
) -> Attempt:
    device = next(head.parameters()).device
    inputs = torch.from_numpy(lesson.embeddings).to(device)  # (n, width)
    scores = torch.from_numpy((lesson.scores / 10).astype(np.float32)).to(device)  # (n,)
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    attempt, errors, every = Attempt(head), [], max(1, steps // LOOKS)
    order = _epochs(len(scores), seed)
    for step in range(1, steps + 1):
        head.train()
        row = next(order)
        loss = (head(inputs[row : row + 1])[:, 0] - scores[row : row + 1]).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        errors.append(loss.detach())
        if step % every == 0 or step == steps:
            attempt.note(step, head, float(torch.stack(errors).mean()), held_out)
            errors.clear()
        watch(step, steps, attempt.curve)
    attempt.head = head.cpu().eval().requires_grad_(False)
    return attempt


def _epochs(count: int, seed: int) -> Iterator[int]:
    """Row numbers without end, every row once an epoch."""
    draw = np.random.default_rng(seed)
    while True:
        yield from draw.permutation(count).tolist()
