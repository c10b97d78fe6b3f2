"""What a recipe is: settings that make a head out of scored embeddings.

`quick` (model/training/quick.py) is the default, `original` (model/training/original.py) that of
CityAesthetics, and `plain` the latter in batches, seconds instead of minutes: the baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from model.estimators.ordinal import known_levels
from model.finite import check_finite
from model.heads.head import Head, predict

_UNGIVEN: NDArray[np.float64] = np.zeros(0)


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

    Images of one group are near-duplicates or belong together: they never cross a fold. Of some
    images only low <= score < high is known; `scores` then holds any number between. Elsewhere
    `low`, `high` and `scores` are equal, which is what they are if only the scores are given.
    Raises `ModelError` for an embedding or a score that is not finite.
    """

    embeddings: NDArray[np.float32]  # (n, width)
    scores: NDArray[np.float64]  # (n,)
    groups: NDArray[np.int64]  # (n,)
    threshold: float = 0.5
    low: NDArray[np.float64] = field(default_factory=lambda: _UNGIVEN)  # (n,) 0–10
    high: NDArray[np.float64] = field(default_factory=lambda: _UNGIVEN)  # (n,) 0–10 or infinite

    def __post_init__(self) -> None:
        check_finite("embedding", self.embeddings, "compute it anew: labeler embed")
        check_finite("hand score", self.scores, "score the image again")
        _fill_bounds(self)

    @property
    def known(self) -> NDArray[np.bool_] | None:
        """The levels (n, 10) that are learnt of each score; None where all are."""
        if (self.low == self.high).all():
            return None
        return known_levels(self.scores, self.low, self.high)

    def subset(self, rows: NDArray[np.bool_]) -> TrainingData:
        """Return the images of the mask `rows` (n,) alone."""
        return TrainingData(
            self.embeddings[rows],
            self.scores[rows],
            self.groups[rows],
            self.threshold,
            self.low[rows],
            self.high[rows],
        )

    def validation(self) -> ValidationData:
        """Return the images as some that are only predicted."""
        return ValidationData(self.embeddings, self.scores, self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class ValidationData:
    """Images that are only predicted: raw embeddings (n, width), hand scores (n,) 0–10.

    `low` and `high` (n,) as in `TrainingData`.
    """

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float64]
    low: NDArray[np.float64] = field(default_factory=lambda: _UNGIVEN)
    high: NDArray[np.float64] = field(default_factory=lambda: _UNGIVEN)

    def __post_init__(self) -> None:
        _fill_bounds(self)

    def error(self, predictions: NDArray[np.float32]) -> float:
        """Return the mean absolute error, 0–1, of predictions (n,) 0–1."""
        return mean_distance(predictions, self.low, self.high)


def mean_distance(
    predictions: NDArray[np.floating], low: NDArray[np.float64], high: NDArray[np.float64]
) -> float:
    """Return the mean distance, 0–1, of predictions (n,) 0–1 from scores within low–high (n,) 0–10.

    The mean absolute error of the typed ones, whose bounds are equal; where there is none, how far
    predictions lie outside their intervals.
    """
    if (typed := low == high).any():
        predictions, low, high = predictions[typed], low[typed], high[typed]
    off = np.maximum(low / 10 - predictions, predictions - high / 10)
    return float(np.maximum(off, 0).mean())


def _fill_bounds(data: TrainingData | ValidationData) -> None:
    for name in ("low", "high"):
        if getattr(data, name) is _UNGIVEN:
            object.__setattr__(data, name, data.scores)


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
