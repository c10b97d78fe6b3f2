"""The default recipe: a second, and at least as good as the simple models on the same embeddings.

A network trained by the L1 loss pulls towards the common scores and blurs the threshold, the place
that matters most: a plain logistic regression on the same embeddings orders images better there.
So what is learnt is an ordinal logistic regression, whose level at the threshold counts most
(model/ordinal.py), and it is written into the published head as it is (model/ordinal_head.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from model import ordinal
from model.ordinal_head import ordinal_head
from model.recipes import Attempt, HeldOut, Lesson, Point, Watch, attempt, unwatched


@dataclass(frozen=True, slots=True)
class Quick:
    """`steps` of L-BFGS at most; every `every` of them the errors are looked at.

    The loss is convex and is followed to its end: how far the weights may go is decided by held-out
    log loss, before (stopping early as well cost a hundredth of average precision).
    """

    steps: int = ordinal.MOST_STEPS
    every: int = 5
    hidden: int = 1024
    folds: int = 5

    name: ClassVar[str] = "quick"

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
        """See `Recipe`; nothing here is left to chance but which images choose the strength."""
        strength = ordinal.choose_strength(
            lesson.embeddings, lesson.scores, lesson.groups, fit_many, seed
        )
        return _Learning(self, lesson, held_out, watch).run(strength)


def fit_many(
    embeddings: NDArray[np.float32], scores: NDArray[np.float64], others: NDArray[np.float32]
) -> NDArray[np.float64]:
    """See `ordinal.FitMany`: log odds (strengths, m, 10) for `others`."""
    inputs = ordinal.Inputs(embeddings)
    fits = [ordinal.fit(inputs.values, scores, each) for each in ordinal.STRENGTHS]
    return np.stack([inputs.ordinal(found).logits(others) for found in fits])


class _Learning:
    """One run of the recipe: follows the optimiser and keeps what the curve needs."""

    def __init__(
        self, recipe: Quick, lesson: Lesson, held_out: HeldOut | None, watch: Watch
    ) -> None:
        self.recipe, self.lesson, self.held_out, self.watch = recipe, lesson, held_out, watch
        self.inputs = ordinal.Inputs(lesson.embeddings)
        self.curve: list[Point] = []

    def run(self, strength: float) -> Attempt:
        """A fit that has converged before its last step stays as it is until then."""
        values, scores = self.inputs.values, self.lesson.scores
        found = ordinal.fit(values, scores, strength, steps=self.recipe.steps, seen=self.seen)
        taken = self.curve[-1]["step"] if self.curve else 0
        for step in range(taken + 1, self.recipe.steps + 1):
            self.note(step, found)
        self.watch(self.recipe.steps, self.recipe.steps, self.curve)
        fitted = self.inputs.ordinal(found)
        head = ordinal_head(fitted, self.lesson.threshold, self.recipe.hidden)
        return attempt(head, self.curve, self.held_out)

    def seen(self, step: int, unknown: NDArray[np.float64]) -> None:
        self.note(step, unknown)
        self.watch(step, self.recipe.steps, self.curve)

    def note(self, step: int, unknown: NDArray[np.float64]) -> None:
        if step % self.recipe.every and step != self.recipe.steps:
            return
        fitted, lesson, unseen = self.inputs.ordinal(unknown), self.lesson, self.held_out
        train = self.error(fitted, lesson.embeddings, lesson.scores)
        error = self.error(fitted, unseen.embeddings, unseen.scores) if unseen else None
        self.curve.append({"step": step, "train": train, "held_out": error})

    def error(
        self,
        fitted: ordinal.Ordinal,
        embeddings: NDArray[np.float32],
        scores: NDArray[np.float64],
    ) -> float:
        said = ordinal.as_scores(fitted.logits(embeddings), self.lesson.threshold)
        return float(np.abs(said - scores / 10).mean())
