"""The default recipe: seconds, and at least as good as the simple models that it learns from.

The plain L1 head is worse than a logistic regression on the same embeddings, above all around the
threshold. So the head is taught by the second opinion (knowledge distillation, Hinton et al. 2015)
besides the hand scores: on scored and unscored embeddings, and on blends of two of them (mixup,
Zhang et al. 2018), where the teacher can be asked although no image exists. Its first layer starts
with the teacher's own directions, so little is left to chance where scores are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from model.head import Head, fold_standardisation
from model.opinion import Opinion, as_scores
from model.precision import has_bfloat16
from model.recipes import (
    Attempt,
    HeldOut,
    Lesson,
    Point,
    Watch,
    best_device,
    some_threads,
    unwatched,
)


@dataclass(frozen=True, slots=True)
class Quick:
    """`steps` at most; every `every` the held-out error is looked at, and after `patience` looks
    without a gain the training ends.

    A step sees `scored` scored images and `blended` blends: (1 - t) a + t b for two images and t
    from -beyond to 1 + beyond, plus normal `noise` (in standard deviations of an embedding's
    values). `own` is the weight of the hand scores against the teacher's. The first layer learns
    at `first_rate` times `rate`. What is kept is an average over about `average` steps.
    Heads that only judge held-out images are `fold_hidden` wide: they learn the same teacher, and
    a narrow one says nearly the same in a fifth of the time.
    """

    steps: int = 140
    every: int = 20
    patience: int = 4
    scored: int = 96
    blended: int = 160
    beyond: float = 0.5
    noise: float = 0.5
    own: float = 0.3
    rate: float = 2e-3
    first_rate: float = 0.1
    warm_up: int = 20
    decay: float = 0.01
    average: int = 24
    hidden: int = 1024
    fold_hidden: int = 384
    folds: int = 5

    name: ClassVar[str] = "quick"
    stops_early: ClassVar[bool] = True

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
        """See `Recipe`; the same seed gives the same head on the same machine."""
        with some_threads(), _seeded(seed):
            hidden = self.hidden if held_out is None else self.fold_hidden
            training = _Training(self, lesson, hidden, seed)
            return training.run(steps or self.steps, held_out, watch)


class _Training:
    """One run of the recipe."""

    def __init__(self, recipe: Quick, lesson: Lesson, hidden: int, seed: int) -> None:
        self.recipe, self.lesson = recipe, lesson
        self.draw = np.random.default_rng(seed)
        self.device = best_device()
        self.pool = np.concatenate([lesson.embeddings, lesson.unscored])  # (n + m, width)
        self.mean = self.pool.mean(axis=0, dtype=np.float64)
        # One scale for all values: a value that hardly varies should not count as much as others.
        self.scale = float(np.sqrt(self.pool.var(axis=0, dtype=np.float64).mean())) or 1.0
        self.taught = as_scores(lesson.opinion.logits(lesson.embeddings), lesson.threshold)
        self.head = Head(self.pool.shape[1], hidden)
        _start_like(self.head, lesson.opinion, lesson.embeddings, self.scale, self.draw)
        self.head.to(self.device)
        self.averaged = deepcopy(self.head).requires_grad_(False)
        first, rest = list(self.head.first.parameters()), list(self.head.parameters())[2:]
        groups: list[dict[str, Any]] = [
            {"params": first, "lr": recipe.rate * recipe.first_rate},
            {"params": rest},
        ]
        self.optimiser = torch.optim.AdamW(
            groups, lr=recipe.rate, weight_decay=recipe.decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: min(1.0, (step + 1) / recipe.warm_up)
        )

    def run(self, steps: int, held_out: HeldOut | None, watch: Watch) -> Attempt:
        attempt, errors = Attempt(self.head), []
        for step in range(1, steps + 1):
            errors.append(self.step(step))
            if step % self.recipe.every == 0 or step == steps:
                attempt.head = self.finished()
                attempt.note(step, attempt.head, float(torch.stack(errors).mean()), held_out)
                errors.clear()
            watch(step, steps, attempt.curve)
            if held_out is not None and _is_over(attempt.curve, self.recipe.patience):
                break
        return attempt

    def step(self, number: int) -> torch.Tensor:
        """Learn once; returns the mean absolute error on the scored images of the batch."""
        inputs, taught, own = self.batch()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)):
            logits = self.head.logits(inputs)[:, 0]  # (B,)
        said = (torch.tanh(logits.float()) + 1) / 2
        error = (said[: len(own)] - own).abs().mean()
        loss = (said - taught).abs().mean() + self.recipe.own * error
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        self.follow(number)
        return error.detach()

    def batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Inputs (B, width), the teacher's scores (B,), hand scores (0–1) of the first rows."""
        recipe, lesson = self.recipe, self.lesson
        rows = self.draw.integers(len(lesson.embeddings), size=recipe.scored)
        one, other = self.draw.integers(len(self.pool), size=(2, recipe.blended))
        share = self.draw.uniform(-recipe.beyond, 1 + recipe.beyond, (recipe.blended, 1))
        share = share.astype(np.float32)
        blends = (1 - share) * self.pool[one] + share * self.pool[other]
        noise = self.draw.standard_normal(blends.shape, dtype=np.float32)
        blends += recipe.noise * self.scale * noise
        asked = as_scores(lesson.opinion.logits(blends), lesson.threshold)
        inputs = (np.concatenate([lesson.embeddings[rows], blends]) - self.mean) / self.scale
        taught = np.concatenate([self.taught[rows], asked])
        return self.tensor(inputs), self.tensor(taught), self.tensor(lesson.scores[rows] / 10)

    def tensor(self, array: NDArray[np.floating]) -> torch.Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(self.device)

    def follow(self, number: int) -> None:
        """Let the averaged weights follow, at first quickly, every fourth step to save time."""
        if number % 4 == 0:
            pull = max(4 / self.recipe.average, 4 / (number + 4))
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(self.averaged.parameters()), list(self.head.parameters()), pull
                )

    def finished(self) -> Head:
        """The averaged head as it would be saved: on the CPU, reading raw embeddings."""
        head = deepcopy(self.averaged).cpu().eval()
        fold_standardisation(head, self.mean, np.full(len(self.mean), self.scale))
        return head


def _start_like(
    head: Head,
    opinion: Opinion,
    embeddings: NDArray[np.float32],
    scale: float,
    draw: np.random.Generator,
) -> None:
    """Start the first layer with random mixtures of the teacher's directions.

    Each unit reads a mixture of the levels' log odds, shifted at random, as functions of
    (x - mean) / scale. A teacher that tells nothing apart leaves the usual start.
    """
    spread = opinion.logits(embeddings).std(axis=0)  # (10,)
    telling = spread > 1e-6
    if not telling.any():
        return
    length = float(np.linalg.norm(embeddings, axis=1).mean()) or 1.0
    directions = opinion.weights[:, telling] * (scale / length) / spread[telling]  # (width, k)
    mixture = draw.standard_normal((directions.shape[1], head.hidden))
    mixture /= np.linalg.norm(mixture, axis=0)
    with torch.no_grad():
        head.first.weight.copy_(torch.from_numpy((directions @ mixture).T))
        head.first.bias.copy_(torch.from_numpy(draw.uniform(-1.5, 1.5, head.hidden)))


def _is_over(curve: list[Point], patience: int) -> bool:
    errors = [point["held_out"] for point in curve if point["held_out"] is not None]
    return len(errors) > patience and min(errors[-patience:]) >= min(errors[:-patience])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers from `seed` inside, as they were outside."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
