"""What a recipe is: settings that make a head out of scored embeddings.

`quick` (model/training/quick.py) is the default, `original` (model/training/original.py) that of
CityAesthetics, and `plain` the latter in batches, seconds instead of minutes: what others are
measured against.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from model.heads.head import Head, predict


class Point(TypedDict):
    """A point of the loss curve: mean absolute errors, 0–1, after `step` steps.

    `train` on the scored images since the point before; `held_out` `None` without such images.
    """

    step: int
    train: float
    held_out: float | None


# watch(step, steps, curve so far): called after every step; may raise to stop the training.
Watch = Callable[[int, int, list[Point]], None]


def unwatched(step: int, steps: int, curve: list[Point]) -> None:
    """For callers who don't watch."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is learnt from: raw embeddings (n, width), hand scores (n,) 0–10, group numbers (n,) of
    what must not be parted, and the threshold 0–1.
    """

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float64]
    groups: NDArray[np.int64]
    threshold: float = 0.5

    def only(self, rows: NDArray[np.bool_]) -> Lesson:
        """What is to be learnt from `rows` (n,) alone."""
        return Lesson(self.embeddings[rows], self.scores[rows], self.groups[rows], self.threshold)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Images that are only judged: raw embeddings (n, width), hand scores (n,) 0–10."""

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float64]

    def error(self, predictions: NDArray[np.float32]) -> float:
        return float(np.abs(predictions - self.scores / 10).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """A trained head, which reads raw embeddings, how its errors fell, and what it says (n,) of the
    held-out images, none where there are none.
    """

    head: Head
    curve: list[Point]
    said: NDArray[np.float32]


def attempt(head: Head, curve: list[Point], held_out: HeldOut | None) -> Attempt:
    """What a recipe returns; the head's own word on the held-out images is asked here."""
    unseen = np.zeros((0, head.features)) if held_out is None else held_out.embeddings
    return Attempt(head, curve, predict(head, unseen))


class Recipe(Protocol):
    """Settings as fields of a frozen dataclass; `folds` are for the out-of-fold part."""

    @property
    def name(self) -> str: ...

    @property
    def folds(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def train(
        self,
        lesson: Lesson,
        held_out: HeldOut | None = None,
        *,
        seed: int = 0,
        watch: Watch = unwatched,
    ) -> Attempt:
        """A new head. The `held_out` images are only judged: the head is the same without them."""
        ...

    def settings(self) -> dict[str, Any]:
        """All settings as JSON values."""
        ...
