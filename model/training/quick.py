"""The default recipe: a second or two, and at least as good as the simple models and `original`.

A network trained with the L1 loss pulls towards the common scores and blurs the threshold, the
place that matters most: a plain logistic regression on the same embeddings orders images better
there, but misses interactions. So `quick` fits an ordinal logistic regression, whose level at the
threshold counts most (model/estimators/ordinal.py), learns a few hidden features for what it misses
(model/training/hidden_features.py), and writes both into the published head without any further
training (model/training/ordinal_to_head.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from model.estimators import ordinal
from model.training.hidden_features import learn_features
from model.training.ordinal_to_head import ordinal_to_head
from model.training.recipe import (
    Callback,
    Point,
    TrainingData,
    TrainResult,
    ValidationData,
    mean_distance,
    no_callback,
    train_result,
)

# Of the regression's weights. From 3 to 30 the held-out log loss, features included, hardly
# changes: they make up for a prior that is too tight.
STRENGTH = 15.0


@dataclass(frozen=True, slots=True)
class Quick:
    """One of three `steps` is the regression's, the others are epochs in which `features` learn.

    The regression's loss is convex and is minimized to its end (stopping early cost a hundredth of
    average precision). `strength` is the variance of its weights' prior.
    """

    steps: int = 30
    features: int = 128
    strength: float = STRENGTH
    hidden: int = 1024
    folds: int = 5

    name: ClassVar[str] = "quick"

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
        """See `Recipe`."""
        fitted, curve = _QuickTraining(self, data, validation, callback).run(seed)
        head = ordinal_to_head(fitted, data.threshold, self.hidden)
        return train_result(head, curve, validation)


class _QuickTraining:
    """One run of the recipe with its loss curve: a point for each epoch."""

    def __init__(
        self,
        recipe: Quick,
        data: TrainingData,
        validation: ValidationData | None,
        callback: Callback,
    ) -> None:
        self.recipe, self.data, self.validation = recipe, data, validation
        self.callback = callback
        self.regression_steps = recipe.steps // 3
        self.curve: list[Point] = []

    def run(self, seed: int) -> tuple[ordinal.Ordinal, list[Point]]:
        data, inputs = self.data, ordinal.Inputs(self.data.embeddings)
        weights = ordinal.fit(
            inputs.values,
            data.scores,
            self.recipe.strength,
            known=data.known,
            callback=self._on_regression_step,
        )
        self.callback(self.regression_steps, self.recipe.steps, self.curve)
        fitted = learn_features(
            inputs.ordinal(weights),
            data.embeddings,
            data.scores,
            known=data.known,
            count=self.recipe.features,
            epochs=self.recipe.steps - self.regression_steps,
            seed=seed,
            callback=self._on_epoch,
        )
        return fitted, self.curve

    def _on_regression_step(self, step: int, _weights: NDArray[np.float64]) -> None:
        done = self.regression_steps * step // ordinal.MAX_STEPS
        self.callback(min(done, self.regression_steps - 1), self.recipe.steps, self.curve)

    def _on_epoch(self, epoch: int, fitted: ordinal.Ordinal) -> None:
        data, validation, step = self.data, self.validation, self.regression_steps + epoch
        train = self._error(fitted, data.embeddings, data.low, data.high)
        error = (
            self._error(fitted, validation.embeddings, validation.low, validation.high)
            if validation
            else None
        )
        self.curve.append({"step": step, "train": train, "held_out": error})
        self.callback(step, self.recipe.steps, self.curve)

    def _error(
        self,
        fitted: ordinal.Ordinal,
        embeddings: NDArray[np.float32],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
    ) -> float:
        predictions = ordinal.to_scores(fitted.logits(embeddings), self.data.threshold)
        return mean_distance(predictions, low, high)
