"""What a recipe is: settings that make a head out of scored embeddings.

`quick` (model/training/quick.py) is the default, `original` (model/training/original.py) that of
CityAesthetics, and `plain` the latter in batches, seconds instead of minutes: the baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from model.finite import check_finite
from model.heads.head import Head, predict


class Point(TypedDict):
    """A point of the loss curve: mean absolute errors, 0–1, after `step` steps.

    `train` is over the training images since the point before; `held_out` is over the validation
    images, `None` without any. The store keeps these keys.
    """

    step: int
    train: float
    held_out: float | None


# callback(step, steps, curve so far): called after every step; may raise to stop the training.
Callback = Callable[[int, int, list[Point]], None]


def no_callback(step: int, steps: int, curve: list[Point]) -> None:
    """Do nothing after a step."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Scored images: raw embeddings, hand scores 0–10, group numbers, and the threshold 0–1.

    Images of one group are near-duplicates or belong together: they never cross a fold. Raises
    `ModelError` for an embedding or a score that is not finite.
    """

    embeddings: NDArray[np.float32]  # (n, width)
    scores: NDArray[np.float64]  # (n,)
    groups: NDArray[np.int64]  # (n,)
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_finite("embedding", self.embeddings, "compute it anew: labeler embed")
        check_finite("hand score", self.scores, "score the image again")

    def subset(self, rows: NDArray[np.bool_]) -> TrainingData:
        """Return the images of the mask `rows` (n,) alone."""
        return TrainingData(
            self.embeddings[rows], self.scores[rows], self.groups[rows], self.threshold
        )


@dataclass(frozen=True, slots=True, eq=False)
class ValidationData:
    """Images that are only predicted: raw embeddings (n, width), hand scores (n,) 0–10."""

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float64]

    def error(self, predictions: NDArray[np.float32]) -> float:
        """Return the mean absolute error, 0–1, of predictions (n,) 0–1."""
        return float(np.abs(predictions - self.scores / 10).mean())


@dataclass(frozen=True, slots=True, eq=False)
class TrainResult:
    """A trained head, its loss curve, and its predictions (n,) 0–1 of the validation images.

    Without validation images `predictions` is empty.
    """

    head: Head
    curve: list[Point]
    predictions: NDArray[np.float32]


def train_result(head: Head, curve: list[Point], validation: ValidationData | None) -> TrainResult:
    """Return what a recipe returns, the validation images predicted here."""
    embeddings = np.zeros((0, head.features)) if validation is None else validation.embeddings
    return TrainResult(head, curve, predict(head, embeddings))


class Recipe(Protocol):
    """Settings as fields of a frozen dataclass; `folds` is the number of folds to cross-fit."""

    @property
    def name(self) -> str: ...

    @property
    def folds(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def train(
        self,
        data: TrainingData,
        validation: ValidationData | None = None,
        *,
        seed: int = 0,
        callback: Callback = no_callback,
    ) -> TrainResult:
        """Train a new head on `data`; `validation` is only predicted and changes nothing in it."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return all settings as JSON values."""
        ...
