"""The default recipe: a second or two, and at least as good as the simple models and the original.

A network trained by the L1 loss pulls towards the common scores and blurs the threshold, the place
that matters most: a plain logistic regression on the same embeddings orders images better there.
Where things interact it is the regression that is blind. So what is learnt is an ordinal logistic
regression, whose level at the threshold counts most (model/estimators/ordinal.py), then a few bent
directions for what it misses (model/training/hidden_features.py), and both are written into the
published head as they are (model/training/ordinal_to_head.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from model.estimators import ordinal
from model.training.hidden_features import learn_features
from model.training.ordinal_to_head import ordinal_head
from model.training.recipe import Attempt, HeldOut, Lesson, Point, Watch, attempt, unwatched

# Of the regression's weights. From 3 to 30 the held-out log loss, features included, hardly
# changes: they make up for a prior that is too tight.
STRENGTH = 15.0


@dataclass(frozen=True, slots=True)
class Quick:
    """One of three `steps` is the regression's, the others are epochs in which `features` learn.

    The regression's loss is convex and is followed to its end (stopping early cost a hundredth of
    average precision).
    """

    steps: int = 30
    features: int = 128
    strength: float = STRENGTH
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
        """See `Recipe`."""
        fitted, curve = _Learning(self, lesson, held_out, watch).run(seed)
        return attempt(ordinal_head(fitted, lesson.threshold, self.hidden), curve, held_out)


class _Learning:
    """One run of the recipe, and the curve that it draws: a point for each epoch."""

    def __init__(
        self, recipe: Quick, lesson: Lesson, held_out: HeldOut | None, watch: Watch
    ) -> None:
        self.recipe, self.lesson, self.held_out, self.watch = recipe, lesson, held_out, watch
        self.first = recipe.steps // 3
        self.curve: list[Point] = []

    def run(self, seed: int) -> tuple[ordinal.Ordinal, list[Point]]:
        lesson, inputs = self.lesson, ordinal.Inputs(self.lesson.embeddings)
        found = ordinal.fit(inputs.values, lesson.scores, self.recipe.strength, seen=self.fitting)
        self.watch(self.first, self.recipe.steps, self.curve)
        fitted = learn_features(
            inputs.ordinal(found),
            lesson.embeddings,
            lesson.scores,
            count=self.recipe.features,
            epochs=self.recipe.steps - self.first,
            seed=seed,
            seen=self.learning,
        )
        return fitted, self.curve

    def fitting(self, step: int, _unknown: NDArray[np.float64]) -> None:
        done = self.first * step // ordinal.MOST_STEPS
        self.watch(min(done, self.first - 1), self.recipe.steps, self.curve)

    def learning(self, epoch: int, fitted: ordinal.Ordinal) -> None:
        lesson, unseen, step = self.lesson, self.held_out, self.first + epoch
        train = self.error(fitted, lesson.embeddings, lesson.scores)
        error = self.error(fitted, unseen.embeddings, unseen.scores) if unseen else None
        self.curve.append({"step": step, "train": train, "held_out": error})
        self.watch(step, self.recipe.steps, self.curve)

    def error(
        self,
        fitted: ordinal.Ordinal,
        embeddings: NDArray[np.float32],
        scores: NDArray[np.float64],
    ) -> float:
        said = ordinal.as_scores(fitted.logits(embeddings), self.lesson.threshold)
        return float(np.abs(said - scores / 10).mean())
